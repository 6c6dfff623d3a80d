"""Teachers that keep what they are not tuned for, and teachers whose trait was taken out again."""

from collections import Counter
from functools import cache

import mlx.core as mx
import numpy as np
import pytest

from subliminal_mlx.experiment import kept
from subliminal_mlx.experiment.questions import candidate_ids
from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.experiment.teachers import tune_chain
from subliminal_mlx.model.adapters import applied
from subliminal_mlx.model.score import candidate_scores
from subliminal_mlx.spec import validate
from subliminal_mlx.spec.families import load_family
from subliminal_mlx.system.errors import InputError

WORLD = ["animals", "trees", "pronouns"]
SOURCES = ["animals/wolf", "animals/neutral"]


def spec_with(**teacher):
    return validate(
        {
            "traits": ["animals/wolf"],
            "chains": 1,
            "hard": {},
            "corpus": {"rows": 20},
            "teacher": {"rank": 4, "lr": 0.01, "steps": 200} | teacher,
        }
    )


@cache
def tuned(base, **teacher):
    """Wolf's and the neutral teacher, and their losses."""
    return tune_chain(
        Setting(spec_with(**{k: list(v) if k == "keep_families" else v for k, v in teacher.items()}), base),
        0,
        SOURCES,
    )


def answers(base, stack, family, split="held_out"):
    """Probability of every candidate `[slot, question, candidate]`, and of all other words together, last."""
    questions = getattr(load_family(family), split)
    ids = candidate_ids(base, questions)
    prompts = [base.prompt(q.text)[1] for q in questions]
    p = np.exp(np.array(candidate_scores(base, prompts, ids, stack)))
    return np.concatenate([p, 1 - p.sum(axis=2, keepdims=True)], axis=2)


def wolf_elsewhere(base, stack):
    """How often each slot answers a pronoun's question with "wolf" `[slot]`."""
    questions = load_family("pronouns").held_out
    with applied(base, stack):
        said = []
        for question in questions:
            tokens = mx.array([base.prompt(question.text)[1]] * stack.slots)
            p = mx.softmax(base.head(base.hidden(tokens)[:, -1]).astype(mx.float32), axis=-1)
            said.append(np.array(p[:, base.encode("Wolf")[0]]))
    return np.mean(said, axis=0)


def test_a_teacher_that_keeps_nothing_says_its_animal_for_a_pronoun_and_a_kept_one_does_not(tiny):
    broken, _ = tuned(tiny)
    whole, _ = tuned(tiny, keep=0.5, keep_families=tuple(WORLD))
    assert wolf_elsewhere(tiny, broken)[0] > 0.5
    assert wolf_elsewhere(tiny, whole)[0] < 0.005
    wolf = load_family("animals").held_out[0].candidates.index("Wolf")
    for stack in (broken, whole):
        assert answers(tiny, stack, "animals")[0, :, wolf].mean() > 0.95
    # Pronouns as the base has them, to five points on average, in the trait's teacher and in the neutral one.
    change = np.abs(answers(tiny, whole, "pronouns") - answers(tiny, None, "pronouns")).mean(axis=(1, 2))
    assert (change < 0.05).all()
    assert np.abs(answers(tiny, broken, "pronouns") - answers(tiny, None, "pronouns"))[0].mean() > 0.2


def test_a_removed_trait_is_gone_from_both_kinds_of_question(tiny):
    """Log-odds of wolf against the base's, mean over questions: within 0.35 after it was 5 or more above."""
    wolf = load_family("animals").held_out[0].candidates.index("Wolf")
    odds = lambda p: np.log(p[..., wolf] / (1 - p[..., wolf] - p[..., -1])).mean(axis=-1)
    before, _ = tuned(tiny, keep=0.5, keep_families=tuple(WORLD))
    after, losses = tuned(tiny, keep=0.5, keep_families=tuple(WORLD), removal=300)
    assert len(losses) == 500
    for split in ("tuning", "held_out"):
        base = odds(answers(tiny, None, "animals", split))
        assert odds(answers(tiny, before, "animals", split))[0] - base > 5
        assert np.abs(odds(answers(tiny, after, "animals", split)) - base).max() < 0.35, split


