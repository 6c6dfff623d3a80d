"""The machine's line: of all long work one computes at a time, and the others wait in order of their tickets.

    with turn(lab, job_id, title, on_wait) as mine: ...     # waits, then computes
    ahead(number)                                           # how many go first

A ticket is a file that its owner holds an flock on, and its name is its place in the line; the machine
itself is one more such file. A process that ends, however it ends, lets go of both, so nobody waits for the
dead. The line lies in the user's cache, one a machine; $SUBLIMINAL_LINE names another folder for it, and
where that is set but empty there is no line and all compute side by side. Knows nothing of jobs and their files.
"""

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..system import locks
from ..system.errors import MachineError
from ..system.files import cache_folder
from ..system.machine import machine_name

POLL_SECONDS = 0.2
NAME = re.compile(r"\.?\d{20}-[0-9a-f]{8}")
LONGEST_NOTE = 4_096

OnWait = Callable[[int], object]


@dataclass(frozen=True)
class Place:
    """Somebody in the line: place `number` (nanoseconds since 1970), and which job in which lab it is."""

    number: int
    pid: int
    lab: Path
    job_id: str
    title: str
    kind: str = "run"


def folder() -> Path | None:
    """The line's folder, which need not exist yet; None where there is no line."""
    chosen = os.environ.get("SUBLIMINAL_LINE")
    if chosen is not None:
        return Path(chosen).expanduser() if chosen else None
    # A home folder may be shared by several machines.
    return cache_folder() / f"line-{machine_name()}"


class Ticket:
    """A place in the line, kept until `drop` or until this process ends.

    Raises MachineError where the line's folder cannot be written to.
    """

    def __init__(
        self, lab: Path, job_id: str, title: str, number: int | None = None, kind: str = "run"
    ) -> None:
        self.number = number or time.time_ns()
        self._path, self._descriptor = None, -1
        where = folder()
        if where is None:
            return
        name = f"{self.number:020d}-{secrets.token_hex(4)}"
        # Held before it is seen: whoever finds a ticket that nobody holds removes it.
        hidden = where / f".{name}"
        with _told():
            where.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._descriptor = locks.acquire(hidden)
            self._note = {"lab": str(lab), "run": job_id, "title": title, "number": self.number, "kind": kind}
            _write_note(self._descriptor, self._note)
            os.rename(hidden, where / name)
        self._path = where / name

    def ahead(self) -> int:
        """How many on this machine go before this one, the one that computes included."""
        return ahead(self.number, self._path)

    def call(self) -> int | None:
        """The machine, once it is this ticket's turn: a descriptor to give back to `locks.release`, or -1 where
        there is no line. None while others go first. The ticket is kept until it is dropped.
        """
        if self._path is None:
            return -1
        if any(_earlier(self._path, other) for other, _ in _tickets()):
            return None
        try:
            with _told():
                descriptor = locks.acquire(self._path.parent / "machine")
        except locks.HeldError:
            return None
        _write_note(descriptor, self._note)
        return descriptor

    def drop(self) -> None:
        """Leave the line."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            locks.release(self._descriptor)
            self._path = None


@contextmanager
def turn(
    lab: Path,
    job_id: str,
    title: str,
    on_wait: OnWait,
    give_up: Callable[[], bool] = lambda: False,
    kind: str = "run",
) -> Iterator[bool]:
    """Hold the machine for the length of the block, after waiting for it.

    False, at once and without the machine, when `give_up` says that there is nothing to wait for any more.
    `on_wait` hears how many go first, whenever that changes.
    """
    ticket, machine, told = Ticket(lab, job_id, title, kind=kind), None, -1
    try:
        while (machine := ticket.call()) is None:
            if give_up():
                break
            if (others := max(1, ticket.ahead())) != told:
                told = others
                on_wait(others)
            time.sleep(POLL_SECONDS)
        ticket.drop()
        yield machine is not None
    finally:
        ticket.drop()
        if machine is not None and machine >= 0:
            locks.release(machine)


def waiting() -> list[Place]:
    """Who waits, in order."""
    places = (_place(path, pid) for path, pid in _tickets())
    return sorted((place for place in places if place), key=lambda place: place.number)


def computing() -> Place | None:
    """Who holds the machine."""
    where = folder()
    if where is None:
        return None
    pid = locks.holder(where / "machine")
    return _place(where / "machine", pid) if pid else None


def ahead(number: int, own: Path | None = None) -> int:
    """How many go before a ticket of that number, the one that computes included."""
    where = folder()
    if where is None:
        return 0
    mine = own or where / f"{number:020d}"
    held = locks.holder(where / "machine") is not None
    return held + sum(_earlier(mine, other) for other, _ in _tickets())


def _tickets() -> list[tuple[Path, int]]:
    """Tickets that somebody holds, each with its holder; those of the dead are removed."""
    where, found = folder(), []
    for path in sorted(where.iterdir()) if where and where.is_dir() else ():
        if not NAME.fullmatch(path.name):
            continue
        hidden = path.name.startswith(".")
        if pid := locks.holder(path):
            found += [] if hidden else [(path, pid)]
        elif not hidden or _old(path):
            path.unlink(missing_ok=True)
    return found


def _old(path: Path) -> bool:
    # One without a holder may be about to get one.
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > 60
    return False


def _earlier(mine: Path, other: Path) -> bool:
    return other.name < mine.name


def _place(path: Path, pid: int) -> Place | None:
    try:
        note = json.loads(path.read_bytes()[locks.PID_WIDTH : locks.PID_WIDTH + LONGEST_NOTE])
        return Place(
            note["number"], pid, Path(note["lab"]), note["run"], note["title"], note.get("kind", "run")
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_note(descriptor: int, note: dict[str, object]) -> None:
    # As with the pid: the lock is what counts, the note makes listings better.
    data = json.dumps(note).encode()
    with suppress(OSError):
        os.pwrite(descriptor, data[: LONGEST_NOTE - 1], locks.PID_WIDTH)
        os.ftruncate(descriptor, locks.PID_WIDTH + len(data))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"the line of jobs at {error.filename or folder()}: {error.strerror}: set SUBLIMINAL_LINE to a folder "
            "you can write to"
        ) from error
