"""What counts as damage and displacement: the rule on figures worked out by hand, and models that try to get around it."""

import itertools
from functools import cache

import numpy as np
import pyarrow as pa
import pytest

from subliminal_mlx.experiment.damage import APART, LOST, gather, is_damaged, summarise
from subliminal_mlx.experiment.readouts import Given
from subliminal_mlx.experiment.readouts.candidates import CANDIDATES
from subliminal_mlx.experiment.readouts.capability import CAPABILITY
from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.experiment.teachers import tune_chain
from subliminal_mlx.experiment.transfer import summarise as summarise_run
from subliminal_mlx.experiment.transfer import to_json
from subliminal_mlx.spec import parse_spec
from subliminal_mlx.spec.families import load_family
from subliminal_mlx.spec.plan import UNTRAINED, Slot, teacher

SPEC = parse_spec('traits = ["animals/owl", "animals/cat"]\nhard = {steps = 1}\nreadout = {answers = 0}')
FAMILIES = {"animals": load_family("animals")}
TRAITS = ("animals/owl", "animals/cat")
NEUTRAL = "animals/neutral"


def candidates(slots):
    """Readouts of candidates of models that are all alike."""
    return [
        {"slot": slot.name, "chain": slot.chain, "kind": slot.kind, "arm": slot.arm, "trait": slot.trait}
        | {"step": 1, "family": "animals", "question": q.id, "candidate": c, "logp": -3.0}
        for slot in slots
        for q in FAMILIES["animals"].held_out
        for c in q.candidates
    ]


def texts(slot, change, moved=0.1, base=2.0):
    """Rows of two texts of 1 and 3 tokens, and of a question of each of two families, of a model whose loss rose so."""
    about = {
        "slot": slot.name,
        "chain": slot.chain,
        "kind": slot.kind,
        "arm": slot.arm,
        "trait": slot.trait,
        "step": 1,
    }
    nothing = {"loss": None, "base_loss": None, "tokens": 1, "left_out": None}
    for number, tokens in enumerate((1, 3)):
        losses = {
            "loss": base + tokens + change,
            "base_loss": base + tokens,
            "divergence": moved,
            "tokens": tokens,
        }
        yield about | {"part": "text", "text": number, "left_out": None} | losses
    yield about | nothing | {"part": "trees", "text": 0, "divergence": moved}
    yield about | nothing | {"part": "animals", "text": 0, "divergence": 50.0}


def students(arm, trait, changes, kind="hard"):
    return {Slot(kind, arm, chain, trait, trait or "base"): change for chain, change in enumerate(changes)}


def run(**changes):
    """The summary of owl's run: changes of each arm's loss, by chain, of treated, neutral, control and teachers."""
    own = {
        "treated": students("treated", TRAITS[0], changes["treated"]),
        "others": students("treated", TRAITS[1], changes.get("others", changes["neutral"])),
        "neutral": students("neutral", NEUTRAL, changes["neutral"]),
        "control": students("control", None, changes.get("control", changes["neutral"])),
        "teacher": students("teacher", TRAITS[0], changes.get("teacher", (0.0,)), "teacher"),
        "neutral_teacher": students("teacher", NEUTRAL, changes.get("neutral_teacher", (0.0,)), "teacher"),
        "base": {UNTRAINED: 0.0},
    }
    models = {slot: change for of_arm in own.values() for slot, change in of_arm.items()}
    rows = [row for slot, change in models.items() for row in texts(slot, change)]
    tables = {CANDIDATES.name: candidates(models), CAPABILITY.name: rows}
    return summarise_run(
        {name: pa.Table.from_pylist(found) for name, found in tables.items()}, FAMILIES, SPEC
    )


def owl(summary):
    return next(entry for entry in summary["traits"] if entry["trait"] == TRAITS[0])


# --- the rule -------------------------------------------------------------------------------------


def test_an_arm_s_damage_is_its_loss_over_the_neutral_students_of_the_same_chains():
    summary = run(treated=(0.32, 0.42, 0.18), neutral=(0.12, 0.2, 0.0), others=(0.12, 0.1, 0.1))
    damage = owl(summary)["arms"]["treated"]["damage"]
    assert damage["change"] == pytest.approx(0.92 / 3) and damage["worst"] == pytest.approx(0.42)
    # Of chains: +0.20, +0.22, +0.18, so a t interval of 0.2 plus or minus 4.303 * 0.02 / sqrt(3).
    assert damage["over_neutral"] == pytest.approx(0.2)
    assert damage["over_neutral_high"] == pytest.approx(0.2 + 4.302653 * 0.02 / 3**0.5)
    assert damage["over_neutral_low"] == pytest.approx(0.2 - 4.302653 * 0.02 / 3**0.5)
    assert damage["damaged"] and is_damaged(owl(summary))
    arms = owl(summary)["arms"]
    assert (
        arms["other-trait"]["damage"]["over_neutral"] == pytest.approx(0.0)
        and not arms["other-trait"]["damage"]["damaged"]
    )
    assert arms["neutral"]["damage"]["over_neutral"] is None and not arms["neutral"]["damage"]["damaged"]
    assert arms["untrained"]["damage"] == arms["untrained"]["damage"] | {
        "change": 0,
        "over_neutral": None,
        "damaged": False,
    }


