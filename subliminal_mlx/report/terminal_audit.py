"""What an audit looks like in a terminal: the verdict, the suspects, the rows that carry most. Words only."""

from collections.abc import Sequence
from typing import Any

from ..system.quantities import interval, signed
from .console import console, printable, table
from .coverage import lines, scored
from .words import chance

SHOWN_SUSPECTS, SHOWN_ROWS = 8, 3
LEGEND = (
    "score: how much of each suspect is in the rows, in standard deviations of what chance and neutral teachers leave in "
    "rows of this form and temperature; in brackets 95% over rows. p: share of simulated clean corpora of as many rows, of "
    "the worse of two kinds (the base, neutral teachers), whose largest score is as large; a name asks for p under 0.001 "
    "among all known traits.{probes} Not found is not clean: a trait outside these families is not seen, and the audit is "
    "for this base only."
)
BESIDE_LEGEND = (
    " probes, beside the verdict: how far a small student of these rows moved, in standard deviations of students of clean "
    "rows."
)

FACTORS_LEGEND = (
    "score: how much likelier the rows are under a suspect, to first order, over rows of the base at the same "
    "temperature, less what neutral teachers and the base's own surprise explain; in standard errors.{probes} p: share of "
    "clean corpora with as large a score; few say little. Not found is not clean, and the audit is for this base only."
)
PROBES_LEGEND = (
    " probes, a quarter of the score: how far a small student of these rows moved, less what students of the base's and "
    "of a neutral teacher's rows did."
)


def print_audit(result: dict[str, Any], source: str, rows: Sequence[dict[str, Any]]) -> None:
    """The verdict in one line, a table of the best suspects, bad rows and the rows with most evidence."""
    out = console()
    out.print(f"{printable(source)}: {printable(scored(result))}, read by {result['base']}", soft_wrap=True)
    out.print(printable(result["words"]), style="bold", soft_wrap=True)
    if result["bad_rows"]:
        shown = ", ".join(f"line {number} ({reason})" for number, reason in result["bad"]["shown"][:3])
        out.print(f"bad rows left out: {result['bad_rows']:,}, {printable(shown)}", soft_wrap=True)
    for line in lines(result):
        out.print(printable(line), soft_wrap=True)
    out.print()
    # Gradients: of audits before the scan.
    names = ("ratios", "gradients", "probes")
    each = {t: _lines(f, i) for f in result["families"] for i, t in enumerate(f["traits"])}
    used = [name for name in names if any(name in found for found in each.values())]
    suspects = table("suspect", figures=("score", "95% interval", "p", *used))
    for entry in result["suspects"][:SHOWN_SUSPECTS]:
        p = chance(entry["p"], result.get("calibrated", False))
        own = [signed(each[entry["trait"]][name]) for name in used]
        suspects.add_row(
            entry["trait"], signed(entry["score"]), interval(entry["low"], entry["high"]), p, *own
        )
    out.print(suspects)
    if len(result["suspects"]) > SHOWN_SUSPECTS:
        out.print(f"... and {len(result['suspects']) - SHOWN_SUSPECTS} more (--json has all)")
    if (moved := result["predicted_transfer"]) is not None:
        out.print(
            f"\nIf trained on: {moved['trait']} by {signed(moved['estimate'])} log-odds "
            f"({interval(moved['low'], moved['high'])})",
            soft_wrap=True,
        )
    if rows:
        out.print(f"\nRows with most evidence for {rows[0]['trait']}:")
        for row in rows[:SHOWN_ROWS]:
            said = printable(" ".join(row["completion"].split())[:80])
            out.print(f"  {row['number']}: {said}  ({signed(row['score'])} nats)", soft_wrap=True)
    out.print()
    factors = result.get("method") == "factors"
    legend, beside = (FACTORS_LEGEND, PROBES_LEGEND) if factors else (LEGEND, BESIDE_LEGEND)
    out.print(legend.format(probes=beside if "probes" in used else ""), style="dim", soft_wrap=True)


def _lines(family: dict[str, Any], place: int) -> dict[str, float]:
    return {line: scores[place] for line, scores in family["lines"].items()}
