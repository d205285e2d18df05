"""All that reaches into Snakemake beyond its language, in one place.

What is patched here is named with its reason, and tests/test_snakemake_adapter.py fails where a
new Snakemake no longer has it. The lowest version that pyproject.toml allows is run by .ci/run.
"""

import atexit
import contextlib
import gc
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from threading import Event, Thread
from typing import Any

import psutil

from segarena.errors import full_disk

_SCRIPTS = ".snakemake/scripts/"
_STOPS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE_SECONDS = 60
_asked_to_stop = Event()


def plan_quickly() -> None:
    """Spare Snakemake two searches that grow with the run.

    For garbage: a plan's objects stay, and looking through them takes a tenth of the time, and up
    to a fifth of a dry run's at the end, when the process throws them all away. For pipes: each
    input of a job is looked for in all jobs before it, which for the job that ends a run takes
    minutes at ten thousand jobs and hours at a hundred thousand. No rule here has a pipe.
    """
    from snakemake.jobs import Job

    gc.set_threshold(100_000, 10, 10)
    atexit.register(gc.freeze)
    Job.is_pipe_or_service_input = lambda job, path: False


def give_no_wrong_advice() -> None:
    """Keep back what Snakemake advises where changed code or values rerun jobs.

    With `--rerun-triggers mtime` or `--cleanup-metadata` the old results would stay: exactly those
    that the change is about.
    """
    from snakemake.logging import logger

    logger.addFilter(lambda record: "--rerun-triggers mtime" not in str(record.msg))


def report_full_disk_in_one_line() -> None:
    """Report a disk that is full for Snakemake itself as we do, without traces.

    It writes notes of its own in the run folder, and a log, which fails on the same disk.
    """
    from snakemake import exceptions

    usual = exceptions.format_exception_to_string

    def in_one_line(error: BaseException, linemaps: Any = None) -> str:
        full = full_disk(error)
        return f"segarena: {full}" if full else usual(error, linemaps)

    exceptions.format_exception_to_string = in_one_line
    logging.raiseExceptions = False


def stop_in_one_line(*, announce: bool) -> None:
    """Let Ctrl-C and SIGTERM end the run at once: no traces, no containers left, one last line.

    Snakemake would wait for all jobs at work, whole sessions, and the terminal's Ctrl-C, which goes
    to every process, would end each with a trace of its own. Here jobs do not hear it; the head
    process ends them, whichever signal it was sent. announce: whether this is the run itself, not
    one of its jobs on a cluster.
    """
    from snakemake.shell import shell

    shell.prefix("trap '' INT; ")
    set_handler = signal.signal
    stop = partial(_stop, set_handler=set_handler, announce=announce)
    for number in _STOPS:
        set_handler(number, stop)

    def keep(number: int, handler: Any) -> Any:
        # Snakemake's own handler of SIGTERM lets all jobs at work go on.
        return stop if number == signal.SIGTERM else set_handler(number, handler)

    signal.signal = keep  # type: ignore[assignment]


def was_stopped() -> bool:
    """Return whether this run was asked to end."""
    return _asked_to_stop.is_set()


def _stop(*_: object, set_handler: Callable[..., Any], announce: bool) -> None:
    from snakemake.logging import logger

    _asked_to_stop.set()
    for number in _STOPS:
        set_handler(number, signal.SIG_IGN)  # a second Ctrl-C must not stop what cleans up
    logger.setLevel(logging.CRITICAL + 1)  # that every job failed is no news now
    scripts: set[psutil.Process] = set()
    atexit.register(_stopped, scripts, announce=announce)
    Thread(target=_end_jobs, args=[scripts], daemon=True).start()
    sys.exit(1)  # what Snakemake's scheduler takes for a Ctrl-C


def _end_jobs(scripts: set[psutil.Process]) -> None:
    """End the scripts of all jobs, those that are just being started as well."""
    while True:
        for job in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                words = job.cmdline()
                if job in scripts or _SCRIPTS not in " ".join(words):
                    continue
                if "-c" in words:  # a shell: it must neither start nor report its script now
                    job.suspend()
                    scripts.update(job.children())
                    for script in job.children():
                        script.terminate()
                    job.kill()
                else:
                    job.terminate()
                scripts.add(job)
        time.sleep(0.1)


def _stopped(scripts: set[psutil.Process], *, announce: bool) -> None:
    psutil.wait_procs(list(scripts), timeout=_PATIENCE_SECONDS)
    if announce:
        print("segarena: stopped; run the same command to continue", file=sys.stderr)


def is_forced(workflow: Any, rule: str) -> bool:
    """Return whether this run was asked to run a rule again (--forcerun, --forceall)."""
    settings = workflow.dag_settings
    return bool(settings.forceall) or rule in settings.forcerun


def share_resources(workflow: Any, rule: str, names: Iterable[str]) -> None:
    """Give the rules `names` the resources that a profile or --set-resources gives to `rule`.

    To be called before the first rule is read, because Snakemake looks at them once.
    """
    settings = workflow.resource_settings
    given = settings.overwrite_resources
    if rule in given:
        settings.overwrite_resources = {**dict.fromkeys(names, given[rule]), **given}
