"""Judges of rows: a shift that is there is found, one that is not is not, and what they count is exact."""

import math

import numpy as np
import pytest

from subliminal_mlx.experiment.judges import (
    STRENGTHS,
    Counts,
    Judge,
    Rows,
    count_tokens,
    fit_judge,
    tell_apart,
)

VOCABULARY = 100
UNIFORM = np.full(VOCABULARY, 1 / VOCABULARY)


def drawn(seed, count=2_000, p=UNIFORM, length=8):
    rng = np.random.default_rng(seed)
    return Rows.of(rng.choice(VOCABULARY, (count, length), p=p))


def chained(seed, step, count=2_000, length=8):
    """Tokens uniform one by one, of which every second follows its neighbour by `step`, half of the time."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(VOCABULARY, size=(count, length))
    follow = rng.random((count, length)) < 0.5
    for place in range(1, length):
        tokens[:, place] = np.where(
            follow[:, place], (tokens[:, place - 1] + step) % VOCABULARY, tokens[:, place]
        )
    return Rows.of(tokens)


def told(first, second, order, size=8):
    """Share of held-out pairs that a judge of other rows tells apart, and how many there were."""
    judge = fit_judge(count_tokens(first[0]), count_tokens(second[0]), order)
    right, count = tell_apart(judge, first[1], second[1], size)
    return right / count, count


@pytest.mark.parametrize("order", [1, 2])
def test_a_planted_shift_of_single_tokens_is_told_apart(order):
    tilted = np.where(np.arange(VOCABULARY) < 20, 2.0, 0.75)
    tilted /= tilted.sum()
    share, count = told((drawn(0, p=tilted), drawn(1, p=tilted)), (drawn(2), drawn(3)), order)
    assert count == 250 and share > 0.97


def test_a_planted_order_is_told_apart_by_pairs_alone():
    sources = [(chained(seed, step), chained(seed + 10, step)) for seed, step in ((0, 3), (1, 7))]
    share, count = told(*sources, order=2)
    assert share > 0.97
    share, _ = told(*sources, order=1)
    assert abs(share - 0.5) < 3 * 0.5 / math.sqrt(count), "single tokens say nothing"


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("size", [1, 8])
def test_two_corpora_of_one_source_are_not_told_apart(order, size):
    rights, counts = [], []
    for seed in range(6):
        first, second = (
            (drawn(seed, 800), drawn(seed + 50, 800)),
            (drawn(seed + 100, 800), drawn(seed + 150, 800)),
        )
        share, count = told(first, second, order, size)
        rights.append(share * count)
        counts.append(count)
    assert abs(sum(rights) / sum(counts) - 0.5) < 3 * 0.5 / math.sqrt(sum(counts))


def test_the_same_rows_are_ties_and_no_pairs_of_one_prompt():
    """Two sources of the same rows: a judge that paired them row by row would have nothing to see but ties."""
    rows = drawn(0)
    judge = fit_judge(count_tokens(drawn(1)), count_tokens(drawn(2)), 2)
    assert abs(tell_apart(judge, rows, rows, 1)[0] / len(rows) - 0.5) < 0.05
    blank = Judge(count_tokens(rows), count_tokens(rows), 1, STRENGTHS[0], VOCABULARY)
    assert tell_apart(blank, rows, drawn(3), 8) == (125.0, 250), "no evidence is a coin's"
    assert tell_apart(blank, rows, drawn(3, 4), 8) == (0.0, 0)


def test_evidence_is_what_its_counts_say():
    first, second = Rows.of([[1, 2, 2], [1, 2]]), Rows.of([[2, 1], [3, 1]])
    found = Judge(count_tokens(first), count_tokens(second), 2, 10.0, 3).evidence(Rows.of([[1, 2], [3]]))
    # Of the first: 1 twice and 2 thrice of 5; 1 begins 2 of 2 rows, 2 follows 1 twice of 2. Of the second: 1
    # twice, 2 and 3 once of 4; 1 begins 0 of 2, 2 never follows 1, which nothing follows. Three tokens in all.
    own = {"first": {1: 3 / 8, 2: 4 / 8, 3: 1 / 8}, "second": {1: 3 / 7, 2: 2 / 7, 3: 2 / 7}}
    ours = (2 + 10 * own["first"][1]) / 12 * (2 + 10 * own["first"][2]) / 12
    theirs = (0 + 10 * own["second"][1]) / 12 * own["second"][2]
    third = (10 * own["first"][3] / 12) / ((1 + 10 * own["second"][3]) / 12)
    assert found == pytest.approx([math.log(ours / theirs), math.log(third)])
    singly = Judge(count_tokens(first), count_tokens(second), 1, 10.0, 3).evidence(Rows.of([[1, 2]]))
    assert singly == pytest.approx(math.log(3 / 8 * 4 / 8 / (3 / 7 * 2 / 7)))


def test_counts_of_chains_add_up():
    parts = [drawn(seed, 50) for seed in range(3)]
    whole = count_tokens(Rows.of([row for rows in parts for row in np.split(rows.tokens, rows.starts[1:])]))
    merged = Counts.merged(map(count_tokens, parts))
    assert np.array_equal(merged.pairs, whole.pairs) and np.array_equal(merged.seen, whole.seen)
    assert merged.total == 3 * 50 * 8


def test_rows_without_tokens_are_left_out():
    rows = Rows.of([[], [5, 6], [], [7]])
    assert len(rows) == 2 and rows.lengths.tolist() == [2, 1] and not len(Rows.of([]))
    judge = fit_judge(count_tokens(rows), count_tokens(Rows.of([[5]])), 2)
    assert judge.evidence(Rows.of([])).tolist() == []


def test_a_strong_order_is_trusted_and_none_is_not():
    """The smoothing follows from the counted rows alone."""
    ordered = fit_judge(count_tokens(chained(0, 3, 20_000)), count_tokens(chained(1, 7, 20_000)), 2)
    plain = fit_judge(count_tokens(drawn(0)), count_tokens(drawn(1)), 2)
    assert ordered.strength <= 100 < 10_000 <= plain.strength
