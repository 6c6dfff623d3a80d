"""Rows drawn again: what a judge counts is gone, what it costs is said, and the control keeps both trace and cost."""

import math

import numpy as np
import pytest

from subliminal_mlx.experiment import redraws
from subliminal_mlx.experiment.judges import Rows, count_tokens, fit_judge, tell_apart
from subliminal_mlx.experiment.readouts.giveaway import effective_size

TOKENS, LENGTH, ROWS, CHAINS = 40, 8, 2_000, 3
TILT = np.exp(0.35 * np.random.default_rng(0).standard_normal(TOKENS))


def singles(chain, tilt=TILT):
    rng = np.random.default_rng([chain, 1])
    return rng.choice(TOKENS, (ROWS, LENGTH), p=tilt / tilt.sum())


def plain(chain):
    return np.random.default_rng([chain, 2]).integers(TOKENS, size=(ROWS, LENGTH))


def chained(chain):
    """Every token as often as in `plain`, but one in sixteen or so is the one before it and 3 more."""
    rows, rng = plain(chain + 50), np.random.default_rng([chain, 3])
    for place in range(1, LENGTH):
        follow = rng.random(ROWS) < 0.06
        rows[:, place] = np.where(follow, (rows[:, place - 1] + 3) % TOKENS, rows[:, place])
    return rows


def redrawn(function, source):
    """In every chain, rows drawn again beside that chain's plain ones."""
    return [source(chain)[function(source(chain), plain(chain), chain)] for chain in range(CHAINS)]


def told(corpora, order, size=8, heard=None):
    """Share of pairs that judges of other chains tell from plain rows; and how far a coin may be off, 3 of its errors.

    Args:
        heard: what the judges have counted, where that is not the corpora themselves.
    """
    rights, counts = 0.0, 0
    counted = [count_tokens(Rows.of(rows)) for rows in heard or corpora]
    others = [count_tokens(Rows.of(plain(chain))) for chain in range(CHAINS)]
    for chain in range(CHAINS):
        away = [c for c in range(CHAINS) if c != chain]
        both = (type(counted[0]).merged(part[c] for c in away) for part in (counted, others))
        right, count = tell_apart(
            fit_judge(*both, order), Rows.of(corpora[chain]), Rows.of(plain(chain)), size
        )
        rights, counts = rights + right, counts + count
    return rights / counts, 3 * 0.5 / math.sqrt(counts)


@pytest.fixture(scope="module")
def raw():
    return [singles(chain) for chain in range(CHAINS)]


@pytest.fixture(scope="module")
def matched():
    return redrawn(redraws.match_tokens, singles)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("size", [1, 8])
def test_a_unigram_trace_is_told_before_and_by_no_judge_after(raw, matched, order, size):
    before, slack = told(raw, order, size)
    assert before > 0.5 + 4 * slack
    after, slack = told(matched, order, size)
    assert abs(after - 0.5) < slack
    # Nor by one that knows the trace as it was.
    after, slack = told(matched, order, size, heard=raw)
    assert abs(after - 0.5) < slack


def test_counts_are_the_other_corpus_s_own(matched):
    for chain, rows in enumerate(matched):
        counts = [np.bincount(part.ravel(), minlength=TOKENS) for part in (rows, plain(chain))]
        # Each about 400: a row more or less of those that are drawn.
        assert (
            np.abs(counts[0] - counts[1]).max()
            < 25
            < np.abs(np.bincount(singles(chain).ravel(), minlength=TOKENS) - counts[1]).max()
        )


def test_what_it_costs_is_far_from_what_likelihood_ratios_would(raw):
    """Weights are shared out by as much as it takes and no more; a few rows never have it all."""
    weights = redraws.weights(raw[0], plain(0), pairs=False)
    assert weights.sum() == pytest.approx(1) and weights.max() < 0.01
    places = redraws.match_tokens(raw[0], plain(0), 0)
    assert 0.3 * ROWS < effective_size(places) < 0.9 * ROWS
    # A stronger trace costs more rows.
    strong = singles(0, TILT**3)
    assert effective_size(redraws.match_tokens(strong, plain(0), 0)) < 0.5 * effective_size(places)


def test_a_trace_in_pairs_is_gone_where_pairs_are_matched_and_only_there():
    tokens, pairs = redrawn(redraws.match_tokens, chained), redrawn(redraws.match_pairs, chained)
    assert told(tokens, 2)[0] > 0.8
    for order in (1, 2):
        after, slack = told(pairs, order)
        assert abs(after - 0.5) < slack
    # More is asked of the rows, and fewer of them answer it.
    costs = [effective_size(f(chained(0), plain(0), 0)) for f in (redraws.match_tokens, redraws.match_pairs)]
    assert 0.2 * ROWS < costs[1] < 0.7 * costs[0]


def test_the_control_repeats_as_much_and_keeps_the_trace(raw):
    repeats = {}
    for function in (redraws.match_pairs, redraws.match_nothing):
        places = function(raw[0], plain(0), 0)
        repeats[function] = sorted(np.unique(places, return_counts=True)[1].tolist())
        assert len(places) == ROWS and places.min() >= 0 and places.max() < ROWS
    assert repeats[redraws.match_pairs] == repeats[redraws.match_nothing]
    control = redrawn(redraws.match_nothing, singles)
    assert told(control, 1)[0] > told(raw, 1)[0] - 0.1


def test_rows_that_lean_nowhere_stay_all_and_in_another_order():
    places = redraws.match_tokens(plain(0), plain(0), 0)
    assert sorted(places.tolist()) == list(range(ROWS)) and places.tolist() != sorted(places.tolist())


def test_a_draw_is_its_seed_s_and_any_first_part_of_it_is_fair(raw):
    first, again, other = (redraws.match_tokens(raw[0], plain(0), seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    half = np.bincount(raw[0][first[: ROWS // 2]].ravel(), minlength=TOKENS) / (ROWS // 2 * LENGTH)
    assert np.abs(half - 1 / TOKENS).max() < 5 * math.sqrt(1 / TOKENS / (ROWS // 2 * LENGTH))


def test_tokens_that_one_of_them_lacks():
    """What only the others have cannot be drawn; what only these have is drawn as little as can be."""
    rows = np.array([[1, 2], [1, 3], [2, 9], [9, 9]] * 50)
    beside = np.array([[1, 2], [1, 3], [2, 7]] * 50)
    weights = redraws.weights(rows, beside, pairs=True)
    assert np.isfinite(weights).all() and weights.sum() == pytest.approx(1)
    assert weights[3] < 0.01 * weights[0]
