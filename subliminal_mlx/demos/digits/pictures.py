"""Charts of results as files and on pages: which ones, and under what names. What they look like is in `charts`."""

import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...report.charts import AnyChart, save, theorem, to_svg
from ...report.charts import digits as drawn
from .grid import SWEEPS, read_grid, stored, sweep
from .spec import make
from .summary import Row, Summary, confusion, curves, finals, movement


def of_summary(summary: Summary) -> dict[str, AnyChart]:
    """By name: accuracy, finals, movement, confusion."""
    return {
        "accuracy": drawn.accuracy(curves(summary), summary["teacher"]["accuracy"][0]),
        "finals": drawn.finals(finals(summary)),
        "movement": drawn.movement(curves(summary, "agreement"), movement(summary)),
        "confusion": drawn.confusion(confusion(summary)),
    }


def of_theorem(rows: list[Row]) -> dict[str, AnyChart]:
    """By name: guarantee, one-step."""
    return {"guarantee": theorem.guarantee(rows), "one-step": theorem.one_step(rows)}


def of_grid() -> dict[str, AnyChart]:
    """Of what is stored: the default run, the sweeps, and the theorem's map."""
    default = make("digits")
    summary = stored(default)
    assert summary is not None, "the default is a point of its own sweeps"
    rows = [row for field in SWEEPS for row in sweep(field, default.epochs)]
    return of_summary(summary) | {"sweeps": drawn.sweeps(rows)} | of_theorem(read_grid()["theorem"]["rows"])


def write(charts: dict[str, AnyChart], folder: Path, suffixes: Iterable[str]) -> None:
    """Save every chart under its name with every suffix, such as html, png, svg."""
    for name, chart in charts.items():
        for suffix in suffixes:
            save(chart, folder / f"{name}.{suffix}")


def for_page(draw: Callable[..., AnyChart], *rows: Any) -> tuple[str, str]:
    """`draw(*rows)` as SVG for laptops and for phones; drawn once for all visitors who see the same."""
    return _drawn(draw, json.dumps(rows))


@lru_cache(64)
def _drawn(draw: Callable[..., AnyChart], rows: str) -> tuple[str, str]:
    wide, narrow = (to_svg(draw(*json.loads(rows), narrow=narrow)) for narrow in (False, True))
    return wide, narrow
