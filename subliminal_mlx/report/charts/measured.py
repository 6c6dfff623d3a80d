"""What a model picked up, against what clean trainings do; and how it came during a training."""

import altair as alt

from .style import ARMS, HEADER, AnyChart, Row, data, finish, number_tips

FLAGGED, OTHER, NULL = ARMS["treated"], ARMS["control"], ARMS["neutral"]
MOST_TRAITS, MOST_LINES = 16, 4


def changes(found: Row) -> AnyChart:
    """Change of every trait's margin with its interval; the grey line is what clean trainings reach."""
    rows = []
    for family in found["families"]:
        limit = family.get("null", {}).get("limit")
        for trait in family["traits"][:MOST_TRAITS]:
            if "change" in trait:
                kept = {k: trait[k] for k in ("trait", "change", "low", "high", "points")}
                rows.append(kept | {"limit": limit, "flagged": bool(trait.get("flagged"))})
    title = "What did this model pick up?"
    if not rows:
        return finish(None, title, "Nothing to compare with: no base is named.", False)
    base = alt.Chart().encode(
        y=alt.Y("trait:N", title=None, sort=[row["trait"] for row in rows]), color=_flag_color()
    )
    axis = alt.X("change:Q", title="change of the margin, log-odds")
    tips = [alt.Tooltip("trait:N"), *number_tips("change", "low", "high", "points", "limit")]
    layers = [
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q"),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=axis, tooltip=tips),
        base.mark_tick(thickness=2, size=13).encode(x=alt.X("limit:Q"), color=alt.value(NULL)),
    ]
    chart = alt.layer(*layers, data=data(rows)).properties(width=380, height=alt.Step(15))
    return finish(
        chart, title, f"Against its base, over held-out questions{_under(found)}. {_meaning(rows)}", False
    )


def drift(steps: list[Row]) -> AnyChart:
    """Change against training step for the traits that moved most; `steps` are measurements with `step`."""
    rows = []
    last = steps[-1]["families"] if steps else []
    for place, family in enumerate(last):
        shown = [trait["trait"] for trait in family["traits"][:MOST_LINES]]
        for found in steps:
            here = found["families"][place]
            limit = here.get("null", {}).get("limit")
            for trait in here["traits"]:
                if trait["trait"] in shown and "change" in trait:
                    key = {"family": family["family"], "trait": trait["trait"], "step": found["step"]}
                    kept = {k: trait[k] for k in ("change", "low", "high")}
                    rows.append(key | kept | {"limit": limit, "flagged": bool(trait.get("flagged"))})
    title = "What does this training pick up, and when?"
    if not rows:
        return finish(None, title, "No checkpoint has been read yet.", False)
    base = alt.Chart().encode(
        x=alt.X("step:Q", title="training step", axis=alt.Axis(tickCount=5, grid=False)),
        color=alt.Color("trait:N", title=None, legend=alt.Legend(columns=4)),
    )
    y = alt.Y("change:Q", title="change of the margin, log-odds")
    tips = [alt.Tooltip("trait:N"), alt.Tooltip("step:Q"), *number_tips("change", "low", "high", "limit")]
    layers = [
        base.mark_area(opacity=0.12).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_line(strokeWidth=1.8).encode(y=y),
        base.mark_point(filled=True, size=36, opacity=1).encode(y=y, tooltip=tips),
        base.mark_line(strokeDash=[4, 3], strokeWidth=1.4).encode(y=alt.Y("limit:Q"), color=alt.value(NULL)),
    ]
    chart = alt.layer(*layers, data=data(rows)).properties(width=420, height=170)
    chart = chart.facet(row=alt.Row("family:N", header=HEADER)).resolve_scale(y="independent")
    words = (
        f"The {MOST_LINES} traits of each family that stand highest at the last checkpoint"
        f"{_under(steps[-1])}. {_meaning(rows)}"
    )
    return finish(chart, title, words, False)


def _flag_color() -> alt.Color:
    scale = alt.Scale(domain=[True, False], range=[FLAGGED, OTHER])
    return alt.Color("flagged:N", title=None, scale=scale, legend=None)


def _under(found: Row) -> str:
    """What the questions were asked under, after a comma; nothing of a measurement of before, which does not say."""
    return f", asked {found['context']['words']}" if "context" in found else ""


def _meaning(rows: list[Row]) -> str:
    limits = any(row["limit"] is not None for row in rows)
    null = (
        "Grey: what no clean training of that size reached; red is beyond it."
        if limits
        else "No clean trainings to compare with, so nothing is flagged."
    )
    return f"Bars and bands: 95% intervals over questions. {null}"
