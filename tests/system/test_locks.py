"""Locks between processes: who looks at one keeps nobody from taking it, who holds it is told of at once."""

import fcntl
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import mini
import pytest

from subliminal_mlx.system import locks

LOOK = """
import sys
from pathlib import Path
from subliminal_mlx.system import locks
print("here", flush=True)
while True:
    locks.holder(Path(sys.argv[1]))
"""


@contextmanager
def looked_at(path, processes: int):
    """Processes that ask again and again who holds the lock."""
    command = [sys.executable, "-c", LOOK, str(path)]
    started = [
        subprocess.Popen(command, cwd=mini.ROOT, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    try:
        assert [process.stdout.readline() for process in started] == ["here\n"] * processes
        yield
    finally:
        for process in started:
            process.kill()
            process.communicate()


def test_who_only_looks_keeps_nobody_from_taking_it(tmp_path):
    path = tmp_path / "lock"
    locks.release(locks.acquire(path))
    with looked_at(path, 2):
        for _ in range(300):
            descriptor = locks.acquire(path)
            assert locks.holder(path) == os.getpid()
            with pytest.raises(locks.HeldError) as held:
                locks.acquire(path)
            assert held.value.pid == os.getpid()
            locks.release(descriptor)


def test_a_held_lock_is_told_of_at_once(tmp_path):
    path, times = tmp_path / "lock", []
    descriptor = locks.acquire(path)
    with looked_at(path, 1):
        for _ in range(20):
            began = time.monotonic()
            with pytest.raises(locks.HeldError):
                locks.acquire(path)
            times.append(time.monotonic() - began)
    locks.release(descriptor)
    # The machine may be busy: most of the tries tell.
    assert sorted(times)[10] < locks.LOOKED_AT_SECONDS / 4


def test_a_share_that_is_kept_is_given_up_on(tmp_path):
    path = tmp_path / "lock"
    locks.release(locks.acquire(path))
    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with pytest.raises(locks.HeldError) as held:
            locks.acquire(path)
    assert held.value.pid is None
