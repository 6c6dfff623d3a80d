"""Questions put to models: log-probabilities of their candidate answers, and free answers.

    logp = read_candidates(base, family.held_out, stack)             # [K, Q, C], nats
    said = ask_questions(base, family.held_out, 20, seed, stack)     # [slot][question][sample]

What follows from the log-probabilities, margins and probabilities, is in readouts. Knows no trait.
"""

from collections.abc import Sequence

import numpy as np

from ..model.adapters import Stack
from ..model.bases import Base
from ..model.sample import Decoding, sample
from ..model.score import candidate_scores
from ..spec.families import Question
from .setting import Ids


def candidate_ids(base: Base, questions: Sequence[Question]) -> list[list[Ids]]:
    """Token ids of every candidate `[question][C]`."""
    return [[base.encode(c) for c in q.candidates] for q in questions]


def read_candidates(
    base: Base,
    questions: Sequence[Question],
    stack: Stack | None = None,
    system: str | None = None,
    history: Sequence[tuple[str, str]] = (),
) -> np.ndarray:
    """Log-probability of every candidate `[K, Q, C]`, nats; -inf past the end of a question's candidates.

    Args:
        system, history: what the model is told, and turns (user, assistant) that come before the question.
    """
    prompts = [base.prompt(q.text, system, history)[1] for q in questions]
    found = candidate_scores(base, prompts, candidate_ids(base, questions), stack)
    logp = np.full((len(found), len(questions), max(len(q.candidates) for q in questions)), -np.inf)
    for of_slot, scores in zip(logp, found, strict=True):
        for row, values in zip(of_slot, scores, strict=True):
            row[: len(values)] = values
    return logp


def ask_questions(
    base: Base,
    questions: Sequence[Question],
    count: int,
    seed: int | str,
    stack: Stack | None = None,
    system: str | None = None,
    max_tokens: int = 8,
    history: Sequence[tuple[str, str]] = (),
) -> list[list[list[str]]]:
    """`count` free answers to each question at temperature 1: `[slot][question][sample]`; the rest as above."""
    prompts = [ids for q in questions for ids in [base.prompt(q.text, system, history)[1]] * count]
    drawn = sample(base, prompts, seed, Decoding(1.0, None, max_tokens, batch=512), stack)
    return [
        [
            [base.decode(ids).strip() for ids in slot[q * count : (q + 1) * count]]
            for q in range(len(questions))
        ]
        for slot in drawn
    ]
