"""The statistics of replicates: intervals, permuted labels, Holm. Numbers in, numbers out.

    estimate([0.31, 0.24, 0.40])              # mean, low, high
    relabel(transfers).p                      # one-sided, of a family's students [chains, students, traits]
    holm([0.01, None, 0.04])

Knows nothing about arms, traits or tables. `scipy.special` rather than `scipy.stats`, which takes two
seconds longer to import and holds the same functions.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import betaincinv, stdtrit

LEVEL = 0.05  # of p: what lies above is not shown, and a p that cannot lie below is not told
LARGEST_COUNTED = 9  # traits whose assignments are all counted: 362,880 of them
DRAWS = 100_000
# Nats in a cell; assignments that are equal but for rounding count as equal.
TIE = 1e-9


def estimate(values: Sequence[float] | np.ndarray) -> tuple[float, float | None, float | None]:
    """Mean of `values [n]`, one a replicate, and its 95% t interval: both ends None where n is 1.

    Raises:
        ValueError: no values.
    """
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        raise ValueError("an estimate needs at least one value")
    mean = values.mean()
    if len(values) == 1:
        return float(mean), None, None
    half = stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / math.sqrt(len(values))
    return float(mean), float(mean - half), float(mean + half)


def named(span: tuple, name: str, prefix: str = "") -> dict[str, float | None]:
    """A value and its interval's ends as a dict: `{name: ..., "low": ..., "high": ...}`, ends after a prefix."""
    return dict(zip((name, f"{prefix}low", f"{prefix}high"), span, strict=True))


def ratio(
    values: Sequence[float] | np.ndarray, reference: Sequence[float] | np.ndarray
) -> tuple[float, float | None, float | None]:
    """Mean of `values [n]` over the mean of `reference [n]`, pairs a replicate, and its 95% interval.

    Fieller's interval (J. R. Statist. Soc. B 16, 1954), which minds that the reference is measured too: both
    ends None where n is 1, or where the reference's own interval holds 0, so that any ratio would do.

    Raises:
        ValueError: no pairs, or references whose mean is 0.
    """
    x, y = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if not len(x) or len(x) != len(y) or not y.mean():
        raise ValueError("a ratio needs pairs of values, and references whose mean is not 0")
    found, n = float(x.mean() / y.mean()), len(x)
    if n == 1:
        return found, None, None
    t = float(stdtrit(n - 1, 0.975))
    (sxx, sxy), (_, syy) = np.cov(x, y) / n
    g = t * t * syy / y.mean() ** 2
    if g >= 1:
        return found, None, None
    inner = sxx - 2 * found * sxy + found**2 * syy - g * (sxx - (sxy**2 / syy if syy else 0.0))
    half = t / abs(y.mean()) * math.sqrt(max(0.0, inner))
    centre = found - (g * sxy / syy if syy else 0.0)
    return found, float((centre - half) / (1 - g)), float((centre + half) / (1 - g))


def binomial_interval(successes: int, trials: int) -> tuple[float, float]:
    """Exact 95% interval of a rate, both ends in 0..1 (Clopper and Pearson, Biometrika 26, 1934).

    For trials that are drawn independently, such as one model's answers; over chains, `estimate` their rates.

    Raises:
        ValueError: not 0 <= successes <= trials, or no trials.
    """
    if not 0 <= successes <= trials or not trials:
        raise ValueError(f"{successes} of {trials} is no rate")
    low = betaincinv(successes, trials - successes + 1, 0.025) if successes else 0.0
    high = betaincinv(successes + 1, trials - successes, 0.975) if successes < trials else 1.0
    return float(low), float(high)


@dataclass(frozen=True)
class Relabelled:
    """What permuting labels says of one family of students."""

    p: float | None
    """One-sided; None where no data could bring it to LEVEL."""
    smallest: float
    """The smallest p that so many traits and draws allow."""
    assignments: int
    """Of labels to students: those that were counted, or drawn."""


def relabel(values: np.ndarray) -> Relabelled:
    """Whether students stand highest on their own teacher's trait, over all ways to give the labels to them.

    The statistic is the trace of the matrix summed over chains: every student's value on the trait that is its
    label. The null says that a label tells nothing of its student, so that the labels might as well have been dealt
    to the students in any of n! ways; a dealt label is kept in every chain, since what a student of one teacher does
    to other traits comes back chain after chain, and chains are then no draws of their own. That is the exchange of
    whole blocks (Winkler et al., NeuroImage 92, 2014), over the trace of a matrix as in Hubert and Schultz (Br. J.
    Math. Stat. Psychol. 29, 1976). Neither a student that moves every trait, nor a trait that every student moves,
    nor a chain can change p: the trace of each relabelling holds them all once, so nothing needs to be centred.
    Traits may share answers: columns are never exchanged, and what two of them have in common costs power alone.
    Students that differ in how far they move are no trouble as long as traits do not, and the other way round; where
    both differ, and go together by trait, p is no longer exact.

    All assignments are counted up to LARGEST_COUNTED traits. Beyond, DRAWS of them are drawn from a fixed seed, and
    the one that was seen is counted in: p = (1 + at least as large) / (1 + DRAWS), which never is 0 (Phipson and
    Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010).

    Args:
        values: `[chains, students, traits]`, nats, the students in the order of the traits that are theirs. Where
            labels are drawn, another order is another draw: give traits in an order of their own.

    Raises:
        ValueError: not as many students as traits, or nothing at all.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 3 or not values.size or values.shape[1] != values.shape[2]:
        raise ValueError(f"values of shape {values.shape} hold no student a trait")
    total, traits = values.sum(axis=0), values.shape[1]
    counted = traits <= LARGEST_COUNTED
    labels = _all_assignments(traits) if counted else _drawn_assignments(traits)
    sums = total[labels, np.arange(traits)].sum(axis=1)
    large = int((sums >= np.trace(total) - TIE * len(values) * traits).sum())
    seen = 0 if counted else 1  # where all are counted, the one that was seen is among them
    p, smallest = (seen + large) / (seen + len(labels)), 1 / (seen + len(labels))
    return Relabelled(p if smallest <= LEVEL else None, smallest, len(labels))


@lru_cache(maxsize=4)
def _all_assignments(traits: int) -> np.ndarray:
    """Every order of 0 to `traits` - 1 `[traits!, traits]`."""
    flat = itertools.chain.from_iterable(itertools.permutations(range(traits)))
    return np.fromiter(flat, np.int8, math.factorial(traits) * traits).reshape(-1, traits)


@lru_cache(maxsize=4)
def _drawn_assignments(traits: int) -> np.ndarray:
    """DRAWS orders of 0 to `traits` - 1 `[DRAWS, traits]`, the same ones every time."""
    orders = np.tile(np.arange(traits, dtype=np.int16), (DRAWS, 1))
    return np.random.default_rng(0).permuted(orders, axis=1)


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted for reading them all (Holm, Scand. J. Statist. 6, 1979); None stays None."""
    order = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    largest = 0.0
    for rank, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        adjusted[i] = largest
    return adjusted
