"""Charts of the digits experiment: what students learn, from what, and how their weights move.

Takes rows of `digits.summary`: a row an arm and epoch, an arm, or a value of a sweep. Accuracies are drawn in percent, beside chance and the teacher, with 95% intervals over
replicas. An arm that has a counterpart in the experiment with language models has its colour. `narrow` is
for phones: one panel below the other.
"""

from collections.abc import Iterable

import altair as alt

from .style import ARMS, INK, PALE, AnyChart, Row, beside, data, finish, part_title

DIGIT_ARMS = {
    "teacher": ARMS["teacher"],
    "student": ARMS["treated"],
    "other initialisation": ARMS["foreign"],
    "untrained teacher": ARMS["control"],
    "shuffled logits": ARMS["shuffled"],
    "real images": ARMS["unfiltered"],
    "class logits": ARMS["other-trait"],
}
CHANCE = 10.0
FIELDS = {
    "width": "width of the hidden layers",
    "auxiliary": "auxiliary outputs",
    "noise": "noise inputs",
    "distance": "distance between initialisations",
}
_PERCENT = alt.Scale(domain=[0, 100])
_BANDS = "Bands: 95% intervals over replicas."
_ALONE = "One replica: no interval."


def accuracy(rows: list[Row], teacher: float | None = None, narrow: bool = False) -> AnyChart:
    """Accuracy of every arm against distillation epochs; `teacher` is its share of right answers."""
    shown, width = _in_percent(rows, "accuracy"), 235 if narrow else 420
    color = _color(rows, narrow)
    lines = _banded(shown, "epoch:Q", "accuracy:Q", "unseen digits read right, percent", _PERCENT, color)
    last = max((row["epoch"] for row in rows), default=1)
    x = alt.X(
        "epoch:Q",
        title="distillation epochs",
        scale=alt.Scale(domain=[0, max(1, last)], nice=False),
        axis=alt.Axis(values=list(range(last + 1)), format="d", grid=False),
    )
    layers = [layer.encode(x=x) for layer in lines]
    references = [(CHANCE, "chance", PALE)]
    if teacher is not None:
        references.append((100 * teacher, f"teacher {100 * teacher:.1f}", DIGIT_ARMS["teacher"]))
    for value, name, color in references:
        layers += _reference(value, name, color, width)
    return finish(
        alt.layer(*layers).properties(width=width, height=260) if rows else None,
        "What does a student learn from outputs that mean nothing?",
        "Controls differ from the student in one thing; class logits are ordinary distillation into another "
        f"initialisation. {_BANDS if _sure(rows) else _ALONE}",
        False,
        narrow,
    )


def finals(rows: list[Row], narrow: bool = False) -> AnyChart:
    """Accuracy of every arm in the end, with its interval and its single replicas."""
    arms = [arm for arm in DIGIT_ARMS if any(row["arm"] == arm for row in rows)]
    shown, width = _in_percent(rows, "accuracy"), 190 if narrow else 300
    color = _color(rows, legend=False)
    for row in shown:
        row["label"] = f"{row['accuracy']:.1f}"
        row.pop("values", None)
    single = [{"arm": r["arm"], "accuracy": 100 * v} for r in rows for v in r.get("values", [])]
    if not all(row.get("values") for row in rows):
        single = []
    y = alt.Y("arm:N", title=None, sort=arms, axis=alt.Axis(ticks=False, labelFontSize=12))
    x = alt.X("accuracy:Q", title="unseen digits read right, percent", scale=_PERCENT)
    base = alt.Chart(data(shown)).encode(y=y, color=color)
    chance = alt.Chart(data([{"accuracy": CHANCE, "label": "chance"}]))
    tips = ["arm:N", *(alt.Tooltip(f"{f}:Q", format=".1f") for f in ("accuracy", "low", "high"))]
    layers = [
        chance.mark_rule(strokeDash=[3, 3], color=PALE).encode(x=x),
        chance.mark_text(align="left", dx=4, dy=-6, color=PALE).encode(x=x, y=alt.value(0), text="label:N"),
        alt.Chart(data(single)).mark_circle(size=16, opacity=0.35).encode(x=x, y=y, color=color),
        base.mark_rule(strokeWidth=3).encode(x=alt.X("low:Q"), x2="high:Q"),
        base.mark_point(filled=True, size=70, opacity=1).encode(x=x, tooltip=tips),
        base.mark_text(align="left", fontSize=11.5).encode(
            x=alt.value(width + 8), text="label:N", color=alt.value(INK)
        ),
    ]
    if not single:
        del layers[2]
    return finish(
        alt.layer(*layers).properties(width=width, height=alt.Step(24)) if rows else None,
        "Who can read digits in the end?",
        "Percent of unseen digits that are read right. "
        + ("Bars: 95% intervals over replicas" if _sure(rows) else _ALONE.rstrip("."))
        + ("; faint: single replicas." if single else "."),
        False,
        narrow,
    )


