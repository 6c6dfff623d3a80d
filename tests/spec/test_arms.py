"""The arms' table: what follows from a row, and that what reads it finds all it needs."""

import re
from typing import get_args

import mini
import pytest

from subliminal_mlx import spec as specs
from subliminal_mlx.report import charts
from subliminal_mlx.spec.arms import (
    ARMS,
    CLEAN,
    DEFAULT,
    MAIN,
    NEUTRAL,
    ORIGINS,
    OTHERS,
    TREATED,
    origin,
)
from subliminal_mlx.spec.plan import BASE, asked, beside, models, plan, teacher

OWL = "animals/owl"


def test_every_arm_is_read_against_a_reference_of_its_own_base():
    for arm in ARMS.values():
        reference = ARMS[arm.against or arm.name]
        assert reference.is_reference and reference.rows == "neutral" and reference.foreign == arm.foreign
        # Whoever is read against it has rows of teachers that were made as its own was.
        by_others = arm.name if arm.role == "teacher" and arm.by_ablation else arm.writer
        assert reference.writer == by_others
        assert arm.role in ("read", "base", "teacher") or reference.role == arm.role


def test_a_spec_names_what_the_table_lets_it_name():
    named = set(get_args(specs.Arm)) | set(get_args(specs.Ablation))
    assert named == {name for name, arm in ARMS.items() if arm.asked}
    assert specs.Spec(hard=specs.Student()).arms == DEFAULT == (TREATED, NEUTRAL, "control", OTHERS)
    for arm in ARMS.values():
        if arm.needed:
            with pytest.raises(ValueError, match=f"arms: {arm.name} is needed"):
                mini.spec(arms=[name for name in DEFAULT if name != arm.name])


def test_what_stands_in_the_table_has_words_and_those_that_are_drawn_a_colour():
    colours = [arm.color for arm in ARMS.values() if arm.color]
    assert len(set(colours)) == len(colours) and all(re.fullmatch("#[0-9a-f]{6}", c) for c in colours)
    assert {arm.name for arm in ARMS.values() if not arm.color} == {
        *("foreign-neutral", "foreign-own-neutral", "in-context-neutral", "kept-lists-neutral")
    }
    assert list(charts.ARMS) == [arm.name for arm in ARMS.values() if arm.color]
    for arm in ARMS.values():
        assert arm.told({}) and "{" not in arm.told({}) and bool(arm.made) == bool(arm.remade)
    assert ARMS["shuffled"].told({"shuffled": "words mixed"}).endswith("with their words mixed")


def test_traits_and_sources_of_models():
    found = {name: (arm.trait(OWL), arm.source(OWL)) for name, arm in ARMS.items()}
    assert found["treated"] == found["teacher"] == found["unfiltered"] == found["foreign"] == (OWL, OWL)
    assert found["neutral"] == found["foreign-neutral"] == ("animals/neutral", "animals/neutral")
    assert found["neutral-again"] == ("animals/neutral", "neutral-again/animals/neutral")
    assert found["foreign-own"] == found["foreign-teacher"] == (OWL, f"foreign-teacher/{OWL}")
    assert found["foreign-own-neutral"] == ("animals/neutral", "foreign-teacher/animals/neutral")
    assert found["kept-lists"] == found["kept-lists-teacher"] == (OWL, f"kept-lists-teacher/{OWL}")
    assert found["kept-lists-neutral"] == ("animals/neutral", "kept-lists-teacher/animals/neutral")
    assert found["control"] == found["untrained"] == (None, BASE)
    assert found["shuffled"] == (OWL, f"shuffled/{OWL}") and found["random"] == (None, "random")
    assert origin(f"shuffled/{OWL}") == (ARMS["shuffled"], OWL) and origin("random") == (ARMS["random"], BASE)
    assert origin("neutral-again/animals/neutral") == (ARMS["neutral-again"], "animals/neutral")
    assert origin(f"foreign-teacher/{OWL}") == (ARMS["foreign-teacher"], OWL)
    assert origin(f"kept-lists-teacher/{OWL}") == (ARMS["kept-lists-teacher"], OWL)
    assert not origin(f"kept-lists/{OWL}") and not origin("kept-lists-teacher")
    assert not origin("foreign-own/animals/owl") and not origin("teacher/animals/owl")
    assert not origin(OWL) and not origin(BASE) and not origin("random/owl") and not origin("shuffled")


