"""README's figures: each is what a file under data/results says, and what is stored follows from values by chain."""

import json
import math
import re

import pytest
from typer.testing import CliRunner

from subliminal_mlx.cli.make import readme
from subliminal_mlx.cli.make.figures import made, stored, transfers
from subliminal_mlx.experiment.statistics import estimate, ratio
from subliminal_mlx.experiment.transfer import summarise
from subliminal_mlx.experiment.verdicts import permute_labels
from subliminal_mlx.report.results import FOLDER, names, read_results, read_tables
from subliminal_mlx.spec import parse_spec
from subliminal_mlx.spec.arms import ARMS
from subliminal_mlx.spec.families import load_family
from subliminal_mlx.system.errors import InputError

# Measured numbers that stand in README's own sentences, and why no block holds them.
NAMED = {
    "5%": "a threshold of the audit's code, not a measurement",
    "p < 0.01": "the audit's ALPHA, not a measurement",
    "p < 0.001": "the audit's NAMING, not a measurement",
    "24 GB": "an estimate of memory for a model that was not run, and said to be one",
    "64 GB": "the machine that this estimate is for",
}
MEASURED = re.compile(
    r"""
    (?<!\w)[+\u2212-]\d+\.\d+                                       # a change or log-odds
    | \d+(?:\.\d+)?%
    | \d[\d,]*\s+of\s+\d[\d,]*
    | \d[\d.,]*\s+(?:min|minutes|h|hours|s|seconds|days|GB|times)\b
    | \b[pP]\s*[=<]\s*\d\.\d+
    """,
    re.VERBOSE,
)
# Stored values have five significant digits, and the interval of two chains multiplies what they lost by thirteen.
TOLERANCE = 1e-3


def prose(text: str) -> str:
    """README without its blocks, fences, code, comments, links' targets and pictures."""
    text = readme.BLOCK.sub("", text)
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`]*`", "", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).split())


def test_every_block_is_what_its_files_say():
    text = readme.README.read_text(encoding="utf-8")
    assert readme.filled(text, made()) == text


def test_every_measured_number_stands_in_a_block_or_is_named_with_its_reason():
    found = {match.group() for match in MEASURED.finditer(prose(readme.README.read_text(encoding="utf-8")))}
    assert found == set(NAMED)
    assert all(NAMED.values())


@pytest.mark.parametrize(
    "sentence",
    [
        "it rose by +0.41",
        "names 255 of 256",
        "left 23%",
        "took 12 min",
        "3.5 times as fast",
        "at p = 0.016",
        "108 s",
    ],
)
def test_numbers_are_seen_where_they_are_written(sentence):
    assert MEASURED.search(prose(f"Text, {sentence} in all.\n"))
    assert not MEASURED.search(prose(f"`{sentence}`\n\n```\n{sentence}\n```\n"))


def test_a_changed_figure_is_told_and_written(tmp_path):
    path, run = tmp_path / "README.md", CliRunner()
    whole = readme.README.read_text(encoding="utf-8")
    found = re.search(r"\+\d\.\d\d \(\+", readme.BLOCK.search(whole).group())
    changed = whole.replace(found.group(), "+9.99 (+", 1)
    path.write_text(changed, encoding="utf-8")
    import typer

    app = typer.Typer()
    app.command()(readme.main)
    assert run.invoke(app, ["--check", "--path", str(path)]).exit_code == 3
    assert path.read_text(encoding="utf-8") == changed
    assert run.invoke(app, ["--path", str(path)]).exit_code == 0
    assert path.read_text(encoding="utf-8") == whole
    assert run.invoke(app, ["--check", "--path", str(path)]).exit_code == 0


@pytest.mark.parametrize(
    "text",
    [
        "no block",
        "<!-- figures: one -->\nx\n<!-- /figures -->\n<!-- figures: one -->\nx\n<!-- /figures -->\n",
        "<!-- figures: one -->\nx\n",
        "<!-- figures: one -->\nx\n<!-- /figures -->\n<!-- /figures -->\n",
        "<!-- figures: two -->\nx\n<!-- /figures -->\n",
    ],
)
def test_blocks_that_do_not_fit_are_refused(text):
    with pytest.raises(InputError, match="README"):
        readme.filled(text, {"one": "1"})


# --- what is stored ------------------------------------------------------------------------------


