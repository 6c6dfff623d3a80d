"""A job's own process: check what was asked once more, compute it, say how it ended."""

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..report.public import public
from ..system import files
from ..system.errors import InputError, SubliminalError
from ..system.events import Event
from .books import Books, Job, open_books

PROGRESS_SECONDS = 0.3
# Pages are served beside it.
NICENESS = 5
STOPPED = "it was stopped: start it again, and it goes on where it was"


def work(lab: Path, job_id: str, descriptors: tuple[int, ...] = ()) -> None:
    """Do a job of that lab.

    `descriptors` are the locks that the dispatcher took for this process, the machine's and the job's: it holds them
    until it ends, and its own children do not.
    """
    # Started from a background process, we would have inherited deafness.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    books, began = Books(lab), time.monotonic()
    try:
        with suppress(OSError):
            os.nice(NICENESS)
        ended = {"state": "done", "message": _compute(books, job_id)}
    except KeyboardInterrupt:
        ended = {"state": "interrupted", "message": STOPPED}
    except SubliminalError as error:
        ended = {"state": "failed", "message": str(error)}
    except MemoryError:
        ended = {"state": "failed", "message": "out of memory: fewer rows, families or suspects"}
    except BaseException as error:
        _end(lab, job_id, began, {"state": "failed", "message": f"{type(error).__name__}: {error}"})
        raise
    _end(lab, job_id, began, ended)


def _compute(books: Books, job_id: str) -> str:
    """Make the result and publish it whole; what was found, in a line."""
    job = books.read(job_id)
    if job is None:
        raise InputError(f"no job {job_id}")
    if job.cancelled:
        # It was before we could hear it.
        raise KeyboardInterrupt
    progress = Progress(books, job_id)
    # What a kind needs takes seconds to import.
    progress.hear(Event("models", 0, 1))
    from .kinds import checked
    from .request import Sender, Upload, Work

    sent = books.sent(job_id)
    sender = Sender(books.lab, job.owner, Upload(sent.name, sent.read_bytes()) if sent else None)
    asked = checked(job.kind, job.values, sender)
    progress.hear(Event("models", 1, 1))
    said: list[str] = []

    def make(target: Path) -> None:
        target.mkdir()
        heard = (progress.hear, progress.take, lambda: _is_cancelled(books, job_id))
        said.append(asked.compute(Work(job_id, job.title, sender, sent, target, *heard)))

    files.sweep(books.folder(job_id))
    files.publish(books.result(job_id), make)
    return said[0]


def _is_cancelled(books: Books, job_id: str) -> bool:
    job = books.read(job_id)
    return job is not None and job.cancelled > 0


def _end(lab: Path, job_id: str, began: float, ended: dict[str, Any]) -> None:
    # A second interrupt must not lose the word.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open_books(lab) as books:
        job = books.read(job_id)
        if job is None:
            return
        books.write(replace(_told(job, ended, books.lab), seconds=time.monotonic() - began))


def _told(job: Job, ended: dict[str, Any], lab: Path) -> Job:
    if job.cancelled and ended["state"] != "done":
        return replace(job, state="cancelled", message="")
    return replace(job, state=ended["state"], message=public(ended["message"], lab))


class Progress:
    """Writes what work says of itself, a stage for every kind of thing that is done."""

    def __init__(self, books: Books, job_id: str) -> None:
        self.books, self.job_id = books, job_id
        self.stages: dict[str, dict[str, int]] = {}
        self.began, self.written = time.time(), 0.0

    def hear(self, event: Event) -> None:
        """Count an event, and write unless that was done just now."""
        fresh = event.what not in self.stages
        self.stages[event.what] = {"done": event.done, "total": event.total}
        if fresh or event.done >= event.total or time.time() - self.written >= PROGRESS_SECONDS:
            self._write({"seconds": time.time() - self.began, "stages": self.stages})

    def take(self, progress: Mapping[str, Any]) -> None:
        """Write a whole progress, as a run's pipeline has it, unless that was done just now."""
        if time.time() - self.written >= PROGRESS_SECONDS:
            self._write(progress)

    def _write(self, progress: Mapping[str, Any]) -> None:
        self.written = time.time()
        self.books.write_progress(self.job_id, progress)
