"""A small chart for each trait: transfer while a student trains, and the answers models give."""

import math
from collections import defaultdict

import altair as alt

from ...spec.arms import ARMS, MAIN, ORIGINS, TREATED
from .style import (
    COMPARED,
    HEADER,
    AnyChart,
    Row,
    arm_color,
    data,
    finish,
    has_intervals,
    intervals,
    kinds_of,
    number_tips,
    part_title,
    zero_axis,
)

ANSWERING = (*ORIGINS, *MAIN)
MOST_CANDIDATES, MOST_TRAITS, MOST_STEPS = 20, 16, 12


def curves(summary: Row) -> AnyChart:
    """Transfer against training step by arm; neutral is the zero line."""
    found = [row for row in summary["curves"] if row["arm"] in COMPARED and row["transfer"] is not None]
    steps = sorted({row["step"] for row in found})
    shown = steps[:: -math.ceil(len(steps) / MOST_STEPS) or -1]  # from the last one back
    rows = [row for row in found if row["step"] in shown]
    traits = list(dict.fromkeys(row["trait"] for row in rows))
    base = alt.Chart().encode(
        x=alt.X("step:Q", title="training step", axis=alt.Axis(tickCount=4, grid=False)),
        color=arm_color(rows),
    )
    line = base.encode(
        y=alt.Y("transfer:Q", title="transfer, log-odds", axis=zero_axis("neutral 0")),
        tooltip=["trait:N", "arm:N", "step:Q", *number_tips("transfer", "low", "high")],
    )
    layers = [line.mark_line(strokeWidth=1.8), line.mark_point(filled=True, size=20, opacity=1)]
    if has_intervals(rows):
        layers.insert(0, base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q"), y2="high:Q"))
    parts = {kind: (alt.layer(*layers), [r for r in rows if r["student"] == kind]) for kind in kinds_of(rows)}
    return finish(
        _multiples(parts, traits, height=110 if len(traits) > 1 else 220),
        "When does the trait arrive?",
        "Transfer, in log-odds, against students of the neutral teacher at the same step. "
        + intervals(rows, "Bands: 95% intervals over chains."),
        len(traits) > 2,
    )


def distributions(summary: Row, family: str) -> AnyChart:
    """The answers that a family's questions get from untrained, teacher, treated, neutral and control."""
    found = [row for row in summary["distributions"] if row["family"] == family and row["arm"] in ANSWERING]
    treated = [row for row in found if row["arm"] == TREATED]
    traits = list(dict.fromkeys(row["source"] for row in treated))
    weights: dict[str, float] = defaultdict(float)
    for row in found:
        weights[row["candidate"]] += row["probability"]
    likely = sorted(weights, key=lambda candidate: -weights[candidate])[:MOST_CANDIDATES]
    candidates = [candidate for candidate in weights if candidate in likely]
    rows = [row for row in found if row["candidate"] in likely]
    ticks = alt.Axis(values=[1, 5, 20, 50, 100])
    dots = alt.Chart().mark_point(filled=True, size=36, opacity=0.85)
    dots = dots.encode(
        x=alt.X("percent:Q", title="percent", scale=alt.Scale(type="sqrt", domain=[0, 100]), axis=ticks),
        y=alt.Y(
            "candidate:N", title=None, sort=candidates, axis=alt.Axis(grid=True, ticks=False, labelLimit=110)
        ),
        color=arm_color(found),
        tooltip=["trait:N", "candidate:N", "arm:N", alt.Tooltip("percent:Q", format=".1f")],
    )
    parts = {kind: (dots, _by_trait(rows, kind, traits[:MOST_TRAITS])) for kind in kinds_of(treated)}
    cuts = [f"the first {MOST_TRAITS} of {len(traits)} traits"] if len(traits) > MOST_TRAITS else []
    if len(weights) > MOST_CANDIDATES:
        cuts.append(f"the {MOST_CANDIDATES} likeliest of {len(weights)} answers")
    return finish(
        _multiples(parts, traits[:MOST_TRAITS], height=alt.Step(13)),
        f"What do models answer to the questions of {family}?",
        "Probability among the candidates in percent, on a square-root axis: means over held-out questions "
        "and chains, without intervals." + (f" Shown: {' and '.join(cuts)}." if cuts else ""),
        len(traits) > 2,
    )


def _by_trait(found: list[Row], kind: str, traits: list[str]) -> list[Row]:
    """Rows for the facet of every trait: its own teacher and students, and those that all traits share."""
    rows = []
    for row in found:
        if row["student"] == kind or row["arm"] in ORIGINS:
            own = ARMS[row["arm"]].rows == "trait"
            shown = {"candidate": row["candidate"], "arm": row["arm"], "percent": 100 * row["probability"]}
            rows += [shown | {"trait": trait} for trait in traits if not own or trait == row["source"]]
    return rows


def _multiples(
    parts: dict[str, tuple[AnyChart, list[Row]]], traits: list[str], height: int | alt.Step
) -> AnyChart | None:
    """A facet for each trait, under a heading for each kind of student; None without rows."""
    # Lines of four or three, whichever leaves less of the last one empty.
    columns = len(traits) if len(traits) < 5 else min((4, 3), key=lambda columns: -len(traits) % columns)
    facet = alt.Facet("trait:N", sort=traits, header=HEADER)
    width = {1: 420, 2: 250, 3: 220}.get(columns, 165)
    blocks = [
        chart.properties(data=data(rows), width=width, height=height)
        .facet(facet, columns=columns, spacing=16)
        .properties(title=part_title(f"{kind} students"))
        for kind, (chart, rows) in parts.items()
        if rows
    ]
    return alt.vconcat(*blocks, spacing=24) if blocks else None
