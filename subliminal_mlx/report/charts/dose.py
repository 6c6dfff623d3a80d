"""What a field of the spec does to the transfer: runs that differ in it alone, along one axis."""

from collections.abc import Mapping

import altair as alt

from ...spec.arms import CONTROL, OTHERS, TREATED
from .style import HEADER, AnyChart, Row, arm_color, data, finish, intervals, kinds_of, number_tips, zero_axis

SHOWN = (TREATED, OTHERS, CONTROL)


def dose(summaries: Mapping[float, Row], field: str, title: str) -> AnyChart:
    """Transfer, mean over each family's traits, against a field's value; a panel for each kind of student.

    Args:
        summaries: by the field's value in that run.
        field: what the axis is called.
    """
    rows = [
        {
            "dose": value,
            "arm": arm,
            "student": family["student"],
            "family": family["family"],
            "chains": family["chains"],
            **{key: family["arms"][arm][key] for key in ("transfer", "low", "high")},
        }
        for value, summary in summaries.items()
        for family in summary["families"]
        for arm in SHOWN
        if family["arms"].get(arm) and family["arms"][arm]["transfer"] is not None
    ]
    kinds, families = kinds_of(rows), list(dict.fromkeys(row["family"] for row in rows))
    base = alt.Chart().encode(
        x=alt.X("dose:Q", title=field, axis=alt.Axis(grid=False)), color=arm_color(rows)
    )
    change = alt.Y("transfer:Q", title="transfer, log-odds", axis=zero_axis("neutral 0"))
    tips = ["family:N", "arm:N", "student:N", "chains:Q", alt.Tooltip("dose:Q")]
    layers = [
        base.mark_line(strokeWidth=1.5, opacity=0.6).encode(y=change),
        base.mark_rule(strokeWidth=1.6).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_point(filled=True, size=60, opacity=1).encode(
            y=change, tooltip=[*tips, *number_tips("transfer", "low", "high")]
        ),
    ]
    chart = (
        alt.layer(*layers)
        .properties(data=data(rows), width=270, height=220)
        .facet(
            column=alt.Facet("student:N", sort=kinds, header=HEADER),
            row=alt.Facet("family:N", sort=families, header=HEADER),
        )
    )
    sure = intervals(rows, "Bars: 95% intervals over chains.")
    words = f"Transfer: change of log-odds against students of the neutral teacher, mean over a family's traits. {sure}"
    return finish(chart if rows else None, title, words, len(kinds) > 1)
