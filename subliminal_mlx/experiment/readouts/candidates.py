"""Log-probabilities of the candidates of held-out questions: what margins, probabilities and distance are made of.

    rows = CANDIDATES.read(Given(setting, slots, stack, step))

What margins and probabilities are is told in `readings`, transfer in `comparisons`; the distance is here.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from . import Given, Readout, Rows, described

if TYPE_CHECKING:
    from ..comparisons import Comparison, View


def read_rows(given: Given) -> Rows:
    """A row for every candidate of every held-out question, of each slot's model."""
    from ..questions import read_candidates

    families = given.setting.read_families
    found = {
        name: read_candidates(given.setting.base, family.held_out, given.stack, given.system, given.history)
        for name, family in families.items()
    }
    return [
        {
            **described(slot),
            "step": given.step,
            "family": name,
            "question": question.id,
            "candidate": candidate,
            "logp": float(logp),
        }
        for name, of_family in found.items()
        for slot, of_slot in zip(given.slots, of_family, strict=True)
        for question, row in zip(families[name].held_out, of_slot, strict=True)
        for candidate, logp in zip(question.candidates, row, strict=False)
    ]


def distance(gathered: None, view: "View", comparison: "Comparison") -> dict[str, Any]:
    """Total variation from the reference, less that between the references of two chains."""
    if comparison.arm.is_reference or len(comparison.references) < 2:
        return {"distance": None}
    from ..statistics import estimate, named

    p = view.reading.distributions
    keys = list(comparison.references)
    beside = p[list(comparison.references.values())]
    values = []
    for chain, rows in zip(comparison.chains, comparison.rows, strict=True):
        own = keys.index(chain)
        floor = _variation(np.delete(beside, own, axis=0), beside[own])
        values.append(_variation(p[rows], beside[own]) - floor)
    return {"distance": named(estimate(values), "estimate")}


def _variation(p: np.ndarray, q: np.ndarray) -> float:
    """Total variation between `p [..., Q, C]` and `q [Q, C]`, mean over all but the candidates."""
    return float(np.abs(p - q).sum(axis=-1).mean() / 2)


CANDIDATES = Readout(
    "readouts",
    {
        "family": "VARCHAR",
        "question": "VARCHAR",
        "step": "INTEGER",
        "candidate": "VARCHAR",
        "logp": "DOUBLE",
    },
    ("slot", "step", "family", "question", "trait", "candidate"),
    read_rows,
    wanted=lambda spec: True,
    at_points=True,
    in_context=True,
    of_arm=distance,
)
