"""What one call costs on the GPUs that it holds: seconds, memory, energy, as NVML answers.

A device is held by one job at a time (`segarena.predict.gpu`), so what is seen on it is the call's,
and in a warm container that of the calls before as well. Where NVML does not know a value (no
driver, a slice of a GPU, an old card) it is None: nothing is guessed.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pynvml

_POLL_SECONDS = 0.05

Use = dict[str, Any]


@contextlib.contextmanager
def metered(devices: Sequence[str]) -> Iterator[Use]:
    """Yield a dict that is filled when the block ends; it stays empty without devices.

    devices: UUIDs or numbers. seconds: from the block's begin to its end, during which the devices
    are held. peak_memory_bytes: the most that was in use on all of them together, looked at every
    50 ms. joules: what the cards counted.
    """
    use: Use = {}
    if not devices:
        yield use
        return
    begun, ended = time.monotonic(), threading.Event()
    with contextlib.ExitStack() as stack:
        handles = _handles(devices, stack)
        before, peaks = _millijoules(handles), [_memory(handles)]
        thread = threading.Thread(target=_watch, args=(handles, peaks, ended), daemon=True)
        thread.start()
        try:
            yield use
        finally:
            ended.set()
            thread.join()
            after = _millijoules(handles)
            known = [peak for peak in peaks if peak is not None]
            use["seconds"] = time.monotonic() - begun
            use["peak_memory_bytes"] = max(known, default=None)
            use["joules"] = None if before is None or after is None else (after - before) / 1000


def _watch(handles: list[Any], peaks: list[int | None], ended: threading.Event) -> None:
    while not ended.wait(_POLL_SECONDS):
        peaks[:] = [max((p for p in (*peaks, _memory(handles)) if p is not None), default=None)]


def _handles(devices: Sequence[str], stack: contextlib.ExitStack) -> list[Any]:
    """Return NVML's handles of the devices; none where one of them is not known to it."""
    try:
        pynvml.nvmlInit()
        stack.callback(pynvml.nvmlShutdown)
        return [
            pynvml.nvmlDeviceGetHandleByIndex(int(name))
            if name.isdigit()
            else pynvml.nvmlDeviceGetHandleByUUID(name)
            for name in devices
        ]
    except pynvml.NVMLError:
        return []


def _memory(handles: list[Any]) -> int | None:
    try:
        return sum(int(pynvml.nvmlDeviceGetMemoryInfo(h).used) for h in handles) or None
    except pynvml.NVMLError:
        return None


def _millijoules(handles: list[Any]) -> int | None:
    if not handles:
        return None
    try:
        return sum(int(pynvml.nvmlDeviceGetTotalEnergyConsumption(h)) for h in handles)
    except pynvml.NVMLError:
        return None
