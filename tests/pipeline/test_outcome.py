"""Runs that an earlier version finished: shown, reported and exported as today's are."""

import json
import shutil

import duckdb
import mini
import pytest
from old_labs import summary_of_before

from subliminal_mlx.lab import Lab
from subliminal_mlx.pipeline.outcome import renewed_run
from subliminal_mlx.pipeline.run import run
from subliminal_mlx.report.export import export
from subliminal_mlx.report.results import write_results
from subliminal_mlx.web.pages import reading


@pytest.fixture
def before(tmp_path_factory, tmp_path):
    """The session's finished run in a lab of its own, its summary as it was stored before."""
    done = mini.finished(tmp_path_factory)
    lab = shutil.copytree(done.lab, tmp_path / "lab")
    stored = json.dumps(summary_of_before(done.contents["summary"]))
    with duckdb.connect(str(lab / "lab.duckdb")) as con:
        con.execute("UPDATE runs SET summary_json = $stored", {"stored": stored})
    return done, Lab(lab)


def test_a_run_of_before_is_told_as_todays_is(before, tmp_path):
    done, lab = before
    summary = done.contents["summary"]
    assert lab.run(done.run_id)["summary"] != summary
    found = renewed_run(lab, done.run_id)["summary"]
    assert found["families"] == summary["families"]
    for entry, expected in zip(found["traits"], summary["traits"], strict=True):
        assert {key: entry[key] for key in expected if "specificity" not in key} == {
            key: value for key, value in expected.items() if "specificity" not in key
        }
        assert entry["specificity"] == pytest.approx(expected["specificity"])
    # Whoever answers from the lab, draws or takes away has it so.
    assert run(done.spec, lab).summary == found == reading.opened(lab, done.run_id).summary
    export(lab, done.run_id, tmp_path / "whole")
    assert json.loads((tmp_path / "whole" / "summary.json").read_text()) == found
    write_results(lab, done.run_id, tmp_path / "results")
    told = json.loads((tmp_path / "results" / "summary.json").read_text())["summary"]
    assert [entry["why_not"] for entry in told["traits"]] == [entry["why_not"] for entry in summary["traits"]]


def test_the_command_line_shows_and_reports_a_run_of_before(before, tmp_path):
    _, lab = before
    shown = mini.quick("show", "latest", "--lab", lab.path)
    assert shown.returncode == 0 and "transfer, hard students; one chain" in shown.stdout
    assert "headline" not in shown.stdout
    page = tmp_path / "page.html"
    assert mini.quick("report", "latest", "--lab", lab.path, "-o", page).returncode == 0
    assert "labels permuted" in page.read_text()


def test_no_run_is_none(before):
    assert renewed_run(before[1], "0123456789ab") is None
