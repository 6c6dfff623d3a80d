"""Charts whose marks can be picked: a click names the fields of what was drawn there.

    chart = pickable(transfer(summary), ("trait", "student", "arm"))

The parameter is called PICKED. Of marks that lie over each other the last one that tells something at the
pointer can be picked; of a chart of several parts, which Vega gives signals of their own, the first part alone.
"""

from typing import Any

import altair as alt

from .style import AnyChart

PICKED = "picked"


def pickable(chart: AnyChart, fields: tuple[str, ...]) -> AnyChart:
    """The chart with a point selection on `fields`, which the data of all pickable marks must have."""
    chart = chart.copy(deep=True)
    told = [unit for unit in _units(chart) if _tells(unit)]
    for unit in told[:1]:
        unit.name = f"{PICKED}-view"
    views = [unit.name for unit in told[:1]]
    select = alt.PointSelectionConfig(type="point", fields=list(fields), on="click", clear="dblclick")
    chart.params = [alt.TopLevelParameter(name=PICKED, select=select, views=views)]
    # Drawn as SVG, whose text can be read, and without vega's menu: pages have downloads of their own.
    embedded = {"embedOptions": {"renderer": "svg", "actions": False}}
    return chart.properties(background="white", usermeta=embedded)


def _tells(unit: Any) -> bool:
    return unit.encoding is not alt.Undefined and unit.encoding.tooltip is not alt.Undefined


def _units(chart: Any) -> list[Any]:
    """The marks that a chart is put together from, of layers the topmost that tells something."""
    if isinstance(layers := getattr(chart, "layer", None), list):
        units = [unit for layer in layers for unit in _units(layer)]
        return [unit for unit in units if _tells(unit)][-1:]
    for parts in ("hconcat", "vconcat", "concat"):
        if isinstance(found := getattr(chart, parts, None), list):
            return [unit for part in found for unit in _units(part)]
    spec = getattr(chart, "spec", alt.Undefined)
    return [chart] if spec is alt.Undefined else _units(spec)
