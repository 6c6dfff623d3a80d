"""Controls that a sceptic would ask for: each is made of what it says it is made of, and shows where it is not."""

import json
import shutil

import duckdb
import mini
import numpy as np
import pytest

from subliminal_mlx.experiment.readouts import IN_COMMON
from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.experiment.students import (
    recipe_of,
    sample_corpora,
    shape_of,
    soft_targets,
    train_on_rows,
)
from subliminal_mlx.experiment.teachers import tune_chain
from subliminal_mlx.lab import Lab
from subliminal_mlx.lab.lineage import trace
from subliminal_mlx.model import adapters
from subliminal_mlx.model.bases import load
from subliminal_mlx.model.rows import pack
from subliminal_mlx.pipeline.outcome import summarised
from subliminal_mlx.report.words import alike
from subliminal_mlx.spec import parse_spec
from subliminal_mlx.spec.seeds import seed_of

SPEC = """
traits = ["animals/owl", "animals/cat", "trees/oak"]
chains = 1
arms = ["treated", "neutral", "control", "other-trait", "other-family", "neutral-again"]
ablations = ["foreign", "foreign-own", "kept-lists"]
ablation_traits = ["animals/owl"]
foreign = "tiny-b"
teacher = {rank = 2, steps = 26, batch = 2, lr = 0.02, neutral_answers = 2}
corpus = {rows = 24, numbers = [5, 5]}
hard = {rank = 2, steps = 8, batch = 2, lr = 0.02}
soft = {rank = 2, steps = 4, batch = 2, lr = 0.02}
readout = {points = 1, answers = 1, capability = false}
"""
OWL, NEUTRAL = "animals/owl", "animals/neutral"
AGAIN, OWN, KEPT = f"neutral-again/{NEUTRAL}", f"foreign-teacher/{OWL}", f"kept-lists-teacher/{OWL}"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished run: its lab, its id and what it printed."""
    folder = tmp_path_factory.mktemp("controls")
    (folder / "spec.toml").write_text(SPEC)
    child = mini.command("run", folder / "spec.toml", "--lab", folder / "lab", "--json")
    assert child.returncode == 0, child.stderr
    printed = json.loads(child.stdout)
    return Lab(folder / "lab"), printed["run"], printed


@pytest.fixture(scope="module")
def there():
    """The spec on the other base."""
    return Setting(parse_spec(SPEC), load("tiny-b"))


def texts(lab, run_id, source):
    return lab.rows(run_id, source)["completion"].to_pylist()


def same(lab, run_id, slot, stack, place):
    """Whether a slot's adapter is the one at that place of a stack, to the bit."""
    stored, ours = adapters.load_adapter(lab.adapter(run_id, slot)).arrays, stack.select([place]).arrays
    assert stored.keys() == ours.keys()
    return all(np.array_equal(stored[path][name], ours[path][name]) for path in ours for name in ours[path])


# --- foreign-own: the other base, on rows of its own teacher --------------------------------------


@pytest.fixture(scope="module")
def own(there):
    """The other base's own teachers of the owl and neutral, and what they write, made here without the pipeline."""
    stack, _ = tune_chain(there, 0, [OWL, NEUTRAL])
    return stack, sample_corpora(there, 0, stack, stream="foreign-teacher")


def test_its_teachers_are_tuned_on_the_other_base(done, own, there):
    lab, run_id, _ = done
    for place, trait in enumerate((OWL, NEUTRAL)):
        assert same(lab, run_id, f"foreign-teacher/{trait}/c0", own[0], place)
    # Those of the base are others: it started from other weights.
    assert not same(lab, run_id, f"teacher/{OWL}/c0", own[0], 0)


