"""A review's process: wait for its turn, check once more, do it, say how it ended."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ...report.public import public
from ...system import files
from ...system.errors import SubliminalError
from ...system.events import Event
from .folders import Folders, Review

POLL_SECONDS = 0.2
PROGRESS_SECONDS = 0.3
# Pages are served beside it.
NICENESS = 5
STOPPED = "it was stopped: start it again"


def work(lab: Path, review_id: str, lock: int) -> None:
    """Do a review; `lock` is its own, which this process has inherited and its children do not."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.set_inheritable(lock, False)
    folders = Folders(lab)
    one = folders.read(folders.review(review_id))
    if one is None:
        return
    began = time.monotonic()
    try:
        with suppress(OSError):
            os.nice(NICENESS)
        while folders.before(one):
            time.sleep(POLL_SECONDS)
        began = time.monotonic()
        state, message = "done", _do(folders, one, Progress(folders, review_id))
    except KeyboardInterrupt:
        state, message = "cancelled", STOPPED
    except SubliminalError as error:
        state, message = "failed", str(error)
    except MemoryError:
        state, message = "failed", "out of memory: fewer rows, families or suspects"
    except BaseException as error:
        _end(folders, one, "failed", f"{type(error).__name__}: {error}", began)
        raise
    _end(folders, one, state, message, began)


def _do(folders: Folders, one: Review, progress: "Progress") -> str:
    """Make the result and publish it whole; what was found, in a line."""
    progress(Event("models", 0, 1))
    from .make import MAKERS
    from .requests import Upload, checked

    path = folders.sent(one)
    upload = Upload(one.title, path.read_bytes()) if path else None
    asked = checked(folders.lab, one.kind, one.values, one.owner, upload)
    progress(Event("models", 1, 1))
    said: list[str] = []

    def make(target: Path) -> None:
        target.mkdir()
        said.append(MAKERS[one.kind](folders, one, asked, target, progress))

    files.publish(folders.result(one.id), make)
    return said[0]


def _end(folders: Folders, one: Review, state: str, message: str, began: float) -> None:
    # A second interrupt must not lose the word.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    now = folders.read(folders.review(one.id)) or one
    message = "" if state == "cancelled" else public(message, folders.lab)
    seconds = time.monotonic() - began
    folders.write(replace(now, state=state, message=message, seconds=seconds))  # type: ignore[arg-type]


class Progress:
    """Writes what work says of itself, a stage for every kind of thing that is done."""

    def __init__(self, folders: Folders, review_id: str) -> None:
        self.folders, self.review_id = folders, review_id
        self.stages: dict[str, tuple[int, int]] = {}
        self.began, self.written = time.time(), 0.0

    def __call__(self, event: Event) -> None:
        fresh = event.what not in self.stages
        self.stages[event.what] = (event.done, event.total)
        now = time.time()
        if not fresh and event.done < event.total and now - self.written < PROGRESS_SECONDS:
            return
        self.written = now
        stages = [[what, done, total] for what, (done, total) in self.stages.items()]
        with suppress(OSError):
            self.folders.write_progress(self.review_id, {"seconds": now - self.began, "stages": stages})
