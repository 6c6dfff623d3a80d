import json
import random
import re
import tomllib

import pytest

from subliminal_mlx.lab.identity import identify
from subliminal_mlx.model import sources
from subliminal_mlx.model.sources import locate
from subliminal_mlx.spec import Spec, Student, load_spec, parse_spec, presets, run_id, to_toml, validate
from subliminal_mlx.system.errors import InputError

PLAIN = {"hard": {}}
FULL = {
    "title": 'Owls, "twice" \\ once\ttab, né 🦉 \x7f',
    "base": "tiny-b",
    "traits": ["animals/owl", "trees/oak"],
    "chains": 5,
    "seed": 11,
    "arms": ["treated", "neutral"],
    "ablations": ["shuffled", "foreign"],
    "ablation_traits": ["trees/oak"],
    "foreign": "tiny-a",
    "teacher": {"rank": 4, "lr": 1e-5, "leak": 0.25},
    "corpus": {"rows": 77, "separator": ", ", "shown": [2, 9], "numbers": [3, 10], "temperature": 0},
    "hard": {"steps": 3},
    "soft": {"rank": 256, "scale": 0.5, "layers": 1},
    "readout": {"points": 1, "answers": 0},
}
PRINTS = {"tiny-a": "00", "animals": "11"}


@pytest.mark.parametrize("fields", [PLAIN, FULL, {"soft": {}}], ids=["plain", "full", "soft"])
def test_what_is_written_as_toml_is_read_back_equal(fields):
    spec = validate(fields)
    text = to_toml(spec)
    assert parse_spec(text) == spec
    assert run_id(parse_spec(text), PRINTS) == run_id(spec, PRINTS)
    # Defaults are written out, so that a run's file says all that it rests on.
    assert set(tomllib.loads(text)) | {"hard", "soft", "foreign"} == set(Spec.model_fields)
    assert "[teacher]" in text and "warmup = 5" in text


def test_presets_load_and_are_titled():
    assert presets()
    for name, title in presets().items():
        assert load_spec(name).title == title != ""


def test_a_file_of_ones_own_is_read_by_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('title = "mine"\n[hard]\nsteps = 7\n')
    assert load_spec(str(path)).hard.steps == 7
    assert load_spec(str(path), ["hard.steps=8", "corpus.rows=9"]).hard.steps == 8


