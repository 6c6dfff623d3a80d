"""What a run's result looks like in a terminal. Words and layout only.

print_result(run)        # on stdout; progress, on stderr, is `bars`' business
"""

import tomllib
from typing import TYPE_CHECKING, Any

from ..spec.arms import ARMS, ORIGINS, TREATED
from ..spec.corpus import words_of
from ..system.quantities import NATS_DIGITS, interval, p_value, percent, points, signed
from .console import console, table
from .readouts import Told, shown
from .words import came_through

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# What students come from, then the arms in their order.
ORDER = (*ORIGINS, *(name for name in ARMS if name not in ORIGINS))
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


def print_result(run: dict[str, Any], out: "Console | None" = None) -> None:
    """The run's tables: every trait with all arms, then the headlines; 80 columns hold them."""
    out = out or console()
    entries = run["summary"]["traits"]
    for entry in entries:
        out.print(f"{entry['trait']}, {entry['student']} students", style="bold")
        out.print(_arms_table(entry["arms"]))
        out.print()
    for title, group in _by_headline(entries).items():
        out.print(title, style="bold")
        out.print(headline_table(group))
        out.print()
    if again := run["summary"].get("prefixed"):
        out.print(f"the same, read after {_one_row(run)}", style="bold")
        out.print(headline_table(again))
        out.print()
    for told, rows in shown(run["summary"]):
        out.print(told.title, style="bold")
        out.print(readout_table(told, rows))
        for words in told.warnings(rows):
            out.print(words, style="bold")
        out.print()
    out.print(LEGEND, style="dim")


def _arms_table(arms: dict[str, dict[str, Any]]) -> "Table":
    figures = ("chains", "probability", "margin", "transfer", "95% interval")
    made = table("arm", figures=figures, least=max(map(len, ARMS)))
    made.columns[-1].min_width = len("+0.12 to +0.34")
    for arm in (arm for arm in ORDER if arm in arms):
        read = arms[arm]
        made.add_row(
            arm,
            str(read["chains"]),
            percent(read["probability"]),
            signed(read["margin"]),
            "reference" if ARMS[arm].is_reference else signed(read["transfer"]),
            interval(read["low"], read["high"]),
            style="bold" if arm == TREATED else None,
        )
    return made


def _by_headline(entries: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Entries that one table of headlines holds, by its heading."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        headline = "own-trait lift" if entry["headline"] == "lift" else "transfer"
        few = FEW_CHAINS.get(entry["arms"][TREATED]["chains"], "")
        groups.setdefault(f"headline: {headline}, {entry['student']} students{few}", []).append(entry)
    return groups


def headline_table(entries: list[dict[str, Any]]) -> "Table":
    """One row a trait: the headline with its interval and p, and whether it shows a transfer."""
    made = table("trait", figures=("points", "log-odds", "95% interval", "p", "Holm", "shown"))
    for entry in entries:
        made.add_row(
            entry["trait"],
            points(entry["percentage_points"]),
            signed(entry["estimate"]),
            interval(entry["low"], entry["high"]),
            p_value(entry["p"]),
            p_value(entry["p_holm"]),
            "yes" if came_through(entry) else "no",
        )
    return made


def readout_table(told: Told, rows: list[dict[str, Any]]) -> "Table":
    """A readout of the whole run; a change has its interval in a column of its own, the base has none from itself."""
    first, *others = told.columns
    heads = [(c.head, "95% interval") if c.kind == "change" else (c.head,) for c in others]
    made = table(first.head, figures=[head for of_column in heads for head in of_column])
    for row in rows:
        cells = []
        for column in told.columns:
            value = row[column.key]
            if column.kind == "change":
                change = "" if row.get("student") == "base" else signed(value, NATS_DIGITS)
                cells += [change, interval(row["low"], row["high"], NATS_DIGITS)]
            else:
                cells.append(f"{value:.{NATS_DIGITS}f}" if column.kind == "figure" else str(value))
        made.add_row(*cells)
    return made


def _one_row(run: dict[str, Any]) -> str:
    """What the run's channel calls one of its rows."""
    spec = tomllib.loads(run["spec_toml"])
    return words_of(spec.get("corpus", {})).one
