"""A command's place in the machine's line: what takes minutes waits for its turn, and says so; seconds wait for nobody.

with in_turn(lab, "null", f"null {base}"): ...
with patience(lab, "audit", title) as wait:
    examine(read, spec, folder, wait.before(LONG, listener))
"""

import hashlib
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
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
def patience(lab: Path, kind: str, title: str) -> Iterator["Patience"]:
    """For work of which only some takes long: it waits when it comes to that, and holds the machine from then on."""
    with ExitStack() as stack:
        yield Patience(stack, lab, kind, title)


class Patience:
    """A turn that is taken at most once."""

    def __init__(self, stack: ExitStack, *asked: Path | str) -> None:
        self._stack, self._asked, self._taken = stack, asked, False

    def take(self) -> None:
        """Wait now, unless it was done."""
        if not self._taken:
            self._taken = True
            self._stack.enter_context(in_turn(*self._asked))  # type: ignore[arg-type]

    def before(self, long: Collection[str], listener: Listener) -> Listener:
        """A listener that waits at the first event of what takes long."""

        def hear(event: Event) -> None:
            if event.what in long:
                self.take()
            listener(event)

        return hear


def _tell(others: int) -> None:
    print(turn_words(others), file=sys.stderr)
