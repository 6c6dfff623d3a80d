"""What long work reports, and to whom.

    def train(..., on_event: Listener = ignore): ...
    on_event(Event("steps", done=40, total=140))

Work says how far it is; it knows nothing of progress bars, files or the lab. The pipeline fans
events out to all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Event:
    """Progress of one piece of work: `done` of `total` in units of `what`, and figures to show."""

    what: str
    done: float
    total: int
    figures: dict[str, float] = field(default_factory=dict)


Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener for callers that do not listen."""


def part(listener: Listener, index: int, of: int) -> Listener:
    """A listener for one of several pieces of equal size: it tells `listener` how far all of them are."""
    return lambda e: listener(Event(e.what, index * e.total + e.done, of * e.total, e.figures))