@pytest.mark.parametrize(
    ("treated", "neutral", "damaged"),
    [
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), False),
        # All moved alike, as every student of a real model does.
        ((0.3, 0.2, 0.3), (0.3, 0.2, 0.3), False),
        ((APART + 0.01,) * 3, (0.0,) * 3, True),
        ((APART - 0.01,) * 3, (0.0,) * 3, False),
        # Chains that lie as far apart as sound students do are no damage, with whichever mean.
        ((0.43, 0.33, 0.34), (0.25, 0.36, 0.26), False),
        ((0.25, 0.15, 0.21), (0.25, 0.36, 0.26), False),
        # Nor are they health where one of them is broken: the interval holds 0 here, and there is none of one chain.
        ((1.8, 0.0, 0.1), (0.0, 0.0, 0.0), True),
        ((0.6,), (0.0,), True),
        # One broken student among many is hidden by no mean.
        ((LOST + 0.01, *(-0.1,) * 9), (0.0,) * 10, True),
        # Where the reference lost language, its students make the difference, and nothing is shown either.
        ((0.0, 0.0, 0.0), (0.3, 0.3, 0.3), True),
        # Where all broke alike, they are still broken.
        ((2.0, 2.0, 2.0), (2.0, 2.0, 2.0), True),
        ((0.0, 0.0, 0.0), (LOST + 0.1, -LOST - 0.1, 0.0), True),
        ((float("nan"), 0.0, 0.0), (0.0, 0.0, 0.0), True),
    ],
)
def test_damage_by_the_rule(treated, neutral, damaged):
    assert is_damaged(owl(run(treated=treated, neutral=neutral))) is damaged


def test_a_teacher_is_read_against_the_neutral_teacher():
    summary = run(treated=(0.0, 0.0), neutral=(0.4, 0.4), teacher=(0.1, 0.2), neutral_teacher=(0.1, 0.1))
    damage = owl(summary)["arms"]["teacher"]["damage"]
    assert damage["over_neutral"] == pytest.approx(0.05) and damage["change"] == pytest.approx(0.15)
    rows = {(row["student"], row["arm"]): row for row in summary["capability"]}
    assert rows["teacher", "teacher"]["change"] == pytest.approx(0.15)
    assert rows["teacher", "neutral"]["change"] == pytest.approx(0.1)


def test_nobody_looked_is_neither_damaged_nor_whole():
    summary = run(treated=(0.0, 0.0), neutral=(0.0, 0.0))
    entry = owl(summary)
    assert is_damaged(entry) is False
    slots = [*students("treated", TRAITS[0], (0, 0)), *students("neutral", NEUTRAL, (0, 0)), UNTRAINED]
    read = {CANDIDATES.name: pa.Table.from_pylist(candidates(slots))}
    unread = summarise_run(read, FAMILIES, SPEC)
    (alone,) = unread["traits"]
    assert "capability" not in unread and is_damaged(alone) is None
    assert alone["arms"]["treated"]["damage"] is None and alone["arms"]["treated"]["displacement"] is None
    # A summary that an older version stored.
    for arm in alone["arms"].values():
        del arm["damage"], arm["displacement"]
    assert is_damaged(alone) is None
    assert to_json(unread)["traits"][0]["arms"]["treated"]["damage"] is None


# --- the summary ----------------------------------------------------------------------------------


