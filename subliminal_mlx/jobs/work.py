"""A job's own process: check the spec once more, run it, say how it ended."""

import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..report.public import public
from ..system.errors import InputError, SubliminalError
from .books import open_books

# Pages are served beside it.
NICENESS = 5


def work(lab: Path, run_id: str, descriptors: tuple[int, ...] = ()) -> None:
    """Do the job of that run in that lab.

    `descriptors` are the locks that the dispatcher took for this process, the machine's and the job's: it holds them
    until it ends, and its own children do not.
    """
    # Started from a background process, we would have inherited deafness.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    try:
        with suppress(OSError):
            os.nice(NICENESS)
        _compute(lab, run_id)
        state, message = "done", ""
    except KeyboardInterrupt:
        state, message = "interrupted", "it was stopped: start it again, and it goes on where it was"
    except SubliminalError as error:
        state, message = "failed", str(error)
    except BaseException as error:
        _end(lab, run_id, "failed", f"{type(error).__name__}: {error}")
        raise
    _end(lab, run_id, state, message)


def _compute(lab: Path, run_id: str) -> None:
    from ..lab import Lab
    from ..pipeline import run as pipeline
    from .books import Books
    from .limits import checked

    job = Books(lab).read(run_id)
    if job is None:
        raise InputError(f"no job {run_id}")
    if job.cancelled:
        # It was before we could hear it.
        raise KeyboardInterrupt
    spec, name = checked(lab, job.spec_toml)
    if name != run_id:
        raise InputError(f"job {run_id} holds the spec of run {name}: start it again")
    pipeline.run(spec, Lab(lab))


def _end(lab: Path, run_id: str, state: str, message: str) -> None:
    # A second interrupt must not lose the word.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from ..lab import Lab

    with open_books(lab) as books:
        job = books.read(run_id)
        if job is None:
            return
        state = "cancelled" if job.cancelled and state != "done" else state
        message = "" if state == "cancelled" else public(message, books.folders.path)
        books.write(replace(job, state=state, message=message))
    if state == "cancelled":
        store = Lab(lab)
        with suppress(SubliminalError):
            progress = store.read_progress(run_id) or {}
            store.finish_run(run_id, "cancelled", progress.get("seconds", 0.0))
