"""The jobs of a lab as files: a record and a folder for each, whatever its kind.

    LAB/jobs/ID/  job.json  lock  log  progress.json  rows.jsonl (or another of SUFFIXES)  result/

    with open_books(lab) as books:
        books.write(replace(job, state="running"))

Whoever reads, thinks and writes holds the books' lock for that moment; each file is replaced whole, so who only
reads needs no lock. `lock` is held by the job's process while it lives. A run's id is its job's, and its progress lies
with the run, whoever started it. Knows nothing about processes.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from ..lab.database import one_line_errors
from ..lab.folders import Folders
from ..system import files, locks
from ..system.errors import InputError
from . import before

State = Literal["queued", "running", "failed", "cancelled", "interrupted", "done"]
SUFFIXES = (".jsonl", ".json", ".parquet", ".gz")
RUN_ID, ID = re.compile(r"[0-9a-f]{12}"), re.compile(r"[0-9a-f]{12}|[0-9a-f]{24}")
WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Job:
    """Something that somebody asked for."""

    id: str
    kind: str
    """A name of `kinds.NAMES`."""
    title: str
    """What is computed or looked at, in the words of who asked."""
    state: State
    """As its process last said it; `view` knows better."""
    created: float
    """Seconds since 1970."""
    owner: str
    """Who started it, as an opaque token that is shown to nobody; empty for what a terminal does."""
    values: dict[str, Any] = field(default_factory=dict)
    """What was asked, as the kind's request has it."""
    number: int = 0
    """Its place in the line."""
    is_long: bool = True
    """Whether it waits for the machine, or goes beside what computes."""
    message: str = ""
    """Why it failed, or what was found, in one line without paths."""
    seconds: float = 0.0
    attempts: int = 0
    cancelled: float = 0.0
    """When its owner asked for its end, in seconds since 1970; 0 if nobody did."""


_JOB = TypeAdapter(Job)


class Books:
    """The jobs of one lab."""

    def __init__(self, lab: Path) -> None:
        self.runs = Folders(lab)
        self.lab = self.runs.path
        self.path = self.lab / "jobs"

    def folder(self, job_id: str) -> Path:
        """A job's folder, where labs of before had it or where it is now; InputError unless `job_id` is an id."""
        if not ID.fullmatch(job_id):
            raise InputError(f"job {job_id!r:.40}: an id must be 12 characters 0-9 and a-f, of a run, or 24")
        old = before.folder(self.lab, job_id)
        return old if old.is_dir() else self.path / job_id

    def result(self, job_id: str) -> Path:
        """Where what was found lies; there once the job is done."""
        return self.folder(job_id) / "result"

    def sent(self, job_id: str) -> Path | None:
        """The file that came with a job; None where none did."""
        paths = [self.folder(job_id) / f"rows{suffix}" for suffix in SUFFIXES]
        return next((path for path in paths if path.is_file()), None)

    def alive(self, job_id: str) -> int | None:
        """Pid of the job's process."""
        try:
            return locks.holder(self.folder(job_id) / "lock")
        except OSError:  # a link in a circle, or to what cannot be read: nobody of ours holds it
            return None

    def dispatcher(self) -> int | None:
        """Pid of the process that takes the jobs."""
        return locks.holder(self.path / "dispatcher.lock")

    def read(self, job_id: str) -> Job | None:
        """The job of that id; None if there is none, or its file is none of ours."""
        folder = self.folder(job_id)
        # We make no links: what is written into one would land elsewhere.
        if folder.is_symlink():
            return None
        path = folder / "job.json"
        try:
            if path.exists():
                job = _JOB.validate_json(path.read_bytes())
            else:
                job = _JOB.validate_python(before.read(self.lab, job_id))
        except (OSError, ValidationError):
            return None
        return job if job.id == job_id else None

    def jobs(self, *states: str) -> list[Job]:
        """The jobs in one of these states, by default all, in order of their numbers."""
        names = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        names |= before.names(self.lab)
        found = [job for name in names if ID.fullmatch(name) and (job := self.read(name))]
        some = (job for job in found if not states or job.state in states)
        return sorted(some, key=lambda job: (job.number, job.id))

    def begin(self, job: Job, sent: Mapping[str, bytes] = MappingProxyType({})) -> Job:
        """Keep a job that is to be done, anew perhaps, with the files that came with it; the books must be open."""
        with one_line_errors(self.lab):
            for name, content in sent.items():
                files.write_atomic(self.folder(job.id) / name, content)
            (self.folder(job.id) / "progress.json").unlink(missing_ok=True)
        return self.write(job)

    def write(self, job: Job) -> Job:
        """Keep a job's new state; the books must be open."""
        with one_line_errors(self.lab):
            files.write_atomic(self.folder(job.id) / "job.json", _JOB.dump_json(job))
        return job

    def read_progress(self, job_id: str) -> dict[str, Any] | None:
        """What its process last wrote, a run's also from a terminal; None before it begins.

        It holds seconds and stages, {name: {"done": 2, "total": 5}}; of a run more, as the pipeline writes it.
        """
        if RUN_ID.fullmatch(job_id):
            return self.runs.read_progress(job_id)
        try:
            found = json.loads((self.folder(job_id) / "progress.json").read_text())
        except (OSError, ValueError, RecursionError):
            return None
        # Another shape is a review's of before, or none of ours.
        return found if isinstance(found, dict) and isinstance(found.get("stages"), dict) else None

    def write_progress(self, job_id: str, progress: Mapping[str, Any]) -> None:
        """Replace the progress; not synced, and no error: it is not worth a disk's wait, nor a job."""
        temporary = self.folder(job_id) / ".progress.json"
        with suppress(OSError):
            temporary.write_text(json.dumps(progress))
            os.replace(temporary, temporary.with_name("progress.json"))

    def size(self) -> int:
        """Bytes of all jobs."""
        found = 0
        for root in (self.path, *before.roots(self.lab)):
            for place, _, names in os.walk(root):
                for name in names:
                    # Other jobs go on meanwhile: what they write is renamed, and what ends is removed.
                    with suppress(OSError):
                        found += os.stat(os.path.join(place, name)).st_size
        return found

    def remove(self, job_id: str) -> None:
        """Remove a job's folder."""
        shutil.rmtree(self.folder(job_id), ignore_errors=True)


@contextmanager
def open_books(lab: Path) -> Iterator[Books]:
    """The books, for one reader and writer at a time; MachineError or InputError where the lab takes no files."""
    books = Books(lab)
    with one_line_errors(books.lab):
        books.path.mkdir(parents=True, exist_ok=True)

        def attempt() -> int:
            return locks.acquire(books.path / "books.lock")

        lock = locks.wait_for(attempt, "the queue", WAIT_SECONDS, lambda line: None)
    try:
        yield books
    finally:
        locks.release(lock)
