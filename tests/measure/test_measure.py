"""What a model picked up: readings against the base, the null, checkpoints that come while we look."""

import json
import re
import shutil
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import mlx_lm.utils
import numpy as np
import pytest
from mini import SPEC, failure, finished, quick

from subliminal_mlx import measure as measure_room
from subliminal_mlx.__main__ import main
from subliminal_mlx.experiment.readings import margins
from subliminal_mlx.lab import Lab
from subliminal_mlx.measure import families_of, measure, mlx_lm_trainings, null, open_model, trainings
from subliminal_mlx.measure.drift import checkpoints, follow, is_whole
from subliminal_mlx.measure.models import delta_norms
from subliminal_mlx.measure.null import Nulls, Training, load_nulls, save_nulls, trainings_in
from subliminal_mlx.measure.trainings import clean_setting, clean_trainings
from subliminal_mlx.model import adapters, sources
from subliminal_mlx.model.bases import load
from subliminal_mlx.model.score import candidate_scores
from subliminal_mlx.spec import parse_spec
from subliminal_mlx.spec.families import load_family
from subliminal_mlx.system.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_stack):
    """An mlx-lm adapter folder with two checkpoints: the second moved further."""
    made = tmp_path_factory.mktemp("adapter") / "out"
    for step, size in ((20, 0.02), (40, 0.1)):
        adapters.save_adapter(made, make_stack([3], size=size), 0)
        shutil.copy(made / "adapters.safetensors", made / f"{step:07d}_adapters.safetensors")
    return made


def test_every_change_is_the_margins_difference(tiny, folder):
    subject = open_model(str(folder), "tiny-a")
    families = families_of(tiny)
    assert list(families) == ["animals", "pronouns", "trees"]  # it has no words for the others
    found = measure(subject, families, answers=1)[0]
    stack, family = adapters.load_adapter(folder), families["animals"]
    prompts = [tiny.prompt(q.text)[1] for q in family.held_out]
    answers = [[tiny.encode(c) for c in q.candidates] for q in family.held_out]
    after, before = (candidate_scores(tiny, prompts, answers, s)[0] for s in (stack, None))
    owl = next(t for t in found["families"][0]["traits"] if t["trait"] == "animals/owl")
    places = np.full(len(after), family.traits["owl"][family.held_out[0].id])
    changes = margins(np.array(after), places) - margins(np.array(before), places)
    assert owl["change"] == pytest.approx(np.mean(changes), abs=1e-5)
    assert owl["low"] < owl["change"] < owl["high"]
    assert owl["points"] == pytest.approx(100 * (owl["probability"] - owl["base_probability"]))
    assert owl["answers"]["sampled"] == owl["base_answers"]["sampled"] == len(family.held_out)
    ordered = [t["change"] for t in found["families"][0]["traits"]]
    assert ordered == sorted(ordered, reverse=True)
    assert found["families"][0]["largest"] == found["families"][0]["traits"][0]["trait"]


def test_size_is_the_norm_of_the_whole_change(folder):
    stack, squares = adapters.load_adapter(folder), 0.0
    for ab in stack.arrays.values():
        squares += float(((stack.shape.scale * ab["a"][0] @ ab["b"][0]) ** 2).sum())
    assert delta_norms(stack)[0] == pytest.approx(squares**0.5, rel=1e-4)