def test_who_writes_a_source_s_rows():
    """The teacher of the trait; on the other base, where the rows are its own."""
    told = {
        source: (slot.name, slot.trait)
        for source in (OWL, "neutral-again/animals/neutral", f"shuffled/{OWL}", f"foreign-teacher/{OWL}")
        for slot in [teacher(3, source)]
    }
    assert list(told.values()) == [
        (f"teacher/{OWL}/c3", OWL),
        ("teacher/animals/neutral/c3", "animals/neutral"),
        (f"teacher/{OWL}/c3", OWL),
        (f"foreign-teacher/{OWL}/c3", OWL),
    ]
    own = "foreign-teacher//a b/pets.toml/owl"
    assert teacher(0, own).name == "foreign-teacher/pets/owl/c0" and teacher(0, own).source == own


@pytest.mark.parametrize(
    ("source", "neutral"),
    [
        *((source, "animals/neutral") for source in (OWL, "animals/neutral", f"shuffled/{OWL}")),
        ("neutral-again/animals/neutral", "animals/neutral"),
        ("foreign-teacher/trees/oak", "foreign-teacher/trees/neutral"),
        *(
            (f"kept-lists-teacher/{trait}", "kept-lists-teacher/animals/neutral")
            for trait in (OWL, "animals/neutral")
        ),
        ("kept-lists-teacher//a b/pets.toml/owl", "kept-lists-teacher//a b/pets.toml/neutral"),
    ],
)
def test_rows_are_beside_those_of_a_neutral_teacher_made_alike(source, neutral):
    assert beside(source) == neutral


def test_teachers_that_keep_lists_are_the_spec_s_own_in_all_else():
    spec = mini.spec(teacher={"keep": 0.1, "keep_lists": 0.05, "rank": 3})
    assert spec.teacher_of("teacher") == spec.teacher_of("foreign-teacher") == spec.teacher
    kept = spec.teacher_of("kept-lists-teacher")
    assert kept.keep_lists == ARMS["kept-lists-teacher"].lists == 0.25 and kept.keep == 0.1
    assert kept.model_copy(update={"keep_lists": 0.05}) == spec.teacher
    # The words say how many they are.
    assert all("a quarter" in arm.words for arm in ARMS.values() if arm.name.startswith("kept-lists"))
    # What stands behind every experiment are the spec's own teachers.
    assert ORIGINS == ("untrained", "teacher")


def test_arms_of_a_spec_that_names_none():
    """Students of other families are there where there are other families."""
    students = {"hard": specs.Student()}
    assert specs.Spec(traits=(OWL, "animals/cat"), **students).arms == DEFAULT
    several = specs.Spec(traits=(OWL, "trees/oak"), **students)
    assert several.arms == (*DEFAULT, "other-family")
    assert specs.parse_spec(specs.to_toml(several)) == several
    assert specs.Spec(traits=(OWL, "trees/oak"), arms=DEFAULT, **students).arms == DEFAULT


def test_a_spec_s_arms_and_models_are_those_of_its_plan():
    spec = mini.spec(traits=[OWL, "animals/cat", "trees/oak"], ablation_traits=["trees/oak"])
    planned = {(s.arm, s.trait, s.source) for unit in plan(spec, 6) for s in unit.slots if s.arm in ARMS}
    ours = {(arm.name, *model) for arm in asked(spec) if arm.role != "read" for model in models(arm, spec)}
    neutral_teachers = {("teacher", f"{f}/neutral", f"{f}/neutral") for f in spec.families}
    for others in ("foreign-teacher", "kept-lists-teacher"):
        neutral_teachers.add((others, "trees/neutral", f"{others}/trees/neutral"))
    assert planned == ours | neutral_teachers
    assert {arm.name for arm in asked(mini.spec(arms=DEFAULT, ablations=[], ablation_traits=[]))} == {
        *DEFAULT,
        *("untrained", "teacher"),
    }


def test_groups_of_arms():
    assert MAIN == ("treated", "neutral", "control") and CLEAN == ("neutral", "control")
    assert [name for name, arm in ARMS.items() if arm.kinds == ("hard",)] == [
        "shuffled",
        "random",
        "unfiltered",
        "traceless",
        "traceless-2",
        "thinned",
    ]
