"""A shipped result in the few lines that stand above everything else: claim, controls, limits.

told = headline(results.real()[0])
told.claims[0], told.controls[0], told.limits
"""

import tomllib
from dataclasses import dataclass
from typing import Any

from ...report import results
from ...report.words import claim, estimate, permuted
from ...spec.arms import GATED, TREATED
from ...spec.corpus import words_of


@dataclass(frozen=True)
class Headline:
    """What a result says, a sentence or line each."""

    name: str
    title: str
    base: str
    chains: int
    rows: str
    """What its students were trained on, such as "number lists"."""
    claims: tuple[str, ...]
    """A sentence for each kind of student."""
    controls: tuple[str, ...]
    """For each kind and family, the arms' transfer with its interval, and what permuting labels says; ablations
    stay in the chart."""
    limits: str
    made_by: str


def headline(name: str) -> Headline:
    """The lines of the shipped results of that name.

    Raises:
        InputError: no such results.
    """
    found = results.read_results(name)
    spec = tomllib.loads(found["spec_toml"])
    summary, chains = found["summary"], found.get("chains_done", spec["chains"])
    rows = words_of(spec["corpus"]).rows
    trained = f"filtered {rows}" if spec["corpus"].get("filter", "paper") != "none" else rows
    return Headline(
        name,
        spec.get("title", name),
        spec["base"],
        chains,
        rows,
        tuple(claim(summary, trained)),
        tuple(_controls(entry) for entry in summary["families"] if TREATED in entry["arms"]),
        _limits(spec, chains),
        f"python -m subliminal_mlx run --preset {name}",
    )


def _controls(family: dict[str, Any]) -> str:
    names = (*GATED, "specificity")
    arms = [f"{arm} {_figure(family['arms'][arm])}" for arm in names if family["arms"].get(arm) is not None]
    return f"{family['student']} students, {family['family']}: {', '.join(arms)}; {permuted(family)}"


def _figure(read: dict[str, Any]) -> str:
    return estimate(read["transfer"], read["low"], read["high"])


def _limits(spec: dict[str, Any], chains: int) -> str:
    sure = (
        "One chain: what happened once, without an interval, so nothing is claimed from it"
        if chains == 1
        else f"{chains} chains, on one base and by one recipe"
    )
    return (
        f"{sure}. A closed list of {len(spec['traits'])} traits, put in on purpose; "
        "a trait that nobody asks about is not seen. This is no safety certificate."
    )
