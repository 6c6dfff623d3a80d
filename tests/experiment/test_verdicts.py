"""What keeps a transfer from being shown, one thing at a time; every one of them can."""

import copy
import json

import numpy as np
import pytest
from fakes import SIX, fake_summary

from subliminal_mlx.experiment.damage import LOST, lost_language
from subliminal_mlx.experiment.statistics import estimate
from subliminal_mlx.experiment.verdicts import REASONS, judged

FOUR = SIX[:4]


def summary_of(effect=2.0, chains=3, traits=FOUR, capability=(), **changes):
    """A summary whose first trait is changed, judged."""
    found = fake_summary(traits, ("hard",), chains=chains, effect=effect)
    found["traits"][0] |= changes
    return judged(found | ({"capability": list(capability)} if capability else {}))


def language(worst, student="hard", arm="treated"):
    return {
        "student": student,
        "arm": arm,
        "loss": 3.0,
        "change": worst,
        "low": None,
        "high": None,
        "worst": worst,
    }


def lacks(summary):
    first = summary["traits"][0]
    assert first["shown"] == (not first["why_not"]) and set(first["why_not"]) <= set(REASONS)
    return first["why_not"]


def test_a_plain_effect_is_shown():
    assert lacks(summary_of()) == []


@pytest.mark.parametrize("chains", [1, 2])
def test_two_chains_show_nothing_however_large_the_effect(chains):
    for effect in (2.0, 50.0):
        assert "chains" in lacks(summary_of(effect, chains))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"low": 0.0}, "transfer"),
        ({"low": -0.1}, "transfer"),
        ({"low": -2.0, "high": -1.0}, "transfer"),
        ({"percentage_points_low": 0.0}, "gain"),
        ({"percentage_points": -3.0, "percentage_points_low": -4.0}, "gain"),
    ],
)
def test_both_intervals_must_lie_above_0(changes, reason):
    assert lacks(summary_of(**changes)) == [reason]


def test_transfer_heads_even_where_specificity_would_be_plain():
    """Other traits' students that are pushed down lift the specificity, and show nothing."""
    pushed = {"transfer": 0.1, "low": -0.2, "high": 0.4, "specificity": 3.0, "specificity_low": 2.5}
    assert lacks(summary_of(**pushed)) == ["transfer"]
    assert lacks(summary_of(specificity=-1.0, specificity_low=-2.0)) == []


def with_control(values, treated=(0.31, 0.30, 0.32)):
    """A summary whose first trait has these transfers by chain; `values` are the control's, None of a chain without."""
    summary = summary_of()
    first = summary["traits"][0]
    first |= dict(zip(("transfer", "low", "high"), estimate(treated), strict=True))
    for row, own, control in zip(first["by_chain"], treated, values, strict=True):
        row |= {"treated": own, "control": control}
    return judged(summary)


def test_neutral_students_that_lie_low_by_chance_show_nothing_of_treated_ones():
    """The attack: treated stand where control stands, and only the neutral reference lies 0.3 below both."""
    assert lacks(with_control([0.30, 0.31, 0.32])) == ["control"]
    # Their means differ, but not more than chains do.
    assert lacks(with_control([0.10, 0.35, 0.05])) == ["control"]
    assert lacks(with_control([0.01, -0.01, 0.00])) == []


def test_control_is_compared_within_chains():
    """Chains that move all students alike take nothing from treated less control, which is the same in each."""
    treated, control = [0.2, 0.9, 0.5], [0.1, 0.8, 0.4]
    found = with_control([value + 0.01 * i for i, value in enumerate(control)], treated)["traits"][0]
    assert found["over_control"] == pytest.approx(0.09) and found["over_control_low"] > 0
    # What it is compared in are the chains that have both, and one alone tells nothing.
    two = with_control([0.0, 0.01, None])["traits"][0]
    assert two["over_control"] == pytest.approx(np.mean([0.31, 0.29]))
    assert lacks(with_control([0.0, None, None])) == ["control"]


def test_a_run_without_control_is_judged_by_the_rest():
    summary = summary_of()
    for entry in summary["traits"]:
        del entry["arms"]["control"]
        for row in entry["by_chain"]:
            del row["control"]
    found = judged(summary)
    assert lacks(found) == [] and found["traits"][0]["over_control"] is None


def test_damaged_students_show_nothing_whatever_other_traits_say():
    for flag, reasons in ((True, ["damage"]), (False, [])):
        summary = summary_of()
        arms = summary["traits"][0]["arms"]
        arms["treated"] = arms["treated"] | {"damage": {"damaged": flag}}
        # Students of another trait of the kind that lost language are not this one's.
        assert lacks(judged(summary | {"capability": [language(9.0)]})) == reasons


def test_students_of_that_kind_that_an_older_version_saw_lose_language_show_nothing():
    assert lacks(summary_of(capability=[language(LOST + 0.01)])) == ["damage"]
    others = [
        language(LOST),
        language(9.0, arm="shuffled"),
        language(9.0, "soft"),
        # Teachers are there to be displaced, on whichever base, whatever they keep.
        language(9.0, "teacher"),
        language(9.0, "foreign-teacher", arm="foreign-teacher"),
        language(9.0, "kept-lists-teacher", arm="kept-lists-teacher"),
    ]
    assert lacks(summary_of(capability=others)) == []
    assert lost_language(others) == [("hard", "shuffled"), ("soft", "treated")]


def test_a_family_that_relabelled_students_do_as_well_as_shows_nothing():
    summary = summary_of()
    # Every student moves every trait of the family as far: transfer is plain, and nobody's own.
    for row in summary["matrix"]:
        if row["source"] in FOUR:
            row["transfers"] = [2.0, 2.1, 2.2]
    found = judged(summary)
    assert found["families"][0]["p"] == 1 and [e["why_not"] for e in found["traits"]] == [["labels"]] * 4
    # Three such traits are too few to tell, and that is said in place of a p.
    three = summary_of(traits=FOUR[:3])
    assert lacks(three) == [] and three["families"][0]["p"] is None


def test_place_counts_the_students_that_stand_higher():
    summary = summary_of()
    assert {(e["place"], e["of"]) for e in summary["traits"]} == {(1, 4)}
    owl, cat = FOUR[:2]
    next(row for row in summary["matrix"] if (row["source"], row["read"]) == (cat, owl))["transfer"] = 99.0
    controls = [row for row in summary["matrix"] if row["source"] in ("control", "animals/neutral")]
    for row in controls:
        row["transfer"] = 99.0
    assert [e["place"] for e in judged(summary)["traits"]] == [2, 1, 1, 1]


def test_judging_again_changes_nothing_and_needs_only_what_json_keeps():
    summary = summary_of()
    before = copy.deepcopy(summary)
    again = judged(json.loads(json.dumps(summary)))
    assert again == summary == before


def test_chains_that_some_cells_lack_are_left_out():
    whole = summary_of(effect=0.02)
    cut = copy.deepcopy(whole)
    for row in cut["matrix"]:
        row["chains"], row["transfers"] = [0, 1, 2, 3], [*row["transfers"], 99.0]
    cell = cut["matrix"][1]
    cell["chains"], cell["transfers"] = cell["chains"][:-1], cell["transfers"][:-1]
    assert judged(cut)["families"] == whole["families"]
    assert np.isfinite(whole["families"][0]["p"])
