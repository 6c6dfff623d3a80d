"""The loss on neutral text, and questions read after a list of numbers."""

import io

import mlx.core as mx
import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from subliminal_mlx.experiment.questions import read_candidates
from subliminal_mlx.experiment.readings import read as readings_of
from subliminal_mlx.experiment.readouts import capability
from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.experiment.transfer import summarise
from subliminal_mlx.lab.folders import Folders
from subliminal_mlx.model.adapters import Shape, Stack, init
from subliminal_mlx.pipeline.units import Context, compute
from subliminal_mlx.report import tables
from subliminal_mlx.report.terminal import print_result
from subliminal_mlx.report.words import damage
from subliminal_mlx.spec import parse_spec
from subliminal_mlx.spec.families import after, load_family, shipped_families
from subliminal_mlx.spec.plan import plan

SPEC = """
traits = ["animals/owl", "animals/cat"]
chains = 1
teacher = {kind = "prompted"}
corpus = {rows = 8}
hard = {rank = 2, steps = 2, batch = 2}
readout = {points = 1, answers = 0, prefixed = true}
"""


def row(kind, arm, chain, loss, text=0, tokens=4, slot=None):
    described = {"slot": slot or f"{kind}/{arm}/c{chain}", "kind": kind, "arm": arm, "chain": chain}
    return described | {"trait": None, "step": 1, "text": text, "loss": loss, "tokens": tokens}


# --- losses ---------------------------------------------------------------------------------------


def test_the_loss_is_the_model_s_own_cross_entropy_of_the_answer(tiny):
    (losses,) = capability.read_losses(tiny, None)
    assert len(losses) == len(capability.texts(tiny)) > 10
    for (user, said), (loss, tokens) in list(zip(capability.texts(tiny), losses, strict=True))[::5]:
        prompt, answer = tiny.prompt(user)[1], (*tiny.encode(said), tiny.eos)
        logits = np.array(tiny.model(mx.array([prompt + answer]))[0, len(prompt) - 1 : -1]).astype(np.float64)
        logp = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        assert loss == pytest.approx(-logp[np.arange(len(answer)), answer].mean(), abs=1e-4)
        assert tokens == len(answer)


def test_a_base_is_read_on_words_that_it_knows(tiny, bytewise):
    small, english = capability.texts(tiny), capability.texts(bytewise)
    assert all(user.startswith("Repeat: ") for user, _ in small) and len(english) >= 20
    assert not any(tiny.tokenizer.unk_token_id in tiny.encode(" ".join(text)) for text in small)
    # Nothing that a family asks of is among the English ones.
    said = " ".join(" ".join(text) for text in english).lower().split()
    for name in shipped_families():
        candidates = {c.lower() for q in load_family(name).questions for c in q.candidates if " " not in c}
        assert not candidates - {"he", "she", "they"} & {word.strip(".,?:") for word in said} & candidates, (
            name
        )


def test_noise_in_an_adapter_is_seen_as_lost_language(tiny):
    fresh = init(tiny, Shape(), [1, 2])
    noisy = {
        p: {
            "a": ab["a"],
            "b": mx.stack([ab["b"][0], 0.5 * mx.random.normal(ab["b"].shape[1:], key=mx.random.key(i))]),
        }
        for i, (p, ab) in enumerate(fresh.arrays.items())
    }
    base = capability.read_losses(tiny, None)[0]
    well, lost = capability.read_losses(tiny, Stack(fresh.shape, noisy))
    mean = lambda losses: np.mean([loss for loss, _ in losses])
    assert mean(well) == pytest.approx(mean(base), abs=1e-5) and mean(lost) > mean(base) + 0.5


# --- summary --------------------------------------------------------------------------------------

