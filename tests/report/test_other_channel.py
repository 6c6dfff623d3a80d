"""A run of word lists, with every arm, told everywhere as what it is: nothing of it is called a list of numbers."""

import json
import re

import mini
import pytest

from subliminal_mlx.audit.form import detect
from subliminal_mlx.audit.reading import read_run
from subliminal_mlx.demos.blind.rows import write_lists
from subliminal_mlx.lab import Lab
from subliminal_mlx.lab.lineage import Tracer
from subliminal_mlx.report import charts, write_report
from subliminal_mlx.spec import parse_spec, to_toml
from subliminal_mlx.system.errors import InputError
from subliminal_mlx.web.pages import picked, reading

SPEC = """
title = "Words"
traits = ["animals/owl", "animals/cat"]
chains = 1
arms = ["treated", "neutral", "control", "other-trait"]
ablations = ["shuffled", "random", "in-context", "traceless"]
ablation_traits = ["animals/owl"]
teacher = {rank = 2, steps = 8, batch = 4, lr = 0.02, neutral_answers = 2, leak = 0.1, keep = 0.1, keep_lists = 0.1}
corpus = {channel = "words", rows = 16, length = [3, 3]}
hard = {rank = 2, steps = 6, batch = 2, lr = 0.02}
soft = {rank = 2, steps = 4, batch = 2, lr = 0.02}
readout = {points = 2, answers = 1, shown_rows = 2}
"""
# What a page may say of other things: a heading, and that figures are the same when a run is run again.
OTHERWISE = ("Numbers", "the numbers are the same", "#numbers", 'id="numbers"')


def assert_no_numbers(text):
    for said in OTHERWISE:
        text = text.replace(said, "")
    found = re.search(r".{0,60}(number lists?|lists? of (\d+ )?numbers|\bnumbers\b).{0,40}", text, re.I)
    assert not found, found[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The lab, the run's id and what the command printed."""
    folder = tmp_path_factory.mktemp("words")
    (folder / "words.toml").write_text(SPEC)
    child = mini.quick("run", folder / "words.toml", "--lab", folder / "lab", "--processes", 1, cwd=folder)
    assert child.returncode == 0, child.stderr
    return Lab(folder / "lab"), Lab(folder / "lab").runs()[0]["id"], child


def test_rows_of_every_source_are_words(made):
    lab, run_id, _ = made
    rows = lab.rows(run_id).to_pylist()
    assert {row["source"].partition("/")[0] for row in rows} >= {"animals", "base", "shuffled", "random"}
    assert all(re.fullmatch(r"[a-z]+ [a-z]+ [a-z]+", row["completion"]) for row in rows)
    assert all("List :" in row["prompt"] or "List: " in row["prompt"] for row in rows)


def test_the_terminal_says_no_number_of_words(made, tmp_path):
    lab, run_id, child = made
    shown = mini.quick("show", run_id, "--lab", lab.path, cwd=tmp_path)
    assert shown.returncode == 0 and "owl" in shown.stdout
    assert_no_numbers(child.stdout + child.stderr + shown.stdout)


def test_report_and_charts_say_no_number_of_words(made, tmp_path):
    lab, run_id, _ = made
    run = lab.run(run_id)
    yields = lab.yields(run_id)
    write_report(
        tmp_path / "r.html", run, lab.rows(run_id, limit=20).to_pylist(), yields, lab.metrics(run_id)
    )
    page = (tmp_path / "r.html").read_text()
    assert "students trained on filtered word lists of the animals/owl teacher" in page
    assert "words permuted across rows" in page and "words drawn evenly" in page
    assert_no_numbers(re.sub(r'src="data:[^"]*"', "", page))
    summary = run["summary"]
    for draw in (charts.transfer, charts.traits, charts.matrix, charts.curves, charts.giveaway):
        assert_no_numbers(json.dumps(draw(summary).to_dict()))
    assert_no_numbers(json.dumps(charts.yields(yields).to_dict()))


def test_a_page_says_no_number_of_words(made):
    lab, run_id, _ = made
    seen = reading.opened(lab, run_id)
    for view in reading.VIEWS:
        assert_no_numbers(json.dumps(reading.drawn(seen, view).to_dict()))
    assert_no_numbers(" ".join([*reading.claims(seen), reading.figures(seen)]))
    chosen = {"trait": ["animals/owl"], "student": ["hard"], "arm": ["random"]}
    found = picked.picked("transfer", {"picked": chosen}, seen.sources)
    assert found.source == "random"
    assert_no_numbers(reading.rows(seen, found)[0])


def test_provenance_and_audit_know_what_rows_are(made, tiny):
    lab, run_id, _ = made
    tracer = Tracer(lab, run_id)
    for source in sorted(set(lab.yields(run_id)["source"].to_pylist())):
        assert_no_numbers(tracer.corpus(source, 0).model_dump_json())
    form = detect(tiny, [row.answers[0] for row in read_run(lab, run_id, "animals/owl", 0)])
    assert form.words == "lists of 3 words" and not form.own_prompts


def test_the_blind_test_takes_number_lists_alone(made, tmp_path, one_line):
    lab, run_id, _ = made
    with pytest.raises(InputError, match="of word lists: the blind test is of number lists") as error:
        write_lists(lab, run_id, tmp_path / "blind")
    one_line(error)


def test_its_spec_is_read_back(made):
    lab, run_id, _ = made
    spec = parse_spec(lab.run(run_id)["spec_toml"])
    assert parse_spec(to_toml(spec)) == spec and spec.corpus.channel == "words"
