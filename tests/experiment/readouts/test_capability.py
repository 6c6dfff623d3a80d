"""Neutral text read from models, told to people, and questions read after a list of numbers."""

import io

import mlx.core as mx
import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from subliminal_mlx.experiment.damage import summarise as summarise_damage
from subliminal_mlx.experiment.neutral_text import Prompt, texts_and_questions
from subliminal_mlx.experiment.questions import read_candidates
from subliminal_mlx.experiment.readings import read as readings_of
from subliminal_mlx.experiment.readouts import Given, capability
from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.experiment.transfer import summarise
from subliminal_mlx.lab.folders import Folders
from subliminal_mlx.model.adapters import applied
from subliminal_mlx.pipeline.units import Context, compute
from subliminal_mlx.report import tables
from subliminal_mlx.report.terminal import print_result
from subliminal_mlx.report.words import damage
from subliminal_mlx.spec import parse_spec
from subliminal_mlx.spec.families import after, load_family
from subliminal_mlx.spec.plan import UNTRAINED, plan

SPEC = """
traits = ["animals/owl", "animals/cat"]
chains = 1
teacher = {kind = "prompted"}
corpus = {rows = 8}
hard = {rank = 2, steps = 2, batch = 2}
readout = {points = 1, answers = 0, prefixed = true}
"""
ANIMALS = {"animals": load_family("animals")}


def log_probabilities(base, stack, prompt, answer):
    """`[slots, tokens, vocabulary]` at the answer's places, without batches, padding or stacked heads."""
    with applied(base, stack):
        tokens = mx.array([prompt + answer] * (stack.slots if stack else 1))
        logits = base.model(tokens)[:, len(prompt) - 1 : -1].astype(mx.float32)
    logits = np.array(logits).astype(np.float64)
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


# --- models ---------------------------------------------------------------------------------------


def test_losses_and_divergence_are_of_the_text_without_the_end_of_the_turn(tiny, make_stack):
    stack = make_stack([1, 2])
    prompts = texts_and_questions(tiny, ANIMALS, "numbers")
    found = capability.read_prompts(tiny, prompts, stack)
    assert len(found) == 2 and len(found[0]) == len(prompts) > 60
    for place in (0, 3, 40, len(prompts) - 1):
        prompt = prompts[place]
        answer = tiny.encode(prompt.said) if prompt.said else (tiny.eos,)
        assert (prompt.said is None) is (place == len(prompts) - 1) and (tiny.eos in answer) is (
            prompt.said is None
        )
        base, models = (
            log_probabilities(tiny, s, tiny.prompt(prompt.user)[1], answer) for s in (None, stack)
        )
        at = np.arange(len(answer)), list(answer)
        for slot in range(2):
            losses, base_losses, divergence = found[slot][place]
            assert losses == pytest.approx(-models[slot][at], abs=1e-4)
            assert base_losses == pytest.approx(-base[0][at], abs=1e-4)
            expected = (np.exp(base[0]) * (base[0] - models[slot])).sum(axis=-1)
            assert divergence == pytest.approx(expected, abs=1e-4) and (divergence > 0).all()


def test_a_base_is_as_far_from_itself_as_nothing(tiny):
    rows = capability.CAPABILITY.read(Given(Setting(parse_spec(SPEC), tiny), [UNTRAINED]))
    assert {row["divergence"] for row in rows} == {0.0}
    assert all(row["loss"] == row["base_loss"] for row in rows) and {row["part"] for row in rows} >= {
        "text",
        "trees",
    }


def test_what_a_prompted_teacher_is_told_is_not_told_to_the_base(bytewise):
    prompt = Prompt("text", 0, "Say", "a word")
    ((told,),), ((plain,),) = (
        capability.read_prompts(bytewise, [prompt], None, s) for s in ("You are a lamp.", None)
    )
    answer = bytewise.encode("a word")
    expected = log_probabilities(bytewise, None, bytewise.prompt("Say", "You are a lamp.")[1], answer)[0]
    assert told[0] == pytest.approx(-expected[np.arange(len(answer)), list(answer)], abs=1e-3)
    assert told[1] == pytest.approx(plain[0], abs=1e-4) and (told[2] > 0).all() and (plain[2] == 0).all()


