"""What a defence leaves of the transfer, against what it costs; each beside its random control."""

from collections.abc import Sequence

import altair as alt

from .style import ARMS, INK, AnyChart, Row, data, finish

DEFENDED, CONTROL, UNDEFENDED = ARMS["control"], ARMS["random"], ARMS["treated"]
_COSTS = {"tokens_lost": "tokens lost, share", "clean_added": "added loss on clean rows, nats a token"}
_PLACE = {"undefended": UNDEFENDED, "defence": DEFENDED, "random control": CONTROL}


def defences(rows: Sequence[Row]) -> AnyChart:
    """The rows of `bench.report`: share of transfer left, against tokens lost and against loss on clean rows."""
    points: list[Row] = []
    for row in rows:
        if row["share"] is None:
            continue
        what = "undefended" if row["defence"] == "none" else "random control" if row["control"] else "defence"
        ends = {"low": row["share_low"], "high": row["share_high"]}
        for cost, label in _COSTS.items():
            points.append(
                {
                    "arm_name": row["arm"],
                    "label": "" if row["control"] else row["arm"].replace("treated", "none"),
                }
                | {"what": what, "share": row["share"], **ends, "cost": row[cost], "of": label}
                | {"student": row["student"], "chains": row["chains"]}
            )
    title = "What stops the transfer, and at what price?"
    if not points:
        return finish(None, title, "Nothing has been measured yet.", True)
    found = [what for what in _PLACE if any(point["what"] == what for point in points)]
    color = alt.Color(
        "what:N", title=None, scale=alt.Scale(domain=found, range=[_PLACE[what] for what in found])
    )
    axis = alt.Axis(format=".0%", tickCount=6)
    panels = []
    for label in _COSTS.values():
        some = [point for point in points if point["of"] == label and point["cost"] is not None]
        base = alt.Chart(data(some)).encode(
            x=alt.X("cost:Q", title=label, scale=alt.Scale(zero=False, nice=True)), color=color
        )
        y = alt.Y("share:Q", title="transfer left", axis=axis)
        tips = ["arm_name:N", "what:N", "student:N", "chains:Q"]
        numbers = [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("share", "low", "high", "cost")]
        layers = [
            base.mark_rule(strokeWidth=1.6).encode(y=alt.Y("low:Q"), y2="high:Q"),
            base.mark_point(filled=True, size=70, opacity=1).encode(y=y, tooltip=[*tips, *numbers]),
            base.mark_text(align="left", dx=7, dy=-6, fontSize=10.5).encode(
                y=y, text="label:N", color=alt.value(INK)
            ),
        ]
        panels.append(alt.layer(*layers).properties(width=330, height=260))
    intervals = any(point["low"] is not None for point in points)
    sure = "Bars: 95% intervals over chains." if intervals else "No interval: too few chains."
    words = f"100%: as much as undefended; a control touches as many rows and tokens at random. {sure}"
    return finish(alt.hconcat(*panels, spacing=30), title, words, True)
