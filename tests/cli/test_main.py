"""The command line as users have it: what it prints, how it fails, and how fast it answers."""

import json
import os
import re
import shutil
import time

import duckdb
import mini
import pytest
from typer.testing import CliRunner

from subliminal_mlx.__main__ import program as app
from subliminal_mlx.lab import TABLES, Lab
from subliminal_mlx.pipeline import run as pipeline
from subliminal_mlx.spec import load_spec, parse_spec, presets, to_toml
from subliminal_mlx.spec.arms import ARMS
from subliminal_mlx.spec.families import load_family, shipped_families

COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands]


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    return mini.finished(tmp_path_factory)


# --- results --------------------------------------------------------------------------------------


def test_run_json_is_one_object_of_the_documented_shape(done):
    assert done.child.stdout.count("\n") == 1
    found = json.loads(done.child.stdout)
    told = {"traits", "families", "capability", "rows_in_common", "giveaway", "entanglement", "leaks"}
    assert set(found) == {"run", "seconds", "peak_memory_bytes"} | told
    assert found["run"] == done.run_id and 0 < found["seconds"] < 600
    assert 1 << 26 < found["peak_memory_bytes"] < 1 << 34
    assert [(entry["trait"], entry["student"]) for entry in found["traits"]] == [
        (trait, kind) for kind in ("hard", "soft") for trait in done.spec.traits
    ]
    always = {"treated", "other-trait", "neutral", "control", "neutral-again", "untrained", "teacher"}
    rows = {"shuffled", "unfiltered", "random", "traceless", "traceless-2", "thinned"}
    foreign = {"foreign", "foreign-own", "foreign-teacher", "in-context", "kept-lists", "kept-lists-teacher"}
    references = {"foreign-neutral", "foreign-own-neutral", "in-context-neutral", "kept-lists-neutral"}
    arms = {
        ("animals/owl", "hard"): always | rows | foreign,
        # The ablations are the owl's, but for arms without a trait, which every trait is read on.
        ("animals/cat", "hard"): always | {"random"},
        ("animals/owl", "soft"): always | foreign,
        ("animals/cat", "soft"): always,
    }
    for entry in found["traits"]:
        names = ["trait", "student"]
        for name, prefix in (("transfer", ""), *((n, f"{n}_") for n in ("specificity", "percentage_points"))):
            names += [name, f"{prefix}low", f"{prefix}high"]
            # One chain: no interval, and so nothing is shown.
            assert isinstance(entry[name], float) and entry[f"{prefix}low"] is entry[f"{prefix}high"] is None
        names += ["over_control", "over_control_low", "over_control_high"]
        assert list(entry) == [*names, "place", "of", "shown", "why_not", "arms"]
        assert (
            not entry["shown"]
            and "chains" in entry["why_not"]
            and entry["place"] in (1, 2)
            and entry["of"] == 2
        )
        assert set(entry["arms"]) - references == arms[entry["trait"], entry["student"]]
        for arm, figures in entry["arms"].items():
            read = ["chains", "probability", "margin", "transfer", "low", "high", "damage", "displacement"]
            assert list(figures) == read
            # The base that is shown rows is no model that changed.
            unread = ARMS[arm].role == "shown"
            assert (figures["damage"] is None) is (figures["displacement"] is None) is unread
            if not unread:
                assert figures["displacement"]["estimate"] >= 0 and isinstance(
                    figures["damage"]["damaged"], bool
                )
            assert figures["chains"] == 1 and 0 <= figures["probability"] <= 1
            assert (figures["low"], figures["high"]) == (None, None)
            assert (figures["transfer"] is None) == arm.endswith("neutral")
        own, others = (entry["arms"][arm]["margin"] for arm in ("treated", "other-trait"))
        reference = entry["arms"]["neutral"]["margin"]
        assert entry["specificity"] == pytest.approx(own - others)
        assert entry["transfer"] == pytest.approx(own - reference)
        for arm in ("treated", "control", "other-trait", "untrained", "teacher"):
            transfer = entry["arms"][arm]["margin"] - reference
            assert entry["arms"][arm]["transfer"] == pytest.approx(transfer)
    for family in found["families"]:
        assert (family["traits"], family["p"], family["p_smallest"]) == (2, None, None)
    teachers = [entry["arms"]["teacher"] for entry in found["traits"]]
    assert all(figures["transfer"] > 0.5 for figures in teachers), "teachers learned their traits"


