"""The process that takes a lab's jobs in order, and how it is started: `python -m subliminal_mlx.jobs LAB`.

    wake(lab)                    # starts it if jobs wait and none runs

It keeps a ticket in the machine's line for every job that waits, and when a job's turn comes starts that job's own
process and hands it the machine. It ends when nothing waits. Killed at any moment it loses nothing: jobs are files,
the machine and the job are held by the job's process, and the next dispatcher finds them as they are.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from .. import locks, turns
from ..errors import MachineError
from .books import Books, Job, open_books

POLL_SECONDS = 0.2
# A job whose process and dispatcher were killed, as when the machine goes down, goes on so many times.
MOST_ATTEMPTS = 3
# What a cancelled job gets to end by itself, before it is told harder, and harder still.
PATIENCE_SECONDS = (15.0, 30.0)
SECRETS = ("SUBLIMINAL_PASSWORD",)


def wake(lab: Path) -> bool:
    """Start the lab's dispatcher if a job waits, or was left by a kill, and none runs; whether it was started."""
    books = Books(lab)
    if _dispatcher(books) or not _work(books):
        return False
    _start([str(books.folders.path)], books.path / "dispatcher.log")
    return True


def _dispatcher(books: Books) -> int | None:
    return locks.holder(books.path / "dispatcher.lock")


def _work(books: Books) -> list[Job]:
    left = [job for job in books.jobs("running") if not books.alive(job.run_id)]
    return [*left, *books.jobs("queued")]


def _start(arguments: list[str], log: Path, descriptors: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    """A process of its own, which no Ctrl-C and no end of ours reaches."""
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
    try:
        with open(log, "wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "subliminal_mlx.jobs", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=Path(__file__).parents[2],
                env=environment,
                start_new_session=True,
                pass_fds=descriptors,
            )
    except OSError as error:
        raise MachineError(f"the job's process cannot be started: {error.strerror}") from error
    # Whoever started it outlives it, or not: it must not stay as a zombie.
    threading.Thread(target=process.wait, daemon=True).start()
    return process


def dispatch(lab: Path) -> None:
    """Take the lab's jobs in order until none waits; at once if another process does so already."""
    books = Books(lab)
    try:
        lock = locks.acquire(books.path / "dispatcher.lock")
    except locks.HeldError:
        return
    tickets: dict[str, turns.Ticket] = {}
    while True:
        with open_books(lab) as books:
            _settle(books)
            waiting = books.jobs("queued")
            if not waiting and not books.jobs("running"):
                # While the books are open nobody can add a job and count on us.
                locks.release(lock)
                return
        _keep_tickets(books, tickets, waiting)
        # A lab computes one job at a time also where the machine has no line.
        if waiting and not books.jobs("running"):
            _call(books, waiting[0], tickets)
        time.sleep(POLL_SECONDS)


def _settle(books: Books) -> None:
    """Jobs whose process is gone without a word; and those that were cancelled and do not end."""
    for job in books.jobs("running"):
        if pid := books.alive(job.run_id):
            _press(job, pid)
        elif job.cancelled:
            books.write(replace(job, state="cancelled", message=""))
        elif job.attempts < MOST_ATTEMPTS and _unseen(job):
            books.write(replace(job, state="queued"))
        else:
            message = (
                "its process was killed, as when memory runs out: start it again, and it goes on where it was"
            )
            books.write(replace(job, state="interrupted", message=message))


_started: set[str] = set()


def _unseen(job: Job) -> bool:
    """Whether the job was started by a dispatcher before this one, which was killed as well."""
    return job.run_id not in _started


def _press(job: Job, pid: int) -> None:
    waited = time.time() - job.cancelled if job.cancelled else 0.0
    for patience, number in zip(PATIENCE_SECONDS, (signal.SIGTERM, signal.SIGKILL), strict=True):
        if waited > patience:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _keep_tickets(books: Books, tickets: dict[str, turns.Ticket], waiting: list[Job]) -> None:
    names = {job.run_id: job for job in waiting}
    for run_id in [*tickets]:
        if run_id not in names or tickets[run_id].number != names[run_id].number:
            tickets.pop(run_id).drop()
    for run_id, job in names.items():
        if run_id not in tickets:
            tickets[run_id] = turns.Ticket(books.folders.path, run_id, job.title, job.number)


def _call(books: Books, job: Job, tickets: dict[str, turns.Ticket]) -> None:
    """Start the job's process if its turn has come, and hand it what it must hold."""
    machine = tickets[job.run_id].call()
    if machine is None:
        return
    held = [machine] if machine >= 0 else []
    try:
        held.append(locks.acquire(books.lock_file(job.run_id)))
        with open_books(books.folders.path) as books:
            now = books.read(job.run_id)
            if now is None or now.state != "queued":
                return
            books.write(replace(now, state="running", attempts=now.attempts + 1))
            _started.add(job.run_id)
            arguments = [str(books.folders.path), job.run_id, *map(str, held)]
            _start(arguments, books.lock_file(job.run_id).with_suffix(".log"), tuple(held))
        tickets.pop(job.run_id).drop()
    except locks.HeldError:
        return
    finally:
        # Theirs now: the process that we started holds the same locks until it ends.
        for descriptor in held:
            os.close(descriptor)
