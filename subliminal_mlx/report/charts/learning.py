"""Students while they learn: answers of the blind test's two, and margins of a run that is under way."""

from collections.abc import Sequence

import altair as alt

from ...spec.arms import MAIN
from .style import HEADER, AnyChart, Row, arm_color, data, finish, kinds_of

_TICKS = alt.Axis(tickCount=5, ticks=False)


def answers(rows: Sequence[Row], label: str, steps: int) -> AnyChart:
    """The share of answers that name `label`, while a treated and a neutral student train.

    Args:
        rows: arm, step, percent.
        steps: of the whole training, for an axis that stays where it is.
    """
    top = max(10.0, *(1.15 * row["percent"] for row in rows))
    base = alt.Chart(data(rows)).encode(
        x=alt.X("step:Q", title="training step", scale=alt.Scale(domain=[0, steps]), axis=_TICKS),
        y=alt.Y(
            "percent:Q", title=f"percent {label}", scale=alt.Scale(domain=[0, top], nice=False), axis=_TICKS
        ),
        color=arm_color(rows),
        tooltip=["arm:N", "step:Q", alt.Tooltip("percent:Q", format=".1f")],
    )
    layers = [base.mark_line(strokeWidth=2), base.mark_point(filled=True, size=30, opacity=1)]
    return finish(
        alt.layer(*layers).properties(width=470, height=220) if rows else None,
        f"How often does a student answer {label}?",
        f"Probability of {label} among the candidates, mean over held-out questions. One student on each list, "
        "from the same weights: one chain, so no interval.",
        False,
    )


def margins(curves: Sequence[Row]) -> AnyChart:
    """Margin of students by arm and training step, mean over traits; from curves of a Summary, which may be partial."""
    found: dict[tuple[str, str, int], list[float]] = {}
    for row in curves:
        if row["arm"] in MAIN:
            found.setdefault((row["student"], row["arm"], row["step"]), []).append(row["margin"])
    rows = [
        {"student": kind, "arm": arm, "step": step, "margin": sum(values) / len(values)}
        for (kind, arm, step), values in sorted(found.items())
    ]
    base = alt.Chart().encode(
        x=alt.X("step:Q", title="training step", axis=_TICKS),
        y=alt.Y("margin:Q", title="margin, log-odds", scale=alt.Scale(zero=False), axis=_TICKS),
        color=arm_color(rows),
        tooltip=["student:N", "arm:N", "step:Q", alt.Tooltip("margin:Q", format="+.3f")],
    )
    layers = alt.layer(
        base.mark_line(strokeWidth=2), base.mark_point(filled=True, size=30, opacity=1), data=data(rows)
    )
    header = HEADER.copy()
    header.labelExpr = "datum.value + ' students'"
    wide = len(kinds_of(rows)) > 1
    return finish(
        layers.properties(width=250 if wide else 420, height=170).facet(
            column=alt.Column("student:N", header=header)
        )
        if rows
        else None,
        "Is the trait arriving?",
        "Margin: log-odds of the trait's answer against all others, on held-out questions; mean over traits and over "
        "the chains read so far, without interval while the run goes on.",
        wide,
    )