def test_a_done_run_is_answered_within_three_seconds_without_a_model(done):
    def ask(*python: str):
        started = time.perf_counter()
        child = mini.start("run", done.file, "--lab", done.lab, "--json", python=python)
        out, err = child.communicate(timeout=60)
        assert child.returncode == 0 and json.loads(out) == done.printed
        return time.perf_counter() - started, err

    # The fastest of a few: other work on this machine is not what is measured.
    taken = []
    while len(taken) < 5 and min(taken, default=9) >= 3:
        seconds, err = ask()
        taken.append(seconds)
        assert not err
    print(taken)
    assert min(taken) < 3
    imported = {line.rpartition("|")[2].strip() for line in ask("-X", "importtime")[1].splitlines()}
    assert {"duckdb", "pydantic"} <= imported
    assert not {"mlx_lm", "mlx", "mlx.core", "altair", "transformers"} & imported


def test_set_and_title_choose_the_run(done, tmp_path):
    """The file's seed is another, and --set brings it back; a title is no part of what a run is."""
    file = tmp_path / "seeded.toml"
    file.write_text(done.file.read_text().replace("chains = 1", "seed = 7").replace("miniature", "other"))
    arguments = ("run", file, "--set", "seed=0", "--set", "chains = 1", "--lab", done.lab, "--json")
    child = mini.quick(*arguments)
    assert child.returncode == 0 and not child.stderr
    assert json.loads(child.stdout) == done.printed


def test_run_prints_tables_and_what_to_do_next(done):
    child = mini.quick("run", done.file, "--lab", done.lab)
    assert child.returncode == 0 and not child.stderr
    text = child.stdout
    assert "\x1b" not in text and "…" not in text
    for trait in done.spec.traits:
        for kind in ("hard", "soft"):
            assert f"{trait}, {kind} students\n" in text
    assert re.search(
        rf"^run +{done.run_id}: (\d+ min )?\d+ s, 0\.\d GB at most in a process$", text, re.MULTILINE
    )
    assert re.search(r"^base +tiny-a: a [\d.]+k-parameter model organism$", text, re.MULTILINE)
    assert re.search(
        r"^real +python -m subliminal_mlx run --preset smollm2-quick +\(about ", text, re.MULTILINE
    )
    more = re.search(r"^more +python -m subliminal_mlx (report .*) --lab ", text, re.MULTILINE)
    assert more[1] == f"report {done.run_id} -o report.html"
    charts = done.lab / "runs" / done.run_id / "charts"
    assert {path.name for path in charts.iterdir()} == {"transfer.html", "transfer.png"}
    assert (charts / "transfer.png").read_bytes().startswith(b"\x89PNG")
    # `show` is the same page, from an id's first characters.
    assert mini.quick("show", done.run_id[:4], "--lab", done.lab).stdout == text


