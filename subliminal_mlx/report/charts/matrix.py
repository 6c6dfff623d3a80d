"""Which trait each corpus carries: trait read by trait of the rows' teacher.

A number is bold where its 95% interval over three chains or more excludes 0, and pale otherwise.
"""

import altair as alt

from ...spec.arms import ARMS, TREATED
from ...system.quantities import p_value
from ..words import TOO_FEW
from .style import (
    INK,
    PALE,
    AnyChart,
    Row,
    data,
    excludes_zero,
    finish,
    intervals,
    kinds_of,
    number_tips,
    part_title,
    signed,
)

_SIGNED = "datum.value === 0 ? '0' : format(datum.value, '+.2f')"
_PERMUTED = "p: labels of a family's students permuted, held in every chain, over all its traits at once."
# Traits of a family at most, then a cell's width, its font (0: no numbers) and its digits.
_SIZES = ((8, 46, 11, 2), (16, 32, 9, 2), (32, 24, 8, 1), (1_000, 14, 0, 0))


def matrix(summary: Row) -> AnyChart:
    """Transfer by trait that is read and source of the rows; a block for each family and kind of student."""
    chains = {(e["student"], e["trait"]): e["arms"][TREATED]["chains"] for e in summary["traits"]}
    rows = [
        {name: row[name] for name in ("student", "source", "read", "transfer", "low", "high")}
        | {"family": row["read"].rpartition("/")[0]}
        | {"sure": excludes_zero(row, chains.get((row["student"], row["read"]), 0))}
        for row in summary["matrix"]
        if row["transfer"] is not None
    ]
    tested = {(family["student"], family["family"]): family for family in summary["families"]}
    largest = max((abs(row["transfer"]) for row in rows), default=0) or 1
    students = kinds_of(rows)
    blocks = [
        _block(part, largest).properties(title=part_title(_heading(family, kind, tested)))
        for family in dict.fromkeys(row["family"] for row in rows)
        for kind in students
        if (part := [row for row in rows if row["family"] == family and row["student"] == kind])
    ]
    return finish(
        alt.concat(*blocks, columns=len(students), spacing=24) if blocks else None,
        "Does each corpus carry its own teacher's trait, and no other?",
        "Transfer: change of log-odds of the trait that is read, against students of the neutral teacher. "
        "Framed: the teacher's own trait. "
        + intervals(rows, "Bold: its 95% interval over three chains or more excludes 0. ")
        + _PERMUTED * any(family["p_smallest"] for family in tested.values()),
        len(students) > 1,
    )


def _heading(family: str, kind: str, tested: dict[tuple[str, str], Row]) -> str:
    """What a block is of and, where several traits have students, what permuting their labels says."""
    found = tested.get((kind, family))
    if not found or not found["p_smallest"]:
        return f"{family}, {kind} students"
    if found["p"] is None:
        return f"{family}, {kind} students: no p, {TOO_FEW}"
    smallest = f"smallest possible {p_value(found['p_smallest'])}"
    return f"{family}, {kind} students: p {p_value(found['p'])}, {smallest}"


def _block(rows: list[Row], largest: float) -> AnyChart:
    reads = list(dict.fromkeys(row["read"] for row in rows))
    sources = {row["source"] for row in rows}
    # Traits in the order in which they are read, then the controls.
    order = [read for read in reads if read in sources] + sorted(
        sources - set(reads), key=lambda source: source in ARMS
    )
    width, font, digits = next(size for most, *size in _SIZES if len(reads) <= most)
    base = alt.Chart(data(row | {"text": signed(row["transfer"], digits)} for row in rows)).encode(
        x=alt.X("read:N", title="trait read", sort=reads, axis=alt.Axis(labelAngle=-40, ticks=False)),
        y=alt.Y("source:N", title="rows of", sort=order, axis=alt.Axis(ticks=False)),
    )
    color = alt.Color(
        "transfer:Q",
        scale=alt.Scale(scheme="blueorange", domain=[-largest, largest], domainMid=0),
        legend=alt.Legend(
            title="transfer, log-odds", gradientLength=160, values=[-largest, 0, largest], labelExpr=_SIGNED
        ),
    )
    tooltip = ["student:N", "source:N", "read:N", *number_tips("transfer", "low", "high")]
    layers = [
        base.mark_rect().encode(color=color, tooltip=tooltip),
        base.transform_filter("datum.source === datum.read").mark_rect(
            filled=False, stroke=INK, strokeWidth=1.3
        ),
    ]
    if font:
        dark = f"abs(datum.transfer) > {0.6 * largest}"
        for sure, weight, ink in (("datum.sure", "bold", INK), ("!datum.sure", "normal", PALE)):
            text = base.transform_filter(sure).mark_text(fontSize=font, fontWeight=weight)
            layers.append(
                text.encode(text="text:N", color=alt.condition(dark, alt.value("white"), alt.value(ink)))
            )
    return alt.layer(*layers).properties(width=alt.Step(width), height=alt.Step(min(width, 28)))