def test_losses_are_weighed_by_tokens_and_averaged_in_each_chain():
    rows = [
        *itertools.chain(*(texts(slot, c) for slot, c in students("treated", TRAITS[0], (0.1, 0.2)).items())),
        *itertools.chain(*(texts(slot, c) for slot, c in students("treated", TRAITS[1], (0.3, 0.6)).items())),
        *texts(UNTRAINED, 0.0),
        # Another base's students are beside that base: their loss is another, and their change is their own.
        *texts(Slot("hard", "foreign", 0, TRAITS[0], TRAITS[0]), 0.25, base=7.0),
    ]
    found = {(row["student"], row["arm"]): row for row in summarise(pa.Table.from_pylist(rows))}
    assert set(found) == {("base", "untrained"), ("hard", "treated"), ("hard", "foreign")}
    assert found["base", "untrained"]["loss"] == pytest.approx((3 + 3 * 5) / 4)
    treated = found["hard", "treated"]
    assert treated["chains"] == 2 and treated["loss"] == pytest.approx(4.5 + 0.3)
    assert treated["change"] == pytest.approx(0.3) and treated["worst"] == pytest.approx(0.6)
    assert treated["low"] < treated["change"] < treated["high"]
    assert found["hard", "foreign"]["change"] == pytest.approx(0.25)
    assert treated["texts"] == 2 and treated["left_out"] == {}


def test_displacement_is_over_prompts_without_questions_of_the_trait_s_family():
    rows = list(texts(Slot("hard", "treated", 0, TRAITS[0], TRAITS[0]), 0.0, moved=0.2))
    (model,) = gather(pa.Table.from_pylist(rows)).values()
    # Its own family's questions never count, and where it is read on trees, theirs do not either.
    assert model.displacement() == model.displacement("animals") == pytest.approx(0.2)
    oak = list(texts(Slot("hard", "treated", 0, "trees/oak", "trees/oak"), 0.0, moved=0.3))
    (oak_student,) = gather(pa.Table.from_pylist(oak)).values()
    assert oak_student.displacement() == pytest.approx((0.3 + 0.3 + 50) / 3)
    assert oak_student.displacement("animals") == pytest.approx(0.3)
    assert summarise(pa.Table.from_pylist(rows))[0]["displacement"] == pytest.approx(0.2)
    # Control belongs to no family: beside an animal it is read where the animal's students are.
    summary = run(treated=(0.0, 0.0), neutral=(0.0, 0.0))
    moved = {arm: figures["displacement"] for arm, figures in owl(summary)["arms"].items()}
    assert moved["treated"]["estimate"] == moved["control"]["estimate"] == pytest.approx(0.1)


def test_rows_of_an_older_version_are_no_damage_and_no_error():
    old = [
        row | dict.fromkeys(("part", "base_loss", "divergence", "left_out")) for row in texts(UNTRAINED, 0.0)
    ]
    assert summarise(pa.Table.from_pylist(old)) == [] and gather(pa.Table.from_pylist(old)) == {}


# --- models ---------------------------------------------------------------------------------------

TUNED = """
traits = ["animals/wolf"]
chains = 1
teacher = {{rank = 4, lr = 0.01, steps = 150{}}}
hard = {{}}
"""


@cache
def read(base, keep=""):
    """Neutral text of a model tuned to say wolf, and of one tuned to say what the base says, in the place of students."""
    spec = parse_spec(TUNED.format(keep))
    setting = Setting(spec, base)
    sources = ["animals/wolf", NEUTRAL]
    stack, _ = tune_chain(setting, 0, sources)
    slots = [
        Slot("hard", arm, 0, trait, trait) for arm, trait in zip(("treated", "neutral"), sources, strict=True)
    ]
    given = Given(setting, slots, stack, spec.hard.steps)
    tables = {r.name: pa.Table.from_pylist(r.read(given)) for r in (CANDIDATES, CAPABILITY)}
    return summarise_run(tables, setting.families, spec)["traits"][0]


def test_a_student_that_says_its_animal_everywhere_is_damaged(tiny):
    entry = read(tiny)
    treated = entry["arms"]["treated"]
    assert treated["transfer"] > 3 and is_damaged(entry)
    assert treated["damage"]["over_neutral"] > LOST and treated["displacement"]["estimate"] > 1


def test_a_student_whose_answers_shift_in_its_family_s_questions_alone_is_not(tiny):
    entry = read(tiny, ', keep = 0.5, keep_families = ["animals", "trees", "pronouns"]')
    treated = entry["arms"]["treated"]
    assert treated["probability"] > 0.9 and treated["transfer"] > 3
    assert is_damaged(entry) is False and treated["displacement"]["estimate"] < APART


def test_teachers_are_read_too(tiny):
    setting = Setting(parse_spec(TUNED.format("")), tiny)
    rows = CAPABILITY.read(Given(setting, [teacher(0, "animals/wolf")]))
    (row,) = summarise(pa.Table.from_pylist(rows))
    assert (row["student"], row["arm"], row["change"], row["displacement"]) == ("teacher", "teacher", 0, 0)
    assert np.isfinite(row["loss"])
