"""What every model of a run reads as, trait by trait: the rows of the matrix, curves and distributions.

    rows = matrix(view, "hard", step)          # every student of the family, on one trait

Each gives dicts without NaN, as `transfer.summarise` holds them. No MLX and no SQL here.
"""

from collections.abc import Iterator

import numpy as np

from .arms import ARMS, KINDS, View, compare, is_reference
from .readouts import Reading
from .statistics import estimate, named


def matrix(view: View, kind: str, step: int) -> Iterator[dict]:
    """Transfer of every student of the family on this trait; the neutral one's is zero by definition."""
    reading = view.reading
    neutral = reading.rows(kind, "neutral", view.neutral, step)
    sources = [("treated", trait) for trait in view.siblings]
    for arm, source in [*sources, ("neutral", view.neutral), ("control", None)]:
        rows = reading.rows(kind, arm, source, step)
        if chains := sorted(rows.keys() & neutral.keys()):
            at, beside = [rows[chain] for chain in chains], [neutral[chain] for chain in chains]
            transfer = estimate((view.margins[at] - view.margins[beside]).mean(axis=1))
            span = (0.0, None, None) if arm == "neutral" else transfer
            yield {"student": kind, "source": source or arm, "read": view.trait, **named(span, "transfer")}


def curves(view: View, kind: str) -> Iterator[dict]:
    """Margin and transfer of every arm of students at every step that they were read at."""
    steps = view.reading.steps(kind, "neutral", view.neutral)
    for arm in (arm for arm in ARMS if arm not in KINDS):
        for step in steps:
            if comparison := compare(view, kind, arm, step):
                transfers = comparison.transfers.mean(axis=1)
                span = (None, None, None) if is_reference(arm) else estimate(transfers)
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
