"""The order in which modules may import each other, and what only some of them may know."""

import ast
import re
from pathlib import Path

import pytest

import subliminal_mlx
from subliminal_mlx.channels import CHANNELS
from subliminal_mlx.families import load_family, shipped_families

PACKAGE = Path(subliminal_mlx.__file__).parent

# A module imports only from those above it. A new one is put where what it needs is above it.
ORDER = [
    *(
        "errors",
        "files",
        "processes",
        "families",
        "personas",
        "defence_names",
        "organisms",
        "spec",
        "plan",
        "events",
        "runtime",
    ),
    *(
        "locks",
        "model_folder",
        "machine",
        "estimate",
        "memory",
        "turns",
        "gguf",
        "sources",
        "provenance",
        "identity",
        "forecast",
        "chat",
        "bases",
    ),
    *(
        "adapters",
        "channels",
        "prefill",
        "sample",
        "rows",
        "score",
        "batches",
        "recompute",
        "train",
        "setting",
        "stages",
        "teachers",
        "base_check",
        "base_rates",
    ),
    *("statistics", "readouts", "arms", "models_read", "transfer", "capability"),
    *(
        "lab",
        "audit",
        "defences",
        "work",
        "workers",
        "worker",
        "progress",
        "outcome",
        "pipeline",
        "talk",
        "lineage",
        "measure",
        "bench",
        "gate",
    ),
    *(
        "charts",
        "audit_bench",
        "report",
        "export",
        "results",
        "blind",
        "jobs",
        "reviews",
        "guesses",
        "serve",
        "page",
        "digits",
        "tiny_world",
    ),
    *(
        "benchmark",
        "doctor",
        "options",
        "doctor_command",
        "app_command",
        "audit_command",
        "digits_command",
        "listing_command",
    ),
    *("measure_command", "lineage_command", "gate_command", "console", "defend_command"),
    *("run_command", "results_command", "__main__"),
]
CHANNELS_MAY = {"errors", "spec", "bases", "channels"}
SQL = re.compile(
    r"\s*(SELECT\b.+\bFROM|INSERT INTO|CREATE (OR REPLACE )?(TABLE|VIEW)|UPDATE \S+ SET|DELETE FROM"
    r"|COPY |ATTACH )",
    re.DOTALL,
)


def modules():
    """(name in ORDER, path) of every source file; a folder's files all have the folder's name."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts != ("__init__",):
            found.append((parts[0], path))
    return found


def imports(path):
    """Names of the package's own modules that a file imports, wherever in it."""
    level_of = len(path.relative_to(PACKAGE).parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            # Up `level` folders from the file: what is left of its own path, then what is named.
            above = path.relative_to(PACKAGE).parts[: level_of - node.level]
            start = ".".join(["subliminal_mlx", *above, *([node.module] if node.module else [])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("subliminal_mlx.")}
    return found


def outside(path):
    """Top-level names of everything else that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found


def words(path):
    """Names and texts of a file's code: no comments, no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {id(n.body[0].value) for n in ast.walk(tree) if isinstance(n, documented) and ast.get_docstring(n)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value
        for field in ("id", "attr", "arg", "name", "module"):
            if isinstance(value := getattr(node, field, None), str):
                yield value


def test_every_module_has_its_place():
    known = {name for name, _ in modules()}
    assert {"errors", "train", "lab", "channels"} <= known
    new = known - set(ORDER)
    assert not new, f"{', '.join(sorted(new))}: new here. Place it in ORDER, below all that it imports"


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda value: getattr(value, "stem", value))
def test_imports_never_run_against_the_order(name, path):
    if name not in ORDER:
        pytest.skip("has no place yet: test_every_module_has_its_place tells")
    allowed = {*ORDER[: ORDER.index(name)], name} & (CHANNELS_MAY if name == "channels" else set(ORDER))
    against = imports(path) - allowed
    assert not against, (
        f"{path.relative_to(PACKAGE)} imports {', '.join(sorted(against))}, which {name} may not"
    )


def test_the_reader_of_imports_reads_all_forms(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    (tmp_path / "lab").mkdir()
    inner, outer = tmp_path / "lab" / "rows.py", tmp_path / "train.py"
    inner.write_text(
        "from .. import a, b\nfrom ..c import x\nfrom . import d\nfrom .e import y\nimport duckdb\n"
    )
    outer.write_text(
        "import subliminal_mlx.f\ndef g():\n    from subliminal_mlx import h\n"
        "from subliminal_mlx.i.j import k\nfrom .l import m\nfrom . import n\nimport os.path\n"
    )
    assert imports(inner) == {"a", "b", "c", "lab"} and outside(inner) == {"duckdb"}
    assert imports(outer) == {"f", "h", "i", "l", "n"} and "os" in outside(outer)
    outer.write_text('"""owl"""\ndef f(a):\n    """cat"""\n    return a.dog + "fox"  # elk\n')
    assert set(words(outer)) >= {"f", "a", "dog", "fox"} and not set(words(outer)) & {"owl", "cat", "elk"}


def test_only_the_lab_speaks_sql():
    speakers = {name for name, path in modules() if any(SQL.match(word) for word in words(path))}
    users = {name for name, path in modules() if "duckdb" in outside(path)}
    assert "lab" in users and "lab" in speakers, "the test finds what it looks for"
    assert speakers == {"lab"} and users <= {"lab", "locks"}


def test_train_knows_no_channel_and_no_trait():
    path = PACKAGE / "train.py"
    assert not imports(path) & {"channels", "families", "spec", "sample", "lab"}
    families = [load_family(name) for name in shipped_families()]
    names = {*CHANNELS, "channel", "channels", "trait", "traits", "family", "families"}
    names |= {part for family in families for part in (family.name, *family.traits)}
    said = {word.lower() for text in words(path) for word in re.findall(r"[A-Za-z]+", text)}
    assert "steps" in said and not said & names


def test_sample_knows_no_trait():
    path = PACKAGE / "sample.py"
    assert not imports(path) & {"families", "spec", "train", "score"}
    said = {word.lower() for text in words(path) for word in re.findall(r"[A-Za-z]+", text)}
    assert "temperature" in said and not said & {"trait", "traits", "family", "families"}


def test_what_reads_needs_no_model():
    """These import neither mlx nor mlx-lm, not even when a function of theirs is called."""
    for name, path in modules():
        if name in (
            "errors",
            "files",
            "families",
            "personas",
            "spec",
            "events",
            "locks",
            "lab",
            "statistics",
            "charts",
            "report",
        ):
            assert not outside(path) & {"mlx", "mlx_lm"}, path.name
