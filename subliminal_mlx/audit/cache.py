"""Pieces of a long audit: files that are made once, and what those that are missing will take.

    todo = [Task("probes", folder / "probe-ab12.npy", tokens=250_000, make=..., needs=(rows,)), ...]
    missing_seconds(todo, base)              # by a measured forward pass
    finish(todo, on_event)                   # makes what is missing; killed, it goes on there

Several processes may finish the same tasks at once: each takes one that no other is at. Costs are in tokens
of a forward pass, so that one timed pass tells them on any machine.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..model.bases import Base
from ..system import files
from ..system.errors import MachineError
from ..system.events import Event, Listener, ignore
from ..system.locks import HeldError, acquire, release


def kept(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array at `path`; made first, and published whole, where there is none.

    Raises:
        MachineError: the file is damaged.
    """
    if not path.exists():
        found = make()
        files.publish(path, lambda to: np.save(to, found))
    return stored(path)


def stored(path: Path) -> np.ndarray:
    """The array at `path`; MachineError where it cannot be read."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise MachineError(f"{path} cannot be read, remove it: {error}") from None


WAIT_SECONDS = 0.5


@dataclass(frozen=True, eq=False)
class Task:
    """One file and what makes it."""

    what: str
    """What it is one of: suspects, rows, temperatures, ratios, probes."""
    path: Path
    tokens: float
    """Cost, in tokens of a forward pass."""
    make: Callable[[Path, Listener], None]
    """Publishes the file; hears of its own progress."""
    needs: tuple[Path, ...] = ()
    """Files that must be there before."""


def missing(tasks: Sequence[Task]) -> list[Task]:
    """Those whose file is not there yet, each file once, in order."""
    return list({task.path: task for task in tasks if not task.path.exists()}.values())


def finish(tasks: Sequence[Task], on_event: Listener = ignore, ahead: Sequence[Task] = ()) -> None:
    """Make every file of `tasks` that is missing; while others are at the last of them, some of `ahead`."""
    many = missing(tasks)
    while todo := missing(tasks):
        for task in (*todo, *missing(ahead)):
            if all(path.exists() for path in task.needs) and _made(task, many, on_event):
                break
        else:
            time.sleep(WAIT_SECONDS)


def _made(task: Task, many: Sequence[Task], on_event: Listener) -> bool:
    """Whether we made it: another process may be at it."""
    lock = task.path.with_name(f"{task.path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = acquire(lock)
    except HeldError:
        return False
    try:
        if not task.path.exists():
            kin = [other for other in many if other.what == task.what] or [task]
            # In pieces of mean cost, so that what is left is told from what is done.
            each = sum(other.tokens for other in kin) / len(kin)
            done = sum(other.tokens for other in kin if other.path.exists())

            def tell(event: Event) -> None:
                share = event.done / max(1, event.total)
                on_event(Event(task.what, round((done + share * task.tokens) / each, 2), len(kin)))

            task.make(task.path, tell)
            tell(Event(task.what, 1, 1))
        return True
    finally:
        lock.unlink(missing_ok=True)
        release(held)


def missing_seconds(tasks: Sequence[Task], base: Base, counted: Sequence[Task] = ()) -> float:
    """How long the missing ones will take on this machine, by a short forward pass; `counted` as if missing."""
    todo = {task.path: task for task in (*missing(tasks), *counted)}.values()
    return sum(task.tokens for task in todo) * _rate(base) if todo else 0.0


def _rate(base: Base, rows: int = 4, width: int = 64) -> float:
    """Seconds a token of a forward pass, read after one that warms up."""
    import mlx.core as mx

    tokens = mx.zeros((rows, width), dtype=mx.int32)
    mx.eval(base.hidden(tokens[:1, :8]))
    began = time.perf_counter()
    mx.eval(base.hidden(tokens))
    return (time.perf_counter() - began) / (rows * width)
