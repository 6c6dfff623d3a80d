"""The process that takes a lab's jobs in order, and how it is started.

    wake(lab)                    # starts it if jobs wait and none runs

It keeps a ticket in the machine's line for every long job that waits, and when a job's turn comes starts that job's
own process and hands it the machine; short ones go beside it, one at a time. It ends when nothing waits. Killed at any
moment it loses nothing: jobs are files, the machine and the job are held by the job's process, and the next dispatcher
finds them as they are.
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

from ..lab.database import one_line_errors
from ..report.public import public
from ..system import locks
from ..system.errors import MachineError, SubliminalError
from . import line
from .before import KILLED
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
    if books.dispatcher() or not _left(books):
        return False
    try:
        with one_line_errors(books.lab):
            # Where all jobs are a lab's of before, it has no folder yet.
            books.path.mkdir(exist_ok=True)
            # Taken for it, so that nobody starts a second one before the first has come to its first line.
            lock = locks.acquire(books.path / "dispatcher.lock")
    except locks.HeldError:
        return False
    try:
        pid = _start([str(books.lab), "dispatch"], books.path / "dispatcher.log", [lock])
    except BaseException:
        locks.release(lock)
        raise
    locks.hand_over(lock, pid)
    return True


def _left(books: Books) -> bool:
    return any(job.state == "queued" or not books.alive(job.id) for job in books.jobs("queued", "running"))


def _start(arguments: list[str], log: Path, held: list[int]) -> int:
    """A process of its own, which no Ctrl-C and no end of ours reaches; its pid.

    `held` are locks that it inherits. Raises MachineError if it cannot be started.
    """
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
    try:
        with open(log, "wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "subliminal_mlx.jobs", *arguments, *map(str, held)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=Path(__file__).parents[2],
                env=environment,
                start_new_session=True,
                pass_fds=held,
            )
    except OSError as error:
        raise MachineError(f"the job's process cannot be started: {error.strerror}") from error
    # Whoever started it may outlive it: it must not stay as a zombie.
    threading.Thread(target=process.wait, daemon=True).start()
    return process.pid


def dispatch(lab: Path, lock: int) -> None:
    """Take the lab's jobs in order until none waits; `lock` is the dispatcher's, which this process has inherited."""
    os.set_inheritable(lock, False)
    dispatcher = _Dispatcher(Books(lab))
    try:
        while True:
            with open_books(lab):
                if not dispatcher.step():
                    # While the books are open nobody can add a job and count on us.
                    locks.release(lock)
                    return
            time.sleep(POLL_SECONDS)
    except SubliminalError as error:
        print(error, flush=True)


def last_words(books: Books) -> str:
    """Why the last dispatcher ended early, in one line; empty if it was killed or had nothing to do."""
    try:
        lines = (books.path / "dispatcher.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return public(lines[-1], books.lab) if lines else ""


class _Dispatcher:
    """Its methods are called with the books open."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.tickets: dict[str, line.Ticket] = {}
        self.started: set[str] = set()

    def step(self) -> bool:
        """Do what there is to do; False if there is nothing, and nobody to wait for."""
        for job in self.books.jobs("running"):
            self._settle(job)
        jobs = self.books.jobs("queued", "running")
        self._keep_tickets([job for job in jobs if job.is_long and job.state == "queued"])
        for is_long in (True, False):
            some = [job for job in jobs if job.is_long == is_long]
            # A lab computes one long job at a time also where the machine has no line.
            if some and all(job.state == "queued" for job in some):
                self._call(some[0])
        return bool(jobs)

    def _settle(self, job: Job) -> None:
        """See to a job that ended without a word, or was cancelled and does not end."""
        if pid := self.books.alive(job.id):
            _press(job, pid)
        elif job.cancelled:
            self.books.write(replace(job, state="cancelled", message=""))
        elif job.id not in self.started and job.attempts < MOST_ATTEMPTS:
            # Both it and the dispatcher before us were killed.
            self.books.write(replace(job, state="queued"))
        else:
            self.books.write(replace(job, state="interrupted", message=KILLED))

    def _keep_tickets(self, waiting: list[Job]) -> None:
        """A ticket for every job that waits, and for no other."""
        numbers = {job.id: job.number for job in waiting}
        for job_id, ticket in [*self.tickets.items()]:
            if numbers.get(job_id) != ticket.number:
                self.tickets.pop(job_id).drop()
        for job in waiting:
            if job.id not in self.tickets:
                place = (self.books.lab, job.id, job.title, job.number, job.kind)
                self.tickets[job.id] = line.Ticket(*place)

    def _call(self, job: Job) -> None:
        """Start the job's process if its turn has come, and hand it the locks that it is to hold."""
        machine = self.tickets[job.id].call() if job.is_long else -1
        if machine is None:
            return
        held = [machine] if machine >= 0 else []
        try:
            folder = self.books.folder(job.id)
            folder.mkdir(parents=True, exist_ok=True)
            held.append(locks.acquire(folder / "lock"))
            job = self.books.write(replace(job, state="running", attempts=job.attempts + 1))
            pid = _start([str(self.books.lab), job.id], folder / "log", held)
        except BaseException as error:
            for descriptor in held:
                locks.release(descriptor)
            if isinstance(error, OSError):
                # Its folder is none that we made. The others go on.
                self.books.write(replace(job, state="failed", message=f"its folder: {error.strerror}"))
                return
            raise
        for descriptor in held:
            locks.hand_over(descriptor, pid)
        self.started.add(job.id)
        if job.is_long:
            self.tickets.pop(job.id).drop()


def _press(job: Job, pid: int) -> None:
    """Tell a cancelled job harder, once it had time to end by itself."""
    waited = time.time() - job.cancelled if job.cancelled else 0.0
    for patience, number in zip(PATIENCE_SECONDS, (signal.SIGTERM, signal.SIGKILL), strict=True):
        if waited > patience and pid > 0:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
