"""What the digits experiment looks like in a terminal: progress and tables. Words and layout only.

Progress goes to stderr, bars on a terminal and lines in a pipe; results go to stdout.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ...system.events import Event, Listener
from .spec import Theorem
from .summary import Row, Summary, finals, percent, sentences

LINE_SECONDS = 5.0
ROLES = {
    "teacher": "learns from labels",
    "student": "same start",
    "other initialisation": "control",
    "untrained teacher": "control",
    "shuffled logits": "control",
    "real images": "instead of noise",
    "class logits": "ordinary distillation",
}
_PLAIN: dict[str, Any] = {"title_justify": "left", "box": None, "pad_edge": False}


def print_summary(summary: Summary) -> None:
    """Every arm's accuracy with its interval, and what that shows."""
    spec, data = summary["spec"], summary["data"]
    shape = "-".join(map(str, (data["inputs"], spec["width"], spec["width"])))
    title = f"{data['name']}, {shape}-(10 + {spec['auxiliary']}), {spec['replicas']} replicas"
    table = Table("", title=title, **_PLAIN)
    for name in ("right", "95% interval", "sd", "cosine"):
        table.add_column(name, justify="right")
    table.add_column("")
    for row in finals(summary):
        ends = "-" if row["low"] is None else f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"
        spread = "-" if row["sd"] is None else f"{100 * row['sd']:.1f}"
        cosine = "" if row["agreement"] is None else f"{row['agreement']:+.2f}"
        table.add_row(row["arm"], percent(row), ends, spread, cosine, ROLES[row["arm"]])
    console = Console()
    console.print(table)
    console.print()
    for sentence in sentences(summary):
        console.print(sentence, soft_wrap=True)
    note = (
        "right: of unseen digits; sd: over replicas; cosine: of what the hidden layers moved "
        "by and what the teacher's did"
    )
    console.print(note, style="dim", soft_wrap=True)


def print_theorem(spec: Theorem, rows: list[Row]) -> None:
    """A line for every step size and distance: how many draws went against the theorem."""
    title = f"{spec.draws} draws of a teacher's step and a student's, {spec.inputs} inputs"
    table = Table(title=title, **_PLAIN)
    for name in ("step", "distance", "against", "95% interval", "cosine", "loss rose", "loss change"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            *(f"{row['step']:g}", f"{row['distance']:g}", str(row["against_count"])),
            f"{100 * row['against_low']:.1f} to {100 * row['against_high']:.1f}%",
            *(f"{row['cosine']:+.3f}", str(row["raised_count"]), f"{row['change']:+.2g}"),
        )
    console = Console()
    console.print(table)
    note = (
        "against: draws in which the student moved against its teacher; the theorem says 0 of them at distance 0 "
        "and a small enough step; loss: the teacher's, at the student's weights, which took a step as long as the teacher's"
    )
    console.print(note, style="dim", soft_wrap=True)


@contextmanager
def progress() -> Iterator[Listener]:
    """A listener for the length of the block."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    columns = (TextColumn("{task.description:>17}"), BarColumn(bar_width=30), MofNCompleteColumn())
    tasks: dict[str, Any] = {}
    with Progress(
        *columns, TimeRemainingColumn(), TextColumn("{task.fields[figures]}"), console=console
    ) as bars:

        def show(event: Event) -> None:
            if event.what not in tasks or event.done == 0:
                tasks[event.what] = bars.add_task(event.what, total=event.total, figures="")
            bars.update(tasks[event.what], completed=event.done, total=event.total, figures=_figures(event))

        yield show


def _lines() -> Listener:
    said, began = [0.0], time.monotonic()

    def say(event: Event) -> None:
        now = time.monotonic()
        if event.done < event.total and now - said[0] < LINE_SECONDS:
            return
        said[0] = now
        line = f"{event.what} {event.done}/{event.total}, {now - began:.0f} s  {_figures(event)}"
        print(line.rstrip(), file=sys.stderr, flush=True)

    return say


def _figures(event: Event) -> str:
    if "student" not in event.figures:
        return "  ".join(f"{name} {value:.3f}" for name, value in event.figures.items())
    shown = [(arm, event.figures[arm]) for arm in ("student", "other initialisation") if arm in event.figures]
    return ", ".join(f"{arm} {100 * value:.0f}%" for arm, value in shown)
