"""What `segarena rerun` says while it runs, and how it is stopped."""

import _thread
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from segarena.archive import rerun

# Says that it has begun, and that it has cleaned up, which takes it a moment.
_CLEANS_UP = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
(folder / "begun").touch()
time.sleep(1)
(folder / "cleaned").touch()
"""


def test_a_stopped_rerun_waits_for_its_run_to_clean_up(tmp_path: Path):
    """The run hears the same Ctrl-C and removes its containers; only then is it over."""

    def stop() -> None:
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        _thread.interrupt_main()

    # A test run in the background of a shell has its Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=stop).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            rerun._exit_code([sys.executable, "-c", _CLEANS_UP, str(tmp_path)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "cleaned").exists()


def test_a_rerun_says_where_its_progress_is_told(tmp_path: Path, monkeypatch, capsys):
    """It is silent for as long as it runs, so it names the command that is not."""
    monkeypatch.setattr(rerun, "_exit_code", lambda command: 0)
    rerun.run_again(tmp_path, cores=1)
    assert f"`segarena status {tmp_path}`" in capsys.readouterr().err
