"""A run whose spec names a file of its user's: by every worker process, in the lab, and its id."""

import mini
import pytest

from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.lab import Lab
from subliminal_mlx.lab.folders import Folders
from subliminal_mlx.lab.identity import identify, own_fingerprints
from subliminal_mlx.pipeline.units import Context, compute
from subliminal_mlx.spec import load_spec
from subliminal_mlx.system.errors import InputError

RULE = """
def drop(row):
    if row["row"] % 3 == 0:
        return "a third row"
    return "a seven" if "7" in row["completion"] else None
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
