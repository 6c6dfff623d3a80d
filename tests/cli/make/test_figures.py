"""What blocks are made of: whose numbers stand where, what is said of damage and of p, and commands that exist."""

import copy
import importlib
import inspect
import re
import shlex
import sys

import numpy as np
import pytest
import typer

from subliminal_mlx.__main__ import program
from subliminal_mlx.cli.make import readme
from subliminal_mlx.cli.make.figures import apart, made, removals, stored, transfers
from subliminal_mlx.experiment.damage import APART, LOST, gather
from subliminal_mlx.experiment.statistics import LEVEL
from subliminal_mlx.report.results import FOLDER, read_results, read_tables
from subliminal_mlx.spec import load_spec, parse_spec
from subliminal_mlx.spec.arms import FEWEST_CHAINS

MADE = made()
COMMAND = re.compile(r"`uv run (python -m [^`]+)`")
COMMANDS = sorted({command for text in MADE.values() for command in COMMAND.findall(text)})


# --- commands -------------------------------------------------------------------------------------


class _Parsed(Exception):
    """A parser of the standard library has read its arguments: what would come next is the work itself."""


def parse(command):
    """Read a command's arguments as the program or module itself would, and do nothing of what it asks for."""
    module, *words = shlex.split(command)[2:]
    if module == "subliminal_mlx":
        command = typer.main.get_command(program)
        name, found, rest = command.resolve_command(command.make_context(module, list(words)), list(words))
        found.make_context(name, rest)
        return
    found = importlib.import_module(module)
    if hasattr(found, "__path__"):
        found = importlib.import_module(f"{module}.__main__")
    if "argparse" in vars(found):
        _parse_standard(found, module, words)
    elif typer in vars(found).values():
        app = typer.Typer()
        app.command()(found.main)
        typer.main.get_command(app).make_context(module, words)
    else:
        inspect.signature(found.main).bind(*words)


def _parse_standard(found, module, words):
    parse_args = found.argparse.ArgumentParser.parse_args

    def stop(self, *rest):
        parse_args(self, *rest)
        raise _Parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module, *words])
        patch.setattr(found.argparse.ArgumentParser, "parse_args", stop)
        with pytest.raises(_Parsed):
            found.main()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_under_a_figure_is_one_that_exists(command):
    parse(command)


@pytest.mark.parametrize(
    "command",
    [
        "python -m subliminal_mlx digits --nothing",
        "python -m subliminal_mlx nothing",
        "python -m subliminal_mlx defend",
        "python -m subliminal_mlx.cli.make.nothing",
        "python -m subliminal_mlx.cli.make.benchmark smollm2-135m --style nothing",
        "python -m subliminal_mlx.cli.make.tiny_world",
        "python -m subliminal_mlx.cli.make.audit_bench",
        "python -m subliminal_mlx.demos.blind --nothing",
    ],
)
def test_a_command_that_does_not_exist_is_seen(command):
    with pytest.raises((Exception, SystemExit)) as raised:
        parse(command)
    assert not isinstance(raised.value, _Parsed | pytest.fail.Exception)


def test_what_a_preset_is_said_to_have_made_is_of_that_presets_spec():
    """Of a run that was stopped, the block says so."""
    seen = 0
    for name, text in MADE.items():
        for preset in re.findall(r"`uv run python -m subliminal_mlx run --preset (\S+)`; stored in", text):
            found = read_results(preset)
            spec = parse_spec(found["spec_toml"])
            assert spec == load_spec(preset), name
            if found.get("chains_done", spec.chains) != spec.chains:
                assert f"{found['chains_done']} of its {spec.chains} chains was made" in text, name
            seen += 1
    assert seen > 10


@pytest.mark.parametrize("name", sorted(MADE))
def test_what_is_said_to_be_stored_is_there(name):
    for folder in re.findall(r"`data/results/([^`]+)`", MADE[name]):
        assert (FOLDER / folder).is_dir(), folder


# --- whose numbers --------------------------------------------------------------------------------


def with_losses(monkeypatch, name, kind, arm, change):
    """`transfers` and `removals` read a run in which that arm of that kind of model lost so much."""
    summary = copy.deepcopy(read_results(name)["summary"])
    for row in summary["capability"]:
        if (row["student"], row["arm"]) == (kind, arm):
            row |= {"change": change, "low": change, "high": change}
    monkeypatch.setattr(transfers, "summary_of", lambda asked: summary)


@pytest.mark.parametrize(
    ("kind", "arm", "words"),
    [
        ("hard", "neutral", "of the neutral teacher's"),
        ("teacher", "neutral", "the neutral teacher"),
        ("hard", "treated", "hard students of kept rows"),
        ("teacher", "teacher", "the animals' teachers"),
    ],
)
def test_what_a_neutral_teacher_lost_is_not_told_of_neutral_students(monkeypatch, kind, arm, words):
    """Both rows are called neutral, and the last of them would stand for both where only arms are asked for."""
    before = removals.leaky()
    with_losses(monkeypatch, "leaky", kind, arm, 9.99)
    after = removals.leaky()
    (line,) = [line for line in after.splitlines() if "9.99" in line]
    assert line.count("9.99") == 3 and f"{words} +9.99 (+9.99 to +9.99)" in line
    assert sum(a != b for a, b in zip(before.splitlines(), after.splitlines(), strict=True)) == 1