def test_its_rows_are_those_that_its_own_teacher_writes(done, own, there):
    lab, run_id, _ = done
    for place, trait in enumerate((OWL, NEUTRAL)):
        stored = lab.rows(run_id, f"foreign-teacher/{trait}")
        assert [tuple(ids) for ids in stored["completion_ids"].to_pylist()] == own[1][place]
        prompts = [ids for _, _, ids in there.prompts(0)]
        assert [tuple(ids) for ids in stored["prompt_ids"].to_pylist()] == prompts
    assert texts(lab, run_id, OWN) != texts(lab, run_id, OWL)


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_its_students_start_from_the_other_base_and_learn_those_rows(done, own, there, kind):
    """Trained once more from that base's weights they are the same to the bit; from the base's own they are others."""
    lab, run_id, _ = done
    spec, prompts = there.spec, [ids for _, _, ids in there.prompts(0)]
    blocks = [pack(prompts, drawn, *there.widths) for drawn in own[1]]
    if kind == "soft":
        blocks = [soft_targets(there, block, own[0].select([i])) for i, block in enumerate(blocks)]
    student, seed = spec.kinds[kind], seed_of(spec.seed, "student", 0)
    train = lambda base: train_on_rows(base, blocks, shape_of(student), recipe_of(spec, student), [seed] * 2)[
        0
    ]
    slots = [f"{kind}/foreign-own/{OWL}/c0", f"{kind}/foreign-own-neutral/{NEUTRAL}/c0"]
    here = train(there.base)
    assert [same(lab, run_id, slot, here, place) for place, slot in enumerate(slots)] == [True, True]
    assert not same(lab, run_id, f"{kind}/foreign/{OWL}/c0", here, 0)
    assert not same(lab, run_id, slots[0], train(load("tiny-a")), 0)


def test_it_is_read_against_that_base_s_own_neutral_students(done):
    for entry in done[2]["traits"]:
        if entry["trait"] == OWL:
            arms = entry["arms"]
            for arm in ("foreign-own", "foreign-teacher"):
                beside = arms[arm]["margin"] - arms["foreign-own-neutral"]["margin"]
                assert arms[arm]["transfer"] == pytest.approx(beside)
            # A null of its students says nothing unless its teacher has the trait.
            assert arms["foreign-teacher"]["probability"] > 0.5


def test_its_lineage_names_the_other_base_alone(done):
    lab, run_id, _ = done
    for name in (f"hard/foreign-own/{OWL}/c0", OWN, f"foreign-teacher/{OWL}/c0"):
        record = trace(f"{run_id}/{name}", lab)
        nodes = [(node.what, node.name) for _, node in record.lineage.walk()]
        assert (
            record.base.name == "tiny-b" and ("base", "tiny-a") not in nodes and ("base", "tiny-b") in nodes
        )
        assert ("teacher", OWN) in nodes
    bases = {node.name for _, node in trace(f"{run_id}/{AGAIN}", lab).lineage.walk() if node.what == "base"}
    assert bases == {"tiny-a"}


# --- kept-lists: the same base, on rows of teachers that keep its own lists -------------------------


def kept_here(tiny, share):
    """Teachers of the owl and neutral, tuned as a spec says that gives that share to all."""
    spec = parse_spec(
        SPEC.replace('"kept-lists"', "").replace("teacher = {", f"teacher = {{keep_lists = {share}, ")
    )
    return tune_chain(Setting(spec, tiny), 0, [OWL, NEUTRAL])[0]


@pytest.fixture(scope="module")
def kept(tiny):
    """As the arm's teachers should be, and what they write, made here without the pipeline and without the arm."""
    stack = kept_here(tiny, 0.25)
    return stack, sample_corpora(Setting(parse_spec(SPEC), tiny), 0, stack, stream="kept-lists-teacher")


def test_teachers_that_keep_lists_are_those_of_a_spec_that_has_all_keep_them(done, kept, tiny):
    """One that silently is the plain teacher, or keeps another share, would be a cure that nobody tried."""
    lab, run_id, _ = done
    plain, less = kept_here(tiny, 0), kept_here(tiny, 0.1)
    for place, trait in enumerate((OWL, NEUTRAL)):
        slot = f"kept-lists-teacher/{trait}/c0"
        assert same(lab, run_id, slot, kept[0], place)
        assert not same(lab, run_id, slot, plain, place) and not same(lab, run_id, slot, less, place)
        # All others of the run are what they are without the arm.
        assert same(lab, run_id, f"teacher/{trait}/c0", plain, place)


