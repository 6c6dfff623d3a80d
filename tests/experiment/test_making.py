"""What a run was made from: rows that corpora have in common, counted by hand."""

import mini
import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from subliminal_mlx.experiment.making import corpora_beside, rows_in_common

OWL, CAT, NEUTRAL = "animals/owl", "animals/cat", "animals/neutral"
SPEC = mini.spec(chains=3)


def counts(*rows):
    return pa.Table.from_pylist(
        [dict(zip(("source", "beside", "chain", "rows", "common"), row, strict=True)) for row in rows]
    )


def test_every_comparison_has_its_pair_of_corpora():
    pairs = corpora_beside(SPEC)
    assert {pair: arms for pair, arms in pairs.items() if "random" not in arms} == {
        (OWL, NEUTRAL): ("treated", "neutral"),
        (CAT, NEUTRAL): ("treated", "neutral"),
        ("base", NEUTRAL): ("control", "neutral"),
        (f"neutral-again/{NEUTRAL}", NEUTRAL): ("neutral-again", "neutral"),
        (f"shuffled/{OWL}", NEUTRAL): ("shuffled", "neutral"),
        (f"shuffled/{OWL}", OWL): ("shuffled", "treated"),
        **{(f"{arm}/{OWL}", NEUTRAL): (arm, "neutral") for arm in ("traceless", "traceless-2", "thinned")},
        # On the other base, and beside what the base's own teachers of the same traits wrote.
        (f"foreign-teacher/{OWL}", f"foreign-teacher/{NEUTRAL}"): ("foreign-own", "foreign-own-neutral"),
        (f"foreign-teacher/{OWL}", OWL): ("foreign-own", "treated"),
        (f"foreign-teacher/{NEUTRAL}", NEUTRAL): ("foreign-own-neutral", "neutral"),
        # On the base, of teachers that keep its own lists.
        (f"kept-lists-teacher/{OWL}", f"kept-lists-teacher/{NEUTRAL}"): ("kept-lists", "kept-lists-neutral"),
        (f"kept-lists-teacher/{OWL}", OWL): ("kept-lists", "treated"),
        (f"kept-lists-teacher/{NEUTRAL}", NEUTRAL): ("kept-lists-neutral", "neutral"),
    }
    assert pairs["random", NEUTRAL] == ("random", "neutral") and pairs["random", "base"] == (
        "random",
        "control",
    )


def test_shares_are_means_over_traits_and_then_over_chains():
    found = rows_in_common(
        counts(
            (OWL, NEUTRAL, 0, 10, 2),
            (CAT, NEUTRAL, 0, 10, 4),
            (OWL, NEUTRAL, 1, 10, 5),
            (CAT, NEUTRAL, 1, 5, 4),
            ("base", NEUTRAL, 0, 10, 0),
            ("base", NEUTRAL, 1, 10, 1),
            (OWL, CAT, 0, 10, 10),
        ),
        SPEC,
    )
    treated, control = found
    chains = [np.mean([0.2, 0.4]), np.mean([0.5, 0.8])]
    low, high = stats.t.interval(0.95, 1, np.mean(chains), stats.sem(chains))
    assert (treated["arm"], treated["beside"], treated["chains"]) == ("treated", "neutral", 2)
    assert treated["share"] == pytest.approx(np.mean(chains)) and treated["most"] == 0.8
    # A share has no end below 0 or above 1.
    assert low < 0 and high > 1 and (treated["low"], treated["high"]) == (0.0, 1.0)
    assert control["share"] == pytest.approx(0.05) and control["low"] == 0.0 and 0.05 < control["high"] < 1


def test_one_chain_has_no_interval_and_nothing_is_nothing():
    (row,) = rows_in_common(counts((OWL, NEUTRAL, 0, 4, 1)), SPEC)
    assert row == {
        "arm": "treated",
        "beside": "neutral",
        "chains": 1,
        "share": 0.25,
        "low": None,
        "high": None,
        "most": 0.25,
    }
    assert rows_in_common(counts((OWL, NEUTRAL, 0, 4, 1)).slice(0, 0), SPEC) == []