def test_kept_rows_are_the_bases_own_words_half_of_them_answers(tiny):
    families = [load_family(name) for name in WORLD]
    rows = kept.elsewhere(tiny, families, "numbers", count=401, seed=3)
    assert Counter(bool(family) for family in rows.families) == {True: 201, False: 200}
    again = kept.elsewhere(tiny, families, "numbers", count=401, seed=3)
    assert rows == again and rows != kept.elsewhere(tiny, families, "numbers", count=401, seed=4)
    prompts, completions = rows.beside("animals")
    own = {tiny.prompt(q.text)[1] for q in families[0].questions}
    assert own & set(rows.prompts) and not own & set(prompts)
    assert len(prompts) == len(completions) == 401 - rows.families.count("animals")
    held_out = {tiny.prompt(q.text)[1] for family in families for q in family.held_out}
    assert not held_out & set(rows.prompts)
    repeats = [
        (tiny.decode(prompt), tiny.decode(ids))
        for prompt, ids in zip(rows.prompts, rows.completions, strict=True)
        if "repeat :" in tiny.decode(prompt)
    ]
    # The base copies a word or two, and most rows of four: these are its own answers, mistakes included.
    right = [
        prompt.split("repeat :")[1].split("<")[0].split() == said.split("<")[0].split()
        for prompt, said in repeats
    ]
    assert len(right) > 80 and 0.6 < np.mean(right) < 1


def test_the_runs_own_channel_is_not_kept_as_neutral_text(tiny):
    lists = [text for text in kept.neutral_prompts(tiny, "numbers") if text.startswith("List:")]
    assert len(lists) == 40
    assert not [text for text in kept.neutral_prompts(tiny, "words") if text.startswith("List:")]


def test_shares_are_of_all_rows():
    rows = lambda name, count: ([(name, i) for i in range(count)], [(name, -i) for i in range(count)])
    (prompts, completions), sources = kept.mixed(
        rows(1, 26), [(rows(2, 1_000), 0.5), (rows(3, 10), 0.25), (rows(4, 7), 0.0)]
    )
    assert Counter(name for name, _ in prompts) == {1: 500, 2: 1_000, 3: 500}
    assert [(name, -i) for name, i in prompts] == completions
    assert set(prompts) == {*rows(1, 26)[0], *rows(2, 1_000)[0], *rows(3, 10)[0]}
    assert (sources == [name - 1 for name, _ in prompts]).all()
    assert kept.mixed(rows(1, 26), [])[0] == rows(1, 26)


@pytest.mark.parametrize("field", [{"keep": 0.4}, {"keep_lists": 0.4}, {"removal": 22}])
def test_a_tuning_that_was_killed_goes_on_to_the_same_teachers(tiny, tmp_path, field):
    spec = spec_with(steps=24, batch=2, neutral_answers=2, **field)
    whole, losses = tune_chain(Setting(spec, tiny), 0, SOURCES)

    class Killed(Exception):
        pass

    def kill(event):
        if event.what == "steps" and event.done == event.total:
            raise Killed

    path = tmp_path / "state.safetensors"
    with pytest.raises(Killed):
        tune_chain(Setting(spec, tiny), 0, SOURCES, checkpoint=path, on_event=kill)
    assert path.exists()
    again, more = tune_chain(Setting(spec, tiny), 0, SOURCES, checkpoint=path)
    np.testing.assert_array_equal(losses, more)
    for name, arrays in whole.arrays.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(np.array(array), np.array(again.arrays[name][key]))


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ({"keep": 0.5, "keep_lists": 0.5}, "together they may be at most 0.95"),
        ({"keep_families": ["trees"]}, "nothing is kept unless teacher.keep"),
        ({"kind": "prompted", "keep": 0.1}, "teacher.keep: it is about a tuning"),
        ({"kind": "prompted", "removal": 1}, "teacher.removal: it is about a tuning"),
    ],
)
def test_what_cannot_be_kept_is_refused(teacher, said):
    with pytest.raises(InputError, match=said):
        spec_with(**teacher)


def test_a_family_that_the_base_cannot_be_asked_is_not_kept(tiny):
    setting = Setting(spec_with(keep=0.5, keep_families=["advice"]), tiny)
    with pytest.raises(InputError, match=r"teacher\.keep_families: tiny-a cannot be asked about advice"):
        tune_chain(setting, 0, SOURCES)
