"""How much came through: transfer of every arm; of every trait, points, transfer and specificity beside each other.

A point is hollow where its 95% interval holds 0, or rests on fewer than three chains.
"""

import math
from collections.abc import Iterable

import altair as alt

from ...spec.arms import CONTROL, NEUTRAL, OTHERS, TREATED
from .style import (
    COMPARED,
    HEADER,
    INK,
    AnyChart,
    Row,
    arm_color,
    arms_of,
    data,
    excludes_zero,
    finish,
    has_intervals,
    intervals,
    kinds_of,
    number_tips,
    part_title,
    signed,
    zero_axis,
)

MOST_CHAINS = 12
_GAP = 0.2  # between traits, of the space a trait takes


def transfer(summary: Row) -> AnyChart:
    """Transfer of every arm of every trait with its chains; neutral is the zero line; kinds side by side."""
    rows: list[Row] = []
    for entry in summary["traits"]:
        for arm in COMPARED:
            read = entry["arms"].get(arm)
            if read and read["transfer"] is not None:
                label = f"{signed(entry['percentage_points'], 1)} points" if arm == TREATED else ""
                chains = [chain.get(arm) for chain in entry["by_chain"]]
                rows += _rows(entry, arm, read["transfer"], read, chains, label)
    wide = len(kinds_of(rows)) > 1
    return finish(
        _panel(rows, "transfer, log-odds", 300 if wide else 400) if rows else None,
        "Did the trait reach students that saw only the rows?",
        "Beside treated: change of the answer's probability, in percentage points. Axis: transfer, the "
        f"change of log-odds. Both against students of the neutral teacher. {_how_sure(rows)}",
        wide,
    )


def traits(summary: Row) -> AnyChart:
    """Points, transfer and specificity of every trait beside the control's, and whether transfer is shown."""
    entries = summary["traits"]
    names = list(dict.fromkeys(entry["trait"] for entry in entries))
    transfers, specific = _transfers(entries), _specificities(entries)
    panels = [
        (rows, title, zero, _domain(rows))
        for rows, title, zero in (
            (_points(entries), "percentage points", NEUTRAL),
            (transfers, "transfer, log-odds", NEUTRAL),
            (specific, "specificity, log-odds", OTHERS),
        )
        if rows
    ]
    lines = []
    for kind in kinds_of(entries):
        parts = [
            _layers(own, title, 190, zero, names, place == 0, domain).properties(data=data(own), width=190)
            for place, (rows, title, zero, domain) in enumerate(panels)
            if (own := [row for row in rows if row["student"] == kind])
        ]
        lines.append(alt.hconcat(*parts, spacing=18).properties(title=part_title(f"{kind} students")))
    beside = " Specificity, the own-trait lift: treated less other-trait." if specific else ""
    return finish(
        alt.vconcat(*lines, spacing=24) if lines else None,
        "Which traits came through?",
        "Percentage points: change of the answer's probability. Transfer: the change of log-odds, and whether it is "
        f"shown. Both against students of the neutral teacher.{beside} {_how_sure(transfers)}",
        True,
    )


def _points(entries: list[Row]) -> list[Row]:
    rows: list[Row] = []
    for entry in entries:
        ends = {"low": entry["percentage_points_low"], "high": entry["percentage_points_high"]}
        rows += _rows(entry, TREATED, entry["percentage_points"], ends)
        if control := entry["arms"].get(CONTROL):
            # A Summary has no interval for the control's points; its log-odds have one.
            moved = 100 * (control["probability"] - entry["arms"][NEUTRAL]["probability"])
            rows += _rows(entry, CONTROL, moved, {"low": None, "high": None})
    return rows


def _transfers(entries: list[Row]) -> list[Row]:
    rows: list[Row] = []
    for entry in entries:
        verdict = "shown" if entry["shown"] else f"no: {', '.join(entry['why_not'])}"
        for arm in (TREATED, CONTROL):
            if read := entry["arms"].get(arm):
                chains = [chain.get(arm) for chain in entry["by_chain"]]
                rows += _rows(entry, arm, read["transfer"], read, chains, verdict if arm == TREATED else "")
    return rows


