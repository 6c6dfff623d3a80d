"""Locks between processes: take one, see who holds it, wait for it and give up by name.

    descriptor = acquire(folder / "lock")     # HeldError if another process has it
    release(descriptor)

A lock is an flock on a file that holds its owner's pid. The kernel drops it when its owner dies,
however it dies; so that a worker cannot outlive its parent in holding it, workers are spawned, not
forked. Knows nothing about labs or DuckDB.
"""

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

from .errors import BusyError

POLL_SECONDS = 0.02
# How long who only looks may keep a lock from being taken, and how soon it is tried again.
LOOKED_AT_SECONDS, GLANCE_SECONDS = 0.1, 0.001
# Behind the pid a lock's owner may write what it is about.
PID_WIDTH = 11
# Processes that take turns wait for milliseconds: nobody wants to read about those.
SILENT_SECONDS = 0.5

T = TypeVar("T")


class HeldError(Exception):
    """Another holder has the lock; `pid` is its process, or None where it could not be read."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"held by pid {pid}")
        self.pid = pid


def acquire(path: Path) -> int:
    """Take the lock file at `path`, made if missing, and write our pid in it; its file descriptor.

    Raises HeldError at once if it is held, OSError if the file cannot be opened. Processes that only ask who
    holds it (`holder`) share it for an instant: they are waited out, up to LOOKED_AT_SECONDS.
    """
    latest = time.monotonic() + LOOKED_AT_SECONDS
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                _write_pid(descriptor)
                return descriptor
        except BlockingIOError:
            looked_at = _is_shared(descriptor)
            held = HeldError(None if looked_at else _read_pid(descriptor))
            os.close(descriptor)
            if not looked_at or time.monotonic() > latest:
                raise held from None
            time.sleep(GLANCE_SECONDS)
            continue
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def release(descriptor: int) -> None:
    """Give back what `acquire` returned."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def hand_over(descriptor: int, pid: int) -> None:
    """Close our end of a lock that the process `pid`, which we started, has inherited and now holds."""
    _write_pid(descriptor, pid)
    os.close(descriptor)


def holder(path: Path) -> int | None:
    """Pid of the process that holds the lock at `path`; None if nobody does, -1 if it left no pid."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return _read_pid(descriptor) or -1
    finally:
        os.close(descriptor)


def wait_for(attempt: Callable[[], T], what: str, seconds: float, on_wait: Callable[[str], object]) -> T:
    """Call `attempt` until it no longer raises HeldError, and return its value.

    `on_wait` gets one line, once, that names the holder. Raises BusyError with the holder's pid
    after `seconds`.
    """
    start = time.monotonic()
    told = False
    while True:
        try:
            return attempt()
        except HeldError as held:
            waited = time.monotonic() - start
            if waited >= seconds:
                message = f"{what} is held by {_described(held.pid)}: try again when that has ended"
                raise BusyError(message) from None
            if not told and waited >= SILENT_SECONDS:
                told = True
                on_wait(f"{what} is held by {_described(held.pid)}: waiting up to {seconds:g} s")
        time.sleep(POLL_SECONDS)


def _described(pid: int | None) -> str:
    if pid is None:
        return "another process"
    try:
        return f"pid {pid} ({psutil.Process(pid).name()})"
    except (psutil.Error, ValueError):
        return f"pid {pid}"


def _is_shared(descriptor: int) -> bool:
    # With an owner nobody else gets it, not even a share of it.
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    # A lock file may be removed with its folder between our open and our flock: a lock on a file
    # that has no name excludes nobody.
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _write_pid(descriptor: int, pid: int | None = None) -> None:
    # Fixed width over the old one, without truncating: a reader never sees half a pid, and a full
    # disk, which is when a lab must still be readable, needs no new block.
    # Should it fail all the same: the lock is the flock, the pid only makes messages better.
    with suppress(OSError):
        os.pwrite(descriptor, f"{pid or os.getpid():<{PID_WIDTH - 1}d}\n".encode(), 0)


def _read_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, PID_WIDTH, 0).strip()
    return int(text) if text.isdigit() else None
