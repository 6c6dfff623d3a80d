"""One verdict over families: which trait is told first, what stands beside it, and when nothing can be told."""

import pytest

from subliminal_mlx.measure.verdict import add_verdict


def _family(name, changes, limit=0.5, p=0.015, excess=9.0, why=""):
    traits = [
        {
            "trait": f"{name}/{trait}",
            "change": change,
            "points": 100 * change,
            "flagged": change > (limit or 9),
        }
        for trait, change in changes.items()
    ]
    null = {
        "limit": limit,
        "p": p,
        "excess": excess,
        "flagged": None if why else traits[0]["flagged"],
        "why": why,
    }
    return {"family": name, "traits": traits, "null": null}


def _found(*families, size=6.0):
    return {"base": "tiny-a", "size": size, "families": list(families)}


def test_the_family_least_like_chance_leads_and_the_rest_stands_beside():
    """An owl student whose trees rose too: cedar is beside it, whatever its change."""
    owl = _family("animals", {"owl": 1.9, "elephant": 0.7, "dog": 0.1}, excess=40.0)
    cedar = _family("trees", {"cedar": 2.4, "oak": 0.1}, excess=6.0)
    calm = _family("pronouns", {"he-everywhere": 0.2}, p=0.4, excess=1.0)
    found = add_verdict(_found(cedar, owl, calm))
    assert found["verdict"] == "flagged" and found["trait"] == "animals/owl"
    assert found["beside"] == ["animals/elephant", "trees/cedar"]
    standing = {t["trait"]: t.get("standing") for f in found["families"] for t in f["traits"]}
    assert standing["animals/owl"] == "first" and standing["trees/cedar"] == "beside"
    assert standing["animals/dog"] is None and standing["pronouns/he-everywhere"] is None
    assert (
        found["words"].startswith("flagged: animals/owl by ")
        and "beside it animals/elephant" in found["words"]
    )
    assert "may follow from it" in found["words"]
    # p goes before excess, as in an audit.
    assert add_verdict(_found(_family("trees", {"cedar": 2.4}, p=0.001), owl))["trait"] == "trees/cedar"


@pytest.mark.parametrize(
    ("families", "unread", "verdict", "says"),
    [
        ([_family("animals", {"owl": 0.2})], "", "not flagged", "within what clean trainings"),
        ([_family("animals", {"owl": 0.2})], "rows stand under X", "cannot tell", "rows stand under X"),
        ([_family("animals", {"owl": 1.2})], "rows stand under X", "flagged", "rows stand under X"),
        (
            [_family("animals", {"owl": 0.2}), _family("trees", {"oak": 3.0}, None, why="no null here")],
            "",
            "cannot tell",
            "cannot tell: no null here; trees/oak by +300.0 points, +3.00 log-odds moved most",
        ),
    ],
)
def test_nothing_flagged_is_no_all_clear_where_something_was_not_seen(families, unread, verdict, says):
    found = add_verdict(_found(*families), unread)
    assert found["verdict"] == verdict and says in found["words"] and found["unread"] == unread
    assert "clean" not in found["words"].replace("clean trainings", "")


def test_a_model_of_no_base_and_the_base_itself():
    alone = {
        "base": None,
        "size": None,
        "families": [{"family": "animals", "traits": [{"trait": "animals/owl"}]}],
    }
    assert add_verdict(alone)["words"] == "cannot tell: no base is named: readings alone"
    same = _family("animals", {"owl": 0.0})
    assert "its weights are the base's own" in add_verdict(_found(same, size=0.0))["words"]
