"""An arm beside its reference, chain by chain: what transfer is made of. Arrays only, no statistics.

    view = View.of("animals/owl", reading, spec.traits)
    compare(view, "hard", "treated", step=140)      # Comparison, or None
    compare_all(view, "hard", step=140)             # {"treated": Comparison, ...}

A chain counts for an arm if both the arm and its reference were read there. What arms there are, and what each
is read against, is a table's business (`spec.arms`); treated, neutral and other-trait are named here because
transfer and specificity are defined by them.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..spec.arms import ARMS, MAIN, NEUTRAL, TREATED, Arm, neutral
from ..spec.defence_names import of_arm
from .readings import Reading
from .statistics import estimate, named


def on_foreign(arm: str) -> bool:
    """Whether an arm's students are adapters of the spec's `foreign` base, and not of its `base`."""
    if arm in ARMS:
        return ARMS[arm].foreign
    defence, control = of_arm(arm)
    return defence is not None and defence.foreign and not control


@dataclass(frozen=True, eq=False)
class View:
    """Every model of a run, read on one trait."""

    trait: str
    siblings: tuple[str, ...]
    """The family's traits in the run, this one among them."""
    strangers: tuple[str, ...]
    """The other families' traits in the run."""
    reading: Reading
    margins: np.ndarray
    """`[N, Q]`, nats."""
    probabilities: np.ndarray
    """`[N, Q]`."""

    @classmethod
    def of(cls, trait: str, reading: Reading, traits: tuple[str, ...]) -> "View":
        siblings = tuple(t for t in traits if t.rpartition("/")[0] == trait.rpartition("/")[0])
        strangers = tuple(t for t in traits if t not in siblings)
        return cls(trait, siblings, strangers, reading, reading.margins(trait), reading.probabilities(trait))

    @property
    def neutral(self) -> str:
        """What the tables call the trait of the family's neutral models."""
        return neutral(self.trait.rpartition("/")[0])


@dataclass(frozen=True, eq=False)
class Comparison:
    """One arm on one trait beside its reference, in the chains that have both."""

    arm: Arm
    chains: list[int]
    rows: list[list[int]]
    """The arm's rows of the reading in each of `chains`; several where other traits' students are read."""
    references: dict[int, int]
    """The reference's row in every chain that has one."""
    margins: np.ndarray
    """`[chains, Q]`, nats, as the three below."""
    probabilities: np.ndarray
    transfers: np.ndarray
    """Margins less the reference's."""
    changes: np.ndarray
    """Probabilities less the reference's."""


def compare_all(view: View, kind: str, step: int) -> dict[str, Comparison]:
    """All arms that were read on the view's trait, in the order of `ARMS`."""
    return {arm: found for arm in ARMS if (found := compare(view, kind, arm, step))}


def compare(view: View, kind: str, arm: str, step: int) -> Comparison | None:
    """An arm of that kind of student at that step; None where no chain has it and its reference.

    Teachers, the base and in-context models are no students: their last readout is taken.
    """
    own = ARMS[arm]
    references = {c: rows[0] for c, rows in _rows(view, kind, ARMS[own.against or arm], step).items()}
    rows = _rows(view, kind, own, step)
    if own.role == "base" and rows:
        # The base is the same in every chain.
        rows = dict.fromkeys(references, next(iter(rows.values())))
    chains = sorted(rows.keys() & references.keys())
    if not chains:
        return None
    beside = [references[chain] for chain in chains]
    margins, probabilities = (
        np.stack([values[rows[chain]].mean(axis=0) for chain in chains])
        for values in (view.margins, view.probabilities)
    )
    return Comparison(
        own,
        chains,
        [rows[chain] for chain in chains],
        references,
        margins,
        probabilities,
        margins - view.margins[beside],
        probabilities - view.probabilities[beside],
    )


def _rows(view: View, kind: str, arm: Arm, step: int) -> dict[int, list[int]]:
    """The arm's rows by chain."""
    if arm.role == "read":
        found = defaultdict(list)
        for other in view.strangers if arm.elsewhere else view.siblings:
            if other != view.trait:
                for chain, row in view.reading.rows(kind, TREATED, other, step).items():
                    found[chain].append(row)
        return dict(found)
    last = None if arm.kind else step
    rows = view.reading.rows(arm.kind or kind, arm.name, arm.trait(view.trait), last)
    return {chain: [row] for chain, row in rows.items()}


def matrix(view: View, kind: str, step: int) -> Iterator[dict]:
    """Transfer of every student of the family on this trait, with each chain's; the neutral one's is zero by definition."""
    reading = view.reading
    references = reading.rows(kind, NEUTRAL, view.neutral, step)
    models = [(arm, ARMS[arm].trait(trait)) for arm in MAIN for trait in view.siblings]
    for arm, source in dict.fromkeys(models):
        rows = reading.rows(kind, arm, source, step)
        if chains := sorted(rows.keys() & references.keys()):
            at, beside = [rows[chain] for chain in chains], [references[chain] for chain in chains]
            transfers = (view.margins[at] - view.margins[beside]).mean(axis=1)
            span = (0.0, None, None) if arm == NEUTRAL else estimate(transfers)
            row = {"student": kind, "source": source or arm, "read": view.trait, **named(span, "transfer")}
            yield row | {"chains": chains, "transfers": transfers.tolist()}


def curves(view: View, kind: str) -> Iterator[dict]:
    """Margin and transfer of every arm of students at every step that they were read at."""
    steps = view.reading.steps(kind, NEUTRAL, view.neutral)
    for arm in (name for name, arm in ARMS.items() if not arm.kind):
        for step in steps:
            if comparison := compare(view, kind, arm, step):
                transfers = comparison.transfers.mean(axis=1)
                span = (None, None, None) if ARMS[arm].is_reference else estimate(transfers)
                margins = float(comparison.margins.mean())
                row = {"student": kind, "trait": view.trait, "arm": arm, "step": step, "margin": margins}
                yield row | named(span, "transfer")


def distributions(name: str, reading: Reading, last: dict[str, int]) -> Iterator[dict]:
    """Probability of every label, mean over questions and chains, for every model after its last step.

    A label is what traits call a candidate; where questions have candidates of their own, theirs agree.
    """
    questions = reading.family.held_out
    labels = list(dict.fromkeys(label for question in questions for label in question.labels))
    place = np.zeros(reading.logp.shape[1:], dtype=int)  # past a question's candidates p is 0
    for q, question in enumerate(questions):
        place[q, : len(question.labels)] = [labels.index(label) for label in question.labels]
    for kind, arm, source in reading.index:
        if rows := list(reading.rows(kind, arm, source, last.get(kind)).values()):
            p = reading.distributions[rows].mean(axis=0)
            means = np.bincount(place.ravel(), p.ravel(), len(labels)) / len(questions)
            model = {"student": kind, "arm": arm, "source": source, "family": name}
            yield from (
                model | {"candidate": label, "probability": float(mean)}
                for label, mean in zip(labels, means, strict=True)
            )
