"""Long work: asked for by a page or a program, waiting in one line, each job in a process that outlives who asked.

    job = submit(lab, "audit", {"base": "tiny-a", "families": ["animals"]}, owner, upload)
    view(lab, job.id).state                    # "queued", "running", ..., "done"
    books.Books(lab).result(job.id)            # the folder with what was found
    cancel(lab, job.id, owner)                 # only by who started it

What may be asked is a kind's (`kinds`), a job is a folder LAB/jobs/ID (`books`); one process a lab takes jobs in order
(`dispatch`), and one process a job computes it (`work`). All labs and terminals of a machine share one line (`line`).
An id says nothing about what it stands for: who started a job finds it listed, others only by its address.
"""

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..lab import Lab
from ..report.public import public
from ..system.errors import InputError
from . import line
from .books import RUN_ID, Books, Job, open_books
from .dispatch import last_words, wake
from .kinds import checked
from .limits import LIMITS, bases
from .request import Sender, Upload, stored_name

__all__ = [
    "LIMITS",
    "Job",
    "Upload",
    "View",
    "again",
    "bases",
    "cancel",
    "forget",
    "listing",
    "queue",
    "submit",
    "view",
    "wake",
]


@dataclass(frozen=True)
class View:
    """What a page shows of a job, or of a run that a terminal started."""

    state: str
    """"empty", "queued", "running", "failed", "cancelled", "interrupted" or "done"."""
    position: int | None
    """Where it is queued: how many go first."""
    progress: dict[str, Any] | None
    """As it was last written, also of a job that is not running; no paths in its message."""
    message: str
    """Why it failed, what stopped it, or what was found."""
    job: Job | None

    def owner_is(self, owner: str) -> bool:
        """Whether that visitor started it."""
        return self.job is not None and self.job.owner == owner != ""


def submit(lab: Path, kind: str, values: Mapping[str, Any], owner: str, upload: Upload | None = None) -> Job:
    """Queue what a browser or a program asks for; what is queued, running or done already is only answered.

    Raises:
        InputError: a value that is not allowed, or too many that wait already.
        MachineError: the lab cannot be written to, or no process be started.
    """
    sender = Sender(lab, owner, upload)
    asked = checked(kind, values, sender)
    job_id, now = asked.identify(sender), time.time_ns()
    job = Job(job_id, kind, asked.title(sender), "queued", now / 1e9, owner)
    if (seen := view(lab, job_id)).state == "done":
        # Whoever else asked for it before is nobody's to know.
        return replace(seen.job or job, state="done", owner=owner if seen.owner_is(owner) else "")
    with open_books(lab) as books:
        before = books.read(job_id)
        if before and before.state in ("queued", "running") and not before.cancelled:
            job = before
        else:
            _check_room(books, job_id, owner, len(upload.content) if upload else 0)
            sent = {stored_name(upload.name): upload.content} if upload else {}
            values, is_long = asked.model_dump(mode="json"), asked.is_long(sender)
            job = books.begin(replace(job, values=values, number=now, is_long=is_long), sent)
    wake(lab)
    return job


def again(lab: Path, job_id: str, owner: str) -> None:
    """Start one anew that failed, was cancelled or interrupted; what was kept is used.

    Raises:
        InputError: that visitor did not start it, or it goes on.
    """
    with open_books(lab) as books:
        job = _own(books, job_id, owner)
        if job.state in ("queued", "running", "done"):
            raise InputError("it goes on, or is done: nothing to start")
        _check_room(books, job_id, owner, 0)
        now = time.time_ns()
        books.begin(
            replace(job, created=now / 1e9, number=now, state="queued", message="", attempts=0, cancelled=0.0)
        )
    wake(lab)


def cancel(lab: Path, job_id: str, owner: str) -> None:
    """End a job that waits or runs; what it has computed is kept.

    Raises:
        InputError: that visitor did not start it, or there is nothing to end.
    """
    with open_books(lab) as books:
        job = books.read(job_id)
        if job is None or job.state not in ("queued", "running"):
            raise InputError(f"job {job_id} is neither queued nor running from this app: nothing to cancel")
        _own(books, job_id, owner)
        pid = books.alive(job_id)
        state = "running" if pid else "cancelled"
        books.write(replace(job, state=state, cancelled=job.cancelled or time.time()))
        if pid and pid > 0:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)


def forget(lab: Path, job_id: str, owner: str) -> None:
    """Remove one with its file and what was found.

    Raises:
        InputError: that visitor did not start it, it goes on, or it is a run, which is the lab's.
    """
    with open_books(lab) as books:
        job = _own(books, job_id, owner)
        if job.kind == "run":
            raise InputError("a run is the lab's, whoever started it: it cannot be removed from here")
        if job.state in ("queued", "running") or books.alive(job_id):
            raise InputError("it goes on: cancel it first")
        books.remove(job_id)


def listing(lab: Path, kind: str, owner: str) -> list[Job]:
    """That visitor's jobs of a kind, newest first."""
    found = [job for job in Books(lab).jobs() if job.kind == kind and job.owner == owner != ""]
    return sorted(found, key=lambda job: -job.created)