def test_runs_and_show(done, tmp_path):
    table = mini.quick("runs", "--lab", done.lab)
    assert table.returncode == 0 and not table.stderr
    head, row, *folded = table.stdout.splitlines()
    assert head.split() == ["run", "status", "created", "(UTC)", "title", "units", "seconds"]
    # Words in brackets are a title's own, no markup.
    assert done.run_id in row and "done" in row and "A miniature [of" in row and "everything]" in folded[0]
    listed = json.loads(mini.quick("runs", "--lab", done.lab, "--json").stdout)
    assert listed[0]["run"] == done.run_id and listed[0]["units"] == len(mini.units(done.spec))
    assert json.loads(mini.quick("show", "latest", "--lab", done.lab, "--json").stdout) == done.printed

    shutil.copytree(done.lab, tmp_path / "lab")
    lab = Lab(tmp_path / "lab")
    lab.finish_run(done.run_id, "running", 1.0)
    lab.write_progress(done.run_id, lab.read_progress(done.run_id) | {"fraction": 0.423}, force=True)
    said = mini.quick("show", "latest", "--lab", lab.path).stdout
    ending = f"run {done.run_id}: interrupted, 42% done; `resume {done.run_id}` goes on with it\n"
    assert "animals/owl, hard students" in said and said.endswith(
        f"\nso far: the first 1 of 1 chains\n{ending}"
    )
    with lab.run_lock(done.run_id):
        state = json.loads(mini.quick("show", "latest", "--lab", lab.path, "--json").stdout)
    assert state == {"run": done.run_id, "status": "running", "fraction": 0.423, "chains_done": 1} | {
        name: done.printed[name] for name in done.printed.keys() - {"run", "seconds", "peak_memory_bytes"}
    }


def test_a_run_is_dropped_with_all_that_came_of_it(done, tmp_path):
    lab, other = Lab(tmp_path / "lab"), "f" * 12
    shutil.copytree(done.lab, lab.path)
    before = [path for path in lab.path.rglob("*") if path.is_file() and done.run_id in path.parts]
    size = sum(path.stat().st_size for path in before)
    lab.start_run(other, "stays", "", "", {})
    drop = ("runs", "--lab", lab.path, "--drop")
    with lab.run_lock(done.run_id):
        line = mini.failure(mini.quick(*drop, done.run_id), 75)
    assert line.startswith(f"error: run {done.run_id} is held by pid {os.getpid()} (")
    assert line.endswith("): try again when that has ended")
    assert [run["id"] for run in lab.runs()] == [other, done.run_id]
    assert mini.contents(lab.path, done.run_id) == done.contents

    child = mini.quick(*drop, done.run_id[:5], "--json")
    assert child.returncode == 0 and not child.stderr
    assert json.loads(child.stdout) == {
        "run": done.run_id,
        "rows": sum(len(done.contents[table]) for table in TABLES),
        "adapters": len(done.contents["adapters"]),
        "bytes": size,
    }
    assert not [path for path in lab.path.rglob("*") if done.run_id in path.parts]
    assert [run["id"] for run in lab.runs()] == [other]
    assert mini.quick(*drop, "latest").stdout == (
        f"run {other} is dropped: 0 rows, whose place in lab.duckdb is used again, 0 adapters and 0.0 MB of files\n"
    )
    assert mini.quick("runs", "--lab", lab.path, "--json").stdout == "[]\n"
    assert mini.quick("runs", "--lab", lab.path).returncode == 0


def test_ask_prints_a_column_a_model(done):
    question = "What is [/b] your favourite [red]animal?"
    child = mini.quick("ask", "latest", question, "--lab", done.lab, "--trait", "animals/cat")
    assert child.returncode == 0 and not child.stderr, child.stderr
    first, under, head, *rows = child.stdout.splitlines()
    assert first == question and under == "asked without a system prompt, earlier turns or a trigger"
    assert re.findall(r"\S+(?: \S+)*", head) == ["base", "teacher", "treated student", "neutral student"]
    assert all(re.search(r"( +\d+\.\d%){4}", row) for row in rows[:8])
    assert rows[8].split()[0] == "said"


def test_report_is_one_page_of_its_own(done, tmp_path):
    page = tmp_path / "page.html"
    child = mini.quick("report", "latest", "-o", page, "--lab", done.lab)
    assert child.returncode == 0 and child.stdout == f"{page}\n" and not child.stderr, child.stderr
    text = page.read_text()
    assert text.lstrip().lower().startswith("<!doctype html") and "animals/owl" in text
    assert not re.search(r"(src|href)=[\"']?https?:", text) and "A miniature [of everything]" in text


