"""What a click on a chart means: whose rows are to be shown, beside which, and in which words.

    found = picked("transfer", chart.selections, sources)
    found.source, found.beside, found.outcome, found.caption

A selection comes from a browser: what it names must be a source that the run has, or it is nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ...spec.arms import ARMS, BASE, neutral, origin

# Fields that a click on each view's chart names.
FIELDS: dict[str, tuple[str, ...]] = {
    "transfer": ("trait", "student", "arm"),
    "matrix": ("student", "source", "read"),
    "answers": ("trait", "candidate", "arm"),
    "dose": ("trait", "arm", "step"),
    "filter": ("source", "outcome"),
}


@dataclass(frozen=True)
class Picked:
    """Rows to show: of `source`, beside those of `beside`, with one `outcome` of the filter or all."""

    source: str
    beside: str | None
    outcome: str | None
    caption: str
    arm: str | None = None
    trait: str | None = None
    student: str | None = None


def picked(view: str, selections: Any, sources: Collection[str]) -> Picked | None:
    """The rows behind a click; None where nothing, or nothing that the run has, was picked.

    Args:
        selections: as marimo hands a chart's selections on: parameters with lists of values by field.
        sources: of the run's corpora.
    """
    values = _values(view, selections)
    if not values:
        return None
    source = _source(view, values, sources)
    if source not in sources:
        return None
    outcome = values.get("outcome")
    said = ", ".join(f"{name} {value}" for name, value in values.items())
    return Picked(
        source,
        beside_of(source, sources),
        None if outcome is None else str(outcome),
        said,
        _text(values.get("arm")),
        _text(values.get("trait") or values.get("read")),
        _text(values.get("student")),
    )


def beside_of(source: str, sources: Collection[str]) -> str | None:
    """The corpus whose rows stand beside a source's: the neutral teacher's of its family, else the base's."""
    own = origin(source)
    family = (own[1] if own else source).rpartition("/")[0]
    # Rows of other teachers than the spec's own stand beside those of the neutral one made alike.
    if own and (other := f"{own[0].name}/{neutral(family)}") in sources and other != source:
        return other
    if not family:  # the base's own rows, and those at random
        family = next((name.rpartition("/")[0] for name in sources if name.endswith("/neutral")), "")
    other = neutral(family)
    if other in sources and other != source:
        return other
    return BASE if BASE in sources and source != BASE else None


def _values(view: str, selections: Any) -> dict[str, Any]:
    """One value of each of the view's fields; empty where the selection has another shape."""
    if view not in FIELDS or not isinstance(selections, Mapping):
        return {}
    for parameter in selections.values():
        if isinstance(parameter, Mapping):
            found = {name: _first(parameter.get(name)) for name in FIELDS[view]}
            if all(isinstance(value, str | int | float) for value in found.values()):
                return found
    return {}


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None


def _source(view: str, values: dict[str, Any], sources: Collection[str]) -> str | None:
    if view in ("matrix", "filter"):
        source = values["source"]
        return ARMS[source].source("") if source in ARMS else source
    trait = str(values["trait"])
    if (arm := ARMS.get(values["arm"])) is None:
        return None
    if arm.role != "read":
        return arm.source(trait)
    family = trait.rpartition("/")[0]
    for source in sources:
        of = source.rpartition("/")[0]
        there = of not in ("", family) if arm.elsewhere else of == family
        if there and source not in (trait, neutral(of)) and not origin(source):
            return source
    return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
