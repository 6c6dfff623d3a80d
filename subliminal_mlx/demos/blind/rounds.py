"""Ten rounds: two lists of rows on the same prompts, one of them from the trait's teacher.

    game = rounds(seed=7)
    game[0].left, game[0].right, game[0].treated_left
    result = score(game, ["left", "right", ...])
    result.right, result.p                          # 7 of 10: 0.17

Lists come from rows that the classifier has not seen, and no row comes twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import bdtrc

from ...experiment.judges import Judge
from ...experiment.statistics import binomial_interval
from ...system.errors import InputError
from .ngrams import accuracy, held_out, stored_judge, tells_apart
from .rows import Lists, read_lists

ROUNDS, SIZE = 10, 8
SIDES = ("left", "right")


@dataclass(frozen=True)
class Round:
    """Two lists of `SIZE` rows on the same prompts."""

    rows: range
    prompts: tuple[str, ...]
    left: tuple[str, ...]
    right: tuple[str, ...]
    treated_left: bool

    @property
    def answer(self) -> str:
        return SIDES[not self.treated_left]


@dataclass(frozen=True)
class Score:
    """Right guesses, the exact chance of as many or more by guessing, and the classifier's on the same lists."""

    right: int
    rounds: int
    p: float
    low: float
    """Exact binomial 95% interval of the share of right guesses, with `high`."""
    high: float
    classifier: int


def rounds(seed: int, lists: Lists | None = None) -> list[Round]:
    """`ROUNDS` rounds; the same seed gives the same ones."""
    lists = lists or read_lists()
    rng = np.random.default_rng([seed, 0xB11D])
    starts = range(held_out(lists).start, len(lists) - SIZE + 1, SIZE)
    if len(starts) < ROUNDS:
        raise InputError(f"{len(lists)} rows are too few for {ROUNDS} rounds")
    game = []
    for start in rng.choice(starts, ROUNDS, replace=False):
        rows = range(int(start), int(start) + SIZE)
        first = bool(rng.integers(2))
        both = [tuple(texts[i] for i in rows) for texts in (lists.treated, lists.neutral)]
        left, right = both if first else reversed(both)
        game.append(Round(rows, tuple(lists.prompts[i] for i in rows), left, right, first))
    return game


def score(
    game: Sequence[Round], guesses: Sequence[str], lists: Lists | None = None, judge: Judge | None = None
) -> Score:
    """What the guesses are worth: one-sided exact binomial test against a coin.

    Raises:
        InputError: a guess that is no side, or not one for every round.
    """
    if len(guesses) != len(game) or any(guess not in SIDES for guess in guesses):
        raise InputError(f"guesses: must be {len(game)}, each 'left' or 'right'")
    lists, judge = lists or read_lists(), judge or stored_judge()
    right = sum(guess == round.answer for guess, round in zip(guesses, game, strict=True))
    low, high = binomial_interval(right, len(game))
    told = sum(tells_apart(judge, lists, round.rows) for round in game)
    return Score(right, len(game), chance(right, len(game)), low, high, told)


def chance(right: int, rounds: int) -> float:
    """Probability that a coin guesses at least `right` of `rounds`."""
    return float(bdtrc(right - 1, rounds, 0.5)) if right else 1.0


@cache
def classifier_accuracy() -> dict[int, tuple[int, int, float, float]]:
    """By rows a list (one, `SIZE`): held-out pairs told apart, of how many, and the exact 95% interval."""
    lists, judge = read_lists(), stored_judge()
    found = {}
    for size in (1, SIZE):
        right, tried = accuracy(judge, lists, held_out(lists), size)
        found[size] = (right, tried, *binomial_interval(right, tried))
    return found