def view(lab: Path, job_id: str) -> View:
    """How a job stands, whoever started it: from small files, and the database only where they say nothing of a run.

    Raises InputError if `job_id` is no id.
    """
    books = Books(lab)
    job, progress = books.read(job_id), books.read_progress(job_id)
    if progress and progress.get("message"):
        progress = progress | {"message": public(str(progress["message"]), books.lab)}
    state, message, position = _state(books, job_id, job, progress), "", None
    if progress and state != "done" and progress.get("pid") != _run_holder(books, job_id):
        # Its process is gone: how far it came still holds, what it was at does not.
        progress = progress | {"running": {}, "seconds_left": None, "tokens_per_second": None}
    if state == "queued":
        position = _ahead(books, job_id, job)
    elif job and job.state == state:
        message = job.message
    elif progress and progress.get("state") == state:
        message = progress.get("message", "")
    left = job and job.state in ("queued", "running") and state in ("queued", "interrupted")
    if left and not books.dispatcher():
        message = last_words(books) or "nobody takes the queue now"
        message += "; it goes on when a page is opened that may start jobs"
    return View(state, position, progress, message, job)


def queue(lab: Path) -> list[Job]:
    """The lab's jobs that compute or wait, those from a terminal too, in order."""
    books = Books(lab)
    jobs = books.jobs("running", "queued")
    places = [(place, "queued") for place in _from_terminals(books)]
    if (now := line.computing()) and _from_terminal(books, now):
        places.append((now, "running"))
    ids = {job.id for job in jobs}
    jobs += [
        Job(place.job_id, place.kind, place.title, state, place.number / 1e9, "", number=place.number)  # type: ignore[arg-type]
        for place, state in places
        if place.job_id not in ids
    ]
    return sorted(jobs, key=lambda job: (job.state == "queued", job.number))


def _own(books: Books, job_id: str, owner: str) -> Job:
    job = books.read(job_id)
    if job is None:
        raise InputError("there is no such job here")
    if not owner or job.owner != owner:
        raise InputError(f"job {job_id} was started by somebody else, who alone may end, repeat or remove it")
    return job


def _check_room(books: Books, job_id: str, owner: str, coming: int) -> None:
    if books.alive(job_id):
        raise InputError(f"job {job_id} is being cancelled: start it again in a moment")
    waiting = books.jobs("queued")
    if len(waiting) >= LIMITS.queue:
        raise InputError(f"{LIMITS.queue} jobs wait already: start yours when one of them has ended")
    if sum(job.owner == owner for job in waiting) >= LIMITS.queue_of_one:
        raise InputError(f"{LIMITS.queue_of_one} jobs of yours wait already: cancel one, or wait for it")
    if coming and books.size() + coming > LIMITS.stored:
        raise InputError(
            f"this lab keeps {LIMITS.stored >> 30} GB of uploads and no more: remove old ones first"
        )


def _state(books: Books, job_id: str, job: Job | None, progress: dict[str, Any] | None) -> str:
    is_run = RUN_ID.fullmatch(job_id)
    last = progress.get("state") if progress and is_run else None
    if last == "done":
        return "done"
    # A job whose process has just ended is about to be seen to.
    if _run_holder(books, job_id) or _cared_for(books, job):
        return "running"
    if (job and job.state == "queued") or any(place.job_id == job_id for place in _from_terminals(books)):
        return "queued"
    if job and job.state == "running":
        return "interrupted"
    if job and (job.state != "done" or not is_run):
        return job.state
    if not is_run:
        return "empty"
    if last:
        return "interrupted" if last == "running" else last
    store = Lab(books.lab)
    found = store.run(job_id) if store.exists else None
    return "empty" if not found else "interrupted" if found["status"] == "running" else found["status"]


def _run_holder(books: Books, job_id: str) -> int | None:
    return books.runs.run_holder(job_id) if RUN_ID.fullmatch(job_id) else None


def _cared_for(books: Books, job: Job | None) -> bool:
    return job is not None and bool(books.alive(job.id) or (job.state == "running" and books.dispatcher()))


def _from_terminals(books: Books) -> list[line.Place]:
    """Who waits with work of this lab and is none of its jobs."""
    return [place for place in line.waiting() if _from_terminal(books, place)]


def _from_terminal(books: Books, place: line.Place) -> bool:
    if place.lab != books.lab:
        return False
    # A job that has just ended, or been cancelled, may still be in the line: its number tells.
    job = books.read(place.job_id)
    return job is None or job.number != place.number


def _ahead(books: Books, job_id: str, job: Job | None) -> int:
    beside = [one for one in books.jobs("running", "queued") if one.is_long == (job is None or job.is_long)]
    if job and not job.is_long:
        return sum(one.number < job.number for one in beside)
    waiting = line.waiting()
    mine = [place.number for place in waiting if place.job_id == job_id and place.lab == books.lab]
    number = min(mine) if mine else job.number if job else 0
    # Jobs of this lab may have no ticket yet; and where there is no line, it waits for them alone.
    numbers = {place.number for place in waiting} | {one.number for one in beside if one.state == "queued"}
    held = line.computing() is not None or any(one.state == "running" for one in beside)
    return held + sum(other < number for other in numbers)