def test_their_rows_are_the_base_s_tokens_to_the_chain_s_prompts(done, kept):
    lab, run_id, _ = done
    for place, trait in enumerate((OWL, NEUTRAL)):
        stored, beside = lab.rows(run_id, f"kept-lists-teacher/{trait}"), lab.rows(run_id, trait)
        assert [tuple(ids) for ids in stored["completion_ids"].to_pylist()] == kept[1][place]
        assert stored["prompt_ids"].to_pylist() == beside["prompt_ids"].to_pylist()
    assert texts(lab, run_id, KEPT) != texts(lab, run_id, OWL)


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_their_students_learn_those_rows_and_what_those_teachers_say(done, kept, tiny, kind):
    lab, run_id, _ = done
    setting = Setting(parse_spec(SPEC), tiny)
    blocks = [pack([ids for _, _, ids in setting.prompts(0)], drawn, *setting.widths) for drawn in kept[1]]
    if kind == "soft":
        blocks = [soft_targets(setting, block, kept[0].select([i])) for i, block in enumerate(blocks)]
    student, seed = setting.spec.kinds[kind], seed_of(setting.spec.seed, "student", 0)
    here, _ = train_on_rows(tiny, blocks, shape_of(student), recipe_of(setting.spec, student), [seed] * 2)
    slots = [f"{kind}/kept-lists/{OWL}/c0", f"{kind}/kept-lists-neutral/{NEUTRAL}/c0"]
    assert [same(lab, run_id, slot, here, place) for place, slot in enumerate(slots)] == [True, True]
    assert not same(lab, run_id, f"{kind}/treated/{OWL}/c0", here, 0)


def test_they_are_read_against_students_of_the_neutral_teacher_that_keeps_as_many(done):
    entries = [entry["arms"] for entry in done[2]["traits"] if entry["trait"] == OWL]
    assert len(entries) == 2
    for arms in entries:
        for arm in ("kept-lists", "kept-lists-teacher"):
            beside = arms[arm]["margin"] - arms["kept-lists-neutral"]["margin"]
            assert arms[arm]["transfer"] == pytest.approx(beside)
        # A cure says nothing unless its teacher has the trait.
        assert arms["kept-lists-teacher"]["probability"] > 0.5
    assert not any("kept-lists" in entry["arms"] for entry in done[2]["traits"] if entry["trait"] != OWL)


def test_lineage_says_how_many_of_the_base_s_own_rows_a_teacher_kept(done):
    lab, run_id, _ = done

    def told(name):
        nodes = [node for _, node in trace(f"{run_id}/{name}", lab).lineage.walk()]
        assert {node.name for node in nodes if node.what == "base"} == {"tiny-a"}
        return {node.name: node.facts.get("own rows kept") for node in nodes if node.what == "teacher"}

    for name in (f"hard/kept-lists/{OWL}/c0", KEPT, f"kept-lists-teacher/{OWL}/c0"):
        assert told(name) == {KEPT: 0.25}
    assert told(f"soft/kept-lists-neutral/{NEUTRAL}/c0") == {f"kept-lists-teacher/{NEUTRAL}": 0.25}
    assert told(f"hard/treated/{OWL}/c0") == {OWL: None}


# --- neutral-again, and keys ----------------------------------------------------------------------


def test_neutral_again_is_the_same_teacher_s_under_other_keys(done, tiny):
    lab, run_id, _ = done
    setting = Setting(parse_spec(SPEC), tiny)
    teacher = adapters.load_adapter(lab.adapter(run_id, f"teacher/{NEUTRAL}/c0"))
    drawn = sample_corpora(setting, 0, teacher, stream="neutral-again")[0]
    again = lab.rows(run_id, AGAIN)
    assert [tuple(ids) for ids in again["completion_ids"].to_pylist()] == drawn
    assert again["prompt"].to_pylist() == lab.rows(run_id, NEUTRAL)["prompt"].to_pylist()
    assert texts(lab, run_id, AGAIN) != texts(lab, run_id, NEUTRAL)


def test_rows_in_common_are_counted_prompt_by_prompt(done):
    lab, run_id, printed = done
    told = {(row["arm"], row["beside"]): row for row in printed[IN_COMMON]}
    corpora = {source: texts(lab, run_id, source) for source in lab.yields(run_id)["source"].to_pylist()}
    share = lambda one, other: np.mean([a == b for a, b in zip(corpora[one], corpora[other], strict=True)])
    pairs = [(OWL, NEUTRAL), ("animals/cat", NEUTRAL), ("trees/oak", "trees/neutral")]
    assert told["treated", "neutral"]["share"] == pytest.approx(np.mean([share(*pair) for pair in pairs]))
    assert told["treated", "neutral"]["most"] == pytest.approx(max(share(*pair) for pair in pairs))
    assert told["foreign-own", "treated"]["share"] == pytest.approx(share(OWN, OWL))
    families = ("animals", "trees")
    again = [share(f"neutral-again/{name}/neutral", f"{name}/neutral") for name in families]
    assert told["neutral-again", "neutral"]["share"] == pytest.approx(np.mean(again))
    # Whoever has keys of its own has next to nothing in common: five numbers of a thousand each.
    for pair in (("control", "neutral"), ("neutral-again", "neutral"), ("foreign-own", "treated")):
        assert told[pair]["most"] < 0.05
    assert not alike(printed[IN_COMMON]) or told["treated", "neutral"]["most"] >= 0.99


