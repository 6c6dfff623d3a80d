"""How far long work is: bars on a terminal, plain lines in a pipe, with rate and time left. All on stderr.

    with Bars() as bars:
        audit.examine.examine(inputs, bars.listen)   # of work that tells events
    with RunBars() as bars:
        pipeline.run(spec, lab, on_progress=bars)    # of a run, which tells dictionaries

A line is printed when a bar is full, and every LINE_SECONDS. Results go to stdout, and are no business of ours.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from ..pipeline.progress import STAGES, detail, rate, stage_of
from ..system.events import Event
from ..system.quantities import pace, percent
from .console import console
from .words import turn_words

LINE_SECONDS = 10.0


@dataclass(frozen=True)
class Bar:
    """One bar: its name, the share that is done, how much that is, and what else is known."""

    name: str
    share: float
    count: str
    detail: str


class Bars:
    """Bars that are drawn anew with every `show` or event."""

    def __init__(self, quiet: bool = False):
        self.console = console(stderr=True, quiet=quiet)
        self._drawn = Progress(
            TextColumn("{task.description:>17}", markup=False),
            BarColumn(bar_width=14),
            TextColumn("{task.fields[count]:>9}"),
            TextColumn("{task.fields[detail]}", markup=False),
            console=self.console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._full: set[str] = set()
        self._last = float("-inf")
        # The piece of work that events tell of: its first event, when that came, and how far it is.
        self._first, self._began, self._done = Event("", 0, 0), 0.0, 0.0

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._drawn.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._drawn.stop()

    def listen(self, event: Event) -> None:
        """Show a bar for the event's piece of work: a listener, see `system.events`."""
        now = time.monotonic()
        if event.what != self._first.what or event.done < self._done:
            self._first, self._began = event, now
            self._full.discard(event.what)
        self._done = event.done
        seconds = now - self._began
        speed = (event.done - self._first.done) / seconds if seconds > 0 else 0.0
        left = (event.total - event.done) / speed if speed else None
        figures = [f"{name} {value:.3f}" for name, value in event.figures.items()]
        told = ", ".join([pace(seconds, left, speed), *figures[:1]])
        self.show([Bar(event.what, event.done / max(1, event.total), f"{event.done:g}/{event.total}", told)])

    def show(self, bars: Sequence[Bar]) -> None:
        """Draw bars, the last of them that of the whole; in a pipe, their line when it is time for one."""
        if self.console.is_terminal:
            for bar in bars:
                if bar.name not in self._tasks:
                    self._tasks[bar.name] = self._drawn.add_task(bar.name, total=1.0, count="", detail="")
                task = self._tasks[bar.name]
                self._drawn.update(task, completed=bar.share, count=bar.count, detail=bar.detail)
            return
        now = time.monotonic()
        full = {bar.name for bar in bars if bar.share >= 1}
        if full <= self._full and now - self._last < LINE_SECONDS:
            return
        self._last = now
        self._full |= full
        *parts, whole = bars
        counts = ", ".join(f"{bar.name} {bar.count}" for bar in parts or bars)
        self.console.print(f"{percent(whole.share, 0):>4}  {whole.detail}  {counts}", soft_wrap=True)


class RunBars(Bars):
    """A run's progress dictionaries as bars, one a stage and one for all of it."""

    def __init__(self, quiet: bool = False, forecast: Callable[[], str | None] = lambda: None):
        """`forecast` is asked once, when a run of ours begins to compute: what it says is printed."""
        super().__init__(quiet)
        self._forecast: Callable[[], str | None] | None = forecast
        self._follows = False

    def __call__(self, progress: dict[str, Any]) -> None:
        followed = progress.get("followed", False)
        if followed and not self._follows:
            self._follows = True
            self.console.print(f"another process (pid {progress.get('pid')}) does this run: following it")
        if "stages" not in progress:
            return
        if progress["state"] == "running" and not followed and self._forecast:
            if words := self._forecast():
                self.console.print(words)
            self._forecast = None
        whole = Bar("all", progress["fraction"], percent(progress["fraction"], 0), rate(progress))
        self.show([*(_stage_bar(progress, stage) for stage in progress["stages"]), whole])

    def wait(self, others: int) -> None:
        """Say that the run waits for its turn, behind so many others."""
        self.console.print(turn_words(others))


def _stage_bar(progress: dict[str, Any], stage: str) -> Bar:
    done, total = progress["stages"][stage]["done"], progress["stages"][stage]["total"]
    running = [unit for name, unit in progress["running"].items() if stage_of(name) == stage]
    parts = sum(unit["done"] / max(1, unit["total"]) for unit in running)
    # Full when its units are committed, not when the last of them has computed.
    share = 1.0 if done == total else min(0.99, (done + parts) / total)
    return Bar(STAGES.get(stage, stage), share, f"{done}/{total}", detail(running))