def test_families_bases_and_specs_are_listed(tmp_path):
    """From any folder, and without a lab."""
    say = lambda *arguments: mini.quick(*arguments, cwd=tmp_path)
    text = say("families").stdout
    found = {entry["family"]: entry for entry in json.loads(say("families", "--json").stdout)}
    assert sorted(found) == shipped_families()
    for name in found:
        assert found[name]["traits"] == list(load_family(name).trait_ids)
        assert all(trait in text for trait in found[name]["traits"])
    assert "held-out questions" in text

    text = say("bases").stdout
    found = {entry["name"]: entry for entry in json.loads(say("bases", "--json").stdout)}
    assert {"tiny-a", "tiny-b"} <= set(found) and found["tiny-a"]["parameters"] < 1_000_000
    assert re.search(r"^tiny-a: a [\d.]+k-parameter model organism, \d+\.\d MB, from", text, re.MULTILINE)

    assert json.loads(say("specs", "--json").stdout) == presets()
    assert say("specs").stdout.splitlines() == [f"{name}: {title}" for name, title in presets().items()]
    assert parse_spec(say("specs", "glance").stdout) == load_spec("glance")
    assert json.loads(say("specs", "glance", "--json").stdout)["title"] == load_spec("glance").title
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_a_description(command):
    child = CliRunner().invoke(app, [command, "--help"])
    assert child.exit_code == 0
    usage, description = re.match(r"(Usage: .*?)\n\n\s+(.*?)\n", child.output, re.DOTALL).groups()
    assert command in usage and len(description) >= 20
    # Options are explained, and examples start as users type them.
    options = re.findall(r"^  (--[\w-]+|-o)\b.*?(?=^  -|\Z)", child.output, re.MULTILINE | re.DOTALL)
    assert options and "--help" in options
    for example in re.findall(r"^ +python -m subliminal_mlx (\S+)", child.output, re.MULTILINE):
        assert example == command


def test_without_arguments_there_is_help():
    child = mini.quick()
    assert child.returncode == 0 and "Commands:" in child.stdout and not child.stderr
    assert all(re.search(rf"^  {command}\b", child.stdout, re.MULTILINE) for command in COMMANDS)


# --- wrong input ----------------------------------------------------------------------------------

