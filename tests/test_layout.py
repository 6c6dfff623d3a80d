"""The rooms, the order in which they may import each other, and what only some of them may know."""

import ast
import builtins
import re
from pathlib import Path

import pytest

import subliminal_mlx
from subliminal_mlx.spec.arms import ARMS, CONTROL, NEUTRAL, OTHERS, TREATED
from subliminal_mlx.spec.corpus import channels
from subliminal_mlx.spec.families import load_family, shipped_families

PACKAGE = Path(subliminal_mlx.__file__).parent

# A room imports from those above it. The command line's door stands below them all.
ROOMS = (
    *("system", "spec", "model", "experiment", "lab", "audit", "defences", "measure", "pipeline"),
    *("report", "demos", "jobs", "web", "cli"),
)
FLOORS = 12
LONGEST = 300
# Other rooms read specs; a model knows of none.
MODEL_MAY = {"system", "model"}
CHANNELS_MAY = {"system", "spec", "model", "experiment"}
SQL = re.compile(
    r"\s*(SELECT\b.+\bFROM|INSERT INTO|CREATE (OR REPLACE )?(TABLE|VIEW)|UPDATE \S+ SET|DELETE FROM"
    r"|COPY |ATTACH )",
    re.DOTALL,
)


def module_of(path):
    """A file's dotted name inside the package; a folder's `__init__` has the folder's."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files():
    """Every source file by its dotted name."""
    return {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(name):
    return name.partition(".")[0]


def modules():
    """(room, path) of every source file but the package's own two."""
    return [(room_of(name), path) for name, path in files().items() if name not in ("", "__main__")]


def imported(path):
    """Dotted names inside the package of all that a file imports, wherever in it: modules, or names of theirs."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            # Up `level` folders from the file: what is left of its own path, then what is named.
            parts = path.relative_to(PACKAGE).parts
            above = parts[: len(parts) - node.level]
            start = ".".join(["subliminal_mlx", *above, *([node.module] if node.module else [])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.partition(".")[2] for name in names if name.startswith("subliminal_mlx.")}
    return found


def rooms_imported(path):
    return {room_of(name) for name in imported(path)}


def outside(path):
    """Top-level names of everything else that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found


