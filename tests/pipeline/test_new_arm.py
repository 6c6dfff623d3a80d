"""An arm is a row of `spec.arms` and what makes its rows: two files, and the whole pipeline knows it.

Done to a copy of the package, as somebody would who adds one.
"""

import base64
import json
import re

import mini
import pytest

from subliminal_mlx.lab import Lab

ROW = """    Arm(
        "backwards",
        "trained on the teacher's rows, each read from its end",
        "#123456",
        rows="trait",
        asked="ablations",
        remade="backwards",
        made="rows read from their ends",
    ),
"""
REMAKE = '''

def backwards(completions, seed, recipe):
    """Every row's numbers, the last one first."""
    return [recipe.separator.join(map(str, (parse(text)[0] or [])[::-1])) for text in completions]
'''
SPEC = """
title = "A thrown-away arm"
traits = ["animals/owl", "animals/cat"]
chains = 1
ablations = ["backwards"]
ablation_traits = ["animals/cat"]
teacher = {rank = 2, steps = 4, batch = 2, neutral_answers = 2}
corpus = {rows = 12, numbers = [3, 3]}
hard = {rank = 2, steps = 4, batch = 2}
soft = {rank = 2, steps = 4, batch = 2}
readout = {points = 1, answers = 0, capability = false}
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The copy's folder, in which the run was done; its lab is "lab"."""
    folder = tmp_path_factory.mktemp("a copy")
    package = mini.package_copy(folder)
    mini.changed(package / "spec" / "arms.py", '    Arm("untrained"', f'{ROW}    Arm("untrained"')
    numbers = package / "experiment" / "channels" / "numbers.py"
    mini.changed(numbers, 'frozenset({"shuffled",', 'frozenset({"shuffled", "backwards",')
    numbers.write_text(numbers.read_text() + REMAKE)
    (folder / "spec.toml").write_text(SPEC)
    child = mini.command("run", "spec.toml", "--lab", "lab", "--json", cwd=folder)
    assert child.returncode == 0, child.stderr
    return folder, json.loads(child.stdout)


def test_it_is_planned_remade_trained_and_read(done):
    folder, printed = done
    lab, run_id = Lab(folder / "lab"), printed["run"]
    # As of all arms whose rows are changed, hard students alone: no source's distributions are about such rows.
    assert [slot for slot in lab.adapters(run_id) if "backwards" in slot] == ["hard/backwards/animals/cat/c0"]
    own, remade = (
        lab.rows(run_id, source, kept=True)["completion"].to_pylist()
        for source in ("animals/cat", "backwards/animals/cat")
    )
    assert remade == [" ".join(text.split()[::-1]) for text in own] and remade != own
    arms = {(entry["student"], entry["trait"]): entry["arms"] for entry in printed["traits"]}
    read = arms["hard", "animals/cat"].pop("backwards")
    assert read["transfer"] == pytest.approx(
        read["margin"] - arms["hard", "animals/cat"]["neutral"]["margin"]
    )
    assert len(arms) == 4 and not any("backwards" in of for of in arms.values())


def test_it_is_in_terminal_charts_report_and_lineage(done):
    folder, _ = done
    shown = mini.command("show", "latest", "--lab", "lab", cwd=folder).stdout
    lines = [line.split() for line in shown.splitlines() if "backwards" in line]
    # Its students among the arms; its rows, with what they leak, and judged twice, beside its reference's and beside those
    # they are made from.
    assert [line[0] for line in lines] == ["backwards", *["backwards/animals/cat"] * 3, *["backwards"] * 2]
    assert [line[1] for line in lines[4:]] == ["neutral", "treated"]
    child = mini.command("report", "latest", "-o", "page.html", "--lab", "lab", cwd=folder)
    assert child.returncode == 0, child.stderr
    page = (folder / "page.html").read_text()
    assert '<i style="background:#123456"></i>backwards</dt><dd>trained on' in page
    drawn = [base64.b64decode(found).decode() for found in re.findall(r"svg\+xml;base64,([^\"]+)", page)]
    # What every arm reached, when it did, and how it learned.
    assert sum("#123456" in svg for svg in drawn) == 3
    tree = mini.command("lineage", "latest/hard/backwards/animals/cat/c0", "--lab", "lab", cwd=folder).stdout
    assert "rows read from their ends" in tree


def test_without_its_row_no_spec_may_ask_for_it(done):
    folder, _ = done
    child = mini.command("run", folder / "spec.toml", "--lab", folder / "other")
    assert "ablations" in mini.failure(child, 2) and not (folder / "other").exists()
