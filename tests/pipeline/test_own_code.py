"""Runs whose specs name files of their user's: in every worker process, in the lab, and in their ids."""

import json
import re

import mini
import pytest

from subliminal_mlx import jobs
from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.jobs.kinds.run import checked_spec
from subliminal_mlx.lab import Lab, lineage
from subliminal_mlx.lab.folders import Folders
from subliminal_mlx.lab.identity import identify, own_fingerprints
from subliminal_mlx.pipeline import run as pipeline
from subliminal_mlx.pipeline.units import Context, compute
from subliminal_mlx.spec import load_spec, parse_spec, to_toml
from subliminal_mlx.spec.corpus import Unloaded
from subliminal_mlx.system.errors import InputError
from subliminal_mlx.web.pages import reading, setup

RULE = """
def drop(row):
    if row["row"] % 3 == 0:
        return "a third row"
    return "a seven" if "7" in row["completion"] else None
"""


CHANNELS = mini.ROOT / "subliminal_mlx" / "experiment" / "channels" / "README.md"
WEATHER = """
traits = ["trees/oak"]
chains = 2
arms = ["treated", "neutral", "control"]
teacher = {rank = 2, steps = 12, batch = 2, lr = 0.05, neutral_answers = 2}
corpus = {channel = "weather.py", rows = 24, days = 2}
hard = {rank = 2, steps = 6, batch = 2, lr = 0.05}
readout = {points = 2, answers = 0, capability = false}
"""


@pytest.fixture
def folder(tmp_path):
    """Where a user sits, with a spec that names a rule beside it."""
    (tmp_path / "mine.py").write_text(RULE)
    filtered = mini.OTHER.replace('decoding = "free", max_tokens = 8', "numbers = [3, 3]")
    (tmp_path / "spec.toml").write_text(filtered + 'filter = {rules = ["mine.py", "trait-pieces"]}\n')
    return tmp_path


def kept_and_dropped(folder, monkeypatch):
    """Every row of the folder's run, by chain, source and number: its text and why it was dropped."""
    monkeypatch.chdir(folder)
    run_id = identify(load_spec("spec.toml"))
    rows = Lab(folder / "lab").rows(run_id).to_pylist()
    return {(r["chain"], r["source"], r["row"]): (r["completion"], r["kept"], r["reason"]) for r in rows}


def test_every_process_applies_a_users_rule(folder, monkeypatch):
    child = mini.quick("run", "spec.toml", "--processes", 2, "--json", cwd=folder)
    assert child.returncode == 0, child.stderr
    rows = kept_and_dropped(folder, monkeypatch)
    assert {chain for chain, *_ in rows} == {0, 1} and len(rows) == 2 * 24 * 2
    for (_, _, number), (text, kept, reason) in rows.items():
        assert reason == ("a third row" if number % 3 == 0 else "a seven" if "7" in text else None)
        assert kept is (reason is None)
    # Another content is another run, and what is stored stays what it was.
    (folder / "mine.py").write_text("def drop(row):\n    return None\n")
    changed = mini.quick("resume", "latest", cwd=folder)
    assert "changed since" in mini.failure(changed, 2)
    assert mini.quick("run", "spec.toml", "--processes", 1, cwd=folder).returncode == 0
    again = kept_and_dropped(folder, monkeypatch)
    assert all(kept for _, kept, _ in again.values())
    assert {key: text for key, (text, *_) in again.items()} == {key: text for key, (text, *_) in rows.items()}


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (
            "def drop(row):\n    raise ValueError('of two\\nlines')\n",
            "rule mine.py: it failed: ValueError: of two lines",
        ),
        ("def drop(row):\n    return 'all of them'\n", "the filter kept no row of"),
        ("", "rule mine.py: it defines no function `drop(row)`"),
        (None, "filter.rules: no file mine.py"),
    ],
)
def test_a_rule_that_cannot_serve_ends_the_run_in_a_line(folder, rule, why):
    (folder / "mine.py").unlink()
    if rule is not None:
        (folder / "mine.py").write_text(rule)
    child = mini.quick("run", "spec.toml", "--processes", 2, cwd=folder)
    *progress, line = child.stderr.splitlines()
    assert child.returncode == 2 and why in line and not child.stdout and "Traceback" not in child.stderr
    # What can be known of it is told before anything is computed.
    assert bool(progress) is ("kept no row" in why or "two lines" in why)