def sweeps(rows: list[Row], narrow: bool = False) -> AnyChart:
    """Accuracy in the end against width, auxiliary outputs, noise and distance: a panel each."""
    panels, color = [], _color(rows, narrow)
    for field in FIELDS:
        found = _in_percent([row for row in rows if row["field"] == field], "accuracy")
        if not found:
            continue
        values = sorted({row["value"] for row in found})
        linear = field == "distance"
        x = alt.X(
            "value:Q",
            title=FIELDS[field],
            scale=alt.Scale(type="linear") if linear else alt.Scale(type="log", nice=False),
            axis=alt.Axis(
                values=[0, 0.25, 0.5, 0.75, 1] if linear else values,
                grid=False,
                format=".2~f" if linear else ",",
                labelFlush=False,
            ),
        )
        lines = _banded(found, "value:Q", "accuracy:Q", "percent right", _PERCENT, color)
        chance = alt.Chart(data([{"y": CHANCE}])).mark_rule(strokeDash=[3, 3], color=PALE)
        layers = [chance.encode(y="y:Q"), *(layer.encode(x=x) for layer in lines)]
        panels.append(alt.layer(*layers).properties(width=250, height=170))
    return finish(
        alt.concat(*panels, columns=1 if narrow else 2, spacing=28) if panels else None,
        "What does it depend on?",
        f"All but the one field stays as it is, the learning rate too. Dashed: chance. {_BANDS}",
        True,
        narrow,
    )


def confusion(rows: list[Row], narrow: bool = False) -> AnyChart:
    """What the student's replicas answer to each digit, in percent of its images."""
    shown = [row | {"percent": 100 * row["share"]} for row in rows]
    base = alt.Chart(data(shown)).encode(
        x=alt.X("answer:O", title="student's answer", axis=alt.Axis(labelAngle=0, ticks=False)),
        y=alt.Y("digit:O", title="digit shown", axis=alt.Axis(ticks=False)),
    )
    fill = alt.Scale(domain=[0, 100], range=["#f6f3f4", DIGIT_ARMS["student"]])
    cells = base.mark_rect(stroke="white").encode(
        color=alt.Color("percent:Q", scale=fill, legend=None),
        tooltip=["digit:O", "answer:O", alt.Tooltip("percent:Q", format=".1f")],
    )
    numbers = base.transform_filter("datum.percent >= 1").mark_text(fontSize=10)
    numbers = numbers.encode(
        text=alt.Text("percent:Q", format=".0f"),
        color=alt.condition("datum.percent > 55", alt.value("white"), alt.value(INK)),
    )
    return finish(
        alt.layer(cells, numbers).properties(width=alt.Step(30), height=alt.Step(26)) if rows else None,
        "Which digits does the student mistake for which?",
        "Percent of each digit's unseen images, over all replicas; under 1 is left out.",
        False,
        narrow,
    )


