"""Runs started from apps: queued, watched and cancelled; each in a process that outlives its page.

    job = submit(lab, spec_toml, owner)        # checked again; one that is queued or done is answered
    view(lab, job.run_id).state                # "queued", "running", ..., "done"
    cancel(lab, job.run_id, owner)             # only by who started it

The queue is files in LAB/queue (`books`); one process a lab takes them in order (`dispatch`), and one process a job
calls the pipeline (`work`). All labs and terminals of a machine share one line (`turns`).
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
from ..pipeline import turns
from ..report.public import public
from ..system.errors import InputError, SubliminalError
from ..web import access as visitors
from ..web.access import Access
from .books import Books, Job, open_books
from .dispatch import last_words, wake
from .limits import LIMITS, Limits, bases, checked

__all__ = [
    "LIMITS",
    "Access",
    "Job",
    "Limits",
    "View",
    "access",
    "bases",
    "cancel",
    "checked",
    "public",
    "queue",
    "submit",
    "view",
    "wake",
]


@dataclass(frozen=True)
class View:
    """What a page shows of a run."""

    state: str
    """"empty", "queued", "running", "failed", "cancelled", "interrupted" or "done"."""
    position: int | None
    """Where it is queued: how many runs of this machine go first."""
    progress: dict[str, Any] | None
    """As the pipeline last wrote it, also of a run that is not running; no paths in its message."""
    message: str
    """Why it failed, or what stopped it."""
    job: Job | None

    def owner_is(self, owner: str) -> bool:
        """Whether that visitor started it."""
        return self.job is not None and self.job.owner == owner != ""


def access(request: Mapping[str, Any] | None) -> Access:
    """The visitor behind a request, as marimo's `mo.app_meta().request` has it, and what that visitor may do.

    Where runs may be started, jobs that a kill left go on.
    """
    visitor = visitors.access(request)
    if visitor.may_start:
        with suppress(SubliminalError):
            wake(visitor.lab)
    return visitor


def submit(lab: Path, spec_toml: str, owner: str) -> Job:
    """Queue the run of a spec that came from a browser; a run that is queued, running or done is only answered.

    Raises InputError: a spec that a visitor may not start (`check`), or a queue that is full; MachineError: the lab
    cannot be written to, or no process be started.
    """
    spec, run_id = checked(lab, spec_toml)
    store = Lab(lab)
    found = store.run(run_id) if store.exists else None
    if found and found["status"] == "done":
        return Job(run_id, found["title"], "done", found["created"].timestamp(), "")
    with open_books(lab) as books:
        before = books.read(run_id)
        if before and before.state in ("queued", "running") and not before.cancelled:
            job = before
        else:
            if before and books.alive(run_id):
                raise InputError(f"run {run_id} is being cancelled: start it again in a moment")
            _check_room(books, owner)
            now = time.time_ns()
            job = books.write(Job(run_id, spec.title, "queued", now / 1e9, owner, "", spec_toml, now))
    wake(lab)
    return job


def _check_room(books: Books, owner: str) -> None:
    waiting = books.jobs("queued")
    if len(waiting) >= LIMITS.queue:
        raise InputError(f"{LIMITS.queue} runs wait already: start yours when one of them has ended")
    if sum(job.owner == owner for job in waiting) >= LIMITS.queue_of_one:
        raise InputError(f"{LIMITS.queue_of_one} runs of yours wait already: cancel one, or wait for it")


def view(lab: Path, run_id: str) -> View:
    """How a run stands, whoever started it: from small files, and the database only where they say nothing.

    Raises InputError if `run_id` is no run id.
    """
    books = Books(lab)
    folders, job = books.folders, books.read(run_id)
    progress = folders.read_progress(run_id)
    if progress and progress.get("message"):
        progress = progress | {"message": public(str(progress["message"]), folders.path)}
    state, message, position = _state(books, run_id, job, progress), "", None
    if progress and state != "done" and progress.get("pid") != folders.run_holder(run_id):
        # Its process is gone: how far it came still holds, what it was at does not.
        progress = progress | {"running": {}, "seconds_left": None, "tokens_per_second": None}
    if state == "queued":
        position = _ahead(books, run_id, job)
    elif job and job.state == state:
        message = job.message
    elif progress and progress.get("state") == state:
        message = progress.get("message", "")
    left = job and job.state in ("queued", "running") and state in ("queued", "interrupted")
    if left and not books.dispatcher():
        message = last_words(books) or "nobody takes the queue now"
        message += "; it goes on when a page is opened that may start runs"
    return View(state, position, progress, message, job)


def _state(books: Books, run_id: str, job: Job | None, progress: dict[str, Any] | None) -> str:
    last = progress.get("state") if progress else None
    if last == "done":
        return "done"
    # A job whose process has just ended is about to be seen to.
    if books.folders.run_holder(run_id) or _cared_for(books, job):
        return "running"
    if (job and job.state == "queued") or any(place.run_id == run_id for place in _from_terminals(books)):
        return "queued"
    if job and job.state in ("failed", "cancelled", "interrupted"):
        return job.state
    if (job and job.state == "running") or last in ("running", "interrupted"):
        return "interrupted"
    if last:
        return last
    store = Lab(books.folders.path)
    found = store.run(run_id) if store.exists else None
    return "empty" if not found else "interrupted" if found["status"] == "running" else found["status"]


def _cared_for(books: Books, job: Job | None) -> bool:
    if job is None:
        return False
    return bool(books.alive(job.run_id) or (job.state == "running" and books.dispatcher()))


def _from_terminals(books: Books) -> list[turns.Place]:
    """Who waits with a run of this lab and is none of its jobs."""
    return [place for place in turns.waiting() if _from_terminal(books, place)]


def _from_terminal(books: Books, place: turns.Place) -> bool:
    # A job that has just ended, or been cancelled, may still be in the line: its number tells.
    job = books.read(place.run_id) if place.lab == books.folders.path else None
    return place.lab == books.folders.path and (job is None or job.number != place.number)


def _ahead(books: Books, run_id: str, job: Job | None) -> int:
    waiting = turns.waiting()
    mine = [place.number for place in waiting if place.run_id == run_id and place.lab == books.folders.path]
    number = min(mine) if mine else job.number if job else 0
    # Jobs of this lab may have no ticket yet.
    numbers = {place.number for place in waiting} | {other.number for other in books.jobs("queued")}
    return (turns.computing() is not None) + sum(other < number for other in numbers)


def queue(lab: Path) -> list[Job]:
    """The lab's runs that compute or wait, those from a terminal too, in order."""
    books = Books(lab)
    jobs = {job.run_id: job for job in books.jobs("running", "queued")}
    running = [job for job in jobs.values() if job.state == "running"]
    places = [(place, "queued") for place in _from_terminals(books)]
    if (now := turns.computing()) and _from_terminal(books, now):
        places.append((now, "running"))
    for place, state in places:
        if place.run_id not in jobs:
            jobs[place.run_id] = Job(
                place.run_id, place.title, state, place.number / 1e9, "", number=place.number
            )
            running += [jobs[place.run_id]] if state == "running" else []
    waiting = sorted((job for job in jobs.values() if job not in running), key=lambda job: job.number)
    return [*running, *waiting]


def cancel(lab: Path, run_id: str, owner: str) -> None:
    """End a job that waits or runs; what it has computed is kept.

    Raises InputError if that visitor did not start it, or if there is nothing to end.
    """
    with open_books(lab) as books:
        job = books.read(run_id)
        if job is None or job.state not in ("queued", "running"):
            raise InputError(f"run {run_id} is neither queued nor running from this app: nothing to cancel")
        if not owner or job.owner != owner:
            raise InputError(f"run {run_id} was started by somebody else, who alone may cancel it")
        pid = books.alive(run_id)
        state = "running" if pid else "cancelled"
        books.write(replace(job, state=state, cancelled=job.cancelled or time.time()))
        if pid and pid > 0:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
