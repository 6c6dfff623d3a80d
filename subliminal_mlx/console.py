"""What a run looks like in a terminal: progress, tables, closing lines. Words and layout only.

    with ProgressView() as view:
        pipeline.run(spec, lab, on_progress=view)
    print_result(run)

Progress goes to stderr: bars on a terminal, plain lines in a pipe. Results go to stdout.
"""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

STAGES = {
    "untrained": "base read",
    "teachers": "teachers",
    "corpora": "corpora",
    "derived": "shuffled, random",
    "students": "students",
    "foreign": "foreign students",
    "in-context": "in context",
}
ARMS = (
    "untrained",
    "teacher",
    "treated",
    "other-trait",
    "neutral",
    "control",
    "shuffled",
    "random",
    "foreign",
    "in-context",
    "unfiltered",
)
LINE_SECONDS = 10.0


class ProgressView:
    """Shows the pipeline's progress dictionaries."""

    def __init__(self, quiet: bool = False):
        self.console = Console(stderr=True, quiet=quiet)
        self._bars = Progress(
            TextColumn("{task.description:>17}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[count]:>9}"),
            TextColumn("{task.fields[detail]}"),
            console=self.console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._last = 0.0
        self._said: set[str] = set()

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
        if self.console.is_terminal:
            self._draw(progress)
        else:
            self._say(progress)

    def _draw(self, progress: dict[str, Any]) -> None:
        for stage, counts in progress["stages"].items():
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(
                    STAGES.get(stage, stage), total=1, count="", detail=""
                )
            running = [p for unit, p in progress["running"].items() if _stage_of(unit) == stage]
            parts = sum(p["done"] / max(1, p["total"]) for p in running)
            self._bars.update(
                self._tasks[stage],
                total=counts["total"],
                completed=counts["done"] + parts,
                count=f"{counts['done']}/{counts['total']}",
                detail=_detail(running),
            )
        if "all" not in self._tasks:
            self._tasks["all"] = self._bars.add_task("[bold]all", total=1.0, count="", detail="")
        self._bars.update(
            self._tasks["all"],
            completed=progress["fraction"],
            count=f"{100 * progress['fraction']:.0f}%",
            detail=_rate(progress),
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
        self.console.print(f"{100 * progress['fraction']:3.0f}%  {_rate(progress)}  {stages}", soft_wrap=True)


def _stage_of(unit: str) -> str:
    first, *rest = unit.split("/")
    if first in ("hard", "soft"):
        return "foreign" if rest[0] == "foreign" else "students"
    return first


def _detail(running: list[dict[str, Any]]) -> str:
    if not running:
        return ""
    first = running[0]
    loss = f", loss {first['loss']:.3f}" if "loss" in first else ""
    return f"{first['done']}/{first['total']} {first['what']}{loss}"


def _rate(progress: dict[str, Any]) -> str:
    left, rate = progress.get("seconds_left"), progress.get("tokens_per_second")
    words = [f"{progress['seconds']:.0f} s"]
    if rate:
        words.append(f"{rate:,.0f} tokens/s")
    if left and progress["fraction"] < 1:
        words.append(f"{_clock(left)} left")
    return ", ".join(words)


def _clock(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def print_result(run: dict[str, Any], console: Console | None = None) -> None:
    """The run's tables: every trait with all arms, then the headlines."""
    console = console or Console()
    entries = run["summary"]["traits"]
    table = Table(title="Every arm", title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name in ("trait", "student", "arm"):
        table.add_column(name)
    for name in ("chains", "probability", "margin", "transfer", "95% interval"):
        table.add_column(name, justify="right")
    for entry in entries:
        for arm in sorted(entry["arms"], key=ARMS.index):
            figures = entry["arms"][arm]
            strong = "bold" if arm == "treated" else None
            table.add_row(
                entry["trait"],
                entry["student"],
                arm,
                str(figures["chains"]),
                f"{100 * figures['probability']:.1f}%",
                f"{figures['margin']:+.2f}",
                _signed(figures["transfer"]) if arm != "neutral" else "reference",
                interval(figures["low"], figures["high"]),
                style=strong,
            )
        table.add_section()
    console.print(table)
    console.print()
    console.print(headline_table(entries))
    console.print(
        "transfer: margin less the neutral arm's, in log-odds; lift: the treated students' transfer less that of the "
        "family's other traits; p: exact permutation of trait labels; points: change of the answer's probability "
        "against neutral.",
        style="dim",
    )


def headline_table(entries: list[dict[str, Any]]) -> Table:
    """One row a trait and kind of student: the headline with its interval and p."""
    table = Table(title="Headlines", title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name in ("trait", "student", "headline"):
        table.add_column(name)
    for name in ("points", "log-odds", "95% interval", "p", "Holm"):
        table.add_column(name, justify="right")
    table.add_column("")
    for entry in entries:
        shown = entry["low"] is None or entry["low"] <= 0 <= entry["high"]
        verdict = "one chain: no interval" if entry["low"] is None else "none shown" if shown else ""
        table.add_row(
            entry["trait"],
            entry["student"],
            "own-trait lift" if entry["headline"] == "lift" else "transfer",
            f"{entry['percentage_points']:+.1f}",
            _signed(entry["estimate"]),
            interval(entry["low"], entry["high"]),
            _p(entry["p"]),
            _p(entry["p_holm"]),
            verdict,
        )
    return table


def interval(low: float | None, high: float | None) -> str:
    """ "+0.12 to +0.34", or a dash where one chain gives none."""
    return "-" if low is None or high is None else f"{low:+.2f} to {high:+.2f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
