"""Intervals and tests against scipy, brute force and simulation, whose margins are 4 standard errors."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from subliminal_mlx.experiment import statistics
from subliminal_mlx.experiment.statistics import binomial_interval, estimate, holm, permutation_p


def brute_force_p(values, own):
    """Every arrangement, one by one."""
    gaps = [[v - np.mean(np.delete(row, i)) for i, v in enumerate(row)] for row in values]
    observed = np.mean([gap[i] for gap, i in zip(gaps, own, strict=True)])
    sums = [np.mean(taken) for taken in itertools.product(*gaps)]
    return sum(s >= observed - 1e-9 for s in sums) / len(sums)


# --- intervals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 8])
def test_an_interval_is_that_of_student_t(n):
    values = np.random.default_rng(n).normal(0.3, 1, n)
    low, high = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
    assert estimate(values) == pytest.approx((values.mean(), low, high), rel=1e-12)


def test_the_interval_covers_the_mean_19_times_in_20():
    values = np.random.default_rng(0).normal(2, 1, (4_000, 3))
    covered = np.mean([low <= 2 <= high for _, low, high in map(estimate, values)])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4_000)


def test_one_chain_has_no_interval_and_none_has_no_estimate():
    assert estimate([0.25]) == (0.25, None, None)
    with pytest.raises(ValueError, match="at least one"):
        estimate([])


@pytest.mark.parametrize("trials", [1, 7, 520])
def test_a_rate_has_the_exact_binomial_interval(trials):
    for successes in {0, 1, trials // 3, trials - 1, trials}:
        expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
        assert binomial_interval(successes, trials) == pytest.approx(tuple(expected), abs=1e-10)


@pytest.mark.parametrize("pair", [(0, 0), (3, 2), (-1, 5)])
def test_what_is_no_rate_is_refused(pair):
    with pytest.raises(ValueError, match="no rate"):
        binomial_interval(*pair)


# --- permutation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(3, 3), (6, 6, 6), (2, 5, 3, 4), (2,) * 9])
def test_p_counts_every_arrangement(sizes):
    rng = np.random.default_rng(len(sizes))
    for shift in (0.0, 1.0):
        values = [rng.normal(0, 1, size) for size in sizes]
        own = [int(rng.integers(size)) for size in sizes]
        for row, i in zip(values, own, strict=True):
            row[i] += shift
        assert permutation_p(values, own) == brute_force_p(values, own)


def test_p_by_hand():
    # Gaps are 2 and -2 in both chains: sums 4, 0, 0, -4. Own on top in both: 1 of 4; in one: 3 of 4.
    values = [[3.0, 1.0], [1.0, 3.0]]
    assert permutation_p(values, [0, 1]) == 1 / 4
    assert permutation_p(values, [0, 0]) == 3 / 4
    assert permutation_p(values, [1, 0]) == 1


def test_ties_count_as_at_least_as_large():
    # 0.1 + 0.2 and 0.3 differ in the last bit; so do the sums of the two halves.
    values = [[0.1 + 0.2, 0.3, 0.0], [0.3, 0.1 + 0.2, 0.0]]
    assert permutation_p(values, [0, 0]) == permutation_p(values, [1, 1]) == 4 / 9
    assert permutation_p([[0.7] * 5] * 4, [0] * 4) == 1


def test_p_does_not_depend_on_the_order_of_chains_or_students():
    rng = np.random.default_rng(3)
    values, own = [rng.normal(0, 1, size) for size in (4, 7, 3, 5)], [1, 6, 0, 2]
    p = permutation_p(values, own)
    assert permutation_p(values[::-1], own[::-1]) == p
    assert (
        permutation_p(
            [row[::-1] for row in values], [len(v) - 1 - i for v, i in zip(values, own, strict=True)]
        )
        == p
    )


def test_sixteen_traits_in_eight_chains_are_counted_exactly():
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, (8, 16))
    best = values.argmax(axis=1)
    assert permutation_p(list(values), list(best)) == 16**-8
    own = [int(np.argsort(row)[11]) for row in values]
    gaps = values - (values.sum(axis=1, keepdims=True) - values) / 15
    draws = np.array([rng.choice(gap, 200_000) for gap in gaps]).sum(axis=0)
    sampled = np.mean(draws >= sum(gap[i] for gap, i in zip(gaps, own, strict=True)))
    p = permutation_p(list(values), own)
    assert 0 < p < 0.2 and (p * 16**8) % 1 == 0
    assert abs(p - sampled) < 4 * math.sqrt(p * (1 - p) / 200_000)


def test_too_many_arrangements_are_sampled_from_a_fixed_seed(monkeypatch):
    rng = np.random.default_rng(2)
    values, own = list(rng.normal(0, 1, (4, 6))), [0, 1, 2, 3]
    exact = permutation_p(values, own)
    monkeypatch.setattr(statistics, "LARGEST_EXACT", 6**4 - 1)
    sampled = permutation_p(values, own)
    assert sampled == permutation_p(values, own) != exact
    assert abs(sampled - exact) < 4 * math.sqrt(exact * (1 - exact) / statistics.DRAWS)
    # Never zero: the arrangement that was seen counts.
    many = list(rng.normal(0, 1, (40, 16)))
    assert permutation_p(many, [int(row.argmax()) for row in many]) == 1 / (1 + statistics.DRAWS)


def test_p_is_uniform_where_labels_mean_nothing():
    rng = np.random.default_rng(4)
    runs, arrangements = 3_000, 5**3
    # Chains differ and one student of each stands out: exchangeable all the same.
    values = rng.normal(0, 1, (runs, 3, 5)) + rng.normal(0, 5, (runs, 3, 1))
    values[:, :, 0] += 2
    values = rng.permuted(values, axis=2)
    ps = np.array([permutation_p(list(run), [0, 0, 0]) for run in values])
    for level in (0.008, 0.05, 0.25, 0.5, 0.9):
        rate = math.floor(level * arrangements + 1e-9) / arrangements
        assert abs(np.mean(ps <= level + 1e-12) - rate) < 4 * math.sqrt(rate * (1 - rate) / runs)


def test_one_chain_or_one_student_has_no_p():
    assert permutation_p([[1.0, 0.0, 0.0]], [0]) is None
    assert permutation_p([[1.0], [1.0]], [0, 0]) is None
    # A chain that holds only the trait's own student says nothing about the labels.
    assert permutation_p([[1.0, 0.0], [5.0]], [0, 0]) is None
    two = [[1.0, 0.0], [1.0, 0.0]]
    assert permutation_p([*two, [5.0]], [0, 0, 0]) == permutation_p(two, [0, 0]) == 1 / 4


# --- holm -----------------------------------------------------------------------------------------


def test_holm_gives_known_values():
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") and p.adjust(c(0.6, 0.5), "holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1, 1]


def test_holm_counts_only_the_p_values_there_are():
    assert holm([0.02, None, 0.03]) == pytest.approx([0.04, None, 0.04])
    assert holm([None, None]) == [None, None]
    assert holm([]) == []


def test_holm_errs_once_in_twenty_over_all_traits():
    rng = np.random.default_rng(5)
    wrong = np.mean([min(holm(list(ps))) <= 0.05 for ps in rng.uniform(size=(4_000, 6))])
    expected = 1 - (1 - 0.05 / 6) ** 6
    assert abs(wrong - expected) < 4 * math.sqrt(expected * (1 - expected) / 4_000)
