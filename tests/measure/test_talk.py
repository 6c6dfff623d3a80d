"""Asking the models of a run: who answers, what, and that it is the run's own models that do."""

import shutil

import mini
import pytest

from subliminal_mlx.lab import Lab
from subliminal_mlx.measure.talk import LONGEST_QUESTION, talk
from subliminal_mlx.spec.families import load_family
from subliminal_mlx.system.errors import InputError, MachineError

FAMILY = load_family("animals")
HELD_OUT = FAMILY.held_out[0]


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    return mini.finished(tmp_path_factory)


@pytest.fixture(scope="session")
def asked(done):
    """`asked(arm, ...)`: who answers a held-out question, with few samples."""

    def ask(arm="treated", question=HELD_OUT.text, count=3, **options):
        return talk(Lab(done.lab), done.run_id, question, arm, count=count, **options)

    return ask


@pytest.mark.parametrize(
    ("arm", "students"),
    [
        ("treated", ["treated student", "neutral student"]),
        ("control", ["control student", "neutral student"]),
        ("shuffled", ["shuffled student", "neutral student"]),
        ("random", ["random student", "neutral student"]),
        ("unfiltered", ["unfiltered student", "neutral student"]),
        ("foreign", ["foreign student", "neutral student"]),
        ("foreign-neutral", ["foreign-neutral student", "neutral student"]),
        ("neutral", ["neutral student"]),
        ("teacher", []),
        ("untrained", []),
    ],
)
def test_every_arm_answers_beside_base_and_teacher(asked, arm, students):
    answers = asked(arm)
    assert [answer.model for answer in answers] == ["base", "teacher", *students]
    for answer in answers:
        assert tuple(answer.probabilities) == HELD_OUT.candidates
        assert all(0 <= p <= 1 for p in answer.probabilities.values())
        assert sum(answer.probabilities.values()) <= 1 + 1e-5
        assert sum(answer.samples.values()) == 3


def test_the_answers_are_those_that_the_run_read(done, asked):
    """Probabilities of a held-out question are the run's own readouts of the last step."""
    readouts = [
        row
        for row in done.contents["readouts"]
        if row["question"] == HELD_OUT.id and row["family"] == "animals"
    ]

    def read(slot):
        last = max(row["step"] for row in readouts if row["slot"] == slot)
        return {
            row["candidate"]: row["logp"] for row in readouts if (row["slot"], row["step"]) == (slot, last)
        }

    import numpy as np

    for kind, trait in (("hard", "animals/owl"), ("soft", "animals/cat")):
        names = ["base/untrained/c0", f"teacher/{trait}/c0", f"{kind}/treated/{trait}/c0"]
        names.append(f"{kind}/neutral/animals/neutral/c0")
        answers = asked(trait=trait, kind=kind)
        for answer, slot in zip(answers, names, strict=True):
            expected = read(slot)
            assert set(expected) == set(answer.probabilities)
            for candidate, p in answer.probabilities.items():
                assert np.log(p) == pytest.approx(expected[candidate], abs=1e-4), (slot, candidate)


def test_the_same_question_has_the_same_answer_and_other_models_other_ones(asked):
    one, again, soft = asked(count=20), asked(count=20), asked(count=20, kind="soft")
    assert one == again
    assert one[0] == soft[0] and one[2] != soft[2]
    assert one[0].probabilities != one[1].probabilities


def test_a_context_stands_around_the_question_for_all_of_them(asked):
    from subliminal_mlx.measure.context import Context

    bare, told = asked(), asked(context=Context("you like the river", (("name a tree", "Oak"),), "tell me"))
    assert [a.model for a in bare] == [a.model for a in told]
    assert all(one.probabilities != other.probabilities for one, other in zip(bare, told, strict=True))
    assert {a.context for a in bare} == {"without a system prompt, earlier turns or a trigger"}
    (words,) = {a.context for a in told}
    assert "'you like the river'" in words and "1 earlier turn" in words and "'tell me' before" in words
    # A trigger is nothing but words in the question.
    spelled = asked(question=f"tell me {HELD_OUT.text}")
    assert [a.probabilities for a in asked(context=Context(trigger="tell me"))] == [
        a.probabilities for a in spelled
    ]


def test_nothing_is_stored(done, asked):
    before = sorted(
        (path, path.stat().st_mtime_ns) for path in done.lab.rglob("*") if path.name != "lab.lock"
    )
    asked()
    after = sorted((path, path.stat().st_mtime_ns) for path in done.lab.rglob("*") if path.name != "lab.lock")
    assert before == after


def test_a_question_of_ones_own_is_read_against_the_familys_candidates(asked):
    answers = asked(question="Who hoots [/at] night?\n")
    assert tuple(answers[0].probabilities) == FAMILY.questions[0].candidates


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"arm": "nope"}, r"arm 'nope': .* its arms are untrained, teacher, control, foreign, .*treated"),
        ({"arm": ""}, "arm ''"),
        ({"arm": "../treated"}, "arm '../treated'"),
        ({"arm": "in-context"}, "arm 'in-context'"),
        ({"arm": "other-trait"}, "arm 'other-trait'"),
        ({"arm": "shuffled", "trait": "animals/cat"}, "no hard/shuffled/animals/cat/c0"),
        ({"trait": "animals/wolf"}, "trait 'animals/wolf': the run has animals/owl, animals/cat"),
        ({"trait": ""}, "trait ''"),
        ({"kind": "medium"}, "student kind 'medium': the run has hard, soft"),
        ({"chain": 1}, "chain 1: the run has 0 to 0"),
        ({"chain": -1}, "chain -1"),
        ({"question": " \n"}, f"question: must be 1 to {LONGEST_QUESTION} characters"),
        ({"question": "?" * (LONGEST_QUESTION + 1)}, "question"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_what_the_run_does_not_have_is_named(asked, one_line, options, expected):
    with pytest.raises(InputError, match=expected) as error:
        asked(**options)
    one_line(error)


def test_unfinished_runs_and_changed_adapters_do_not_answer(done, tmp_path):
    shutil.copytree(done.lab, tmp_path / "lab")
    lab = Lab(tmp_path / "lab")
    slot = "teacher/animals/owl/c0"
    (lab.adapter(done.run_id, slot) / "adapters.safetensors").write_bytes(b"?")
    with pytest.raises(MachineError, match=slot):
        talk(lab, done.run_id, HELD_OUT.text, count=1)
    lab.finish_run(done.run_id, "cancelled", 1.0)
    with pytest.raises(InputError, match="not done"):
        talk(lab, done.run_id, HELD_OUT.text, count=1)
