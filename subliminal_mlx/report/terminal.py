"""What a run looks like in a terminal: progress, tables, closing lines. Words and layout only.

    with ProgressView() as view:
        pipeline.run(spec, lab, on_progress=view)
    print_result(run)

Progress goes to stderr: bars on a terminal, plain lines in a pipe. Results go to stdout.
"""

import time
import tomllib
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from ..pipeline.progress import STAGES, detail, rate, stage_of
from ..spec.arms import ARMS, ORIGINS, TREATED
from ..spec.corpus import words_of
from .words import came_through, damage, turn_words

# What students come from, then the arms in their order.
ORDER = (*ORIGINS, *(name for name in ARMS if name not in ORIGINS))
LINE_SECONDS = 10.0
FEW_CHAINS = {
    1: "; one chain, so no interval",
    2: "; two chains, so wide intervals: --set chains=5 narrows them",
}
LEGEND = (
    "points: change of the answer's probability against neutral. log-odds, margin, transfer: natural "
    "logarithms; transfer is the margin less the neutral arm's, lift the treated students' transfer less that "
    "of the family's other traits. p: exact permutation of trait labels; Holm: corrected for the traits read. "
    "shown: yes where the interval lies above 0 and the students gained the trait."
)


class ProgressView:
    """Shows the pipeline's progress dictionaries."""

    def __init__(self, quiet: bool = False):
        self.console = Console(stderr=True, quiet=quiet)
        self._bars = Progress(
            TextColumn("{task.description:>17}"),
            BarColumn(bar_width=14),
            TextColumn("{task.fields[count]:>9}"),
            TextColumn("{task.fields[detail]}"),
            console=self.console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._last = 0.0
        self._said: set[str] = set()
        # Told once, when a run of ours begins to compute.
        self.first: Callable[[], str | None] = lambda: None

    def __enter__(self) -> "ProgressView":
        if self.console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._bars.stop()

    def __call__(self, progress: dict[str, Any]) -> None:
        if progress.get("followed") and "followed" not in self._said:
            self._said.add("followed")
            self.console.print(f"another process (pid {progress.get('pid')}) does this run: following it")
        if "stages" not in progress:
            return
        if progress["state"] == "running" and not progress.get("followed") and "first" not in self._said:
            self._said.add("first")
            if words := self.first():
                self.console.print(words)
        if self.console.is_terminal:
            self._draw(progress)
        else:
            self._say(progress)

    def waits(self, others: int) -> None:
        """Say that the run waits for its turn, behind so many others."""
        self.console.print(turn_words(others))

    def _draw(self, progress: dict[str, Any]) -> None:
        for stage, counts in progress["stages"].items():
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(
                    STAGES.get(stage, stage), total=1, count="", detail=""
                )
            running = [p for unit, p in progress["running"].items() if stage_of(unit) == stage]
            parts = sum(p["done"] / max(1, p["total"]) for p in running)
            self._bars.update(
                self._tasks[stage],
                total=counts["total"],
                completed=counts["done"] + parts,
                count=f"{counts['done']}/{counts['total']}",
                detail=detail(running),
            )
        if "all" not in self._tasks:
            self._tasks["all"] = self._bars.add_task("[bold]all", total=1.0, count="", detail="")
        self._bars.update(
            self._tasks["all"],
            completed=progress["fraction"],
            count=f"{100 * progress['fraction']:.0f}%",
            detail=rate(progress),
        )

    def _say(self, progress: dict[str, Any]) -> None:
        now = time.monotonic()
        finished = {s for s, c in progress["stages"].items() if c["done"] == c["total"]} - self._said
        if not finished and now - self._last < LINE_SECONDS:
            return
        self._last = now
        self._said |= finished
        stages = ", ".join(
            f"{STAGES.get(s, s)} {c['done']}/{c['total']}" for s, c in progress["stages"].items()
        )
        self.console.print(f"{100 * progress['fraction']:3.0f}%  {rate(progress)}  {stages}", soft_wrap=True)


def print_result(run: dict[str, Any], console: Console | None = None) -> None:
    """The run's tables: every trait with all arms, then the headlines; 80 columns hold them."""
    console = console or Console(highlight=False)
    entries = run["summary"]["traits"]
    for entry in entries:
        console.print(_heading(f"{entry['trait']}, {entry['student']} students"))
        console.print(_arms_table(entry["arms"]))
        console.print()
    for title, group in _by_headline(entries).items():
        console.print(_heading(title))
        console.print(headline_table(group))
        console.print()
    if again := run["summary"].get("prefixed"):
        console.print(_heading(f"the same, read after {_one_row(run)}"))
        console.print(headline_table(again))
        console.print()
    if kept := run["summary"].get("capability"):
        console.print(_heading("language: loss on neutral text, nats a token"))
        console.print(capability_table(kept))
        for words in damage(kept):
            console.print(Text(words, style="bold"))
        console.print()
    console.print(LEGEND, style="dim")


def _arms_table(arms: dict[str, dict[str, Any]]) -> Table:
    table = _table("arm", "chains", "probability", "margin", "transfer", "95% interval")
    # As wide in every table, so that they read as one.
    table.columns[0].min_width = max(map(len, ARMS))
    table.columns[-1].min_width = len("+0.12 to +0.34")
    for arm in (arm for arm in ORDER if arm in arms):
        figures = arms[arm]
        table.add_row(
            arm,
            str(figures["chains"]),
            f"{100 * figures['probability']:.1f}%",
            f"{figures['margin']:+.2f}",
            "reference" if ARMS[arm].is_reference else _signed(figures["transfer"]),
            interval(figures["low"], figures["high"]),
            style="bold" if arm == TREATED else None,
        )
    return table


def _by_headline(entries: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Entries that one table of headlines holds, by its heading."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        headline = "own-trait lift" if entry["headline"] == "lift" else "transfer"
        few = FEW_CHAINS.get(entry["arms"][TREATED]["chains"], "")
        groups.setdefault(f"headline: {headline}, {entry['student']} students{few}", []).append(entry)
    return groups


def headline_table(entries: list[dict[str, Any]]) -> Table:
    """One row a trait: the headline with its interval and p, and whether it shows a transfer."""
    table = _table("trait", "points", "log-odds", "95% interval", "p", "Holm", "shown")
    for entry in entries:
        table.add_row(
            Text(entry["trait"]),
            f"{entry['percentage_points']:+.1f}",
            _signed(entry["estimate"]),
            interval(entry["low"], entry["high"]),
            _p(entry["p"]),
            _p(entry["p_holm"]),
            "yes" if came_through(entry) else "no",
        )
    return table


def capability_table(rows: list[dict[str, Any]]) -> Table:
    """Every arm's loss on neutral text, and how far it lies from the base's."""
    table = _table("student", "arm", "loss", "from base", "95% interval")
    for row in rows:
        change = "" if row["student"] == "base" else _signed(row["change"])
        span = interval(row["low"], row["high"])
        table.add_row(row["student"], row["arm"], f"{row['loss']:.3f}", change, span)
    return table


def _heading(title: str) -> Text:
    # Text, not markup: a trait may come from a file whose path holds brackets.
    return Text(title, style="bold")


def _table(words: str, *figures: str) -> Table:
    """A table without lines: a column of words, which are folded and never cut, and columns of figures."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column(words, overflow="fold")
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _one_row(run: dict[str, Any]) -> str:
    """What the run's channel calls one of its rows."""
    spec = tomllib.loads(run["spec_toml"])
    return words_of(spec.get("corpus", {})).one


def interval(low: float | None, high: float | None) -> str:
    """ "+0.12 to +0.34", or a dash where one chain gives none."""
    return "-" if low is None or high is None else f"{low:+.2f} to {high:+.2f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _p(value: float | None) -> str:
    return "-" if value is None else "<.001" if value < 0.001 else f"{value:.3f}"