def texts(path):
    """Texts of a file's code: no comments, no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {id(n.body[0].value) for n in ast.walk(tree) if isinstance(n, documented) and ast.get_docstring(n)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def words(path):
    """Names and texts of a file's code: no comments, no docstrings."""
    yield from texts(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for field in ("id", "attr", "arg", "name", "module"):
            if isinstance(value := getattr(node, field, None), str):
                yield value


def spoken(paths):
    """Single words, in lower case, of the code of files."""
    return {word.lower() for path in paths for text in words(path) for word in re.findall(r"[A-Za-z]+", text)}


def floors(arrows):
    """Floor by name: 1 where nothing is imported, else one more than the highest import's.

    Raises ValueError where names import each other in a circle, which it names.
    """
    found = {}

    def floor(name, below):
        if name in below:
            raise ValueError(f"a circle: {' -> '.join([*below[below.index(name) :], name])}")
        if name not in found:
            found[name] = 1 + max((floor(other, [*below, name]) for other in arrows[name]), default=0)
        return found[name]

    for name in arrows:
        floor(name, [])
    return found


def test_the_package_s_root_holds_the_rooms_and_nothing_else():
    inside = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert inside == {"__init__.py", "__main__.py", *ROOMS}
    assert all((PACKAGE / room / "__init__.py").exists() for room in ROOMS)


@pytest.mark.parametrize(("room", "path"), modules(), ids=lambda value: getattr(value, "stem", value))
def test_imports_never_run_against_the_order(room, path):
    allowed = {*ROOMS[: ROOMS.index(room)], room}
    if room == "model":
        allowed &= MODEL_MAY
    if path.parent.name == "channels":
        allowed &= CHANNELS_MAY
    against = rooms_imported(path) - allowed
    assert not against, (
        f"{path.relative_to(PACKAGE)} imports {', '.join(sorted(against))}, which {room} may not"
    )


def test_the_house_has_twelve_floors_at_most():
    arrows = {room: set() for room in (*ROOMS, "__main__")}
    for name, path in files().items():
        if name:
            arrows[room_of(name)] |= rooms_imported(path) - {room_of(name)}
    assert max(floors(arrows).values()) <= FLOORS


def test_no_modules_import_each_other_in_a_circle():
    known = files()
    arrows = {}
    for name, path in known.items():
        # A name of a module, or the module; what a folder hands on is its `__init__`'s.
        targets = {full if full in known else full.rpartition(".")[0] for full in imported(path)}
        arrows[name] = targets - {name}
    assert len(floors(arrows)) == len(known) > 100
    with pytest.raises(ValueError, match=r"a circle: (a -> b -> a|b -> a -> b)"):
        floors({"a": {"b"}, "b": {"a"}})


def test_no_module_is_longer_than_it_may_be():
    long = {name: len(path.read_text().splitlines()) for name, path in files().items()}
    assert not {name: lines for name, lines in long.items() if lines > LONGEST}


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
    assert imported(inner) == {"a", "b", "c.x", "lab.d", "lab.e.y"} and outside(inner) == {"duckdb"}
    assert rooms_imported(inner) == {"a", "b", "c", "lab"}
    assert rooms_imported(outer) == {"f", "h", "i", "l", "n"} and "os" in outside(outer)
    outer.write_text('"""owl"""\ndef f(a):\n    """cat"""\n    return a.dog + "fox"  # elk\n')
    assert set(words(outer)) >= {"f", "a", "dog", "fox"} and not set(words(outer)) & {"owl", "cat", "elk"}


def test_only_the_lab_speaks_sql():
    speakers = {room for room, path in modules() if any(SQL.match(word) for word in words(path))}
    users = {room for room, path in modules() if "duckdb" in outside(path)}
    assert speakers == {"lab"} and users - {"system"} == {"lab"}


def test_a_model_knows_no_trait():
    paths = [path for room, path in modules() if room == "model"]
    families = [load_family(name) for name in shipped_families()]
    names = {*channels(), "channel", "channels", "trait", "traits", "family", "families"}
    names |= {part for family in families for part in (family.name, *family.traits)}
    said = spoken(paths)
    assert {"steps", "temperature"} <= said and not said & names


def test_arms_are_named_in_their_table_alone():
    """But for the four of the headline, and for names that are other things too, such as a field of the spec."""
    others = {*(TREATED, NEUTRAL, OTHERS, CONTROL), *("foreign", "in-context", "untrained", "teacher")}
    named = set(ARMS) - others
    assert len(named) > 4
    for room, path in modules():
        # Charts take an arm's colour for other things; a channel says for which arms it remakes rows;
        # demonstrations have arms of their own.
        elsewhere = room in ("demos", "cli") or path.parent.name in ("charts", "channels")
        if not elsewhere and path.name != "arms.py":
            assert not named & set(texts(path)), path


def test_what_reads_needs_no_model():
    """These import neither mlx nor mlx-lm, not even when a function of theirs is called."""
    light = [path for room, path in modules() if room in ("spec", "lab", "report")]
    light += [PACKAGE / "system" / f"{name}.py" for name in ("errors", "files", "events", "locks")]
    light += [PACKAGE / "experiment" / f"{name}.py" for name in ("statistics", "comparisons", "readings")]
    light += [path for room, path in modules() if path.parent.name == "readouts"]
    assert len(light) > 40
    for path in light:
        assert not outside(path) & {"mlx", "mlx_lm"}, path


def test_a_report_computes_no_statistics():
    paths = [path for room, path in modules() if room == "report"]
    assert len(paths) > 10
    for path in paths:
        assert "scipy" not in outside(path), path
        assert not {name for name in imported(path) if name.startswith("experiment.statistics")}, path


# A call in an example: at a line's start, or after "= ", "; " or "in ".
CALL = re.compile(r"(?:^ {4,}|= |; |\bin )((?:[a-z]\w*\.)?[A-Za-z]\w*)\(", re.MULTILINE)


def example(path):
    """What a module's opening docstring shows indented, without its comments."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return "\n".join(line.partition("#")[0] for line in text.splitlines() if line.startswith("    "))


def named_in(path):
    """Names that a file defines, anywhere in it, and those that it imports."""
    defined, brought = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.arg):
            defined.add(node.arg)
        elif isinstance(node, ast.alias):
            brought.add(node.asname or node.name)
    return defined, brought


def test_examples_of_modules_call_what_there_is():
    """A name is the module's, of another of its room, or shown imported; `module.name`, if imported, is in that module."""
    found = {module: named_in(path) for module, path in files().items()}
    seen = 0
    for module, path in files().items():
        room = [defined for other, (defined, _) in found.items() if room_of(other) == room_of(module)]
        text = example(path)
        shown = {
            name for line in text.splitlines() if " import " in line for name in re.findall(r"\w+", line)
        }
        # `on_event` is what all long work is given.
        here = {"on_event"}.union(dir(builtins), shown, found[module][1], *room)
        for called in CALL.findall(text):
            of, _, name = called.rpartition(".")
            homes = [set().union(*names) for other, names in found.items() if other.rpartition(".")[2] == of]
            if not of or (homes and of in shown | found[module][1]):
                assert name in (set().union(*homes) if of else here), f"{module}: no {called} to call"
                seen += 1
    assert seen > 100