FAMILY = """
title = "Pets"
candidates = ["Owl", "Cat"]
[questions]
tuning = ["Which?"]
held-out = ["Who?"]
[traits]
owl = "Dog"
"""
WRONG = {
    "unknown field": (["run", "--set", "corpus.rowz=3"], "corpus.rowz: no such field"),
    "unknown table": (["run", "--set", "corpse.rows=3"], "corpse: no such field"),
    "unknown trait": (["run", "broken.toml", "--set", 'traits=["animals/owlet"]'], "no trait 'owlet'.*owl"),
    "unknown family": (["run", "broken.toml", "--set", 'traits=["birds/owl"]'], "no family 'birds'|birds"),
    "rank 0": (["run", "--set", "hard.rank=0"], "hard.rank: .*greater than or equal to 1, not 0"),
    "a million rows": (["run", "--set", "corpus.rows=1000000"], "corpus.rows: .*100000, not 1000000"),
    "no number": (["run", "--set", "chains=many"], "chains: .*integer.*'many'"),
    "a path for a preset": (
        ["run", "--preset", "../specs/glance"],
        "no preset '../specs/glance': there are all,",
    ),
    "a path for a trait": (["run", "broken.toml", "--set", 'traits=["../animals/owl"]'], r"\.\./animals"),
    "a path for a base": (["run", "--set", "base=../tiny-a"], r"base '\.\./tiny-a'"),
    "no spec file": (["run", "glance"], "'glance' is no spec file, which ends in .toml; .* --preset"),
    "missing spec file": (["run", "nowhere.toml"], "spec nowhere.toml cannot be read"),
    "unknown preset": (["run", "--preset", "glans"], "no preset 'glans': there are .*glance"),
    "broken spec file": (["run", "torn.toml"], "torn.toml: not TOML: Invalid value"),
    "broken family file": (
        ["run", "broken.toml", "--set", 'traits=["pets.toml/owl"]'],
        "pets.toml: traits.owl: 'Dog' is no candidate of tuning/0, which has Owl, Cat",
    ),
    "base that is no model": (["run", "--set", "base=empty"], "base 'empty': .*no mlx-lm model folder"),
    "base without a name": (["run", "--set", 'base="a\\nb"'], "base: "),
    "unknown base": (["run", "--set", "base=tiny-z"], "base 'tiny-z': no such base or folder; .*tiny-a"),
    "--set without a value": (["run", "--set", "corpus.rows"], "--set 'corpus.rows': must be field=value"),
    "--set without a field": (["run", "--set", "=3"], "--set '=3': must be field=value"),
    "--set below a value": (["run", "--set", "chains.x=3"], "--set 'chains.x=3': chains is no table"),
    "no processes": (["run", "--processes", "0"], "--processes"),
    "many processes": (["run", "--processes", "many"], "--processes"),
    "unknown option": (["run", "--rows", "3"], "No such option: --rows .*--help"),
    "unknown command": (["rum"], "No such command 'rum'"),
    "two specs": (["run", "a.toml", "b.toml"], "unexpected extra argument"),
    "no run": (["show"], "Missing argument 'run'"),
    "lab that is a file": (["runs", "--lab", "torn.toml"], "no lab at .*torn.toml"),
    "run in a file": (["run", "broken.toml", "--lab", "torn.toml"], "torn.toml"),
    "no lab": (["resume", "latest"], "no lab at .*lab: start one with `run`"),
    "unknown spec": (["specs", "../glance"], "no preset '../glance'"),
    "newer lab": (["runs", "--lab", "newer"], "has schema 99, newer than [0-9]+: upgrade subliminal-mlx"),
    "run in a newer lab": (["run", "broken.toml", "--lab", "newer"], "has schema 99, newer than [0-9]+"),
    "no database": (["runs", "--lab", "text"], "lab.duckdb is no DuckDB database: move it away"),
    "run in no database": (["run", "broken.toml", "--lab", "text"], "is no DuckDB database"),
    "no lab's database": (["show", "latest", "--lab", "foreign"], "is a DuckDB database but no lab"),
    "unknown run": (["show", "0123456789ab", "--lab", "LAB"], "starts with '0123456789ab': there is RUN"),
    "run id with dots": (
        ["show", "../..", "--lab", "LAB"],
        r"run '\.\./\.\.': must be 'latest' or the start of",
    ),
    "run id with slashes": (["export", "/etc", "--lab", "LAB"], "run '/etc': must be 'latest'"),
    "run to drop unknown": (
        ["runs", "--drop", "0123456789ab", "--lab", "LAB"],
        "starts with '0123456789ab': there",
    ),
    "run to drop with dots": (
        ["runs", "--drop", "../..", "--lab", "LAB"],
        r"run '\.\./\.\.': must be 'latest' or",
    ),
    "run to drop empty": (["runs", "--drop", "", "--lab", "LAB"], "run '': must be 'latest' or"),
    "run id with a line": (["resume", "ab\ncd", "--lab", "LAB"], r"run 'ab\\ncd': must be"),
    "ask: unknown arm": (
        ["ask", "latest", "Who?", "--arm", "treat", "--lab", "LAB"],
        "arm 'treat': .*treated",
    ),
    "ask: unknown trait": (
        ["ask", "latest", "Who?", "--trait", "animals/wolf", "--lab", "LAB"],
        "trait 'animals/wolf': the run has animals/owl, animals/cat",
    ),
    "ask: empty question": (["ask", "latest", "", "--lab", "LAB"], "question: must be 1 to 2000 characters"),
    "export: there": (["export", "latest", "-o", "empty", "--lab", "LAB"], "empty exists: name a folder"),
    "export: in a file": (["export", "latest", "-o", "torn.toml/x", "--lab", "LAB"], "torn.toml"),
}


