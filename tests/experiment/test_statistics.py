"""Intervals and tests against scipy, brute force and simulation, whose margins are 4 standard errors."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from subliminal_mlx.experiment import statistics
from subliminal_mlx.experiment.statistics import binomial_interval, estimate, holm, relabel


def brute_force_p(values):
    """Every assignment of labels to students, one by one, each held in every chain."""
    chains, traits, _ = np.shape(values)
    sums = [
        sum(
            values[chain][student][trait] for chain in range(chains) for trait, student in enumerate(assigned)
        )
        for assigned in itertools.permutations(range(traits))
    ]
    return np.mean([s >= sums[0] - 1e-9 for s in sums])


def p_of_before(values, trait):
    """What was told before: a trait's label permuted in each chain by itself, as if chains were draws of it."""
    gaps = [(len(m) * m[:, trait] - m[:, trait].sum()) / (len(m) - 1) for m in values]
    sums = np.zeros(1)
    for gap in gaps:
        sums = np.add.outer(sums, gap).ravel()
    return np.mean(sums >= sum(gap[trait] for gap in gaps) - 1e-9)


def stable(rng, traits, chains, correlation=0.85):
    """Values of students that move every trait by an amount of its own, which comes back in each chain."""
    kept = rng.normal(0, math.sqrt(correlation), (1, traits, traits))
    return kept + rng.normal(0, math.sqrt(1 - correlation), (chains, traits, traits))


def within(found, expected, runs):
    """Whether a rate is as expected, to 4 standard errors."""
    return abs(found - expected) < 4 * math.sqrt(expected * (1 - expected) / runs)


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


# --- relabelling ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("traits", "chains"), [(4, 1), (4, 3), (5, 8), (7, 2)])
def test_p_counts_every_assignment(traits, chains):
    rng = np.random.default_rng(traits)
    for shift in (0.0, 0.5):
        values = rng.normal(0, 1, (chains, traits, traits)) + shift * np.eye(traits)
        found = relabel(values)
        assert found.p == brute_force_p(values.tolist())
        assert found.assignments == math.factorial(traits) == 1 / found.smallest


def test_p_by_hand():
    # Own students on top everywhere: one assignment of 24, though there are three chains.
    assert relabel([np.eye(4)] * 3).p == 1 / 24
    # Two of the four changed places: every assignment that is not better, and one is.
    swapped = np.eye(4)[[1, 0, 2, 3]]
    sums = [sum(swapped[s, t] for t, s in enumerate(a)) for a in itertools.permutations(range(4))]
    assert relabel([swapped]).p == np.mean([s >= 2 for s in sums]) == 7 / 24


def test_families_of_two_and_three_have_no_p_but_the_smallest_that_it_could_be():
    for traits in (1, 2, 3):
        found = relabel([np.eye(traits)] * 8)
        assert found.p is None and found.smallest == 1 / math.factorial(traits)
    assert relabel([np.eye(4)] * 8).p == relabel([np.eye(4)] * 8).smallest == 1 / 24


def test_ties_count_as_at_least_as_large():
    # 0.1 + 0.2 and 0.3 differ in the last bit.
    rounded = np.full((4, 4), 0.3)
    rounded[1, 0] = rounded[0, 1] = rounded[2, 3] = 0.1 + 0.2
    assert relabel([rounded]).p == relabel([rounded.T]).p == relabel([np.zeros((4, 4))] * 2).p == 1
    # Traits whose answers are the same in every question: their students may change places.
    twins = np.eye(4)
    twins[:2, :2] = 1
    assert relabel([twins]).p == 2 / 24


def test_p_does_not_change_with_what_a_student_or_a_trait_or_a_chain_does_everywhere():
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1, (3, 5, 5)) + 0.3 * np.eye(5)
    for shape in ((3, 5, 1), (3, 1, 5), (3, 1, 1)):
        assert relabel(values + rng.normal(0, 50, shape)).p == relabel(values).p