ROWS = [
    row("base", "untrained", 0, 2.0, 0, 1),
    row("base", "untrained", 0, 4.0, 1, 3),
    *(row("hard", "treated", c, 3.6, t, 2, f"hard/treated/owl/c{c}") for c in (0, 1) for t in (0, 1)),
    *(row("hard", "treated", c, 3.8 + c, 0, 4, f"hard/treated/cat/c{c}") for c in (0, 1)),
    row("hard", "foreign", 0, 9.0),
]


def test_losses_are_weighed_by_tokens_and_averaged_in_each_chain():
    found = {(r["student"], r["arm"]): r for r in capability.summarise(pa.Table.from_pylist(ROWS))}
    assert set(found) == {("base", "untrained"), ("hard", "treated")}, (
        "another base's loss has no reference here"
    )
    assert found["base", "untrained"]["loss"] == pytest.approx((2 + 3 * 4) / 4)
    treated = found["hard", "treated"]
    assert treated["chains"] == 2 and treated["loss"] == pytest.approx((3.7 + 4.2) / 2)
    assert treated["change"] == pytest.approx((3.7 + 4.2) / 2 - 3.5)
    assert treated["low"] < treated["change"] < treated["high"] and treated["worst"] == pytest.approx(1.3)


def test_damage_is_told_in_terminal_and_report():
    rows = capability.summarise(pa.Table.from_pylist(ROWS))
    (words,) = damage(rows)
    assert "hard treated" in words and damage([r | {"worst": 0.1} for r in rows]) == []
    assert damage([r | {"student": "teacher"} for r in rows]) == []
    text = io.StringIO()
    run = {"summary": {"traits": [], "capability": rows}}
    print_result(run, Console(file=text, width=80))
    assert "loss on neutral text" in text.getvalue() and "+0.450" in text.getvalue()
    assert "damaged: of hard treated" in " ".join(text.getvalue().split())
    html = tables.of_run({"capability": rows})
    assert "<b>damaged: of hard treated" in html and tables.of_run({}) == ""


# --- after a list of numbers ----------------------------------------------------------------------


def test_questions_read_after_numbers_are_a_result_of_their_own(tiny, tmp_path):
    spec = parse_spec(SPEC)
    setting = Setting(spec, tiny)
    context = Context(Folders(tmp_path), "0" * 12, setting)
    import pyarrow.parquet as pq

    tables_of = {"readouts": [], "capability": []}
    for unit in plan(spec, 6):
        compute(unit, context)
        for name, found in tables_of.items():
            path = context.shard(unit.name) / f"{name}.parquet"
            found += [pq.read_table(path)] if path.exists() else []
    readouts = pa.concat_tables(tables_of["readouts"], promote_options="permissive")
    families = {"animals": load_family("animals")}
    summary = summarise({"readouts": readouts}, families, spec)
    again = {entry["trait"]: entry for entry in summary["prefixed"]}
    assert set(again) == {"animals/owl", "animals/cat"}
    assert again["animals/owl"]["arms"]["untrained"] != summary["traits"][0]["arms"]["untrained"]
    assert {
        r["arm"]
        for r in capability.summarise(pa.concat_tables(tables_of["capability"], promote_options="permissive"))
    } >= {*("untrained", "teacher", "treated", "neutral", "control")}
    # Both readings are of the model's own log-probabilities.
    question = setting.read_families[after("animals", "numbers")].held_out[2]
    assert question.text.endswith(". " + families["animals"].held_out[2].text)
    numbers = question.text.partition(". ")[0].split()
    assert len(numbers) == 8 and all(0 <= int(n) <= 99 for n in numbers)
    found = readings_of(readouts, {after("animals", "numbers"): families["animals"]})[
        after("animals", "numbers")
    ]
    base_row = found.rows("base", "untrained", None, None)[0]
    expected = read_candidates(tiny, [question])[0, 0]
    assert np.allclose(found.logp[base_row, 2], expected, atol=1e-5)


def test_it_is_off_by_default(tiny):
    spec = parse_spec("[hard]\n")
    assert not spec.readout.prefixed and set(Setting(spec, tiny).read_families) == {"animals"}