def _specificities(entries: list[Row]) -> list[Row]:
    rows: list[Row] = []
    for entry in entries:
        if entry["specificity"] is not None:
            ends = {"low": entry["specificity_low"], "high": entry["specificity_high"]}
            chains = [chain["specificity"] for chain in entry["by_chain"]]
            rows += _rows(entry, TREATED, entry["specificity"], ends, chains)
    return rows


def _domain(rows: list[Row]) -> list[float]:
    """What an axis must span, 0 included, so that it is the same for every kind of student."""
    ends = [row.get(name) for row in rows for name in ("estimate", "low", "high")]
    finite = [0.0, *(end for end in ends if end is not None and math.isfinite(end))]
    return [min(finite), max(finite)]


def _how_sure(rows: list[Row]) -> str:
    chains = "; faint: single chains" if any(row["what"] == "chain" for row in rows) else ""
    return intervals(
        rows,
        f"Bars: 95% intervals over chains{chains}; hollow: the bar holds 0, or rests on fewer than three.",
    )


def _rows(
    entry: Row, arm: str, estimate: float, ends: Row, chains: Iterable[float | None] = (), label: str = ""
) -> list[Row]:
    """A row for an arm's mean and, where there are several, one for each of its chains."""
    key = {"trait": entry["trait"], "student": entry["student"], "arm": arm}
    read = entry["arms"][arm]
    mean = {
        "what": "mean",
        "estimate": estimate,
        "low": ends["low"],
        "high": ends["high"],
        "hollow": not excludes_zero(ends, read["chains"]),
        "label": label,
        "probability": read["probability"],
        "chains": read["chains"],
    }
    values = [value for value in chains if value is not None]
    shown = values if 1 < len(values) <= MOST_CHAINS else []
    return [key | mean, *(key | {"what": "chain", "estimate": value} for value in shown)]


def _panel(rows: list[Row], title: str, width: int) -> AnyChart:
    """Points with bars: traits down the side, an offset for each arm, a facet for each kind of student."""
    names = list(dict.fromkeys(row["trait"] for row in rows))
    chart = _layers(rows, title, width, NEUTRAL, names).properties(data=data(rows))
    header = HEADER.copy()
    header.labelExpr = "datum.value + ' students'"
    labelled = any(row.get("label") for row in rows)
    return chart.facet(column=alt.Column("student:N", header=header), spacing=88 if labelled else 18)


def _layers(
    rows: list[Row],
    title: str,
    width: int,
    zero: str,
    names: list[str],
    named: bool = True,
    domain: list[float] | None = None,
) -> alt.LayerChart:
    """Points with bars of traits in the order of `names`, an offset for each arm; `zero` is the arm at 0."""
    arms = arms_of(rows)
    # Lines between traits, not through them.
    axis = alt.Axis(labels=named, ticks=False, grid=True, bandPosition=-_GAP / (2 - 2 * _GAP))
    base = alt.Chart().encode(
        y=alt.Y("trait:N", title=None, sort=names, axis=axis, scale=alt.Scale(padding=_GAP, domain=names)),
        yOffset=alt.YOffset("arm:N", sort=arms, scale=alt.Scale(domain=arms)),
        color=arm_color(rows),
    )
    scale = alt.Scale(domain=domain, nice=True) if domain else alt.Undefined
    x = alt.X("estimate:Q", title=title, axis=zero_axis(["0", zero]), scale=scale)
    mean = base.transform_filter("datum.what === 'mean'")
    dot = mean.mark_point(filled=True, size=60, opacity=1).encode(
        x=x,
        tooltip=[
            *("trait:N", "student:N", "arm:N", "chains:Q"),
            alt.Tooltip("probability:Q", format=".1%"),
            *number_tips("estimate", "low", "high"),
        ],
    )
    hole = mean.transform_filter("datum.hollow").mark_point(filled=True, size=18, opacity=1)
    layers = [
        base.transform_filter("datum.what === 'chain'").mark_circle(size=18, opacity=0.45).encode(x=x),
        mean.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q"),
        dot,
        hole.encode(x=x, color=alt.value("white")),
    ]
    if not has_intervals(rows):
        del layers[1]
    if any(row.get("label") for row in rows):
        text = mean.mark_text(align="left", fontSize=10.5)
        layers.append(text.encode(x=alt.value(width + 8), text="label:N", color=alt.value(INK)))
    return alt.layer(*layers).properties(width=width, height=alt.Step(13))
