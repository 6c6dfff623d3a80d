"""What an audit found: suspects ranked against the null band, evidence as rows grow, power, prediction."""

from typing import Any

import altair as alt

from .style import ARMS, INK, LINE, AnyChart, Row, data, finish

FOUND, REST, BAND = ARMS["treated"], ARMS["control"], "#ced4da"
WIDTH, STEP = 520, 20
# Points of which each has its tick.
FEW = 5


def audit_ranking(result: Row, family: Row) -> AnyChart:
    """A family's suspects, best first, with 95% intervals over rows, on the band of clean corpora."""
    suspects = [entry for entry in result["suspects"] if entry["trait"] in family["traits"]]
    order = [entry["trait"] for entry in suspects]
    rows = [entry | {"found": entry["trait"] == result["trait"]} for entry in suspects]
    null = sorted(value for values in family["null"].values() for value in values)
    layers = []
    if null:
        ends = {"low": min(0.0, null[0]), "high": _finite(family["threshold"], null[-1])}
        band = alt.Chart(data([ends])).mark_rect(color=BAND, opacity=0.45)
        layers.append(band.encode(x="low:Q", x2="high:Q"))
    y = alt.Y("trait:N", sort=order, title=None, axis=alt.Axis(grid=False, ticks=False))
    color = alt.condition("datum.found", alt.value(FOUND), alt.value(REST))
    base = alt.Chart(data(rows)).encode(y=y, color=color)
    axis = {"title": "score, standard deviations", "axis": alt.Axis(tickCount=6)}
    layers.append(base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", **axis), x2="high:Q"))
    layers.append(base.mark_circle(size=70, opacity=1).encode(x=alt.X("score:Q", **axis)))
    chart = alt.layer(*layers).properties(width=WIDTH, height=STEP * max(4, len(order)))
    words = f"{result['rows']:,} rows. Dots: score of each suspect of {family['family']}, with 95% intervals over rows."
    if null:
        words += (
            f" Grey: where the largest score of clean corpora lies ({len(null)} of them shown), up to "
            f"p = {_bar(family)}."
        )
    return finish(chart, "Which trait do the rows carry?", words, wide=False)


def audit_growth(result: Row, family: Row) -> AnyChart:
    """Every suspect's score on the first rows, as they grow, and the bar of a name."""
    first = result["suspects"][0]["trait"]
    rows = [
        {"rows": point["rows"], "trait": trait, "score": score, "first": trait == first}
        for point in family["growth"]
        for trait, score in zip(family["traits"], point["scores"], strict=True)
    ]
    told = [point for point in family["growth"] if point["threshold"] < float("inf")]
    bar = [{"rows": point["rows"], "bar": point["threshold"]} for point in told]
    points = [point["rows"] for point in family["growth"]]
    ticks: dict[str, Any] = {"tickCount": 5} if len(points) > FEW else {"values": points}
    x = alt.X(
        "rows:Q",
        scale=alt.Scale(type="log", nice=False),
        title="rows",
        axis=alt.Axis(format=",d", **ticks),
    )
    shade = alt.condition("datum.first", alt.value(FOUND), alt.value(REST))
    line = (
        alt.Chart(data(rows))
        .mark_line(point=True)
        .encode(
            x=x,
            y=alt.Y("score:Q", title="score, standard deviations"),
            detail="trait:N",
            color=shade,
            opacity=alt.condition("datum.first", alt.value(1), alt.value(0.35)),
            tooltip=["trait:N", "rows:Q", alt.Tooltip("score:Q", format="+.1f")],
        )
    )
    own = first in family["traits"]
    words = [f"Red: {first}. Others" if own else "Suspects", f"of {family['family']} in blue."]
    layers = [line]
    if bar:
        # Known for all rows alone, on a language model, it is a level, not a curve.
        limit = alt.Chart(data(bar)).mark_line(color=INK, strokeDash=[4, 3]).encode(x=x, y="bar:Q")
        level = alt.Chart(data(bar)).mark_rule(color=INK, strokeDash=[4, 3]).encode(y="bar:Q")
        layers.append(limit if len(bar) > 1 else level)
        words.append(f"Dashed: the score above which p is under {_bar(family)}.")
    if "probes" in family["lines"]:
        words.append("Without probe students: those are trained once.")
    chart = alt.layer(*layers).properties(width=WIDTH, height=260)
    return finish(chart, "Does the evidence grow with the rows?", " ".join(words), wide=False)


def audit_power(rows: list[Row], title: str, words: str) -> AnyChart:
    """Share of corpora against the part of their rows that a teacher wrote, a panel a condition, exact 95% intervals.

    Args:
        rows: of condition, measure, part, share, low, high.
    """
    order, lines = (list(dict.fromkeys(row[key] for row in rows)) for key in ("condition", "measure"))
    ticks = sorted({row["part"] for row in rows})
    scale = alt.Scale(type="log", domain=[ticks[0], ticks[-1]], nice=False)
    axis = alt.Axis(values=ticks, format=".0%", labelOverlap=False)
    x = alt.X("part:Q", scale=scale, title="share of the teacher's rows", axis=axis)
    color = alt.Color("measure:N", sort=lines, title=None, scale=alt.Scale(range=[REST, FOUND]))
    y = {"title": "share of corpora", "scale": alt.Scale(domain=[0, 1])}
    panels = []
    for condition in order:
        some = data([row for row in rows if row["condition"] == condition])
        base = alt.Chart(some, title=condition).encode(x=x, color=color)
        layers = (
            base.mark_area(opacity=0.15).encode(
                y=alt.Y("low:Q", axis=alt.Axis(format="%"), **y), y2="high:Q"
            ),
            base.mark_line(point=True, strokeWidth=2.5).encode(y=alt.Y("share:Q", **y)),
        )
        panels.append(alt.layer(*layers).properties(width=WIDTH // 2 - 40, height=260))
    return finish(alt.hconcat(*panels), title, words, wide=False)


def audit_prediction(points: list[Row], words: str) -> AnyChart:
    """Predicted against measured transfer, a dot a student.

    Args:
        points: of predicted, measured, trait, rows, temperature.
    """
    reach = [
        min(p[k] for p in points for k in ("predicted", "measured")),
        max(p[k] for p in points for k in ("predicted", "measured")),
    ]
    line = alt.Chart(data([{"x": end, "y": end} for end in reach])).mark_line(color=LINE, strokeWidth=2)
    dots = alt.Chart(data(points)).mark_point(size=60, filled=True, opacity=0.8)
    chart = alt.layer(
        line.encode(x="x:Q", y="y:Q"),
        dots.encode(
            x=alt.X("predicted:Q", title="predicted transfer, log-odds"),
            y=alt.Y("measured:Q", title="measured transfer, log-odds"),
            color=alt.Color("rows:O", title="rows", scale=alt.Scale(scheme="blues")),
            shape=alt.Shape("temperature:N", title="temperature"),
            tooltip=["trait:N", "rows:Q", "temperature:Q"],
        ),
    ).properties(width=WIDTH, height=380)
    return finish(chart, "Does the audit say how far a student would move?", words, wide=False)


def _bar(family: Row) -> str:
    """What p a name asks for: stored where it is of all traits that are known; elsewhere, and before, of the family's."""
    return f"{family['naming']:g} among all known traits, as a name asks" if "naming" in family else "0.01"


def _finite(value: Any, otherwise: float) -> float:
    return value if value < float("inf") else otherwise