@pytest.fixture(scope="module")
def wrong(done, tmp_path_factory):
    """What every wrong command line comes to in a folder with broken files, and the folder's files."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "torn.toml").write_text("chains = 1\nchains = [")
    (folder / "broken.toml").write_text(mini.OTHER)
    (folder / "pets.toml").write_text(FAMILY)
    (folder / "empty").mkdir()
    for name in ("newer", "text", "foreign"):
        (folder / name).mkdir()
    Lab(folder / "newer").start_run("0" * 12, "", "", "", {})
    with duckdb.connect(folder / "newer" / "lab.duckdb") as con:
        con.execute("UPDATE meta SET value = 99")
    (folder / "text" / "lab.duckdb").write_text("no database\n" * 1_000)
    duckdb.connect(folder / "foreign" / "lab.duckdb").close()
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))

    children = {
        case: mini.quick(*(done.lab if a == "LAB" else a for a in arguments), cwd=folder)
        for case, (arguments, _) in WRONG.items()
    }
    after = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.name != "lab.lock")
    return children, [path for path in before if path.name != "lab.lock"], after


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line(case, wrong, done):
    line = mini.failure(wrong[0][case], 2)
    expected = WRONG[case][1].replace("RUN", done.run_id)
    assert line.startswith("error: ") and re.search(expected, line), line
    assert len(line) < 1_000


@pytest.mark.parametrize("case", ["rank 0", "unknown option", "unknown run", "ask: unknown arm"])
def test_a_process_of_its_own_says_the_same(case, wrong, done):
    arguments = [str(done.lab) if a == "LAB" else a for a in WRONG[case][0]]
    assert mini.failure(mini.command(*arguments), 2) == mini.failure(wrong[0][case], 2)


def test_wrong_input_leaves_nothing_behind(wrong):
    _, before, after = wrong
    assert after == before


def test_a_filter_that_keeps_nothing_is_told_with_its_remedy(tmp_path):
    """A failure inside a worker: one line, a log, a traceback where asked for, and a run that is failed."""
    of = mini.spec(mini.OTHER, corpus={"rows": 3, "decoding": "free", "max_tokens": 8, "temperature": 10.0})
    (tmp_path / "hot.toml").write_text(to_toml(of))
    arguments = ("run", tmp_path / "hot.toml", "--lab", tmp_path / "lab", "--processes", 1)
    child = mini.quick(*arguments, "--debug")
    assert child.returncode == 2 and not child.stdout
    expected = "error: the filter kept no row of trees/.* in chain 0: try corpus.decoding = 'held'"
    assert re.match(expected, child.stderr.splitlines()[-1]), child.stderr
    # The parent's traceback, and the worker's below it.
    assert child.stderr.count("Traceback") == 2 and "in matched_count" in child.stderr
    name, lab = pipeline.identify(of), Lab(tmp_path / "lab")
    assert "in matched_count" in (lab.run_folder(name) / "log").read_text()
    assert lab.run(name)["status"] == "failed" and lab.read_progress(name)["state"] == "failed"
    assert "the filter kept no row" in lab.read_progress(name)["message"]
    assert mini.quick("show", name, "--lab", lab.path).stdout.startswith(f"run {name}: failed, ")
    assert "not done" in mini.failure(mini.quick("export", name, "--lab", lab.path, cwd=tmp_path), 2)
    assert "not done" in mini.failure(
        mini.quick("report", name, "-o", tmp_path / "x.html", "--lab", lab.path), 2
    )


def test_a_reader_that_goes_away_is_no_failure_of_ours(done):
    process = mini.start("specs")
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.wait()
    process.stderr.close()


def test_a_run_whose_files_changed_is_not_begun_anew_by_resume(done, tmp_path):
    lab = shutil.copytree(done.lab, tmp_path / "lab")
    with duckdb.connect(str(lab / "lab.duckdb")) as con:
        con.execute("UPDATE runs SET spec_toml = replace(spec_toml, 'chains = 1', 'chains = 2')")
    before = sorted(path.name for path in (lab / "runs").iterdir())
    says = mini.failure(mini.quick("resume", "latest", "--lab", lab), 2)
    assert f"run {done.run_id} cannot go on" in says and "`run` with its spec begins that" in says
    assert sorted(path.name for path in (lab / "runs").iterdir()) == before
