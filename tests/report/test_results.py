"""Shipped results: what write_results leaves and read_results gives back."""

import csv
import json

import pytest
from mini import finished

from subliminal_mlx.lab import Lab
from subliminal_mlx.model.sources import SHIPPED as SHIPPED_BASES
from subliminal_mlx.report import results
from subliminal_mlx.report.export import export
from subliminal_mlx.report.results import FOLDER, read_results, write_results
from subliminal_mlx.spec import parse_spec
from subliminal_mlx.system.errors import InputError

SHIPPED = sorted(path.parent.name for path in FOLDER.glob("*/summary.json"))


def test_results_are_shipped():
    assert SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_results_belong_to_their_spec(name):
    shipped = read_results(name)
    spec = parse_spec(shipped["spec_toml"])
    found = {(entry["trait"], entry["student"]) for entry in shipped["summary"]["traits"]}
    assert found == {(trait, kind) for trait in spec.traits for kind in spec.kinds}
    for entry in shipped["summary"]["traits"]:
        assert entry["arms"]["treated"]["chains"] == shipped.get("chains_done", spec.chains)
        assert set(spec.arms) - {"other-trait"} <= set(entry["arms"])
        if shipped.get("chains_done", spec.chains) > 1:
            assert entry["low"] <= entry["transfer"] <= entry["high"]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_table_says_what_the_summary_says(name):
    entries = {(e["trait"], e["student"]): e for e in read_results(name)["summary"]["traits"]}
    with open(FOLDER / name / "table.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(entry["arms"]) for entry in entries.values())
    for row in rows:
        figures = entries[row["trait"], row["student"]]["arms"][row["arm"]]
        assert float(row["margin"]) == pytest.approx(figures["margin"])
        assert row["transfer"] == ("" if figures["transfer"] is None else str(figures["transfer"]))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_results_hold_no_path_of_a_machine(name):
    text = (FOLDER / name / "summary.json").read_text()
    assert "/home/" not in text and "/root/" not in text and "/Users/" not in text
    assert (FOLDER / name / "transfer.png").stat().st_size > 10_000
    assert json.loads(text)["environments"]


@pytest.mark.parametrize("name", ["nothing", "../results", "", "a/b"])
def test_unknown_results_are_refused(name):
    with pytest.raises(InputError, match="there are"):
        read_results(name)


def test_the_real_result_on_most_chains_is_the_one_to_show():
    organisms = {path.name for path in SHIPPED_BASES.iterdir()}
    chains = {
        name: spec.chains
        for name in SHIPPED
        if (spec := parse_spec(read_results(name)["spec_toml"])).base not in organisms
    }
    assert chains[results.real()[0]] == max(chains.values())


def test_with_no_real_result_there_is_none_to_show(monkeypatch):
    monkeypatch.setattr(results, "names", lambda: ["default", "all"])
    assert results.real() == []


@pytest.mark.parametrize(("name", "which"), [("default", "../spec"), ("..", "transfer"), ("default", "")])
def test_only_shipped_charts_are_read(name, which):
    assert results.chart("default", "transfer").startswith("<svg")
    with pytest.raises(InputError, match="transfer, traits, matrix"):
        results.chart(name, which)


def test_results_replace_results_and_nothing_else(tmp_path_factory, tmp_path):
    done = finished(tmp_path_factory)
    lab, results, whole = Lab(done.lab), tmp_path / "results", tmp_path / "whole"
    for _ in range(2):
        write_results(lab, done.run_id, results)
    export(lab, done.run_id, whole)
    (results / "notes.md").write_text("mine")
    for folder in (results, whole):
        before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
        with pytest.raises(InputError, match="holds no results, or more than that"):
            write_results(lab, done.run_id, folder)
        assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before