def movement(agreement: list[Row], lengths: list[Row], narrow: bool = False) -> AnyChart:
    """How far weights moved, and whether they moved the teacher's way."""
    cosine, color = alt.Scale(domain=[-0.2, 1]), _color(lengths, narrow)
    lines = _banded(agreement, "epoch:Q", "agreement:Q", "cosine with the teacher's movement", cosine, color)
    x = alt.X("epoch:Q", title="distillation epochs", axis=alt.Axis(tickMinStep=1, format="d", grid=False))
    left = alt.layer(*(layer.encode(x=x) for layer in lines)).properties(width=250, height=210)
    layers = ["hidden 1", "hidden 2", "class", "auxiliary"]
    right = (
        alt.Chart(data(lengths))
        .mark_point(filled=True, size=60, opacity=0.9)
        .encode(
            x=alt.X("length:Q", title="length of the movement"),
            y=alt.Y(
                "layer:N", title=None, sort=layers, axis=alt.Axis(ticks=False, grid=True, labelPadding=12)
            ),
            color=color,
            tooltip=["arm:N", "layer:N", alt.Tooltip("length:Q", format=".2f")],
        )
        .properties(width=210, height=210)
    )
    return finish(
        beside(
            narrow,
            left.properties(title=part_title("direction of both hidden layers")),
            right.properties(title=part_title("length by layer, mean over replicas")),
        )
        if agreement
        else None,
        "Where do the weights go?",
        "Direction: 1 is the way that the trained teacher went from its start, 0 has nothing to do with it. Length: "
        f"the student's class outputs never move. {_BANDS if _sure(agreement) else _ALONE}",
        True,
        narrow,
    )


def _banded(
    rows: list[Row], x: str, y: str, title: str, scale: alt.Scale, color: alt.Color
) -> list[alt.Chart]:
    """Band, line and points by arm; nothing leaves the scale."""
    domain = getattr(scale, "domain", None)
    low, high = domain if isinstance(domain, list) else (None, None)
    clipped = [
        row | {k: None if row[k] is None else min(max(row[k], low), high) for k in ("low", "high")}
        for row in rows
    ]
    base = alt.Chart(data(clipped)).encode(x=x, color=color)
    tips = ["arm:N", *(alt.Tooltip(f"{f}:Q", format=".3~g") for f in (y.split(":")[0], "low", "high"))]
    layers = [
        base.mark_line(strokeWidth=2).encode(
            y=alt.Y(y, title=title, scale=scale, axis=alt.Axis(tickCount=6))
        ),
        base.mark_point(filled=True, size=26, opacity=1).encode(y=y, tooltip=tips),
    ]
    if _sure(rows):
        layers.insert(0, base.mark_area(opacity=0.16).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q"))
    return layers


def _reference(value: float, name: str, color: str, width: int) -> list[alt.Chart]:
    """A dotted line across, named at its right end."""
    chart = alt.Chart(data([{"y": value, "name": name}]))
    rule = chart.mark_rule(strokeDash=[2, 3], strokeWidth=1.5, color=color).encode(y="y:Q")
    text = chart.mark_text(align="left", color=color, fontSize=11)
    return [rule, text.encode(x=alt.value(width + 5), y="y:Q", text="name:N")]


def _color(rows: Iterable[Row], narrow: bool = False, legend: bool = True) -> alt.Color:
    found = {row["arm"] for row in rows}
    arms = [arm for arm in DIGIT_ARMS if arm in found]
    scale = alt.Scale(domain=arms, range=[DIGIT_ARMS[arm] for arm in arms])
    return alt.Color(
        "arm:N", title=None, scale=scale, legend=alt.Legend(columns=2 if narrow else 4) if legend else None
    )


def _in_percent(rows: Iterable[Row], field: str) -> list[Row]:
    keys = (field, "low", "high")
    return [row | {k: None if row[k] is None else 100 * row[k] for k in keys} for row in rows]


def _sure(rows: Iterable[Row]) -> bool:
    return any(row.get("low") is not None for row in rows)
