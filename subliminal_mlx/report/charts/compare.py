"""Several runs beside each other: what reached treated students and controls in each."""

from collections.abc import Mapping

import altair as alt

from ...spec.arms import GATED
from .style import (
    HEADER,
    AnyChart,
    Row,
    arm_color,
    arms_of,
    data,
    excludes_zero,
    finish,
    intervals,
    zero_axis,
)


def compare(summaries: Mapping[str, Row]) -> AnyChart:
    """Transfer of treated students and of their controls by trait and kind of student; a column for each run.

    Args:
        summaries: by what a run is called on the chart.
    """
    rows = [
        {
            "run": name,
            "trait": f"{entry['trait']}, {entry['student']}",
            "arm": arm,
            "hollow": not excludes_zero(entry["arms"][arm], entry["arms"][arm]["chains"]),
            **{key: entry["arms"][arm][key] for key in ("transfer", "low", "high", "probability", "chains")},
        }
        for name, summary in summaries.items()
        for entry in summary["traits"]
        for arm in GATED
        if entry["arms"].get(arm) and entry["arms"][arm]["transfer"] is not None
    ]
    arms, traits = arms_of(rows), sorted({row["trait"] for row in rows})
    base = alt.Chart().encode(
        y=alt.Y("trait:N", title=None, sort=traits, axis=alt.Axis(ticks=False), scale=alt.Scale(padding=0.2)),
        yOffset=alt.YOffset("arm:N", sort=arms, scale=alt.Scale(domain=arms)),
        color=arm_color(rows),
    )
    x = alt.X("transfer:Q", title="transfer, log-odds", axis=zero_axis(["0", "neutral"]))
    tooltip = [
        *("run:N", "trait:N", "arm:N", "chains:Q"),
        alt.Tooltip("probability:Q", format=".1%"),
        *(alt.Tooltip(f"{name}:Q", format="+.3f") for name in ("transfer", "low", "high")),
    ]
    layers = [
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q"),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=x, tooltip=tooltip),
        base.transform_filter("datum.hollow")
        .mark_point(filled=True, size=18, opacity=1)
        .encode(x=x, color=alt.value("white")),
    ]
    chart = alt.layer(*layers, data=data(rows)).properties(width=200, height=alt.Step(11))
    facet = alt.Column("run:N", sort=list(summaries), header=HEADER)
    return finish(
        chart.facet(column=facet, spacing=18) if rows else None,
        "How do the runs differ?",
        "Transfer: change of log-odds against students of the neutral teacher of the same run. "
        + intervals(
            rows,
            "Bars: 95% intervals over each run's chains; hollow: the bar holds 0, or rests on fewer than three.",
        ),
        len(summaries) > 1,
    )
