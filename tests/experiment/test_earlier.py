"""Summaries that earlier versions stored: told as today's are, from what lies in them."""

import copy

import pytest
from fakes import SIX, fake_summary
from old_labs import summary_of_before

from subliminal_mlx.experiment.earlier import renewed


@pytest.mark.parametrize(("traits", "chains"), [(SIX, 3), (SIX[:1], 3), (SIX[:4], 1), (SIX[:2], 2)])
def test_a_summary_of_before_is_told_as_todays_is(traits, chains):
    today = fake_summary(traits, chains=chains)
    found = renewed(summary_of_before(today))
    assert found["families"] == today["families"]
    for entry, expected in zip(found["traits"], today["traits"], strict=True):
        assert entry.keys() == expected.keys()
        assert entry == {
            key: pytest.approx(value) if "specificity" in key else value for key, value in expected.items()
        }


def test_reading_after_a_row_is_told_anew_too_and_not_judged():
    today = fake_summary(SIX[:2])
    before = summary_of_before(today)
    before["prefixed"] = copy.deepcopy(before["traits"])
    (first, *_) = renewed(before)["prefixed"]
    assert first["transfer"] == today["traits"][0]["transfer"] and "shown" not in first
    assert not {"headline", "estimate", "p", "p_holm"} & first.keys()


def test_todays_summary_stays_as_it_is():
    today = fake_summary(SIX)
    assert renewed(today) is today
    nothing = {"traits": [], "families": [], "matrix": []}
    assert renewed(nothing) is nothing
