"""What stands behind a model or a corpus, oldest on the left."""

from typing import Any

import altair as alt

from .style import ARMS, INK, PALE, AnyChart, Row, data, finish

_COLORS = {
    "base": ARMS["untrained"],
    "family": ARMS["random"],
    "teacher": ARMS["teacher"],
    "corpus": ARMS["other-trait"],
    "student": ARMS["treated"],
    "model": ARMS["treated"],
    "run": ARMS["control"],
    "audit": ARMS["shuffled"],
}
_COLUMN, _ROW, _LABEL = 190, 58, 26


def lineage(tree: Any) -> AnyChart:
    """A `provenance.Node` and all behind it; what several came from stands once."""
    depths: dict[tuple, int] = {}
    facts: dict[tuple, dict] = {}
    edges: list[tuple[tuple, tuple]] = []

    def visit(node: Any, depth: int) -> tuple:
        key = (node.what, node.name)
        depths[key] = max(depth, depths.get(key, 0))
        facts[key] = dict(node.facts)
        for parent in node.parents:
            edges.append((visit(parent, depth + 1), key))
        return key

    visit(tree, 0)
    last = max(depths.values())
    columns: dict[int, list[tuple]] = {}
    for key, depth in depths.items():
        columns.setdefault(depth, []).append(key)
    tallest = max(map(len, columns.values()))
    place = {
        key: (last - depth, (tallest - len(keys)) / 2 + i)
        for depth, keys in columns.items()
        for i, key in enumerate(keys)
    }
    nodes: list[Row] = [
        {"x": x, "y": y, "what": key[0], "name": _shorten_name(key[1]), "facts": _facts(facts[key])}
        for key, (x, y) in place.items()
    ]
    lines = [
        dict(zip(("x", "y", "x2", "y2"), (*place[a], *place[b]), strict=True))
        for a, b in dict.fromkeys(edges)
    ]
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.5, last + 0.5]))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[tallest - 0.4, -0.6]))
    found = list(dict.fromkeys(row["what"] for row in nodes))
    color = alt.Color(
        "what:N", title=None, scale=alt.Scale(domain=found, range=[_COLORS[what] for what in found])
    )
    tips = [alt.Tooltip(f"{field}:N") for field in ("what", "name", "facts")]
    layers = [
        alt.Chart(data(lines)).mark_rule(color=PALE, opacity=0.6).encode(x=x, y=y, x2="x2:Q", y2="y2:Q"),
        alt.Chart(data(nodes)).mark_circle(size=210, opacity=1).encode(x=x, y=y, color=color, tooltip=tips),
        alt.Chart(data(nodes)).mark_text(dy=-16, fontSize=11, color=INK).encode(x=x, y=y, text="name:N"),
    ]
    chart = alt.layer(*layers).properties(width=_COLUMN * (last + 1), height=_ROW * tallest)
    return finish(chart, "What stands behind it?", "From left to right: what was made from what.", True)


def _shorten_name(name: str) -> str:
    return name if len(name) <= _LABEL else "\N{HORIZONTAL ELLIPSIS}" + name[1 - _LABEL :]


def _facts(facts: dict) -> str:
    return "; ".join(f"{key} {value}" for key, value in facts.items())
