"""Summaries that earlier versions stored: told as today's are, from what lies in them."""

import copy

import pytest
from fakes import SIX, fake_summary
from old_labs import OVER_CONTROL, summary_of_before

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


def test_a_summary_from_before_treated_was_held_against_control_is_judged_anew():
    """Its own verdict, by the rule of before, is not believed: a control that moved as far takes it back."""
    today = fake_summary(SIX)
    before = copy.deepcopy(today)
    for entry in before["traits"]:
        for key in OVER_CONTROL:
            del entry[key]
    assert renewed(copy.deepcopy(before)) == today
    for entry in before["traits"]:
        for row in entry["by_chain"]:
            row["control"] = row["treated"]
    assert any(entry["shown"] for entry in before["traits"])
    assert not any(entry["shown"] for entry in renewed(before)["traits"])
