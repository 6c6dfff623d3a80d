"""Charts of the one-step theorem, from rows of `digits.summary.theorem_rows`: a step size and a distance each.

`narrow` is for phones: one panel below the other.
"""

import altair as alt

from .style import INK, PALE, AnyChart, Row, beside, data, finish, part_title

# From one initialisation to two that have nothing in common.
_LINES = {0: "#d1495b", 0.001: "#b5838d", 0.01: "#8d6b94", 0.1: "#30638e", 1: "#adb5bd"}


def guarantee(rows: list[Row], here: tuple[float, float] | None = None, narrow: bool = False) -> AnyChart:
    """Share of draws that go against the theorem, by step size and distance; `here` is framed."""
    parts = {"against": "student moved against the teacher", "raised": "teacher's loss rose"}
    blocks = []
    for field, name in parts.items():
        shown = [row | {"percent": 100 * row[field]} for row in rows]
        base = alt.Chart(data(shown)).encode(
            x=alt.X("step:O", title="size of the teacher's step", axis=alt.Axis(labelAngle=0, ticks=False)),
            y=alt.Y("distance:O", title="distance between initialisations", axis=alt.Axis(ticks=False)),
        )
        scale = alt.Scale(domain=[0, 50, 100], range=["#f6f3f4", "#edae49", "#d1495b"], interpolate="rgb")
        layers = [
            base.mark_rect(stroke="white").encode(
                color=alt.Color("percent:Q", scale=scale, legend=None),
                tooltip=["step:O", "distance:O", "draws:Q", alt.Tooltip("percent:Q", format=".1f")],
            ),
            base.mark_text(fontSize=10, color=INK).encode(text=alt.Text("percent:Q", format=".0f")),
        ]
        if here is not None:
            place = f"datum.step === {here[0]!r} && datum.distance === {here[1]!r}"
            layers.append(base.transform_filter(place).mark_rect(filled=False, stroke=INK, strokeWidth=2.5))
        chart = alt.layer(*layers).properties(width=alt.Step(34), height=alt.Step(24))
        blocks.append(chart.properties(title=part_title(f"{name}, percent of draws")))
    draws = rows[0]["draws"] if rows else 0
    return finish(
        beside(narrow, *blocks) if rows else None,
        "Where does the guarantee hold, and where does it end?",
        f"{draws} draws of networks, images and noise a cell. The theorem speaks of distance 0 and small steps: the "
        "left of each top row. A coin would show 50.",
        True,
        narrow,
    )


def one_step(rows: list[Row], narrow: bool = False) -> AnyChart:
    """Cosine of student's and teacher's step, and the change of the teacher's loss, against step size."""
    distances = [d for d in _LINES if any(row["distance"] == d for row in rows)]
    shown = []
    for row in rows:
        if row["distance"] in distances:
            per_step = {f"change{end}": row[f"change{end}"] for end in ("", "_low", "_high")}
            per_step = {k: None if v is None else v / row["step"] for k, v in per_step.items()}
            shown.append(row | per_step | {"from": f"{row['distance']:g}"})
    color = alt.Color(
        "from:N",
        title="distance between initialisations",
        scale=alt.Scale(domain=[f"{d:g}" for d in distances], range=[_LINES[d] for d in distances]),
        legend=alt.Legend(columns=5),
    )
    x = alt.X(
        "step:Q",
        title="size of the teacher's step",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(grid=False, format="~g", values=[0.001, 0.01, 0.1, 1, 10]),
    )
    panels = {
        "cosine": ("cosine of the two steps", alt.Scale()),
        "change": ("nats, for each unit of step", alt.Scale(domain=[-0.15, 0.15], clamp=True, nice=False)),
    }
    blocks = []
    for field, (title, scale) in panels.items():
        base = alt.Chart(data(shown)).encode(x=x, color=color)
        y = alt.Y(f"{field}:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6))
        zero = alt.Chart(data([{"y": 0}])).mark_rule(color=PALE, strokeDash=[3, 3]).encode(y="y:Q")
        area = base.mark_area(opacity=0.15).encode(
            y=alt.Y(f"{field}_low:Q", scale=scale), y2=f"{field}_high:Q"
        )
        line = base.mark_line(strokeWidth=1.8, point=alt.OverlayMarkDef(size=26)).encode(y=y)
        titles = {
            "cosine": "do student and teacher move the same way?",
            "change": "change of the teacher's loss",
        }
        chart = alt.layer(zero, area, line).properties(width=250, height=200)
        blocks.append(chart.properties(title=part_title(titles[field])))
    return finish(
        beside(narrow, *blocks) if rows else None,
        "How does one step of imitation move a student?",
        "Cosine: above 0 is the teacher's way. Change: below 0 the student's step, as long as the teacher's, lowers the "
        "loss that only the teacher was trained on; clipped at 0.15. Bands: 95% intervals over draws.",
        True,
        narrow,
    )