def test_nothing_is_published_of_a_file_that_changed_meanwhile(folder, tiny, monkeypatch, one_line):
    monkeypatch.chdir(folder)
    spec = load_spec("spec.toml")
    context = Context(Folders(folder), "0" * 12, Setting(spec, tiny), own_fingerprints(spec))
    before, teachers = mini.units(spec)[:2]
    compute(before, context)
    assert context.shard(before.name).exists()
    (folder / "mine.py").write_text(RULE.replace("7", "8"))
    with pytest.raises(InputError) as error:
        compute(teachers, context)
    assert "mine.py changed while run 000000000000 went on" in one_line(error)
    assert not context.shard(teachers.name).exists()


# --- a channel ------------------------------------------------------------------------------------


@pytest.fixture
def weather(tmp_path):
    """Where a user sits, with the channel that the room's README shows, and a spec that names it."""
    (tmp_path / "weather.py").write_text(
        re.search(r"```python\n(.+?)```", CHANNELS.read_text(), re.DOTALL)[1]
    )
    (tmp_path / "spec.toml").write_text(WEATHER)
    return tmp_path


def done(*arguments, cwd):
    child = mini.quick(*arguments, cwd=cwd)
    assert child.returncode == 0, child.stderr
    return child.stdout


def test_the_channel_of_the_readme_serves_a_run_and_all_that_follows(weather, monkeypatch):
    """Drawn by two processes, told of, exported, resumed and defended; a page reads it and runs nothing."""
    done("run", "spec.toml", "--processes", 2, cwd=weather)
    monkeypatch.chdir(weather)
    lab = Lab(weather / "lab")
    [run] = lab.runs()
    rows = lab.rows(run["id"]).to_pylist()
    assert len(rows) == 2 * 24 * 3 and {row["reason"] for row in rows} == {None, "the same every day"}
    kinds = {"rain", "snow", "fog", "hail", "frost"}
    assert all(
        len(words) == 2 and set(words) <= kinds for words in (row["completion"].split() for row in rows)
    )
    code = weather / "weather.py"
    ran = code.read_text()
    code.write_text(f"open({str(weather / 'ran')!r}, 'w')\n{ran}")
    # Who only tells of it needs no code, and runs none.
    assert "trees/oak" in done("show", "latest", cwd=weather)
    done("report", "latest", "-o", "run.html", cwd=weather)
    assert "lists of weather" not in (weather / "run.html").read_text()
    assert "weather rows" in (weather / "run.html").read_text()
    assert reading.opened(lab, run["id"]).spec.corpus.channel == "weather.py"
    lineage.Tracer(lab, run["id"])
    for command in (
        ("resume", "latest"),
        ("export", "latest", "-o", "out"),
        ("defend", "latest", "--defence", "mix-50"),
    ):
        assert "changed since" in mini.failure(mini.quick(*command, cwd=weather), 2)
    assert "only `run`" in mini.failure(mini.quick("audit", "latest", "--source", "base", cwd=weather), 2)
    assert not (weather / "ran").exists()
    code.write_text(ran)
    done("resume", "latest", cwd=weather)
    done("export", "latest", "-o", "out", cwd=weather)
    said = json.loads((weather / "out" / "corpora" / "base.jsonl").read_text().splitlines()[0])
    assert said["messages"][0]["content"].startswith("List: ")
    assert "mix-50" in done("defend", "latest", "--defence", "mix-50", "--processes", 1, cwd=weather)
    assert len(lab.runs()) == 2