WRONG = {
    "unknown field": ('colour = "red"', "colour: no such field"),
    "unknown field of a table": ("[corpus]\nrow = 5", "corpus.row: no such field"),
    "unknown trait": ('traits = ["animals/unicorn"]', "traits: .*unicorn.*owl"),
    "unknown family": ('traits = ["birds/owl"]', "traits: .*birds.*animals"),
    "leak of a prompted teacher": (
        '[teacher]\nkind = "prompted"\nleak = 0.1',
        "teacher.leak: .*a prompted teacher has none",
    ),
    "trait without family": ('traits = ["owl"]', "traits: .*owl.*animals/owl"),
    "a path for a trait": ('traits = ["../../../etc/passwd"]', "traits: "),
    "no traits": ("traits = []", "traits: "),
    "a trait twice": ('traits = ["animals/owl", "animals/owl"]', "traits: "),
    "rank 0": ("[soft]\nrank = 0", "soft.rank: .*1.*not 0"),
    "a million rows": ("[corpus]\nrows = 1000000", "corpus.rows: .*100000.*not 1000000"),
    "no rows": ("[corpus]\nrows = 0", "corpus.rows: "),
    "a number for a name": ("base = 3", "base: .*not 3"),
    "an empty base": ('base = ""', "base: "),
    "a long base": (f'base = "{"x" * 201}"', "base: "),
    "control characters": ('base = "tiny-a\\n\\u001b[31m"', "base: "),
    "a path for a channel": ('[corpus]\nchannel = "../numbers"', "corpus.channel: .*numbers"),
    "an unknown arm": ('arms = ["treated", "neutral", "best"]', "arms"),
    "arms without neutral": ('arms = ["treated"]', "arms: neutral"),
    "arms without treated": ('arms = ["neutral"]', "arms: treated"),
    "foreign without base": ('ablations = ["foreign"]', "foreign: "),
    "foreign of itself": ('ablations = ["foreign"]\nforeign = "tiny-a"', "foreign: "),
    "lists that prompted teachers keep": (
        'ablations = ["kept-lists"]\n[teacher]\nkind = "prompted"',
        "ablations: kept-lists .*a prompted teacher has none",
    ),
    "lists that all teachers keep": (
        'ablations = ["kept-lists"]\n[teacher]\nkeep_lists = 0.25',
        "ablations: kept-lists .*0.25.*teacher.keep_lists = 0.25.*make that less",
    ),
    "more kept than is left": (
        'ablations = ["kept-lists"]\n[teacher]\nleak = 0.4\nkeep = 0.31',
        "teacher.leak, keep: .*0.25 of kept-lists.*0.95",
    ),
    "an ablated trait twice": (
        'ablations = ["shuffled"]\nablation_traits = ["animals/owl", "animals/owl"]',
        "ablation_traits: one is named twice",
    ),
    "an arm twice": ('arms = ["treated", "neutral", "neutral"]', "arms: one is named twice"),
    "an ablation of a stray trait": ('ablation_traits = ["trees/oak"]', "ablation_traits: trees/oak"),
    "a rate that is no number": ("[soft]\nlr = nan", "soft.lr: "),
    "an infinite scale": ("[soft]\nscale = inf", "soft.scale: "),
    "a negative seed": ("seed = -1", "seed: "),
    "65 chains": ("chains = 65", "chains: .*64.*not 65"),
    "a reversed range": ("[corpus]\nrange = [9, 3]", "corpus.*range: 9 is larger than 3"),
    "numbers over what the filter keeps": ("[corpus]\nnumbers = [8, 11]", "corpus.numbers.1: .*10.*not 11"),
    "soft on free text": ('[soft]\n[corpus]\ndecoding = "free"', "soft: "),
    "a table for a number": ("[corpus.rows]\nx = 1", "corpus.rows: "),
    "a number for a table": ("corpus = 5", "corpus: "),
    "not TOML": ("traits = [", "not TOML"),
    "nested deep": ("x = " + "[" * 50_000, "not TOML"),
    "a number of 5,000 digits": ("seed = " + "1" * 5_000, "not TOML"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_refused_by_its_field(case, one_line):
    text, expected = WRONG[case]
    with pytest.raises(InputError) as error:
        parse_spec(f"{text}\n[hard]\n", where="mine.toml")
    assert re.match(f"mine.toml: {expected}", one_line(error)), error.value
    assert len(str(error.value)) < 400


def test_no_kind_of_student_is_refused():
    with pytest.raises(InputError, match="hard, soft: "):
        parse_spec("")


OVERRIDES = {
    "corpus.rows": "field=value",
    "": "field=value",
    "=5": "field=value",
    "corpus.=5": "field=value",
    "corpus..rows=5": "field=value",
    ".rows=5": "field=value",
    "corpus.rows=many": "corpus.rows",
    "corpus.rows=": "corpus.rows",
    "corpus.rows.x=5": "rows",
    "corpus=5": "corpus",
    "corpus.nope=5": "corpus.nope: no such field",
    "hard.rank=0": "hard.rank",
    "seed=1\nchains=2": "seed",
    "seed=" + "1" * 5_000: "seed",
    "base=" + "[" * 50_000: "base",
}


@pytest.mark.parametrize("item", OVERRIDES, ids=lambda item: item[:20])
def test_a_malformed_override_is_refused(item, one_line):
    with pytest.raises(InputError, match=re.escape(OVERRIDES[item])) as error:
        parse_spec("[corpus]\nrows = 3\n[hard]\n", overrides=[item])
    one_line(error)


@pytest.mark.parametrize(
    ("item", "field", "value"),
    [
        ("corpus.rows=500", "corpus.rows", 500),
        ("corpus.rows = 500", "corpus.rows", 500),
        ("base=tiny-b", "base", "tiny-b"),
        ('base="tiny-b"', "base", "tiny-b"),
        ("title=a = b", "title", "a = b"),
        ('traits=["trees/oak"]', "traits", ("trees/oak",)),
        ("corpus.numbers=[3, 10]", "corpus.numbers", (3, 10)),
        ("soft.steps=9", "soft.steps", 9),
        ("corpus.temperature=0.5", "corpus.temperature", 0.5),
    ],
)
def test_an_override_changes_its_field_alone(item, field, value):
    before, after = parse_spec("[hard]\n"), parse_spec("[hard]\n", overrides=[item])
    found = after
    for part in field.split("."):
        found = getattr(found, part)
    assert found == value
    top = field.split(".")[0]
    assert after.model_dump(exclude={top}) == before.model_dump(exclude={top})


@pytest.mark.parametrize(
    "name", ["../default", "/etc/passwd", "nope", "", "no/such.toml", "a\0b.toml", "x" * 5_000 + ".toml"]
)
def test_a_spec_that_is_not_there(name, tmp_path, monkeypatch, one_line):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        load_spec(name)
    one_line(error)


@pytest.mark.parametrize(
    "content", [b"#" * (2 << 20), bytes(range(256)), b"\x00"], ids=["2 MB", "binary", "NUL"]
)
def test_a_file_that_is_no_spec_is_refused(content, tmp_path, one_line):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"mine\.toml") as error:
        load_spec(str(path))
    one_line(error)


@pytest.mark.parametrize(
    "base",
    [
        "../../../etc/passwd",
        "/etc",
        "..",
        "tiny-a/../tiny-b",
        "$(reboot)",
        "tiny-a; ls",
        "<b>x</b>",
        "%s%n",
        "a/b/c/d",
    ],
)
def test_a_hostile_base_ends_in_one_line(base, one_line):
    """The spec lets a path be a base, since a folder may be one; whoever looks it up is told in one line."""
    spec = validate(PLAIN | {"base": base})
    with pytest.raises(InputError, match=r"^base ") as error:
        sources.locate(spec.base)
    assert base in one_line(error)


def test_a_spec_cannot_be_changed():
    spec = validate(PLAIN)
    with pytest.raises(ValueError, match="frozen"):
        spec.seed = 1
    with pytest.raises(ValueError, match="frozen"):
        spec.hard.rank = 1


# Another value of every field; a field that is missing here fails the test.
OTHERS = {
    "title": None,
    "base": "tiny-b",
    "traits": ["animals/owl", "animals/cat"],
    "chains": 4,
    "seed": 1,
    "arms": ["treated", "neutral"],
    "ablations": ["random"],
    "ablation_traits": ["animals/owl"],
    "foreign": "tiny-b",
    "grad_checkpoint": True,
    "batch_tokens": 4_096,
    "share_prefix": True,
    "defences": ["mix-10"],
    "teacher": {
        "kind": "prompted",
        "rank": 4,
        "scale": 1,
        "layers": 1,
        "steps": 9,
        "batch": 9,
        "lr": 0.1,
        "warmup": 9,
        "neutral_answers": 9,
        "leak": 0.5,
        "keep": 0.5,
        "keep_families": ["trees"],
        "keep_lists": 0.5,
        "removal": 9,
    },
    "corpus": {
        "style": "full",
        "rows": 9,
        "temperature": 0,
        "decoding": "free",
        "max_tokens": 9,
        "shown": [2, 3],
        "range": [0, 98],
        "numbers": [7, 8],
        "separator": ", ",
        "filter": "none",
    },
    "filter": {"rules": ["trait-words"]},
    "hard": {"rank": 4, "scale": 1, "layers": 1, "steps": 9, "batch": 9, "lr": 0.1, "warmup": 9},
    "soft": {"rank": 4},
    "readout": {"points": 1, "answers": 1, "shown_rows": 1, "prefixed": True, "capability": False},
}
# What a field is refused without.
NEEDS = {"keep_families": {"keep": 0.5}}
ONE_VALUE = {("corpus", "channel")}


def test_every_field_but_the_title_changes_the_run_id():
    plain = validate(PLAIN)
    seen = {run_id(plain, PRINTS)}
    assert set(OTHERS) == set(Spec.model_fields)
    changes = [{field: other} for field, other in OTHERS.items() if other and not isinstance(other, dict)]
    for table in ("teacher", "corpus", "filter", "hard", "readout"):
        fields = type(getattr(plain, table)).model_fields
        left = {f for f in fields if (table, f) not in ONE_VALUE} - set(OTHERS[table])
        assert not left, f"{table}: {left} has no other value here"
        changes += [{table: {field: other} | NEEDS.get(field, {})} for field, other in OTHERS[table].items()]
    changes.append({"soft": {}})
    changes += [{"soft": {field: other}} for field, other in OTHERS["hard"].items()]
    for change in changes:
        seen.add(run_id(validate(PLAIN | change), PRINTS))
    assert len(seen) == len(changes) + 1
    # Fields of one allowed value: another one becomes possible with another member of the Literal.
    for table, field in ONE_VALUE:
        assert len(type(getattr(plain, table)).model_fields[field].annotation.__args__) == 1


def test_the_run_id_is_stable_under_title_order_and_spelling():
    spec = validate(FULL)
    known = run_id(spec, PRINTS)
    assert re.fullmatch(r"[0-9a-f]{12}", known)
    assert run_id(validate(FULL | {"title": "another"}), PRINTS) == known
    rng = random.Random(0)
    for _ in range(5):
        shuffled = {key: FULL[key] for key in rng.sample(list(FULL), len(FULL))}
        shuffled = {
            key: {k: value[k] for k in rng.sample(list(value), len(value))}
            if isinstance(value, dict)
            else value
            for key, value in shuffled.items()
        }
        assert run_id(validate(shuffled), dict(reversed(PRINTS.items()))) == known
    # A default written out, and 2 for 2.0, are the same experiment.
    written = FULL | {"teacher": FULL["teacher"] | {"steps": 40, "scale": 2}}
    assert run_id(validate(written), PRINTS) == known


def test_the_run_id_changes_with_what_the_names_stand_for():
    spec = validate(PLAIN)
    known = run_id(spec, PRINTS)
    assert run_id(spec, PRINTS | {"tiny-a": "01"}) != known
    assert run_id(spec, PRINTS | {"trees": "22"}) != known
    assert run_id(spec, {}) != known


def test_kinds_families_and_ablated_traits():
    spec = validate(FULL)
    assert spec.kinds == {"hard": Student(steps=3), "soft": Student(rank=256, scale=0.5, layers=1)}
    assert spec.families == ("animals", "trees")
    assert spec.ablated == ("trees/oak",)
    assert validate(PLAIN).ablated == () and list(validate(PLAIN).kinds) == ["hard"]
    assert validate(PLAIN | {"ablations": ["random"]}).ablated == ("animals/owl",)


def test_later_fields_leave_the_ids_of_stored_results_as_they_are():
    """Of every result that is shipped: its own spec, and the preset of its name where there is one."""
    from subliminal_mlx.pipeline.run import identify
    from subliminal_mlx.report.results import FOLDER

    seen = 0
    for found in sorted(FOLDER.glob("*/summary.json")):
        path, stored = found.with_name("spec.toml"), json.loads(found.read_text()).get("id")
        if not (path.exists() and stored and found.with_name("readouts.parquet").exists()):
            continue  # results that are no run's, or of an earlier RESULT_VERSION, which kept no readouts
        if "/" in load_spec(str(path)).base:
            continue  # on a base that a command makes, and that is not here
        assert identify(load_spec(str(path))) == stored, path
        if path.parent.name in presets():
            assert identify(load_spec(path.parent.name)) == stored, path.parent.name
        seen += 1
    assert seen


def test_the_other_base_is_not_the_same_one_by_its_folder():
    fields = {"traits": ["animals/owl"], "hard": {}, "ablations": ["foreign"]}
    same = validate(fields | {"foreign": str(locate("tiny-a").path)}, "test")
    with pytest.raises(InputError, match="is tiny-a by another name"):
        identify(same)
    assert identify(validate(fields | {"foreign": "tiny-b"}, "test"))
