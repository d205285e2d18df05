"""What a call costs on its GPUs. NVML is replaced: there is no GPU where these tests run."""

from types import SimpleNamespace

import pynvml
import pytest

from segarena.predict.gpu_meter import metered


@pytest.fixture
def card(monkeypatch):
    """One card with 40 GB in use, whose counter of energy goes up by 2,500 mJ at each look."""
    counted = iter(range(1_000_000, 2_000_000, 2_500))
    memory = SimpleNamespace(used=40_000_000_000)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda name: name)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda number: number)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda _: memory)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", lambda _: next(counted))
    return memory


def test_without_devices_nothing_is_measured():
    """A call without a GPU has no use of one, and NVML is not asked."""
    with metered(()) as use:
        pass
    assert use == {}


@pytest.mark.parametrize("device", ["GPU-1b2c", "0"])
def test_energy_and_memory_are_what_the_card_says(card, device):
    """Energy is the counter's difference in joules; memory the most that was seen."""
    with metered((device,)) as use:
        card.used = 90_000_000_000
        assert use == {}
    assert use["joules"] == 2.5
    assert use["peak_memory_bytes"] >= 40_000_000_000
    assert use["seconds"] >= 0


def test_devices_are_added_up(card):
    """Two devices have used what both counters say, and hold what both hold."""
    with metered(("GPU-1", "GPU-2")) as use:
        pass
    assert use["joules"] == 10.0  # four looks: 1000000 + 1002500, then 1005000 + 1007500 mJ
    assert use["peak_memory_bytes"] == 80_000_000_000


def test_what_nvml_does_not_know_is_none():
    """Where there is no driver the call goes on, and only its seconds are known."""
    with metered(("GPU-that-is-not-here",)) as use:
        pass
    assert use["peak_memory_bytes"] is None
    assert use["joules"] is None
    assert use["seconds"] >= 0


def test_a_call_that_breaks_off_is_measured_too(card):
    """An exception goes through, and what was used until then is known."""
    with pytest.raises(ValueError, match="mine"), metered(("GPU-1",)) as use:
        raise ValueError("mine")
    assert use["joules"] == 2.5