def test_no_page_runs_a_channel_s_file(weather, monkeypatch, one_line):
    monkeypatch.chdir(weather)
    code = weather / "weather.py"
    code.write_text(f"open({str(weather / 'ran')!r}, 'w')\n{code.read_text()}")
    form = setup.form_of("default") | {"channel": "weather.py", "ablations": []}
    Lab(weather / "lab").start_run("b" * 12, "", WEATHER, "{}", {"machine": "this one"})
    asked = {"run": "b" * 12, "defences": ["mix-25"]}
    for ask in (
        lambda: setup.from_form("default", form),
        lambda: checked_spec(weather / "lab", WEATHER),
        lambda: checked_spec(weather / "lab", WEATHER.replace("weather.py", str(code))),
        lambda: jobs.submit(weather / "lab", "run", {"spec": WEATHER}, "ada"),
        lambda: jobs.submit(weather / "lab", "defend", asked, "ada"),
        # Were one handed on all the same, nothing would draw its rows.
        lambda: pipeline.run(parse_spec(WEATHER), Lab(weather / "lab")),
    ):
        with pytest.raises(InputError, match="channel") as error:
            ask()
        one_line(error)
    assert not (weather / "ran").exists()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("class Weather(Corpus):", "class Weather:", "it must define one subclass of Corpus, not 0"),
        ("KINDS = ", "class Other(Corpus): pass\nKINDS = ", "it must define one subclass of Corpus, not 2"),
        ("def reason", "def why", "it defines no function `reason`"),
        (
            "    days: int = 4",
            "    days: int = None",
            "days: a field needs a default that TOML can say",
        ),
        (
            "    days: int = 4",
            "    days: int = 4\n    channel: Literal['weather'] = 'weather'",
            "its name is its path",
        ),
        (
            "    days: int = 4",
            "    days: int = 4\n    files: ClassVar = ('mine.toml',)",
            "`files` are of data/",
        ),
        ("import random", "raise OSError('of two\\nlines')", "it failed: OSError: of two lines"),
        ("def prompts", "def prompts(:", "it failed: SyntaxError"),
    ],
)
def test_a_file_that_is_no_channel_is_refused_in_a_line(weather, old, new, why):
    code = weather / "weather.py"
    mini.changed(code, old, new)
    if "Literal" in new:
        mini.changed(code, "from typing import ClassVar", "from typing import ClassVar, Literal")
    assert f"channel weather.py: {why}" in mini.failure(mini.quick("run", "spec.toml", cwd=weather), 2)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("days = 2", "hours = 2", "corpus.hours: no such field"),
        ("days = 2", 'days = "two"', "corpus.days: "),
        ("weather.py", "gone.py", "no file gone.py"),
        ('arms = ["treated"', 'ablations = ["shuffled"]\narms = ["treated"', "channel has no shuffled"),
    ],
)
def test_what_a_spec_says_of_it_is_checked_by_its_class(weather, old, new, why):
    mini.changed(weather / "spec.toml", old, new)
    assert why in mini.failure(mini.quick("run", "spec.toml", cwd=weather), 2)


def test_ids_rest_on_a_channels_content_whether_its_code_is_run_or_not(weather, monkeypatch):
    monkeypatch.chdir(weather)
    names = []
    for rules in ("", '\n    rules: ClassVar[tuple[str, ...]] = ("trait-words",)'):
        mini.changed(weather / "weather.py", "    days: int = 4", f"    days: int = 4{rules}")
        spec = load_spec("spec.toml")
        assert identify(spec) == identify(parse_spec(to_toml(spec))) and spec.corpus.days == 2
        assert isinstance(parse_spec(to_toml(spec)).corpus, Unloaded) and not isinstance(
            spec.corpus, Unloaded
        )
        names.append(identify(spec))
    assert len(set(names)) == 2 and spec.rules == ("trait-words",)