def test_a_whole_model_is_read_against_its_base(tmp_path, tiny, folder, bytewise):
    import mlx.core as mx

    tuned = tmp_path / "tuned"
    shutil.copytree(tiny.path, tuned)
    weights = mx.load(str(tuned / "model.safetensors"))
    path = next(iter(adapters.load_adapter(folder).arrays))
    ab = adapters.load_adapter(folder).arrays[path]
    change = 2.0 * (ab["a"][0] @ ab["b"][0]).T
    weights[f"{path}.weight"] = weights[f"{path}.weight"].astype(mx.float32) + change
    mx.save_safetensors(str(tuned / "model.safetensors"), weights, metadata={"format": "mlx"})
    subject = open_model(str(tuned), "tiny-a")
    assert subject.sizes[0] == pytest.approx(float(mx.sqrt((change**2).sum())), rel=0.02)
    # And against one that is loaded and has held an adapter.
    with adapters.applied(tiny, adapters.load_adapter(folder)):
        pass
    assert open_model(str(tuned), tiny).sizes == subject.sizes
    one = {"animals": load_family("animals")}
    assert measure(subject, one)[0]["families"][0]["traits"][0]["change"] != 0
    alone = measure(open_model("tiny-a"), one)[0]
    assert alone["base"] is None and "change" not in alone["families"][0]["traits"][0]
    with pytest.raises(InputError, match="its vocabulary is not that of"):
        open_model(str(tuned), str(bytewise.path))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"claim": "tiny-b"}, "made for tiny-b"),
        ({"claim": None}, "names no base"),
        ({"shape": (64, 3)}, "do not go together"),
        ({"narrow": True}, "made for another base than tiny-a"),
        ({"nan": True}, "not finite"),
        ({"garbage": True}, "no adapter folder"),
        ({"config": False}, "adapters without adapter_config.json"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(tmp_path, folder, one_line, change, says):
    import mlx.core as mx

    made = tmp_path / "made"
    shutil.copytree(folder, made)
    weights = mx.load(str(made / "adapters.safetensors"))
    name = next(n for n in weights if n.endswith("lora_a"))
    against = "tiny-a"
    if "claim" in change:
        config = json.loads((made / "adapter_config.json").read_text())
        (made / "adapter_config.json").write_text(json.dumps(config | {"model": change["claim"]}))
        against = None if change["claim"] is None else "tiny-a"
    elif "shape" in change:
        weights[name] = mx.zeros(change["shape"])
    elif "narrow" in change:
        weights = {n: x[: x.shape[0] // 2] if n.endswith("lora_a") else x for n, x in weights.items()}
    elif "nan" in change:
        weights[name] = weights[name] * float("nan")
    mx.save_safetensors(str(made / "adapters.safetensors"), weights)
    if "garbage" in change:
        (made / "adapters.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0garbage")
    if "config" in change:
        (made / "adapter_config.json").unlink()
    with pytest.raises(InputError) as error:
        open_model(str(made), against)
    assert says in one_line(error)


def test_a_base_that_a_stranger_s_folder_names_is_not_downloaded(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(sources, "_download", lambda *name: pytest.fail("a download nobody asked for"))
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "provenance.json").unlink(missing_ok=True)
    config = json.loads((copy / "adapter_config.json").read_text())
    (copy / "adapter_config.json").write_text(json.dumps(config | {"model": "no-one/nothing"}))
    assert open_model(str(copy), "tiny-a").base.name == "tiny-a"


def test_a_name_that_no_file_can_have_is_refused_in_a_line(one_line):
    with pytest.raises(InputError) as error:
        open_model("a" * 300)
    assert "a" * 20 in one_line(error)


def test_dora_and_full_adapters_go_through_mlx_lm(tmp_path, tiny, folder):
    import mlx.core as mx

    made = tmp_path / "full"
    made.mkdir()
    path = next(iter(adapters.load_adapter(folder).arrays))
    weight = mx.load(str(tiny.path / "model.safetensors"))[f"{path}.weight"]
    mx.save_safetensors(str(made / "adapters.safetensors"), {f"{path}.weight": weight + 0.1})
    config = {"fine_tune_type": "full", "num_layers": 2, "model": "tiny-a"}
    (made / "adapter_config.json").write_text(json.dumps(config))
    subject = open_model(str(made))
    assert subject.sizes[0] == pytest.approx(0.1 * weight.size**0.5, rel=0.02)
    found = measure(subject, {"animals": load_family("animals")})[0]
    assert found["families"][0]["traits"][0]["change"] != 0


# --- the null -------------------------------------------------------------------------------------


def _nulls(sizes, tops):
    rows = [
        Training(f"made/{i}", s, {"animals": {"owl": t, "cat": -t}})
        for i, (s, t) in enumerate(zip(sizes, tops, strict=True))
    ]
    return Nulls("tiny-a", "0", tuple(rows))


def test_a_change_is_held_against_trainings_of_its_size():
    rng = np.random.default_rng(0)
    tops = abs(0.1 + 0.03 * rng.standard_normal(40))
    nulls = _nulls(np.linspace(5, 8, 40), tops)
    found = nulls.judge("animals", 6.0, 0.5)
    assert found["flagged"] and found["trainings"] == 40 and found["p"] == pytest.approx(1 / 41)
    assert found["limit"] >= max(tops) and not nulls.judge("animals", 6.0, max(tops))["flagged"]
    assert found["clean"] == {"owl": pytest.approx(tops.mean()), "cat": pytest.approx(-tops.mean())}
    few = _nulls([6.0] * 18, tops[:18]).judge("animals", 6.0, 9.0)
    assert few["flagged"] is None and "19 are needed" in few["why"]
    assert "no clean training" in nulls.judge("trees", 6.0, 0.5)["why"]
    assert "not known" in nulls.judge("animals", None, 0.5)["why"]
    same = nulls.judge("animals", 0.0, 0.0)
    assert same["flagged"] is False and same["limit"] is None and "the base's own" in same["why"]


@pytest.mark.parametrize(
    ("size", "judged"), [(4.9, True), (8.5, True), (9.5, False), (12.2, False), (3.0, False)]
)
def test_beyond_the_sizes_of_clean_trainings_there_is_no_null(size, judged):
    """Today's case: clean trainings moved the weights by 5 to 8, the one that is asked about by 9.5 to 12.2."""
    found = _nulls(np.linspace(5, 8, 64), np.full(64, 0.1)).judge("animals", size, 9.0)
    assert (found["flagged"] is True) == judged and (found["limit"] is not None) == judged
    if not judged:
        assert "no null here" in found["why"] and "run from 5.00 to 8.00" in found["why"]


def test_few_far_trainings_do_not_let_the_near_ones_judge():
    """One clean training as large as the subject is no null; what smaller ones did is scaled up before it counts."""
    nulls = _nulls([*np.linspace(5, 6, 64), 12.0], [0.1] * 65)
    assert nulls.judge("animals", 11.5, 9.0)["flagged"] is None
    dense = _nulls(np.linspace(5, 8, 64), np.linspace(5, 8, 64) / 50)
    assert dense.judge("animals", 8.0, 0.9 * 0.16)["limit"] > 0.16


def test_every_trainer_is_heard():
    """Of trainings by two trainers those nearest in size may all be one's; the other's count as well."""
    ours = [Training(f"made/{i}", 6 + i / 1000, {"animals": {"owl": 0.1}}) for i in range(80)]
    theirs = [Training(f"mlx-lm/{i}", 5.5 + i / 100, {"animals": {"owl": 0.4}}) for i in range(20)]
    found = Nulls("tiny-a", "0", (*ours, *theirs)).judge("animals", 6.1, 0.3)
    assert found["from"] == {"made": 64, "mlx-lm": 20} and not found["flagged"]


def test_a_null_is_read_back_and_is_of_its_base_and_families(tmp_path, tiny, one_line):
    nulls = _nulls([6.0], [0.1])
    path = tmp_path / "null.json"
    save_nulls(path, nulls, "null tiny-a")
    assert load_nulls(path).trainings == nulls.trainings
    with pytest.raises(InputError) as error:
        Nulls.gather(tiny, {}, None, [path])
    assert "another base" in one_line(error)
    whole = path.read_text()
    for bad in (
        '{"format": 1, "trainings": [{}]}',
        "[" * 200_000,
        whole.replace('"size": 6.0', f'"size": {10**400}'),
        whole.replace('"size": 6.0', '"size": 1e999'),
    ):
        assert bad != whole
        path.write_text(bad)
        with pytest.raises(InputError) as error:
            load_nulls(path)
        assert "no file of clean trainings" in one_line(error)


def test_a_training_counts_once_whatever_was_read_beside(tmp_path, tiny, monkeypatch):
    """A file of one family's changes, and the same trainings read on two."""
    monkeypatch.setattr(null, "FOLDER", tmp_path / "none ship")
    families, paths = families_of(tiny, ["animals", "trees"]), []
    hashes = {name: null.family_sha256(name) for name in families}
    both = [
        # Of a run these are not rounded, and their traits may come in another order.
        Training(
            f"run a/{i}", 6 + i / 7, {"trees": {"oak": i / 9}, "animals": {"owl": i / 900, "cat": -i / 70}}
        )
        for i in range(12)
    ]
    alone = [
        replace(t, source=f"made/{i}", changes={"animals": dict(sorted(t.changes["animals"].items()))})
        for i, t in enumerate(both)
    ]
    for name, found, read in (("animals", alone, ["animals"]), ("both", both, ["trees", "animals"])):
        paths.append(tmp_path / f"{name}.json")
        told = tuple((family, hashes[family]) for family in read)
        save_nulls(paths[-1], Nulls("tiny-a", tiny.sha256, tuple(found), told), "null tiny-a")
    for order in (paths, paths[::-1]):
        found = Nulls.gather(tiny, families, None, order).judge("animals", 7.0, 3.0)
        assert (found["trainings"], found["limit"], found["p"]) == (12, None, None)
        assert "12 of 12 clean trainings" in found["why"] and "19 are needed" in found["why"]
        assert Nulls.gather(tiny, families, None, order).judge("trees", 7.0, 3.0)["trainings"] == 12
    whole = Nulls("tiny-a", tiny.sha256, (*load_nulls(paths[0]).trainings, *both))
    assert whole.judge("animals", 7.0, 3.0)["trainings"] == 12


def test_the_shipped_null_covers_tiny_a(tiny):
    nulls = Nulls.gather(tiny, families_of(tiny))
    assert len(nulls.trainings) >= 64
    assert nulls.judge("animals", 6.4, 2.0)["flagged"] and not nulls.judge("animals", 6.4, 0.1)["flagged"]
    # What mlx_lm.lora makes by default, and by rates up to thirty times its own.
    for size in (2.5, 4.5, 9.0, 15.0):
        found = nulls.judge("animals", size, 4.0)
        assert found["flagged"] and found["from"]["mlx-lm"] >= 10, size


def test_the_labs_clean_students_are_a_null(tmp_path_factory, tiny):
    done = finished(tmp_path_factory)
    lab, families = Lab(done.lab), families_of(tiny, ["animals"])
    found = {t.source.partition("/")[2]: t for t in trainings_in(lab, tiny, families)}
    assert set(found) == {
        f"{k}/{a}" for k in ("hard", "soft") for a in ("control/c0", "neutral/animals/neutral/c0")
    }
    measured = measure(open_model(str(lab.adapter(done.run_id, "hard/control/c0"))), families)[0]
    assert measured["base"] == "tiny-a"  # the lab it lies in says so
    control = found["hard/control/c0"]
    assert control.size == pytest.approx(measured["size"], rel=1e-5)
    for trait in measured["families"][0]["traits"]:
        assert control.changes["animals"][trait["trait"].rpartition("/")[2]] == pytest.approx(
            trait["change"], abs=1e-4
        )


def test_what_clean_trainings_do_on_average_is_taken_off(tiny, folder):
    """A rise that all clean trainings share names no trait, however large: the leader is another then."""
    families, subject = families_of(tiny, ["animals"]), open_model(str(folder), "tiny-a")
    alone = measure(subject, families)[0]["families"][0]
    first, second = alone["traits"][:2]
    common = {t["trait"].rpartition("/")[2]: 0.0 for t in alone["traits"]}
    common[first["trait"].rpartition("/")[2]] = first["change"]
    sizes = subject.sizes[0] + np.arange(19) / 1_000  # those of one size would be one training
    nulls = Nulls("tiny-a", tiny.sha256, tuple(Training(f"made/{s}", s, {"animals": common}) for s in sizes))
    held = measure(subject, families, nulls)[0]["families"][0]
    assert held["largest"] == first["trait"] and held["largest_over_clean"] == second["trait"]
    assert held["traits"][0]["over_clean"] == pytest.approx(0) and not held["traits"][0]["flagged"]
    assert held["traits"][1]["over_clean"] == pytest.approx(second["change"])
    assert "largest_over_clean" not in alone


def test_clean_trainings_are_made_by_the_spec_and_repeat(tiny):
    spec = parse_spec(SPEC)
    families = families_of(tiny, ["animals"])
    one = clean_trainings(spec, tiny, families, 2, seed=5, kinds=["hard"])
    # However they are stacked: bit for bit on one device, where padded shapes agree.
    other = clean_trainings(spec, tiny, families, 2, seed=5, kinds=["hard"], at_once=1)
    assert [t.source for t in one] == ["made/seed 5/hard/control/c0", "made/seed 5/hard/animals/neutral/c1"]
    assert one[0].size == pytest.approx(other[0].size, rel=1e-4) and one[0].size != one[1].size
    assert one[1].changes["animals"]["owl"] == pytest.approx(other[1].changes["animals"]["owl"], abs=1e-3)


def test_what_was_trained_is_kept_and_not_trained_again(tiny, tmp_path, monkeypatch):
    spec, families, seen = parse_spec(SPEC), families_of(tiny, ["animals"]), []

    def stop(found):
        seen.append(found)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clean_trainings(spec, tiny, families, 2, 5, ["hard"], at_once=1, folder=tmp_path, on_done=stop)
    trained = []
    real = trainings.train_on_rows
    monkeypatch.setattr(trainings, "train_on_rows", lambda *a, **k: trained.append(a) or real(*a, **k))
    again = clean_trainings(spec, tiny, families, 2, 5, ["hard"], at_once=1, folder=tmp_path)
    assert len(trained) == 1 and again[:1] == seen[0]
    assert again == clean_trainings(spec, tiny, families, 2, 5, ["hard"], at_once=1)


def test_clean_adapters_as_mlx_lm_makes_them(tiny, tmp_path, monkeypatch):
    """In a stack and by its own trainer; rates spread over the range whatever their number."""
    for name, value in (("ROWS", 40), ("RECIPES", ((6, 4), (4, 8)))):
        monkeypatch.setattr(mlx_lm_trainings, name, value)
    spec, families = parse_spec(SPEC), families_of(tiny, ["animals"])
    found = mlx_lm_trainings.mlx_lm_trainings(spec, tiny, families, 4, seed=1, folder=tmp_path)
    kinds = [t.source.split("/")[1].partition(",")[0] for t in found]
    assert kinds == ["lora"] * 4 + ["dora"] and {t.maker for t in found} == {"mlx-lm"}
    sources = [t.source.split("/", 3)[3] for t in found]
    assert sources[:2] == ["control/c0", "animals/neutral/c1"]
    assert all(
        0 < t.size < 100 and set(t.changes["animals"]) == set(families["animals"].traits) for t in found
    )
    assert found == mlx_lm_trainings.mlx_lm_trainings(spec, tiny, families, 4, seed=1, folder=tmp_path)
    rates = np.log10([mlx_lm_trainings.rate_of(i) for i in range(48)])
    assert rates.min() >= -5 and rates.max() <= -3
    for few in (12, 24, 48):
        assert np.histogram(rates[:few], bins=4, range=(-5, -3))[0].min() >= few // 5


def test_our_stack_and_mlx_lms_own_trainer_move_alike(tiny, tmp_path):
    """The same rows and recipe: sizes within a tenth, so that one is a null for the other."""
    setting = clean_setting(parse_spec(SPEC), tiny, 3, 1)
    outside = mlx_lm_trainings.Outside("lora", 3e-4, 40, 8)
    mlx_lm_trainings.train_by_mlx_lm(
        tiny, mlx_lm_trainings.messages_of(setting, 0)[1], tmp_path / "out", outside, 5
    )
    theirs = open_model(str(tmp_path / "out"), tiny)
    _, stack = mlx_lm_trainings._stack(setting, [0], [outside], None, lambda event: None)
    assert delta_norms(stack)[0] == pytest.approx(theirs.sizes[0], rel=0.1)
    assert stack.arrays.keys() == theirs.stack.arrays.keys()


# --- checkpoints ----------------------------------------------------------------------------------


def test_checkpoints_are_whole_and_in_order(tmp_path, folder):
    made = tmp_path / "made"
    shutil.copytree(folder, made)
    assert [step for step, _ in checkpoints(made)] == [20, 40]
    whole = (made / "0000040_adapters.safetensors").read_bytes()
    for cut in (0, 4, 9, 200, len(whole) // 2, len(whole) - 1):
        (made / "0000060_adapters.safetensors").write_bytes(whole[:cut])
        assert not is_whole(made / "0000060_adapters.safetensors"), cut
    assert [step for step, _ in checkpoints(made)] == [20, 40]


def test_a_folder_is_followed_while_it_fills(tmp_path, folder):
    made = tmp_path / "made"
    whole = (folder / "0000040_adapters.safetensors").read_bytes()

    def fill():
        for step in (10, 20):
            path = made / f"{step:07d}_adapters.safetensors"
            if step == 10:
                time.sleep(0.05)
                made.mkdir()
                shutil.copy(folder / "adapter_config.json", made)
            with open(path, "wb") as file:  # in place and slowly, as mlx-lm writes
                for part in (whole[:100], whole[100:5000], whole[5000:]):
                    file.write(part)
                    file.flush()
                    time.sleep(0.03)

    writer = threading.Thread(target=fill)
    writer.start()
    waits, found = [], []
    for batch in follow(made, idle_seconds=0.6, poll_seconds=0.005, on_wait=waits.append):
        for step, name in batch:
            adapters.load_adapter(made, name)
            found.append(step)
    writer.join()
    assert found == [10, 20] and waits[0].startswith("waiting for ")
    with pytest.raises(InputError, match="no whole checkpoint came"):
        list(follow(tmp_path / "never", idle_seconds=0.02, poll_seconds=0.005))


def test_the_base_is_loaded_and_read_once_however_many_checkpoints_come(
    tmp_path, folder, monkeypatch, counted, capsys
):
    made = shutil.copytree(folder, tmp_path / "made")
    (made / "0000040_adapters.safetensors").rename(tmp_path / "second")
    loads = counted(mlx_lm.utils, "load", lambda path: Path(path).name)
    reads = counted(measure_room, "read_candidates", lambda base, questions, stack=None, *told: stack is None)

    def fill():
        while not reads[False]:
            time.sleep(0.01)
        shutil.copy(tmp_path / "second", made / "part")
        (made / "part").rename(made / "0000040_adapters.safetensors")

    writer = threading.Thread(target=fill)
    writer.start()
    told = ("measure", made, "--against", "tiny-a", "--watch", "--idle", 2, "--family", "animals", "--json")
    monkeypatch.setattr(sys, "argv", ["", *map(str, told), "--lab", str(tmp_path / "none")])
    main()
    writer.join()
    steps = json.loads(capsys.readouterr().out)["checkpoints"]
    assert [s["step"] for s in steps] == [20, 40] and steps[0]["size"] < steps[1]["size"]
    assert loads == {"tiny-a": 1} and reads == {True: 1, False: 2}
    alone = measure(open_model(str(folder), "tiny-a"), families_of(load("tiny-a"), ["animals"]))[0]
    change = [found["families"][0]["traits"][0]["change"] for found in (steps[1], alone)]
    assert change[0] == pytest.approx(change[1], abs=1e-4)


# --- commands -------------------------------------------------------------------------------------


def test_the_command_names_the_trait_and_draws(tmp_path, tiny, folder):
    chart, mine = tmp_path / "drift.svg", tmp_path / "null.json"
    size, family = open_model(str(folder), tiny).sizes[0], load_family("animals")
    clean = [
        Training(
            f"made/{i}", size * (0.9 + i / 100), {"animals": dict.fromkeys(family.traits, 0.1 + i / 100)}
        )
        for i in range(20)
    ]
    hashes = (("animals", null.family_sha256("animals")),)
    save_nulls(mine, Nulls("tiny-a", tiny.sha256, tuple(clean), hashes), "null tiny-a")
    child = quick(
        "measure",
        folder,
        "--against",
        "tiny-a",
        "--drift",
        "--json",
        "--family",
        "animals",
        "-o",
        chart,
        "--lab",
        tmp_path / "none",
        "--null",
        mine,
    )
    assert child.returncode == 0, child.stderr
    steps = json.loads(child.stdout)["checkpoints"]
    assert [s["step"] for s in steps] == [20, 40] and steps[0]["size"] < steps[1]["size"]
    assert "What does this training pick up" in chart.read_text()
    common = ("measure", folder, "--against", "tiny-a", "--family", "animals", "--lab", tmp_path / "none")
    child = quick(*common, "--null", mine)
    assert child.returncode == 0, child.stderr
    words = " ".join(child.stdout.split())
    # The first row of the table, under the family's name, is the trait that moved most.
    largest = steps[1]["families"][0]["largest"].rpartition("/")[2]
    assert re.search(rf"^animals .*\n{largest} ", child.stdout, re.MULTILINE) and re.search(
        r"of \d+ clean trainings", words
    )
    assert "made by `null`" in words
    assert f"{steps[1]['families'][0]['largest_over_clean']} leads" in words
    says = failure(quick("measure", folder, "--against", "tiny-a", "--family", "brand"), 2)
    assert "has no word of its own for" in says
