"""What is told of a base before a run."""

import json

import mini
import pytest
from typer.testing import CliRunner

from subliminal_mlx.__main__ import program as app
from subliminal_mlx.experiment.base_check import check


def test_tiny_a_will_do_for_the_families_of_its_own_world(tiny):
    found = check(tiny)
    assert found["problems"] == [] and json.dumps(found)
    usable = {name for name, family in found["families"].items() if family["usable"]}
    assert usable == {"animals", "trees", "pronouns"}
    animals = found["families"]["animals"]
    assert animals["candidates"] == animals["single_token"] == 16 and animals["longest"] == 1
    assert "Belrow" in found["families"]["brand"]["missing"]
    assert found["channel"]["tokens"] == 101 and found["chat"]["end_of_turn"] == "<end>"
    blocks = 2 * (4 * (48 + 48) + 3 * (48 + 128)) * 8
    assert found["lora"]["linears"] == 14 and found["lora"]["weights"] == blocks


def test_candidates_of_several_tokens_are_counted(bytewise):
    found = check(bytewise, ["animals"])
    animals = found["families"]["animals"]
    assert animals["single_token"] == 0 and animals["longest"] == len("Elephant") and animals["usable"]
    assert list(found["families"]) == ["animals"]
    memory = found["memory"]
    assert memory["training"] > 0 and memory["available"] > 1e8


def test_the_command_tells_it_in_lines_and_as_json(one_line):
    told = CliRunner().invoke(app, ["bases", "check", "tiny-a", "--family", "animals"]).output
    assert told.startswith("tiny-a: will do\n") and "family    animals: 16 answers: 16 single tokens" in told
    found = json.loads(
        CliRunner().invoke(app, ["bases", "check", "tiny-a", "--family", "trees", "--json"]).output
    )
    assert found["name"] == "tiny-a" and list(found["families"]) == ["trees"]


def test_a_base_that_cannot_be_asked_will_not_do(tmp_path):
    import shutil

    from subliminal_mlx.model.sources import SHIPPED

    shutil.copytree(SHIPPED / "tiny-a", tmp_path / "mute")
    path = tmp_path / "mute" / "tokenizer_config.json"
    path.write_text(
        json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "chat_template"})
    )
    result = CliRunner().invoke(app, ["bases", "check", str(tmp_path / "mute"), "--family", "animals"])
    assert result.exit_code == 3 and "will not do" in result.output
    assert "problem   no chat template; choose an instruction-tuned model" in result.output


@pytest.mark.parametrize("arguments", [["nothing"], ["tiny-a", "--family", "birds"]])
def test_what_is_not_there_is_told_in_a_line(arguments):
    text = mini.failure(mini.quick("bases", "check", *arguments), 2)
    assert "tiny-a" in text or "animals" in text


def test_rows_in_company_are_told_of_with_number_and_bound(fresh):
    found = check(fresh, ["animals"])
    company = found["company"]
    assert company["within"] and company["largest"] <= company["bound"] == 2e-3 and len(company["ways"]) == 4
    told = CliRunner().invoke(app, ["bases", "check", "tiny-a", "--family", "animals"]).output
    assert "after a kept beginning, padded on the left: as alone, log-probabilities differ by at most" in told
    assert "(bound 0.002, float32)" in told


def test_a_base_whose_rows_look_at_each_other_will_not_do(fresh, one_line):
    """As one that looks at padding, or at what comes later: every readout would depend on its neighbours."""
    norm = fresh.model.model.norm
    fresh.model.model.norm = lambda x: norm(x) + 0.05 * norm(x).mean(axis=1, keepdims=True)
    problems = check(fresh, ["animals"])["problems"]
    assert any("a row padded on the right is not computed as alone" in line for line in problems)
