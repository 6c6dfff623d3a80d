"""A command's place in the machine's line: what takes minutes waits for its turn, and says so; seconds wait for nobody.

with in_turn(lab, "null", f"null {base}"): ...
with patience(lab, "audit", title) as take:
    examine(inputs, taking(take, LONG, listener))
"""

import hashlib
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from ..jobs import line
from ..report.words import turn_words
from ..system.events import Event, Listener


@contextmanager
def in_turn(lab: Path, kind: str, title: str) -> Iterator[None]:
    """Hold the machine for the length of the block, after waiting for it; who goes first is told on stderr."""
    job_id = hashlib.sha256(f"{kind} {title} {os.getpid()}".encode()).hexdigest()[:24]
    with line.turn(lab, job_id, title, _tell, kind=kind):
        yield


@contextmanager
def patience(lab: Path, kind: str, title: str) -> Iterator[Callable[[], None]]:
    """For work of which only some takes long: waits when it is first called, and then holds the machine."""
    with ExitStack() as stack:

        @cache
        def take() -> None:
            stack.enter_context(in_turn(lab, kind, title))

        yield take


def taking(take: Callable[[], None], long: Collection[str], listener: Listener) -> Listener:
    """A listener that takes a turn at the first event of what takes long."""

    def hear(event: Event) -> None:
        if event.what in long:
            take()
        listener(event)

    return hear


def _tell(others: int) -> None:
    print(turn_words(others), file=sys.stderr)
