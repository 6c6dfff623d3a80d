"""A readout is a module of `experiment.readouts` and words for it: two files, and the lab, the summary and reports have it.

Done to a copy of the package, as somebody would who adds one; in a lab that was made before.
"""

import json

import duckdb
import mini
import pytest

from subliminal_mlx.lab import Lab

MODULE = '''"""How sure a model is: the highest probability among the candidates of each held-out question."""

import numpy as np

from . import Readout, described


def read_rows(given):
    from ..questions import read_candidates
    from ..readings import softmax

    rows = []
    for name, family in given.setting.families.items():
        logp = read_candidates(given.setting.base, family.held_out, given.stack, given.system)
        for slot, best in zip(given.slots, softmax(logp).max(axis=-1), strict=True):
            for question, p in zip(family.held_out, best, strict=True):
                rows.append(described(slot) | {"step": given.step, "question": question.id, "best": float(p)})
    return rows


def gather(table, views):
    found = {}
    for row in table.to_pylist():
        found.setdefault((row["slot"], row["step"]), []).append(row["best"])
    last = {}
    for slot, step in sorted(found):
        last[slot] = float(np.mean(found[slot, step]))
    return last


def of_arm(gathered, view, comparison):
    slots = [view.reading.slots[row] for rows in comparison.rows for row in rows]
    found = [gathered[slot] for slot in slots if slot in gathered]
    return {"sureness": float(np.mean(found)) if found else None}


def of_run(table):
    arms = dict.fromkeys((row["kind"], row["arm"]) for row in table.to_pylist())
    return [{"student": kind, "arm": arm, "points": points(table, kind, arm)} for kind, arm in arms]


def points(table, kind, arm):
    return len({row["step"] for row in table.to_pylist() if (row["kind"], row["arm"]) == (kind, arm)})


SURENESS = Readout(
    "sureness",
    {"step": "INTEGER", "question": "VARCHAR", "best": "DOUBLE"},
    ("slot", "step", "question"),
    read_rows,
    wanted=lambda spec: True,
    at_points=True,
    gather=gather,
    of_arm=of_arm,
    of_run=of_run,
)
'''
WORDS = """TOLD = {
    "sureness": Told(
        "how sure models are",
        "How often each was read, of those that answer.",
        (Column("student", "student"), Column("arm", "arm"), Column("times read", "points")),
    ),
"""
SPEC = """
title = "A thrown-away readout"
traits = ["animals/owl"]
chains = 1
ablations = ["in-context"]
teacher = {rank = 2, steps = 4, batch = 2, neutral_answers = 2}
corpus = {rows = 12, numbers = [3, 3]}
hard = {rank = 2, steps = 4, batch = 2}
readout = {points = 2, answers = 0, shown_rows = 2, capability = false}
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The copy's folder, in which the run was done; its lab is "lab"."""
    folder = tmp_path_factory.mktemp("a copy")
    Lab(folder / "lab").make()
    package = mini.package_copy(folder)
    (package / "experiment" / "readouts" / "sureness.py").write_text(MODULE)
    mini.changed(package / "report" / "readouts.py", "TOLD = {\n", WORDS)
    (folder / "spec.toml").write_text(SPEC)
    child = mini.command("run", "spec.toml", "--lab", "lab", "--json", cwd=folder)
    assert child.returncode == 0, child.stderr
    return folder, json.loads(child.stdout)


def test_its_rows_are_in_the_lab(done):
    folder, printed = done
    with duckdb.connect(folder / "lab" / "lab.duckdb", read_only=True) as con:
        found = con.sql(
            "SELECT arm, list(DISTINCT step ORDER BY step), count(*), min(best), max(best) "
            f"FROM sureness WHERE run = '{printed['run']}' GROUP BY arm ORDER BY arm"
        ).fetchall()
    read = {arm: steps for arm, steps, *_ in found}
    # At every point of a training; not of a base that is shown rows, which it did not ask for.
    assert read == {"control": [2, 4], "neutral": [2, 4], "treated": [2, 4], "teacher": [4], "untrained": [0]}
    assert all(0 < low <= high <= 1 for *_, low, high in found)


def test_its_figures_are_in_the_summary(done):
    folder, printed = done
    summary = Lab(folder / "lab").run(printed["run"])["summary"]
    (entry,) = summary["traits"]
    told = {arm: figures["sureness"] for arm, figures in entry["arms"].items()}
    assert told["in-context"] is None and all(0 < told[arm] <= 1 for arm in ("treated", "neutral", "teacher"))
    students = [row for row in summary["sureness"] if row["student"] == "hard"]
    assert summary["sureness"] == printed["sureness"] and {row["points"] for row in students} == {2}


def test_it_is_told_in_terminal_and_report(done):
    folder, _ = done
    shown = mini.command("show", "latest", "--lab", "lab", cwd=folder).stdout
    assert "how sure models are" in shown and "times read" in shown
    child = mini.command("report", "latest", "-o", "page.html", "--lab", "lab", cwd=folder)
    assert child.returncode == 0, child.stderr
    assert "<p>How often each was read" in (folder / "page.html").read_text()


def test_a_lab_with_its_table_opens_without_the_module(done):
    folder, printed = done
    child = mini.command("show", "latest", "--lab", folder / "lab")
    assert child.returncode == 0 and "how sure" not in child.stdout
    assert Lab(folder / "lab").readouts(printed["run"]).num_rows
