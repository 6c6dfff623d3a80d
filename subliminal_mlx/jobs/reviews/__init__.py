"""Audits, measurements, drifts and gates that a page started: each in a process of its own that outlives the page.

    one = submit(lab, "audit", {"base": "tiny-a", "families": ["animals"]}, owner, upload)
    view(lab, one.id).state                    # "queued", "running", ..., "done"
    one.result                                 # the folder with what was found, once it is done
    cancel(lab, one.id, owner)                 # only by who started it

A review is a folder LAB/reviews/ID (`folders`); what may be asked is checked in `requests`, done in `work` and
`make`. One is computed at a time, in the order in which they came. An id says nothing about what it stands for:
who started a review finds it listed, others only by its address.
"""

import hashlib
import json
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...system import files, locks
from ...system.errors import InputError, MachineError
from .. import LIMITS
from ..dispatch import start_process
from .folders import KINDS, Folders, Review
from .named import named
from .requests import Upload, checked, stored_name

__all__ = ["KINDS", "Review", "Upload", "View", "again", "cancel", "forget", "listing", "submit", "view"]

# Of all reviews of a lab together, uploads and results.
MOST_BYTES = 2 << 30
WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class View:
    """What a page shows of a review."""

    state: str
    """"empty", "queued", "running", "failed", "cancelled", "interrupted" or "done"."""
    review: Review | None
    ahead: int = 0
    """How many go first, where it is queued."""
    stages: tuple[tuple[str, int, int], ...] = ()
    """What is being done, how much of it, and of how much."""
    seconds: float = 0.0

    def owner_is(self, owner: str) -> bool:
        """Whether that visitor started it."""
        return self.review is not None and self.review.owner == owner != ""


def submit(
    lab: Path, kind: str, values: Mapping[str, Any], owner: str, upload: Upload | None = None
) -> Review:
    """Start what a browser asked for; what the visitor asked before, of the same files, is only answered.

    Raises:
        InputError: a value that is not allowed, or too many that wait already.
        MachineError: the lab cannot be written to, or no process be started.
    """
    asked = checked(lab, kind, values, owner, upload)
    folders = Folders(lab)
    sent = hashlib.sha256(upload.content).hexdigest() if upload else ""
    asks = [kind, asked.model_dump(mode="json"), sent, upload.name if upload else "", owner]
    # Files of the lab may be others by now; where none are named, an id stays what it was.
    if there := named(lab, asked, owner):
        asks.append(there)
    told = json.dumps(asks)
    review = folders.review(hashlib.sha256(told.encode()).hexdigest()[:24])
    if (found := folders.read(review)) and folders.state(found) in ("queued", "running", "done"):
        return found
    _check_room(folders, owner, len(upload.content) if upload else 0)
    title = asked.title(upload.name if upload else "")
    one = Review(review.name, kind, title, owner, time.time(), asked.model_dump(mode="json"))
    try:
        if upload:
            files.write_atomic(review / stored_name(upload.name), upload.content)
        _begin(folders, one)
    except OSError as error:
        raise MachineError(f"the lab cannot be written to: {error.strerror}") from error
    return one


def again(lab: Path, review_id: str, owner: str) -> None:
    """Start one anew that failed, was cancelled or interrupted; what was cached is used.

    Raises:
        InputError: that visitor did not start it, or it goes on.
    """
    folders = Folders(lab)
    one = _own(folders, review_id, owner)
    if folders.state(one) in ("queued", "running", "done"):
        raise InputError("it goes on, or is done: nothing to start")
    _check_room(folders, owner, 0)
    _begin(folders, replace(one, state="queued", message="", created=time.time(), cancelled=False))


def cancel(lab: Path, review_id: str, owner: str) -> None:
    """End one that waits or runs; one that was told to end before, and did not, is killed.

    Raises:
        InputError: that visitor did not start it, or there is nothing to end.
    """
    folders = Folders(lab)
    one = _own(folders, review_id, owner)
    pid = folders.alive(one.id)
    if not pid or one.ended:
        raise InputError("it neither waits nor runs: nothing to cancel")
    folders.write(replace(one, cancelled=True))
    if pid > 0:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if one.cancelled else signal.SIGINT)


def forget(lab: Path, review_id: str, owner: str) -> None:
    """Remove one with its file and what was found.

    Raises:
        InputError: that visitor did not start it, or it goes on.
    """
    folders = Folders(lab)
    one = _own(folders, review_id, owner)
    if folders.alive(one.id) and not one.ended:
        raise InputError("it goes on: cancel it first")
    folders.remove(one)


def view(lab: Path, review_id: str) -> View:
    """How a review stands, whoever started it.

    Raises:
        InputError: `review_id` is no review's.
    """
    folders = Folders(lab)
    one = folders.read(folders.review(review_id))
    if one is None:
        return View("empty", None)
    state, progress = folders.state(one), folders.progress(one.id)
    stages = tuple((str(what), int(done), int(total)) for what, done, total in progress.get("stages", ()))
    ahead = len(folders.before(one)) if state == "queued" else 0
    return View(state, one, ahead, stages, float(progress.get("seconds", 0.0)))


def listing(lab: Path, kind: str, owner: str) -> list[Review]:
    """That visitor's reviews of a kind, newest first."""
    found = [one for one in Folders(lab).all() if one.kind == kind and one.owner == owner != ""]
    return sorted(found, key=lambda one: -one.created)


def _own(folders: Folders, review_id: str, owner: str) -> Review:
    one = folders.read(folders.review(review_id))
    if one is None:
        raise InputError("there is no such review here")
    if not owner or one.owner != owner:
        raise InputError("somebody else started it, who alone may end, repeat or remove it")
    return one


def _check_room(folders: Folders, owner: str, coming: int) -> None:
    waiting = [one for one in folders.all() if folders.state(one) == "queued"]
    if len(waiting) >= LIMITS.queue:
        raise InputError(f"{LIMITS.queue} wait already: start yours when one of them has ended")
    if sum(one.owner == owner for one in waiting) >= LIMITS.queue_of_one:
        raise InputError(f"{LIMITS.queue_of_one} of yours wait already: cancel one, or wait for it")
    if coming and folders.size() + coming > MOST_BYTES:
        raise InputError(
            f"this lab keeps {MOST_BYTES >> 30} GB of uploads and no more: remove old ones first"
        )


def _begin(folders: Folders, one: Review) -> None:
    """Start its process, which inherits the lock that says it lives."""
    folder = folders.review(one.id)
    folder.mkdir(parents=True, exist_ok=True)
    # One that has just ended may hold it for a moment more.
    attempt = lambda: locks.acquire(folder / "lock")
    lock = locks.wait_for(attempt, f"review {one.id}", WAIT_SECONDS, lambda line: None)
    try:
        (folder / "progress.json").unlink(missing_ok=True)
        folders.write(one)
        arguments = [str(folders.lab), one.id, str(lock)]
        pid = start_process("subliminal_mlx.jobs.reviews", arguments, folder / "log", (lock,))
    except BaseException:
        locks.release(lock)
        raise
    locks.hand_over(lock, pid)