def test_p_does_not_depend_on_the_order_of_chains_or_traits():
    rng = np.random.default_rng(3)
    values, order = rng.normal(0, 1, (4, 6, 6)), rng.permutation(6)
    assert relabel(values[::-1]).p == relabel(values).p
    assert relabel(values[:, order][:, :, order]).p == relabel(values).p


def test_too_many_assignments_are_drawn_from_a_fixed_seed(monkeypatch):
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, (3, 6, 6)) + 0.3 * np.eye(6)
    counted = relabel(values)
    monkeypatch.setattr(statistics, "LARGEST_COUNTED", 5)
    drawn = relabel(values)
    assert (
        drawn == relabel(values) and drawn.p != counted.p and drawn.assignments == statistics.DRAWS >= 100_000
    )
    assert abs(drawn.p - counted.p) < 4 * math.sqrt(counted.p * (1 - counted.p) / statistics.DRAWS)


def test_a_drawn_p_is_never_0_and_the_smallest_is_what_draws_allow():
    best = relabel([5 * np.eye(16)] * 8)
    assert best.p == best.smallest == 1 / (1 + statistics.DRAWS)
    assert relabel([-5 * np.eye(16)] * 8).p == 1


@pytest.mark.parametrize(("traits", "chains"), [(4, 3), (4, 4), (6, 3)])
def test_effects_that_come_back_in_every_chain_are_no_evidence(traits, chains):
    """The attack: no student knows its own trait, but what it does to each comes back, chain after chain."""
    rng, runs = np.random.default_rng(4), 400
    found = [stable(rng, traits, chains) for _ in range(runs)]
    ps = np.array([relabel(values).p for values in found])
    count = math.factorial(traits)
    for level in (0.05, 0.1, 0.25, 0.5, 0.9):
        assert within(np.mean(ps <= level + 1e-12), math.floor(level * count) / count, runs), level
    # As if chains were draws of a label, every fifth null of a trait would have been called an effect.
    before = np.array([p_of_before(values, 0) for values in found])
    assert np.mean(before <= 0.05) > 0.05 + 6 * math.sqrt(0.05 * 0.95 / runs)


def test_drawn_assignments_keep_the_level_too():
    rng, runs = np.random.default_rng(5), 100
    ps = np.array([relabel(stable(rng, 10, 3)).p for _ in range(runs)])
    for level in (0.05, 0.25, 0.5):
        assert within(np.mean(ps <= level), level, runs)


@pytest.mark.parametrize("uneven", ["students", "traits"])
def test_students_that_move_far_or_traits_that_give_way_alone_keep_the_level(uneven):
    rng, runs = np.random.default_rng(6), 400
    by = (5, 1) if uneven == "students" else (1, 5)
    ps = np.array([relabel(stable(rng, 5, 3) * rng.lognormal(0, 1, by)).p for _ in range(runs)])
    for level in (0.05, 0.25):
        assert within(np.mean(ps <= level + 1e-12), math.floor(level * 120) / 120, runs)


def test_answers_that_traits_share_keep_the_level():
    """A trait such as the stereotype's has the answers of two others, question by question."""
    rng, runs = np.random.default_rng(7), 400
    ps = []
    for _ in range(runs):
        values = stable(rng, 4, 3)
        values[:, :, 3] = 0.5 * (values[:, :, 0] + values[:, :, 1]) + 0.1 * values[:, :, 3]
        ps.append(relabel(values).p)
    assert within(np.mean(np.array(ps) <= 0.05), 1 / 24, runs)


def test_an_effect_of_its_own_is_found():
    rng, runs = np.random.default_rng(8), 200
    ps = np.array([relabel(stable(rng, 6, 3) + 2 * np.eye(6)).p for _ in range(runs)])
    assert np.mean(ps <= 0.05) > 0.98


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (0, 4, 4), (2, 0, 0)])
def test_what_holds_no_student_a_trait_is_refused(shape):
    with pytest.raises(ValueError, match="no student a trait"):
        relabel(np.zeros(shape))


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
