"""What all charts share: the arms' colours and order, titles, axes, rows as data, and files."""

import io
import json
import math
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import altair as alt

from ...spec import arms
from ...system import files
from ...system.errors import InputError

ARMS = {name: arm.color for name, arm in arms.ARMS.items() if arm.color}
# Arms that are shown beside the zero line, which is neutral.
COMPARED = tuple(
    name
    for name in ARMS
    if not arms.ARMS[name].is_reference and arms.ARMS[name].role not in ("base", "teacher")
)
INK, PALE, LINE = "#343a40", "#70777d", "#e3e6e9"
# Fonts of the widths that text is laid out for, wherever the picture is looked at.
FONT = "Arial, Helvetica, Liberation Sans, sans-serif"
# Characters of a heading's lines that fit on a phone.
NARROW_TITLE, NARROW_TEXT = 36, 54
HEADER = alt.Header(title=None, labelFontWeight="bold", labelFontSize=12, labelColor=INK, labelLimit=260)

Row = dict[str, Any]
AnyChart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.ConcatChart | alt.HConcatChart | alt.VConcatChart


def save(chart: AnyChart, path: str | Path) -> None:
    """Write a .html page that works offline, a .png at twice its size, or a .svg without a background.

    Raises InputError where the name ends in none of these.
    """
    path = Path(path)

    def draw(target: Path, background: str, **kwargs: Any) -> None:
        chart.properties(background=background).save(target, **kwargs)

    writers: dict[str, Callable[[Path], None]] = {
        ".html": lambda target: draw(target, "white", inline=True, json_kwds={"cls": _ScriptJSON}),
        ".png": lambda target: draw(target, "white", scale_factor=2),
        ".svg": lambda target: target.write_text(to_svg(chart), encoding="utf-8"),
    }
    if path.suffix not in writers:
        raise InputError(f"chart {path}: the name must end in {', '.join(writers)}")
    files.publish(path, writers[path.suffix])


def to_svg(chart: AnyChart) -> str:
    """The chart as an SVG document without a background, for light and dark pages."""
    drawing = io.StringIO()
    chart.properties(background="transparent").save(drawing, format="svg")
    return drawing.getvalue()


class _ScriptJSON(json.JSONEncoder):
    """JSON that can stand in a script: Altair lets a `</script>` in the data end it."""

    def encode(self, o: object) -> str:
        return super().encode(o).replace("<", "\\u003c")  # JSON has it in strings only


def finish(chart: AnyChart | None, title: str, subtitle: str, wide: bool, narrow: bool = False) -> AnyChart:
    """The chart under its question and unit; None becomes a note that there is nothing to show.

    `narrow` breaks the heading for a phone, whatever `wide` says.
    """
    if chart is None:
        note = alt.Chart(data([{"text": "Nothing has been measured yet."}])).mark_text(
            color=PALE, fontSize=13
        )
        chart = note.encode(text="text:N").properties(width=420, height=60)
    heading = alt.TitleParams(
        textwrap.wrap(title, NARROW_TITLE) if narrow else title,
        subtitle=textwrap.wrap(subtitle, NARROW_TEXT if narrow else 120 if wide else 88),
        anchor="start",
        frame="bounds",
        offset=12,
        fontSize=16,
        color=INK,
        subtitleFontSize=11.5,
        subtitleLineHeight=15,
        subtitleColor=PALE,
        subtitlePadding=6,
    )
    axis = {"labelColor": INK, "titleColor": PALE, "titleFontWeight": "normal", "labelLimit": 220}
    legend = {
        "labelColor": INK,
        "labelFontSize": 12,
        "symbolSize": 70,
        "symbolOpacity": 1,
        "titleColor": PALE,
    }
    return (
        chart.properties(title=heading, padding=14)
        .configure(font=FONT)
        .configure_view(stroke=None)
        .configure_axis(**axis, gridColor=LINE, domain=False, tickColor=LINE, titlePadding=9)
        .configure_legend(**legend, titleFontWeight="normal", orient="top", offset=10)
    )


def data(rows: Iterable[Row]) -> alt.InlineData:
    """Rows as a chart's data, with the first of ARMS last and so on top.

    What is not finite, which JSON does not know, becomes null.
    """
    order = {arm: -place for place, arm in enumerate(ARMS)}
    drawn = sorted(rows, key=lambda row: order.get(row.get("arm"), 0))
    return alt.InlineData(values=[{key: _finite(value) for key, value in row.items()} for row in drawn])


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def arms_of(rows: Iterable[Row]) -> list[str]:
    """The arms that occur, in the order of ARMS."""
    found = {row["arm"] for row in rows}
    return [arm for arm in ARMS if arm in found]


def arm_color(rows: Iterable[Row]) -> alt.Color:
    found = arms_of(rows)
    scale = alt.Scale(domain=found, range=[ARMS[arm] for arm in found])
    return alt.Color("arm:N", title=None, scale=scale, legend=alt.Legend(columns=6))


def kinds_of(rows: Iterable[Row]) -> list[str]:
    """The kinds of student that occur, hard first."""
    return sorted({row["student"] for row in rows})


def signed(value: float, digits: int) -> str:
    """With its sign, as Vega writes it; what rounds to 0 has none."""
    text = f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return text if any(digit in "123456789" for digit in text) else "0"


def excludes_zero(row: Row, chains: int) -> bool:
    """Whether there is a 95% interval, 0 lies outside of it, and it rests on chains enough to show anything."""
    if row["low"] is None or row["high"] is None or chains < arms.FEWEST_CHAINS:
        return False
    return not row["low"] <= 0 <= row["high"]


def has_intervals(rows: Iterable[Row]) -> bool:
    return any(row.get("low") is not None for row in rows)


def intervals(rows: Iterable[Row], meaning: str) -> str:
    """What a chart's intervals mean, or why it has none."""
    return meaning if has_intervals(rows) else "One chain: no interval, so nothing is shown to differ from 0."


def zero_axis(zero: str | list[str]) -> alt.Axis:
    """An axis on which 0 is the neutral arm: its line in that arm's colour, with `zero` as its label."""
    here = "datum.value === 0"
    return alt.Axis(
        tickCount=5,
        format="+.2~f",
        labelFlush=False,
        labelExpr=f"{here} ? {json.dumps(zero)} : datum.label",
        gridColor=alt.condition(here, alt.value(ARMS[arms.NEUTRAL]), alt.value(LINE)),
        gridWidth=alt.condition(here, alt.value(1.6), alt.value(1)),
    )


def number_tips(*fields: str) -> list[alt.Tooltip]:
    """Signed numbers for a mark's tooltip."""
    return [alt.Tooltip(f"{field}:Q", format="+.3f") for field in fields]


def part_title(text: str) -> alt.TitleParams:
    """The heading of one part of a chart."""
    return alt.TitleParams(text, anchor="start", fontSize=12, color=INK, offset=8)


def beside(narrow: bool, *parts: AnyChart) -> AnyChart:
    """Parts next to each other; on a phone, one below the other."""
    return alt.vconcat(*parts, spacing=24) if narrow else alt.hconcat(*parts, spacing=28)