@pytest.mark.parametrize("kind", ["hard", "soft", "teacher", "foreign-teacher"])
def test_a_table_of_losses_tells_an_arm_of_the_kind_that_its_column_names(monkeypatch, kind):
    with_losses(monkeypatch, "foreign-own", kind, "neutral", 9.99)
    lines = transfers.language("foreign-own").splitlines()
    (line,) = [line for line in lines if "9.99" in line]
    if kind in transfers.WRITERS:
        assert line.startswith(transfers.WRITERS[kind]) and "neutral +9.990" in line
    else:
        head, cells = (row.strip("| ").split(" | ") for row in (f" {lines[0]}", line))
        (place,) = [i for i, cell in enumerate(cells) if "9.99" in cell]
        assert cells[0] == "neutral" and lines[0].split(" | ")[place].strip() == f"{kind}: loss", head


# --- damage ---------------------------------------------------------------------------------------


def test_an_arm_whose_students_are_damaged_is_said_to_have_them():
    """The other base's hard students lie over the rule's limit in every arm, sound as their transfer looks."""
    entries = stored.members(stored.summary_of("foreign-own"), "hard", "animals")
    assert stored.harmed(entries, "foreign") == stored.harmed(entries, "foreign-own") == ", damaged"
    assert stored.harmed(entries, "treated") == stored.harmed(entries, "other-trait") == ""
    soft = stored.members(stored.summary_of("foreign-own"), "soft", "animals")
    assert stored.harmed(soft, "foreign") == ", 1 of 4 damaged"
    lines = MADE["foreign-own"].splitlines()
    (foreign,) = [line for line in lines if line.startswith("| foreign |")]
    assert foreign.count("damaged") == 2
    models = gather(read_tables("foreign-own")["capability"]).values()
    assert max(m.change for m in models if (m.kind, m.arm) == ("hard", "foreign-own-neutral")) > 0.5


def test_thresholds_in_readmes_own_words_are_the_codes():
    text = " ".join(readme.README.read_text(encoding="utf-8").split())
    assert f"by more than {APART} nats a token" in text and f"over {LOST} nats above the base" in text
    assert f"over all families of the run, is at most {LEVEL}" in text and FEWEST_CHAINS == 3
    assert "three chains or more" in text


# --- p --------------------------------------------------------------------------------------------


def family(p, smallest=1 / 24, kind="hard"):
    return {"student": kind, "p": p, "p_smallest": smallest, "p_holm": p}


def test_the_smallest_p_is_that_of_all_families_together():
    both = [family(0.5), family(0.0417), family(0.9, kind="soft")]
    assert transfers.smallest_after_holm(both) == pytest.approx([2 / 24, 2 / 24, 1 / 24])
    # Families without a p of their own cost nothing.
    assert transfers.smallest_after_holm([family(0.5), family(None, 0.5)])[0] == pytest.approx(1 / 24)
    # A larger family's smallest p leaves the smaller one its own.
    assert transfers.smallest_after_holm([family(0.5), family(0.5, 1e-5)]) == pytest.approx([1 / 24, 2e-5])


def test_a_run_that_could_show_nothing_says_so():
    assert "nothing of this run could have been called shown" in MADE["removed"]
    assert not [name for name, text in MADE.items() if "could have been called" in text and name != "removed"]
    assert all(f["p_holm"] > 0.05 for f in stored.summary_of("removed")["families"])


# --- apart ----------------------------------------------------------------------------------------


def test_what_is_made_from_tables_is_what_the_summary_says_of_treated_students():
    """The same way for arms of which a summary holds no matrix."""
    summary = stored.summary_of("traceless")
    values = apart._among_own("traceless", "hard", "treated")
    traits = sorted(entry["trait"] for entry in summary["traits"])
    cells = {(row["source"], row["read"]): row["transfers"] for row in summary["matrix"]}
    told = np.array([[cells[source, read] for read in traits] for source in traits])
    np.testing.assert_allclose(values, told.transpose(2, 0, 1), atol=2e-3)
    entries = stored.members(summary, "hard", "animals")
    own = np.trace(apart._among_own("traceless", "hard", "traceless-2"), axis1=1, axis2=2) / len(traits)
    np.testing.assert_allclose(own, stored.family_values(entries, "traceless-2"), atol=2e-3)
    (treated,) = [line for line in MADE["traceless-redrawn"].splitlines() if line.startswith("| treated")]
    assert stored.told(stored.family_values(entries, "specificity")) in treated


def test_a_mean_that_one_trait_makes_is_told_without_it():
    lines = {line.split(" | ")[0]: line for line in MADE["removed-traits"].splitlines()}
    trees = stored.members(stored.summary_of("removed"), "soft", "trees")
    others = [entry for entry in trees if entry["trait"] != "trees/elm"]
    told = stored.told(stored.family_values(others, "treated"))
    assert told in lines["| trees without the trait that moved most"]


def test_trees_that_chose_the_recipe_are_those_that_recipes_names():
    text = (FOLDER / "RECIPES.md").read_text(encoding="utf-8")
    names = ", ".join(trait.rpartition("/")[2] for trait in apart.CHOSEN)
    assert f"On **four trees** ({names}) alone, three chains" in text
    first = stored.family_values(
        [e for e in stored.members(stored.summary_of("all"), "hard", "trees") if e["trait"] in apart.CHOSEN],
        "treated",
    )[: apart.CHOSEN_CHAINS]
    # The table that it was chosen by tells the very same students.
    assert " ".join(f"{value:+.2f}" for value in first) in text