def close(a, b):
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def agree(values, row, prefix="", name="transfer"):
    """Whether a stored estimate is that of these values by chain."""
    keys = (name, f"{prefix}low", f"{prefix}high")
    return all(close(found, row[key]) for found, key in zip(estimate(values), keys, strict=True))


@pytest.mark.parametrize("name", names())
def test_intervals_follow_from_the_values_by_chain(name):
    summary = read_results(name)["summary"]
    for entry in summary["traits"]:
        assert agree(stored.chain_values(entry, "treated"), entry)
        specific = stored.chain_values(entry, "specificity")
        if specific:
            assert agree(specific, entry, "specificity_", "specificity")
        for arm, row in entry["arms"].items():
            if not ARMS[arm].is_reference if arm in ARMS else "-" not in arm:
                values = stored.chain_values(entry, arm)
                assert len(values) == row["chains"] and agree(values, row), (entry["trait"], arm)
    for family in summary["families"]:
        of = stored.members(summary, family["student"], family["family"])
        assert len(of) == family["traits"]
        for arm, row in family["arms"].items():
            assert agree(stored.family_values(of, arm), row), (family["family"], arm)


@pytest.mark.parametrize("name", names())
def test_p_values_follow_from_the_matrix(name):
    summary = read_results(name)["summary"]
    for row in summary["matrix"]:
        if "transfers" in row and row["low"] is not None:
            assert agree(row["transfers"], row)
    for told, again in zip(
        summary["families"], permute_labels(summary["families"], summary["matrix"]), strict=True
    ):
        assert all(close(told[key], again[key]) for key in ("p", "p_holm", "p_smallest", "assignments"))


@pytest.mark.parametrize("name", names())
def test_what_defences_leave_follows_from_the_values_by_chain(name):
    """Benches of before hold none."""
    rows = [row for row in read_results(name).get("defences", []) if "by_chain" in row]
    undefended = {row["student"]: row for row in rows if row["defence"] == "none"}
    for row in rows:
        values, beside = (
            [chain["transfer"] for chain in of["by_chain"]] for of in (row, undefended[row["student"]])
        )
        assert agree(values, row)
        assert all(
            close(found, row[key])
            for found, key in zip(ratio(values, beside), ("share", "share_low", "share_high"), strict=True)
        )


@pytest.mark.parametrize("name", [name for name in names() if read_tables(name)])
def test_a_summary_can_be_made_again_from_what_the_models_said(name):
    found = read_results(name)
    spec = parse_spec(found["spec_toml"]).model_copy(
        update={"chains": found.get("chains_done", parse_spec(found["spec_toml"]).chains)}
    )
    families = {family: load_family(family) for family in spec.families}
    again, told = summarise(read_tables(name), families, spec), found["summary"]
    for part in ("families", "matrix", "distributions", "capability"):
        assert_alike(told[part], again[part], part)
    for old, new in zip(told["traits"], again["traits"], strict=True):
        assert_alike(old, {key: new[key] for key in old if key in new}, old["trait"])


def assert_alike(told, again, where):
    """What is stored is what is made again, to the digits that are stored."""
    if isinstance(told, dict):
        for key in told:
            # Free answers are no part of the tables, and stay as they were told.
            if key != "answers":
                assert_alike(told[key], again[key], f"{where} {key}")
    elif isinstance(told, list):
        for place, (old, new) in enumerate(zip(told, again, strict=True)):
            assert_alike(old, new, f"{where} {place}")
    elif isinstance(told, float) and again is not None:
        assert math.isclose(told, again, rel_tol=2e-3, abs_tol=1e-4), (where, told, again)
    else:
        assert told == again, where


def test_results_that_ship_with_tables_are_those_of_the_default_recipe():
    assert "default" in [name for name in names() if read_tables(name)]


def test_a_table_tells_what_a_summary_does(monkeypatch):
    """A value by chain that is changed changes the table, so that no interval is copied."""
    summary = read_results("default")["summary"]
    before = transfers.traits("default")
    changed = json.loads(json.dumps(summary))
    changed["traits"][0]["by_chain"][0]["treated"] += 1
    monkeypatch.setattr(transfers, "summary_of", lambda name: changed)
    after = transfers.traits("default")
    lines = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(lines) == 1 and changed["traits"][0]["trait"] in lines[0][0]


def test_every_block_tells_what_makes_it():
    for name, text in made().items():
        assert "`uv run python -m subliminal_mlx" in text, name
    assert FOLDER.is_dir()
