"""Charts whose marks can be picked: a click names the fields of what was drawn there.

    chart = pickable(transfer(summary), ("trait", "student", "arm"))

The parameter is called PICKED; every part of the chart that tells something at the pointer can be picked.
"""

from typing import Any

import altair as alt

from .style import AnyChart

PICKED = "picked"


def pickable(chart: AnyChart, fields: tuple[str, ...]) -> AnyChart:
    """The chart with a point selection on `fields`, which the data of all pickable marks must have."""
    chart = chart.copy(deep=True)
    views: list[str] = []
    for unit in _units(chart):
        if unit.encoding is not alt.Undefined and unit.encoding.tooltip is not alt.Undefined:
            unit.name = f"{PICKED}-{len(views)}"
            views.append(unit.name)
    select = alt.PointSelectionConfig(type="point", fields=list(fields), on="click", clear="dblclick")
    chart.params = [alt.TopLevelParameter(name=PICKED, select=select, views=views)]
    return chart.properties(background="white")


def _units(chart: Any) -> list[Any]:
    """The charts of one mark that a chart is put together from."""
    for parts in ("layer", "hconcat", "vconcat", "concat"):
        if isinstance(found := getattr(chart, parts, None), list):
            return [unit for part in found for unit in _units(part)]
    spec = getattr(chart, "spec", alt.Undefined)
    return [chart] if spec is alt.Undefined else _units(spec)