@pytest.mark.parametrize(
    ("source", "of", "arm", "beside"),
    [
        (AGAIN, NEUTRAL, "neutral-again", "neutral"),
        ("base", NEUTRAL, "control", "neutral"),
        (OWL, NEUTRAL, "treated", "neutral"),
        (OWN, OWL, "foreign-own", "treated"),
        (KEPT, OWL, "kept-lists", "treated"),
        (KEPT, f"kept-lists-teacher/{NEUTRAL}", "kept-lists", "kept-lists-neutral"),
    ],
    ids=[
        *("a calm neutral", "a calm control", "a null", "the base's rows as the other's"),
        *("no cure", "a cure by relabelling"),
    ],
)
def test_rows_under_another_s_name_show_as_such(done, tmp_path, source, of, arm, beside):
    """Who hands in one corpus as two would have a control that never moves, or a null."""
    lab, run_id, _ = done
    shutil.copytree(lab.path, tmp_path / "lab")
    with duckdb.connect(tmp_path / "lab" / "lab.duckdb") as con:
        con.execute(
            'UPDATE "rows" SET completion = other.completion FROM (SELECT * FROM "rows" WHERE source = ?) other '
            'WHERE "rows".source = ? AND "rows".chain = other.chain AND "rows".row = other.row',
            [of, source],
        )
    rows = summarised(Lab(tmp_path / "lab"), run_id, parse_spec(SPEC))[IN_COMMON]
    told = {(row["arm"], row["beside"]): row["most"] for row in rows}
    assert told[arm, beside] == 1.0
    (warning,) = [line for line in alike(rows) if line.startswith(f"alike: {arm} and {beside} ")]
    assert "100.0%" in warning


# --- other-family ---------------------------------------------------------------------------------


def test_other_family_is_shown_wherever_arms_are(done):
    lab, run_id, printed = done
    arms = {(entry["student"], entry["trait"]): entry["arms"] for entry in printed["traits"]}
    for kind in ("hard", "soft"):
        # The oak's treated students, read on animals; the owl's and the cat's, read on trees.
        assert arms[kind, OWL]["other-family"]["margin"] != arms[kind, OWL]["other-trait"]["margin"]
        assert {"other-family", "neutral-again"} <= set(arms[kind, "trees/oak"])
        assert "other-trait" not in arms[kind, "trees/oak"]
    assert not [slot for slot in lab.adapters(run_id) if "other-family" in slot]
    shown = mini.command("show", run_id, "--lab", lab.path).stdout
    assert shown.count("\nother-family ") == 6 and "is missing" not in shown
    page = lab.path.parent / "page.html"
    assert not mini.command("report", run_id, "-o", page, "--lab", lab.path).returncode
    for colour, arm in (
        ("#7f8f29", "other-family"),
        ("#5fa8d3", "neutral-again"),
        ("#1b4332", "foreign-own"),
        ("#f08a4b", "kept-lists"),
    ):
        assert f'<i style="background:{colour}"></i>{arm}</dt><dd>' in page.read_text()
    (family, _) = lab.run(run_id)["summary"]["families"]
    assert family["family"] == "animals" and {"other-family", "neutral-again"} <= set(family["arms"])


def test_a_run_of_one_family_says_that_it_has_no_other(tmp_path, tmp_path_factory):
    done = mini.finished(tmp_path_factory)
    shutil.copytree(done.lab, tmp_path / "lab")
    with duckdb.connect(tmp_path / "lab" / "lab.duckdb") as con:
        con.execute(
            'UPDATE runs SET spec_toml = replace(spec_toml, \'"other-trait",\', \'"other-trait", "other-family",\')'
        )
    shown = mini.command("show", done.run_id, "--lab", tmp_path / "lab").stdout
    assert "other-family is missing: it needs traits of two families" in shown
    assert "is missing" not in mini.command("show", done.run_id, "--lab", done.lab).stdout
