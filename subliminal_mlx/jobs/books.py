"""The queue of a lab as files: LAB/queue/RUN.json, one a run that was started from an app.

    with open_books(lab) as books:
        books.write(replace(job, state="running"))

Whoever reads, thinks and writes holds the books' lock for that moment; each file is replaced whole, so who only
reads needs no lock. Knows nothing about processes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import TypeAdapter, ValidationError

from ..lab.database import one_line_errors
from ..lab.folders import Folders
from ..system import files, locks

State = Literal["queued", "running", "failed", "cancelled", "interrupted", "done"]
STATES = get_args(State)
WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Job:
    """A run that was started from an app."""

    run_id: str
    title: str
    state: State
    """One of STATES, as its process last said it; `view` knows better."""
    created: float
    """Seconds since 1970."""
    owner: str
    """Who started it, as an opaque token that is shown to nobody; empty for a run from a terminal."""
    message: str = ""
    """Why it failed, in one line without paths."""
    spec_toml: str = ""
    number: int = 0
    """Its place in the machine's line."""
    attempts: int = 0
    cancelled: float = 0.0
    """When its owner asked for its end, in seconds since 1970; 0 if nobody did."""


_JOB = TypeAdapter(Job)


class Books:
    """The job files of one lab."""

    def __init__(self, lab: Path) -> None:
        self.folders = Folders(lab)
        self.path = self.folders.path / "queue"

    def file(self, run_id: str) -> Path:
        """A job's file; InputError unless `run_id` is a full run id."""
        return self.path / f"{self.folders.run_folder(run_id).name}.json"

    def lock_file(self, run_id: str) -> Path:
        """What a job's process holds while it lives."""
        return self.file(run_id).with_suffix(".lock")

    def alive(self, run_id: str) -> int | None:
        """Pid of the job's process."""
        return locks.holder(self.lock_file(run_id))

    def dispatcher(self) -> int | None:
        """Pid of the process that takes the jobs."""
        return locks.holder(self.path / "dispatcher.lock")

    def read(self, run_id: str) -> Job | None:
        """The job of that run; None if it was never started from an app, or its file is none of ours."""
        try:
            job = _JOB.validate_json(self.file(run_id).read_bytes())
        except (OSError, ValidationError):
            return None
        return job if job.run_id == run_id else None

    def jobs(self, *states: str) -> list[Job]:
        """The jobs in one of these states, in order of their places."""
        names = [path.stem for path in self.path.glob("?" * 12 + ".json")] if self.path.is_dir() else []
        found = (self.read(name) for name in names if set(name) <= set("0123456789abcdef"))
        return sorted((job for job in found if job and job.state in states), key=lambda job: job.number)

    def write(self, job: Job) -> Job:
        """Keep a job's new state; the books must be open."""
        with one_line_errors(self.folders.path):
            files.write_atomic(self.file(job.run_id), _JOB.dump_json(job))
        return job


@contextmanager
def open_books(lab: Path) -> Iterator[Books]:
    """The books, for one reader and writer at a time; MachineError or InputError where the lab takes no files."""
    books = Books(lab)
    with one_line_errors(books.folders.path):
        books.path.mkdir(parents=True, exist_ok=True)
        attempt = lambda: locks.acquire(books.path / "books.lock")
        lock = locks.wait_for(attempt, "the queue", WAIT_SECONDS, lambda line: None)
    try:
        yield books
    finally:
        locks.release(lock)
