"""What a run's result looks like in a terminal. Words and layout only.

print_result(run)        # on stdout; progress, on stderr, is `bars`' business
"""

import tomllib
from typing import TYPE_CHECKING, Any

from ..spec.arms import ARMS, ORIGINS, TREATED
from ..spec.corpus import words_of
from ..system.quantities import (
    NATS_DIGITS,
    NOT_KNOWN,
    interval,
    p_value,
    percent,
    percent_interval,
    points,
    signed,
)
from .console import console, printable, table
from .readouts import Told, shown
from .words import TOO_FEW, damaged, missing, not_shown, rate

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# What students come from, then the arms in their order.
ORDER = (*ORIGINS, *(name for name in ARMS if name not in ORIGINS))
FEW_CHAINS = {
    1: "; one chain, so no interval",
    2: "; two chains are too few to show it: --set chains=5",
}
LEGEND = (
    "points: change of the answer's probability against neutral. log-odds, transfer: natural "
    "logarithms; transfer is the answer's log-odds less the neutral arm's, specificity (the own-trait lift) the treated students' "
    "transfer less that of the family's other traits. p: labels of a family's students permuted, each assignment "
    "held in every chain, over all its traits at once; smallest: what p can be with so many traits; Holm: corrected for the "
    "families of a kind of student. damage: loss on neutral text less the neutral arm's, nats a token. shown: "
    "three chains or more, the intervals of transfer, of points and of treated less control above 0, no damaged student, "
    "and Holm's p at most 0.05 where there is one."
)


def print_result(run: dict[str, Any], out: "Console | None" = None) -> None:
    """The run's tables: every trait with all arms, then transfer of each and what is shown; 80 columns hold them."""
    out = out or console()
    entries, spec = run["summary"]["traits"], tomllib.loads(run.get("spec_toml", ""))
    for entry in entries:
        out.print(f"{entry['trait']}, {entry['student']} students", style="bold")
        out.print(_arms_table(entry))
        if words := damaged(entry["arms"]):
            out.print(words, style="bold")
        out.print()
    for title, group in _by_chains(entries).items():
        out.print(title, style="bold")
        out.print(transfer_table(group))
        for words in not_shown(group):
            out.print(words, style="dim")
        out.print()
    if families := run["summary"].get("families"):
        out.print("labels of each family's students permuted", style="bold")
        out.print(families_table(families))
        out.print()
    for line in missing(spec, entries):
        out.print(line, style="bold")
        out.print()
    if again := run["summary"].get("prefixed"):
        out.print(f"the same, read after {words_of(spec.get('corpus', {})).one}", style="bold")
        out.print(transfer_table(again))
        out.print()
    for told, rows in shown(run["summary"]):
        out.print(told.title, style="bold")
        out.print(readout_table(told, rows))
        for words in told.warnings(rows):
            out.print(words, style="bold")
        out.print()
    out.print(LEGEND, style="dim")


def _arms_table(entry: dict[str, Any]) -> "Table":
    arms = entry["arms"]
    figures = ("chains", "probability", "transfer", "95% interval", "damage")
    made = table("arm", figures=figures, least=max(map(len, ARMS)))
    made.columns[-2].min_width = len("+0.12 to +0.34")
    for arm in (arm for arm in ORDER if arm in arms):
        read = arms[arm]
        made.add_row(
            arm,
            str(read["chains"]),
            percent(read["probability"]),
            "reference" if ARMS[arm].is_reference else signed(read["transfer"]),
            interval(read["low"], read["high"]),
            signed((read.get("damage") or {}).get("over_neutral"), NATS_DIGITS),
            style="bold" if arm == TREATED else None,
        )
    if entry["specificity"] is not None:
        ends = interval(entry["specificity_low"], entry["specificity_high"])
        made.add_row("specificity", "", "", signed(entry["specificity"]), ends, "")
    return made


def _by_chains(entries: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Entries that one table of transfer holds, by its heading."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        few = FEW_CHAINS.get(entry["arms"][TREATED]["chains"], "")
        groups.setdefault(f"transfer, {entry['student']} students{few}", []).append(entry)
    return groups


def transfer_table(entries: list[dict[str, Any]]) -> "Table":
    """One row a trait: transfer with its interval, specificity beside it, and whether transfer is shown."""
    told = "shown" in entries[0]
    made = table("trait", figures=("points", "transfer", "95% interval", "specificity", *["shown"] * told))
    for entry in entries:
        made.add_row(
            entry["trait"],
            points(entry["percentage_points"]),
            signed(entry["transfer"]),
            interval(entry["low"], entry["high"]),
            signed(entry["specificity"]),
            *["yes" if entry["shown"] else "no"] * told,
        )
    return made


def families_table(families: list[dict[str, Any]]) -> "Table":
    """One row a family and kind of student: what permuting its labels says, or that its traits are too few for it."""
    made = table("family", figures=("students", "traits", "chains", "p", "smallest", "Holm"))
    for family in families:
        few = family["p"] is None and family["p_smallest"] is not None
        made.add_row(
            *(family["family"], family["student"], str(family["traits"]), str(family["chains"])),
            TOO_FEW if few else p_value(family["p"]),
            p_value(family["p_smallest"]),
            p_value(family["p_holm"]),
        )
    return made


LEAST_NAME = 16  # characters of a name


def readout_table(told: Told, rows: list[dict[str, Any]]) -> "Table":
    """A readout of the whole run; a change has its interval in a column of its own, the base has none from itself."""
    first, *others = told.columns
    notes = [column.head for column in others if column.kind == "note"]  # they stand last
    others = others[: len(others) - len(notes)]
    heads = [(c.head, "95% interval") if c.kind in ("change", "share") else (c.head,) for c in others]
    lines = told.lines(rows)
    # Where all columns do not fit, the first is folded and not squeezed away.
    least = min(LEAST_NAME, max(len(str(row[first.key])) for row in lines)) if lines else None
    figures = [head for of_column in heads for head in of_column]
    made = table(first.head, figures=figures, notes=notes, least=least)
    for row in lines:
        cells = []
        for column in told.columns:
            value = row.get(column.key)
            if column.kind == "change":
                change = "" if row.get("student") == "base" else signed(value, NATS_DIGITS)
                cells += [change, interval(row["low"], row["high"], NATS_DIGITS)]
            elif column.kind == "share":
                cells += [percent(value), percent_interval(row["low"], row["high"])]
            elif column.kind == "rate":
                cells.append(rate(row, column.key))
            elif column.kind in ("words", "note"):
                cells.append(printable(value))
            else:
                cells.append(NOT_KNOWN if value is None else f"{value:.{NATS_DIGITS}f}")
        made.add_row(*cells)
    return made
