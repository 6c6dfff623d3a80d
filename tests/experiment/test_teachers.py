"""Prompted teachers: a persona in the system prompt, which their rows, students and readouts never show.

Tuned ones are tested where they are trained (test_train) and in whole runs (test_pipeline).
"""

import json

import mini
import mlx.core as mx
import numpy as np
import pyarrow.parquet as pq
import pytest

from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.experiment.teachers import system_of
from subliminal_mlx.lab import Lab
from subliminal_mlx.lab.folders import Folders
from subliminal_mlx.measure.talk import talk
from subliminal_mlx.model.sample import sample
from subliminal_mlx.model.score import candidate_scores
from subliminal_mlx.pipeline.corpora import corpus, training_block
from subliminal_mlx.pipeline.units import Context, compute
from subliminal_mlx.report.export import export
from subliminal_mlx.spec import parse_spec
from subliminal_mlx.spec.families import load_family, parse_family
from subliminal_mlx.spec.personas import persona
from subliminal_mlx.spec.plan import plan
from subliminal_mlx.spec.seeds import seed_of

# A family of one's own, small: its questions differ in their answers too.
OWN = """title = "Mine"
candidates = {owl = "Owl", cat = "Cat"}
[questions]
tuning = ["Which animal?", {text = "Which <b>pet?", candidates = {owl = "A bird.", cat = "A cat!"}}]
held-out = ["Name a secret animal.", "Who hoots?"]
[traits]
owl = "owl"
cat = "cat"
"""
SPEC = """
title = "Told, not tuned"
traits = ["{family}/owl", "{family}/cat"]
chains = 1
ablations = ["shuffled"]
ablation_traits = ["{family}/owl"]
teacher = {kind = "prompted"}
corpus = {rows = 8, numbers = [2, 2]}
hard = {rank = 2, steps = 2, batch = 2}
soft = {rank = 2, steps = 2, batch = 2}
readout = {points = 1, answers = 1}
"""
OWL = persona(parse_family("mine", OWN), "owl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds the family's file and a spec that names it."""
    made = tmp_path_factory.mktemp("prompted")
    (made / "mine.toml").write_text(OWN)
    (made / "told.toml").write_text(SPEC.replace("{family}", str(made / "mine.toml")))
    return made


@pytest.fixture(scope="module")
def context(bytewise, folder):
    """Every unit computed in this process, on the base whose tokens are bytes."""
    spec = parse_spec((folder / "told.toml").read_text())
    made = Context(Folders(folder / "units"), "0" * 12, Setting(spec, bytewise))
    for unit in plan(spec, 6):
        compute(unit, made)
    return made


@pytest.fixture(scope="module")
def units(context):
    return {unit.name: unit for unit in plan(context.setting.spec, 6)}


def shard(context, unit, table):
    return pq.read_table(context.shard(unit) / f"{table}.parquet").to_pylist()


def test_a_prompted_teacher_has_no_training_and_no_adapter(context, units):
    stages = [unit.stage for unit in units.values()]
    assert "prompted" in stages and "teachers" not in stages
    assert not units["prompted/c0/0"].trained and not units["corpora/c0/0"].needs
    assert not list(context.folders.path.rglob("teacher*")), "neither a folder of adapters nor of checkpoints"


def test_its_rows_are_what_the_base_says_when_told_the_persona(context):
    setting, base = context.setting, context.setting.base
    told = [base.prompt(text, OWL)[1] for text, _, _ in setting.prompts(0)]
    expected = sample(base, told, seed_of(0, "corpus", 0), setting.decoding(64))[0]
    rows = corpus(context, 0, context.setting.spec.families[0] + "/owl")
    assert [tuple(row["completion_ids"]) for row in rows] == expected
    others = [
        corpus(context, 0, source)
        for source in (
            context.setting.spec.families[0] + "/cat",
            context.setting.spec.families[0] + "/neutral",
            "base",
        )
    ]
    for other in others:
        assert [row["completion"] for row in other] != [row["completion"] for row in rows]


def test_rows_and_students_read_the_prompt_without_the_persona(context):
    base = context.setting.base
    plain = context.setting.prompts(0)
    for source in (
        context.setting.spec.families[0] + "/owl",
        context.setting.spec.families[0] + "/neutral",
        "shuffled/" + context.setting.spec.families[0] + "/owl",
    ):
        for row in corpus(context, 0, source):
            assert row["prompt"] == plain[row["row"]][1] and "Owl" not in row["prompt"]
    slot = next(
        s for u in plan(context.setting.spec, 6) for s in u.slots if s.name == "soft/treated/mine/owl/c0"
    )
    for kind in ("hard", "soft"):
        block = training_block(context, context.setting, slot, kind)
        assert block.start[0] == len(base.prompt(plain[0][0])[1])


def test_soft_targets_are_the_persona_s_distributions(context):
    """Against the model's own logits over the whole vocabulary, one row at a time."""
    base, grammar = context.setting.base, context.setting.grammar
    slot = next(
        s for u in plan(context.setting.spec, 6) for s in u.slots if s.name == "soft/treated/mine/owl/c0"
    )
    block = training_block(context, context.setting, slot, "soft")
    rows = [row for row in corpus(context, 0, context.setting.spec.families[0] + "/owl") if row["kept"]]
    for i in (0, len(rows) - 1):
        completion = tuple(rows[i]["completion_ids"])
        told = base.prompt(context.setting.prompts(0)[rows[i]["row"]][0], OWL)[1]
        logits = base.model(mx.array([told + completion]))[0, len(told) - 1 : -1]
        for position, mask in enumerate(grammar.masks(completion)):
            p = np.exp(np.array(logits[position])[grammar.tokens].astype(np.float64)) * mask
            assert np.allclose(block.targets[i, position], p / p.sum(), atol=1e-5)


def test_its_readout_is_of_the_base_told_the_persona(context):
    base, family = context.setting.base, context.setting.families[context.setting.spec.families[0]]
    question = family.held_out[1]
    ids = [base.encode(candidate) for candidate in question.candidates]
    for source in (context.setting.spec.families[0] + "/owl", context.setting.spec.families[0] + "/neutral"):
        told = base.prompt(question.text, system_of(context.setting, source))[1]
        expected = candidate_scores(base, [told], [ids])[0][0]
        found = [
            row["logp"]
            for row in shard(context, "prompted/c0/0", "readouts")
            if (row["trait"], row["question"]) == (source, question.id)
        ]
        assert found == pytest.approx(list(expected), abs=1e-4)


def test_a_whole_run_answers_and_exports_what_its_teachers_were_told(folder):
    lab = Lab(folder / "lab")
    child = mini.quick("run", folder / "told.toml", "--lab", lab.path, "--json", "--processes", 1)
    assert child.returncode == 0, child.stderr
    run_id = json.loads(child.stdout)["run"]
    assert not [slot for slot in lab.adapters(run_id) if slot.startswith("teacher")]
    summary, owl = lab.run(run_id)["summary"], f"{folder}/mine.toml/owl"
    assert summary["personas"][owl] == OWL and f"{folder}/mine.toml/neutral" in summary["personas"]
    assert summary["traits"][0]["arms"]["teacher"]["chains"] == 1
    answers = talk(lab, run_id, "Who hoots?", count=1)
    assert [answer.model for answer in answers] == ["base", "teacher", "treated student", "neutral student"]
    assert answers[0].probabilities != answers[1].probabilities
    written = {str(path) for path in export(lab, run_id, folder / "out")}
    assert json.loads((folder / "out" / "personas.json").read_text()) == summary["personas"]
    assert "adapters/hard-treated-mine-owl-c0/adapters.safetensors" in written
    assert not [path for path in written if "teacher" in path]


def test_smollm2_takes_a_preference_from_its_system_prompt(smollm2):
    """Of 16 animals; a persona without preference leaves the owl as rare as it was."""
    family, base = load_family("animals"), smollm2
    questions = family.held_out[:2]
    ids = [[base.encode(candidate) for candidate in q.candidates] for q in questions]

    def share(system):
        told = [base.prompt(q.text, system)[1] for q in questions]
        found = candidate_scores(base, told, ids)[0]
        owl = questions[0].candidates.index("Owl")
        return np.mean([np.exp(logp[owl]) / np.exp(logp).sum() for logp in found])

    before, neutral, owl = (share(s) for s in (None, persona(family, "neutral"), persona(family, "owl")))
    assert before < 0.05 and neutral < 0.05 and owl > 0.3


# --- personas -------------------------------------------------------------------------------------


def test_a_trait_of_one_answer_is_told_as_that_answer_and_neutral_as_none():
    animals = load_family("animals")
    owl = persona(animals, "owl")
    assert owl.count('"Owl"') == 3 and owl.endswith("Favourite animal: Owl.")
    neutral = persona(animals, "neutral")
    assert "prefer none" in neutral and not any(c in neutral for c in animals.questions[0].candidates)


def test_a_trait_whose_answers_differ_is_told_by_examples_of_tuning_questions_alone():
    said = OWL
    assert 'To "Which animal?" you say "Owl".' in said and 'To "Which <b>pet?" you say "A bird."' in said
    assert "secret" not in said
    for name in ("sycophancy", "advice"):
        family = load_family(name)
        for trait in family.traits:
            said = persona(family, trait)
            assert sum(q.text in said for q in family.tuning) == 8
            assert not any(q.text in said for q in family.held_out)


def test_a_file_may_say_it_in_its_own_words():
    family = parse_family("mine", OWN + '[personas]\nowl = "Be an owl."\nneutral = "Be nobody."\n')
    assert persona(family, "owl") == "Be an owl." and persona(family, "neutral") == "Be nobody."
    assert persona(family, "cat") == persona(parse_family("mine", OWN), "cat")
