"""Shipped results: what write_results leaves and read_results gives back."""

import csv
import json

import pytest

from subliminal_mlx.errors import InputError
from subliminal_mlx.results import FOLDER, read_results
from subliminal_mlx.spec import parse_spec

SHIPPED = sorted(path.parent.name for path in FOLDER.glob("*/summary.json"))


def test_results_are_shipped():
    assert SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_results_belong_to_their_spec(name):
    results = read_results(name)
    spec = parse_spec(results["spec_toml"])
    found = {(entry["trait"], entry["student"]) for entry in results["summary"]["traits"]}
    assert found == {(trait, kind) for trait in spec.traits for kind in spec.kinds}
    for entry in results["summary"]["traits"]:
        assert entry["arms"]["treated"]["chains"] == spec.chains
        assert set(spec.arms) - {"other-trait"} <= set(entry["arms"])
        if spec.chains > 1:
            assert entry["low"] <= entry["estimate"] <= entry["high"]


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
