"""How much came through: transfer of every arm, and the headline of every trait.

A point is hollow where its 95% interval holds 0, or where it has none.
"""

from collections.abc import Iterable

import altair as alt

from ...spec.arms import CONTROL, NEUTRAL, TREATED
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
    signed,
    zero_axis,
)

MOST_CHAINS = 12
_GAP = 0.2  # between traits, of the space a trait takes
_HEADLINES = {
    "lift": "own-trait lift (treated less other-trait)",
    "transfer": "transfer (treated less neutral)",
}


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


def lifts(summary: Row) -> AnyChart:
    """The headline of every trait, in percentage points and in log-odds, beside the control's."""
    points: list[Row] = []
    log_odds: list[Row] = []
    for entry in summary["traits"]:
        change = {"low": entry["percentage_points_low"], "high": entry["percentage_points_high"]}
        points += _rows(entry, TREATED, entry["percentage_points"], change)
        headline = "lift" if entry["headline"] == "lift" else TREATED
        chains = [chain.get(headline) for chain in entry["by_chain"]]
        log_odds += _rows(entry, TREATED, entry["estimate"], entry, chains)
        if control := entry["arms"].get(CONTROL):
            # A Summary has no interval for the control's points; its log-odds have one.
            moved = 100 * (control["probability"] - entry["arms"][NEUTRAL]["probability"])
            points += _rows(entry, CONTROL, moved, {"low": None, "high": None})
            chains = [chain.get(CONTROL) for chain in entry["by_chain"]]
            log_odds += _rows(entry, CONTROL, control["transfer"], control, chains)
    wide = len(kinds_of(points)) > 1
    width = 170 if wide else 215
    parts = [_panel(points, "percentage points", width), _panel(log_odds, "log-odds", width, named=False)]
    found = {entry["headline"] for entry in summary["traits"]}
    control = "; of control, transfer" if "lift" in found else ""
    meaning = " or, in families under six traits, ".join(
        _HEADLINES[name] for name in _HEADLINES if name in found
    )
    return finish(
        alt.hconcat(*parts, spacing=24) if points else None,
        "Which traits came through?",
        "Percentage points: change of the answer's probability against students of the neutral teacher. "
        f"Log-odds: {meaning}{control}. {_how_sure(log_odds)}",
        wide,
    )


def _how_sure(rows: list[Row]) -> str:
    chains = "; faint: single chains" if any(row["what"] == "chain" for row in rows) else ""
    return intervals(
        rows, f"Bars: 95% intervals over chains{chains}; hollow: the bar holds 0, or there is none."
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
        "hollow": not excludes_zero(ends),
        "label": label,
        "probability": read["probability"],
        "chains": read["chains"],
    }
    values = [value for value in chains if value is not None]
    shown = values if 1 < len(values) <= MOST_CHAINS else []
    return [key | mean, *(key | {"what": "chain", "estimate": value} for value in shown)]


def _panel(rows: list[Row], title: str, width: int, named: bool = True) -> AnyChart:
    """Points with bars: traits down the side, an offset for each arm, a facet for each kind of student."""
    arms, traits = arms_of(rows), list(dict.fromkeys(row["trait"] for row in rows))
    # Lines between traits, not through them.
    axis = alt.Axis(labels=named, ticks=False, grid=True, bandPosition=-_GAP / (2 - 2 * _GAP))
    base = alt.Chart().encode(
        y=alt.Y("trait:N", title=None, sort=traits, axis=axis, scale=alt.Scale(padding=_GAP)),
        yOffset=alt.YOffset("arm:N", sort=arms, scale=alt.Scale(domain=arms)),
        color=arm_color(rows),
    )
    x = alt.X("estimate:Q", title=title, axis=zero_axis(["0", "neutral"]))
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
    labelled = any(row.get("label") for row in rows)
    if labelled:
        text = mean.mark_text(align="left", fontSize=10.5)
        layers.append(text.encode(x=alt.value(width + 8), text="label:N", color=alt.value(INK)))
    chart = alt.layer(*layers, data=data(rows)).properties(width=width, height=alt.Step(13))
    header = HEADER.copy()
    header.labelExpr = "datum.value + ' students'"
    return chart.facet(column=alt.Column("student:N", header=header), spacing=88 if labelled else 18)
