"""The statistics of replicates: intervals, the exact permutation test, Holm. Numbers in, numbers out.

    estimate([0.31, 0.24, 0.40])              # mean, low, high
    permutation_p(margins, own)               # one-sided, exact
    holm([0.01, None, 0.04])

Knows nothing about arms, traits or tables. `scipy.special` rather than `scipy.stats`, which takes two
seconds longer to import and holds the same functions.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import betaincinv, stdtrit

# 16 traits in 8 chains: two lists of 65,536 sums to meet in the middle.
LARGEST_EXACT = 16**8
DRAWS = 100_000
# Nats; arrangements that are equal but for rounding count as equal.
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


def permutation_p(values: Sequence[Sequence[float] | np.ndarray], own: Sequence[int]) -> float | None:
    """One-sided p-value of a trait's own students standing above the others, over permuted labels.

    The statistic is the mean over chains of the labelled student's value less the mean of the others'.
    Under the null the label may fall on any of a chain's students, independently in every chain, all
    equally likely. Every arrangement is counted up to `LARGEST_EXACT` of them; beyond, `DRAWS` are
    drawn from a fixed seed and p is (1 + at least as large) / (1 + DRAWS).

    Args:
        values: for every chain, the margin of each of its students on the trait, nats.
        own: for every chain, the place of the trait's own student.

    Returns:
        p, or None with fewer than two chains that hold two students or more.
    """
    pairs = [(np.asarray(v, dtype=np.float64), i) for v, i in zip(values, own, strict=True) if len(v) > 1]
    if len(pairs) < 2:
        return None
    gaps = [v - (v.sum() - v) / (len(v) - 1) for v, _ in pairs]
    observed = sum(gap[i] for gap, (_, i) in zip(gaps, pairs, strict=True)) - len(gaps) * TIE
    arrangements = math.prod(map(len, gaps))
    if arrangements <= LARGEST_EXACT:
        return _at_least(gaps, observed) / arrangements
    rng = np.random.default_rng(0)
    sums = sum(gap[rng.integers(len(gap), size=DRAWS)] for gap in gaps)
    return (1 + int((sums >= observed).sum())) / (1 + DRAWS)


def _at_least(gaps: list[np.ndarray], bound: float) -> int:
    """How many ways to take one entry of every array sum to `bound` or more; meets in the middle."""
    left = right = np.zeros(1)
    for gap in sorted(gaps, key=len, reverse=True):
        left, right = (left, right) if len(left) <= len(right) else (right, left)
        left = (left[:, None] + gap).ravel()
    # Sorted queries walk through the sorted list in order, which is several times faster.
    left, right = np.sort(left), np.sort(right)
    return len(left) * len(right) - int(np.searchsorted(left, bound - right).sum())


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted for reading them all (Holm, Scand. J. Statist. 6, 1979); None stays None."""
    order = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    largest = 0.0
    for rank, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        adjusted[i] = largest
    return adjusted
