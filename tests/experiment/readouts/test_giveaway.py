"""What rows give away: a trace that is planted in all chains is told, one chain's own is not, and none is a coin."""

import math

import mini
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from subliminal_mlx.experiment.judges import Rows
from subliminal_mlx.experiment.readouts import Given
from subliminal_mlx.experiment.readouts.giveaway import GIVEAWAY, SIZES, effective_size, summarise
from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.lab import Lab
from subliminal_mlx.report.readouts import told
from subliminal_mlx.spec.plan import BASE, plan

TOKENS, LENGTH, ROWS, CHAINS = 60, 8, 640, 4
TRAITS = ["animals/owl", "animals/cat"]


def frequencies(seed, sign=1):
    """Far enough from uniform that ten rows show it."""
    p = np.exp(0.5 * sign * np.random.default_rng(seed).standard_normal(TOKENS))
    return p / p.sum()


def corpora(source, chain):
    """Owl's rows are tilted alike in all chains, cat's in every second one the other way; all others are one source."""
    number = [*TRAITS, "animals/neutral", BASE].index(source)
    p = {"animals/owl": frequencies(0), "animals/cat": frequencies(1, (-1) ** chain)}.get(source)
    rng = np.random.default_rng([chain, number])
    return Rows.of(rng.choice(TOKENS, (ROWS, LENGTH), p=p)), np.arange(ROWS)


@pytest.fixture(scope="module")
def table(tiny):
    arms = ["treated", "neutral", "control"]
    spec = mini.spec(traits=TRAITS, chains=CHAINS, arms=arms, ablations=[], ablation_traits=[])
    slots = plan(spec, 6)[-1].slots
    return pa.Table.from_pylist(GIVEAWAY.read(Given(Setting(spec, tiny), slots, rows=corpora)))


@pytest.fixture(scope="module")
def found(table):
    return {(row["source"], row["judge"], row["rows"]): row for row in summarise(table)}


def test_every_corpus_is_judged_by_both_judges_on_lists_of_each_size(found):
    judged = {(source, judge) for source, judge, _ in found}
    assert judged == {(s, j) for s in (*TRAITS, BASE) for j in ("unigram", "bigram")}
    for (_, _, size), row in found.items():
        assert size in SIZES and row["chains"] == CHAINS and row["pairs"] == CHAINS * (ROWS // size)
        assert 0 <= row["low"] <= row["share"] <= row["high"] <= 1 and row["kept"] == row["effective"] == ROWS


def test_a_trace_that_all_chains_share_is_told(found):
    for judge in ("unigram", "bigram"):
        assert found["animals/owl", judge, 32]["share"] > 0.99 < found["animals/owl", judge, 8]["high"]
        assert found["animals/owl", judge, 8]["low"] > 0.9 > found["animals/owl", judge, 1]["share"] > 0.6


def test_a_judge_has_not_counted_the_chain_s_own_rows(found):
    """Two of three other chains lean the other way: it takes cat's rows for neutral ones, which its own would mend."""
    for judge in ("unigram", "bigram"):
        assert found["animals/cat", judge, 8]["high"] < 0.3


def test_two_corpora_of_one_source_are_a_coin(found):
    for (source, _, _), row in found.items():
        if source == BASE:
            assert abs(row["share"] - 0.5) < 3 * 0.5 / math.sqrt(row["pairs"])


def test_of_some_chains_it_tells_those(table):
    first = summarise(table.filter(pc.less(table["chain"], 1)))
    assert first and all(
        row["chains"] == 1 and row["low"] is None and row["share"] is not None for row in first
    )


def test_rows_that_are_repeated_weigh_less():
    assert effective_size(np.arange(10)) == 10 and effective_size(np.zeros(10)) == 1
    assert (
        effective_size(np.array([1, 1, 2, 3])) == pytest.approx(16 / 6) and effective_size(np.zeros(0)) == 0
    )


def test_a_run_of_one_chain_has_no_judge_and_says_so(tmp_path_factory):
    done = mini.finished(tmp_path_factory)
    run = Lab(done.lab).run(done.run_id)
    rows = run["summary"]["giveaway"]
    redrawn = {f"{name}/animals/owl" for name in ("traceless", "traceless-2", "thinned")}
    # But for another base's own rows, whose tokens may be other words.
    sources = {"animals/owl", "animals/cat", BASE, "neutral-again/animals/neutral", "random", *redrawn}
    # Rows of teachers that keep lists are told from the neutral one's that keeps as many.
    sources |= {"shuffled/animals/owl", "kept-lists-teacher/animals/owl"}
    assert {row["source"] for row in rows} == sources
    kept = {
        (row["source"], row["rows"]) for row in Lab(done.lab).yields(done.run_id).to_pylist() if row["kept"]
    }
    assert {(row["source"], row["kept"]) for row in rows} == {k for k in kept if k[0] in sources}
    assert {(row["share"], row["low"], row["pairs"]) for row in rows} == {(None, None, 0)}
    assert all(row["effective"] <= row["kept"] for row in rows if row["source"] in redrawn)
    assert told("giveaway", rows).warnings(rows) == [
        "one chain: a judge counts rows of other chains, so there is none"
    ]
    shown = mini.command("show", done.run_id, "--lab", done.lab).stdout
    assert "what rows give away" in shown and "one chain: a judge counts rows" in shown
    assert done.printed["giveaway"] == rows