def test_what_is_left_out_is_stored_with_its_reason_and_told(tiny, tmp_path):
    mine = tmp_path / "kitchen.toml"
    mine.write_text(
        'title = "Kitchen"\ncandidates = ["Kettle", "Lens"]\n[questions]\ntuning = ["Which animal?"]\n'
        'held-out = ["Name one animal."]\n[traits]\nkettle = "Kettle"\n'
    )
    spec = parse_spec(SPEC.replace('"animals/owl", "animals/cat"', f'"{mine}/kettle"'))
    rows = capability.CAPABILITY.read(Given(Setting(spec, tiny), [UNTRAINED]))
    left_out = [row for row in rows if row["left_out"]]
    assert {row["left_out"] for row in left_out} == {"kettle", "lens"} and len(left_out) < 20
    assert all(row["loss"] is row["divergence"] is row["tokens"] is None for row in left_out)
    (summary,) = summarise_damage(pa.Table.from_pylist(rows))
    assert sum(summary["left_out"].values()) == len(left_out) and set(summary["left_out"]) == {
        "kettle",
        "lens",
    }
    (words,) = damage([summary])
    assert words.startswith(
        f"neutral text: {len(left_out)} of {len(left_out) + summary['texts']} texts were left out"
    )
    assert "kettle" in words and "lens" in words and "not read" not in words


def test_where_every_text_is_left_out_damage_is_not_read_and_that_is_said(tiny):
    slot = {
        "slot": "base/untrained/c0",
        "kind": "base",
        "arm": "untrained",
        "chain": 0,
        "trait": None,
        "step": 0,
    }
    nothing = dict.fromkeys(("loss", "base_loss", "divergence", "tokens"))
    rows = [slot | nothing | {"part": "text", "text": i, "left_out": "the"} for i in range(3)]
    (summary,) = summarise_damage(pa.Table.from_pylist(rows))
    assert summary["loss"] is summary["change"] is summary["worst"] is summary["displacement"] is None
    (words,) = damage([summary])
    assert "3 of 3 texts were left out" in words and words.endswith("none is left, so damage was not read")
    text = io.StringIO()
    print_result({"summary": {"traits": [], "capability": [summary]}}, Console(file=text, width=80))
    assert "none is left" in " ".join(text.getvalue().split()) and "none is left" in tables.of_run(
        {"capability": [summary]}
    )


# --- words ----------------------------------------------------------------------------------------

TOLD = {"chains": 3, "loss": 2.75, "change": 0.45, "low": 0.2, "high": 0.7, "worst": 0.9}
TOLD |= {
    "displacement": 0.125,
    "displacement_low": 0.1,
    "displacement_high": 0.15,
    "texts": 24,
    "left_out": {},
}
BASE = (
    {"student": "base", "arm": "untrained"} | dict.fromkeys(TOLD) | {"chains": 1, "loss": 2.3, "change": 0.0}
)
BASE |= {"worst": 0.0, "displacement": 0.0, "texts": 24, "left_out": {}}


def test_damage_is_told_in_terminal_and_report():
    rows = [BASE, {"student": "hard", "arm": "treated"} | TOLD]
    (words,) = damage(rows)
    assert "hard treated" in words and damage([r | {"worst": 0.1} for r in rows]) == []
    assert damage([r | {"student": "teacher"} for r in rows]) == []
    text = io.StringIO()
    run = {"summary": {"traits": [], "capability": rows}}
    print_result(run, Console(file=text, width=80))
    assert (
        "loss on neutral text" in text.getvalue()
        and "+0.450" in text.getvalue()
        and "0.125" in text.getvalue()
    )
    assert max(map(len, text.getvalue().splitlines())) <= 80
    assert "damaged: of hard treated" in " ".join(text.getvalue().split())
    html = tables.of_run({"capability": rows})
    assert "<b>damaged: of hard treated" in html and tables.of_run({}) == ""
    assert "0.125 (0.100 to 0.150)" in html and "+0.450 (+0.200 to +0.700)" in html


def test_what_an_older_version_summarised_is_told_without_what_it_lacks():
    lacking = {"displacement", "displacement_low", "displacement_high", "texts", "left_out"}
    rows = [
        {k: v for k, v in row.items() if k not in lacking}
        for row in (BASE, {"student": "hard", "arm": "treated"} | TOLD)
    ]
    text = io.StringIO()
    print_result({"summary": {"traits": [], "capability": rows}}, Console(file=text, width=80))
    (line,) = (line for line in text.getvalue().splitlines() if line.startswith("hard"))
    assert line.split() == ["hard", "treated", "2.750", "+0.450", "+0.200", "to", "+0.700", "-"]
    assert "+0.450 (+0.200 to +0.700)" in tables.of_run({"capability": rows})


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
    neutral = pa.concat_tables(tables_of["capability"], promote_options="permissive")
    arms = {(r["student"], r["arm"]) for r in summarise_damage(neutral)}
    hard = {("hard", arm) for arm in ("treated", "neutral", "control")}
    assert arms == {("base", "untrained"), ("teacher", "teacher"), ("teacher", "neutral"), *hard}
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
