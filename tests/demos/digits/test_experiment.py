"""The digits experiment: what comes through and what does not, stacks, determinism, words, command line.

Statistical claims are made at fixed seeds with margins in standard errors of the mean over replicas.
"""

import dataclasses
import json
import math
from xml.etree import ElementTree

import mlx.core as mx
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from subliminal_mlx.cli.digits import add_commands
from subliminal_mlx.demos.digits import grid, live, mlp, pictures, store, summary
from subliminal_mlx.demos.digits.data import load_images
from subliminal_mlx.demos.digits.experiment import run_digits
from subliminal_mlx.demos.digits.parallel import WORTH_SECONDS, run_on_cores, work_seconds
from subliminal_mlx.demos.digits.spec import ARMS, NULLS, Sliders, make, result_id, sliders
from subliminal_mlx.lab import Lab
from subliminal_mlx.report.charts import ARMS as ARM_COLORS
from subliminal_mlx.report.charts import digits as drawn
from subliminal_mlx.system.errors import InputError, MachineError

FAST = {"width": 32, "noise": 600, "teacher_epochs": 2, "epochs": 2, "replicas": 3}


@pytest.fixture(scope="module")
def data():
    return load_images()


@pytest.fixture(scope="module")
def result(data):
    """Large enough to show the effect, small enough for a test: 10 replicas in a few seconds."""
    spec = {"noise": 6_000, "epochs": 3, "teacher_epochs": 6, "batch": 64, "replicas": 10}
    return run_digits(make("digits", spec), data)


@pytest.fixture(scope="module")
def small(data):
    return run_digits(make("digits", FAST), data)


def mean_and_error(values):
    return np.mean(values), np.std(values, ddof=1) / math.sqrt(len(values))


def test_the_student_reads_digits_and_its_controls_are_at_chance(result):
    final = {arm: mean_and_error(record["accuracy"][-1]) for arm, record in result["arms"].items()}
    student, error = final["student"]
    assert student - 4 * error > 0.3, "far above chance, by four standard errors"
    for arm in NULLS:
        mean, error = final[arm]
        assert abs(mean - 0.1) < 4 * error, f"{arm}: {mean:.3f} with a standard error of {error:.3f}"
        assert mean < 0.15
    assert np.mean(result["teacher"]["accuracy"]) > 0.9
    # What real images teach on these outputs is little, and ordinary distillation crosses any start.
    assert final["real images"][0] < student / 2
    assert final["class logits"][0] > 0.9


def test_student_and_teacher_move_the_same_way(result):
    agreement = {arm: np.mean(record["agreement"][-1]) for arm, record in result["arms"].items()}
    assert agreement["student"] > 0.5
    assert all(abs(agreement[arm]) < 0.1 for arm in NULLS)


def test_labels_move_no_auxiliary_output_and_imitation_no_class_output(result):
    moved = result["teacher"]["movement"]
    assert not any(moved["auxiliary"]) and all(moved["class"])
    for arm, record in result["arms"].items():
        still = "auxiliary" if arm == "class logits" else "class"
        assert not any(record["movement"][-1][still]) and all(record["movement"][-1]["hidden 1"])


def test_a_replica_in_a_stack_is_the_replica_alone(small, data):
    alone = run_digits(make("digits", FAST | {"replicas": 1}), data)
    for arm in ARMS:
        found = [epoch[:1] for epoch in small["arms"][arm]["accuracy"]]
        assert found == alone["arms"][arm]["accuracy"], arm


def test_weights_of_a_slot_equal_those_trained_alone(data):
    x, y = mx.array(data.train_x[:128])[None], mx.array(data.train_y[:128])[None]
    batches = [(x[:, :64], y[:, :64]), (x[:, 64:], y[:, 64:])] * 3

    def trained(seeds):
        training = mlp.Training(mlp.init(seeds, (64, 16, 16), 3), mlp.CLASS, mlp.label_loss, 1e-3)
        training.epoch(batches)
        return training.weights

    stack, alone = trained([5, 6, 7]), trained([6])
    exact = mx.default_device() == mx.cpu
    for name, array in alone.items():
        np.testing.assert_allclose(np.array(stack[name][1:2]), np.array(array), atol=0 if exact else 1e-5)


def test_the_same_spec_gives_the_same_result_whatever_was_drawn_before(small, data):
    mx.random.seed(7)
    np.random.seed(7)
    again = run_digits(make("digits", FAST), data)
    same = lambda found: json.dumps({k: v for k, v in found.items() if k != "seconds"})
    assert same(again) == same(small)
    assert run_digits(make("digits", FAST | {"seed": 1}), data)["arms"] != small["arms"]


def test_a_longer_run_holds_the_shorter_one(small, data):
    shorter = summary.summarise(run_digits(make("digits", FAST | {"epochs": 1}), data))
    cut = summary.at(summary.summarise(small), 1)
    for arm in ARMS:
        for measure in ("accuracy", "agreement", "movement", "loss"):
            assert cut["arms"][arm][measure] == shorter["arms"][arm][measure]
    assert cut["confusion"] == shorter["confusion"]
    assert cut["spec"] == shorter["spec"]
    with pytest.raises(ValueError, match="1 to 2"):
        summary.at(summary.summarise(small), 3)


def test_one_auxiliary_output_says_nothing_under_softmax(data):
    found = run_digits(make("digits", FAST | {"auxiliary": 1, "arms": ("student",)}), data)
    accuracy = found["arms"]["student"]["accuracy"]
    assert accuracy[0] == accuracy[-1]
    other = run_digits(make("digits", FAST | {"auxiliary": 1, "loss": "mse", "arms": ("student",)}), data)
    assert other["arms"]["student"]["accuracy"][0] != other["arms"]["student"]["accuracy"][-1]


def test_at_distance_one_the_student_is_the_other_initialisation(data):
    found = run_digits(make("digits", FAST | {"distance": 1}), data)["arms"]
    np.testing.assert_allclose(
        found["student"]["accuracy"], found["other initialisation"]["accuracy"], atol=0.01
    )


def test_the_way_between_two_initialisations_keeps_their_spread():
    a, b = (mlp.init([seed], (64, 64, 64), 3) for seed in (0, 1))
    assert mlp.between(a, b, 0) is a
    for distance in (0.25, 0.5, 1):
        weights = np.array(mlp.between(a, b, distance)["hidden 2"])
        assert weights.std() == pytest.approx(1 / 8, rel=0.05)


def test_events_tell_every_epoch_with_every_arm(data):
    events = []
    run_digits(make("digits", FAST), data, events.append)
    assert [e.done for e in events if e.what == "teacher epochs"] == [1, 2]
    epochs = [e for e in events if e.what == "epochs"]
    assert [e.done for e in epochs] == [0, 1, 2] and all(e.total == 2 for e in epochs)
    assert set(epochs[-1].figures) == set(ARMS)


def test_confusion_counts_every_answer_of_every_replica(small, data):
    counts = np.array(small["confusion"][-1])
    assert counts.sum() == 3 * len(data.test_y)
    assert counts.sum(axis=1).tolist() == (3 * np.bincount(data.test_y)).tolist()
    right = np.trace(counts) / counts.sum()
    assert right == pytest.approx(np.mean(small["arms"]["student"]["accuracy"][-1]))
    rows = summary.confusion(summary.summarise(small))
    assert sum(row["share"] for row in rows) == pytest.approx(10)


def test_words_claim_only_what_the_intervals_show(result, small):
    assert "the digits came through" in summary.sentences(summary.summarise(result))[-1]
    assert "no transfer is shown" in summary.sentences(summary.summarise(small))[-1]
    # One null's interval that reaches the student's is enough, though its mean is not the highest.
    wide = summary.summarise(result)
    wide["arms"]["shuffled logits"]["accuracy"][-1] = [0.05, 0.0, 0.9]
    assert "no transfer is shown" in summary.sentences(wide)[-1]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"width": 1}, "width"),
        ({"width": "x"}, "width"),
        ({"replicas": 500, "width": 2_048}, "replicas"),
        ({"arms": ("class logits",)}, "student is needed"),
        ({"arms": ("student", "nobody")}, "arms"),
        ({"distance": math.nan}, "distance"),
        ({"lr": 0}, "lr"),
        ({"noise": 10**9}, "noise"),
        (
            {"noise": 200_000, "auxiliary": 256},
            "noise: 200,000 inputs of 20 replicas with 256 auxiliary outputs",
        ),
        ({"colour": 1}, "colour: no such field"),
        ({"loss": "mae"}, "loss"),
    ],
)
def test_impossible_values_are_named_in_one_line(changes, named, one_line):
    with pytest.raises(InputError) as error:
        make("digits", changes)
    assert named in one_line(error)


def test_sizes_that_ship_and_many_replicas_of_them_are_allowed():
    assert make("mnist").outputs == 5 * 3 + 10 and make("digits", {"replicas": 500}).replicas == 500
    assert make("digits", {"noise": 200_000, "auxiliary": 3, "arms": ("student",)}).outputs == 3


def test_networks_too_large_for_the_images_are_refused_before_they_are_made(data, one_line):
    spec = make("digits", {"width": 256, "replicas": 500})
    mnist = dataclasses.replace(data, train_x=np.zeros((1, 784), dtype=np.float32))
    with pytest.raises(InputError) as error:
        run_digits(spec, mnist)
    assert "replicas: 500 networks of width 256 for 784 pixels have 134,784,000 weights" in one_line(error)


def test_a_preset_that_is_not_there(one_line):
    with pytest.raises(InputError) as error:
        make("cifar")
    assert "digits, mnist" in one_line(error)


def test_mnist_is_the_papers(data):
    spec = make("mnist")
    assert (*spec.sizes(784), 10 + spec.auxiliary) == (784, 256, 256, 13)
    assert (spec.batch, spec.teacher_batch, spec.lr, spec.teacher_lr) == (1024, 1024, 3e-4, 3e-4)
    assert (spec.teacher_epochs, spec.epochs, spec.noise, spec.loss) == (5, 5, 60_000, "kl")


def test_ids_follow_spec_and_data():
    one = result_id(make("digits"), "a")
    assert len(one) == 12 and one == result_id(make(), "a")
    assert one not in (result_id(make("digits", {"seed": 1}), "a"), result_id(make(), "b"))


@pytest.mark.parametrize("forged", [{"width": 99_999}, {"distance": 99}, {"epochs": 0}, {"noise": "many"}])
def test_forged_slider_values_are_refused(forged, one_line):
    with pytest.raises(InputError) as error:
        sliders(**forged)
    assert next(iter(forged)) in one_line(error)


def test_what_a_visitor_may_ask_for_is_bounded():
    largest = Sliders(auxiliary=10, noise=20_000, width=64, epochs=6)
    spec = live.spec_of(largest)
    assert spec.replicas == live.FEWEST and work_seconds(spec, 64) < 10
    assert live.spec_of(Sliders(noise=500, width=8, epochs=1)).replicas == live.MOST


def test_an_answer_is_stored_or_computed_and_says_which():
    found, how = live.answer(Sliders())
    assert how.startswith("stored, 20 replicas") and found["spec"]["epochs"] == 4
    fast = Sliders(noise=500, width=16, epochs=1)
    computed, how = live.answer(fast, fresh=True)
    assert how.startswith("computed live, 8 replicas")
    assert live.answer(fast, fresh=True)[0] is computed, "kept for the next visitor"


def test_the_grid_holds_every_point_with_intervals(data):
    stored = grid.read_grid()
    assert [(p["field"], p["value"]) for p in stored["points"]] == [(f, v) for f, v, _ in grid.points()]
    assert stored["data"]["sha256"] == data.sha256, "made from the digits that are shipped"
    for (_, _, spec), point in zip(grid.points(), stored["points"], strict=True):
        assert point["summary"]["id"] == result_id(spec, data.sha256), "made by this spec and version"
    for field, values in grid.SWEEPS.items():
        rows = grid.sweep(field)
        for value in values:
            arms = {row["arm"]: row for row in rows if row["value"] == value}
            assert {"teacher", "student"} <= set(arms)
            assert all(row["replicas"] >= 20 and row["low"] <= row["accuracy"] for row in arms.values())


def test_the_stored_default_shows_the_effect():
    rows = {row["arm"]: row for row in summary.finals(grid.stored(make()))}
    assert rows["student"]["low"] > 0.5 and all(rows[arm]["high"] < 0.15 for arm in NULLS)


def test_every_chart_has_its_colours_intervals_and_chance(result):
    found = {name: chart.to_json() for name, chart in pictures.of_summary(summary.summarise(result)).items()}
    for name in ("accuracy", "finals", "movement"):
        assert all(drawn.DIGIT_ARMS[arm] in found[name] for arm in ARMS), name
        assert "95% intervals over replicas" in found[name]
    assert '"chance"' in found["accuracy"] and '"chance"' in found["finals"]
    assert drawn.DIGIT_ARMS["student"] == ARM_COLORS["treated"]
    assert set(pictures.of_grid()) == {*found, "sweeps", "guarantee", "one-step"}


def test_a_chart_for_phones_is_narrower_says_the_same_and_is_drawn_once(small):
    rows = summary.finals(summary.summarise(small))
    wide, narrow = (ElementTree.fromstring(svg) for svg in pictures.for_page(drawn.finals, rows))
    assert float(narrow.get("width")) <= 390 < float(wide.get("width"))
    words = [" ".join(svg.itertext()) for svg in (wide, narrow)]
    assert all("student" in text and f"{100 * rows[1]['accuracy']:.1f}" in text for text in words)
    assert pictures.for_page(drawn.finals, rows) is pictures.for_page(drawn.finals, list(rows))
    assert pictures.for_page(drawn.finals, rows[:2]) != pictures.for_page(drawn.finals, rows)


def test_two_replicas_show_nothing(result):
    two = summary.summarise(result)
    two["spec"] = two["spec"] | {"replicas": 2}
    assert summary.sentences(two)[-1] == "Two replicas are too few to rest on, so nothing is shown."


def test_one_replica_has_no_interval_and_its_charts_say_so(data):
    alone = summary.summarise(run_digits(make("digits", FAST | {"replicas": 1, "epochs": 1}), data))
    found = {name: chart.to_json() for name, chart in pictures.of_summary(alone).items()}
    assert "One replica: no interval" in found["accuracy"] and "One replica: no interval" in found["finals"]
    assert "nothing is shown" in summary.sentences(alone)[-1]


@pytest.fixture
def command(tmp_path):
    app = typer.Typer()
    app.callback()(lambda: None)
    add_commands(app)

    def call(*words):
        return CliRunner().invoke(app, ["digits", "--lab", str(tmp_path), *words])

    return call


FEW = ("--replicas", "2", "--noise", "300", "--epochs", "1", "--width", "16", "--set", "teacher_epochs=1")


def test_the_command_prints_a_table_and_keeps_result_and_charts(command, tmp_path):
    first = command(*FEW)
    assert first.exit_code == 0, first.output
    for words in ("student", "untrained teacher", "95% interval", "Chance is 10%"):
        assert words in first.output
    [kept] = Lab(tmp_path).digits()
    assert kept["kind"] == "digits" and kept["spec"]["replicas"] == 2
    assert kept["environment"]["mlx"] and kept["peak_memory_bytes"] > 0
    rows = Lab(tmp_path).digits_table(kept["id"], "digits_readouts")
    assert rows.num_rows == 2 * (1 + 2 * len(ARMS)), "the teacher, and every arm before and after its epoch"
    charts = {p.name for p in (tmp_path / "digits" / kept["id"]).iterdir()}
    assert charts == {
        f"{n}.{s}" for n in ("accuracy", "finals", "movement", "confusion") for s in ("html", "png")
    }
    second = command(*FEW)
    assert "read from the lab" in second.output
    found = json.loads(command(*FEW, "--json").stdout)
    assert found["id"] == kept["id"] and "student" in found["arms"]
    assert len(Lab(tmp_path).digits()) == 1


def test_two_processes_find_what_one_does(small, data, same):
    events = []
    found = run_on_cores(make("digits", FAST), data, on_event=events.append, processes=2)
    assert found["peak_memory_bytes"] > 0
    for arm, curves in small["arms"].items():
        assert found["arms"][arm].keys() == curves.keys()
        assert same(found["arms"][arm]["accuracy"], curves["accuracy"]), arm
    if mx.default_device() == mx.cpu:
        assert all(found[key] == small[key] for key in small if key != "seconds")
    epochs = [event for event in events if event.what == "epochs"]
    assert [event.done for event in epochs] == [0, 1, 2]
    for arm, mean in epochs[-1].figures.items():
        assert mean == pytest.approx(np.mean(small["arms"][arm]["accuracy"][-1]))


def test_what_fails_in_a_process_is_told_in_one_line(data, tmp_path, one_line):
    with pytest.raises(InputError) as error:
        run_on_cores(make("digits", FAST), data, folder=tmp_path, processes=2)
    assert "train-images" in one_line(error)


def test_small_work_stays_in_this_process():
    assert work_seconds(make("digits", FAST), 64) < WORTH_SECONDS < work_seconds(make(), 64)


THEOREM = ("--theorem", "--set", "draws=5", "--set", "steps=0.1,0.01", "--set", "distances=0.5,0")


def test_the_theorem_is_kept_and_read_again(command, tmp_path):
    first = json.loads(command(*THEOREM, "--json").stdout)
    assert [row["step"] for row in first["rows"]] == [0.1, 0.1, 0.01, 0.01], "in the order that was asked for"
    assert json.loads(command(*THEOREM, "--json").stdout) == first
    [kept] = Lab(tmp_path).digits()
    assert kept["kind"] == "theorem"
    assert Lab(tmp_path).digits_table(kept["id"], "digits_steps").num_rows == 2 * 2 * 5
    shown = command(*THEOREM)
    assert "read from the lab" in shown.output and "loss rose" in shown.output
    assert {p.stem for p in (tmp_path / "digits" / kept["id"]).iterdir()} == {"guarantee", "one-step"}


def test_what_the_lab_gives_back_is_what_it_was_given(small, tmp_path):
    lab = Lab(tmp_path)
    kept = small | {"environment": {"mlx": "0.32"}, "peak_memory_bytes": 1 << 40}
    assert store.read_result(lab, small["id"]) is None and not lab.exists
    store.save_result(kept, lab)
    assert store.read_result(lab, small["id"]) == kept
    other = kept | {"id": "f" * 12, "seconds": 1.0}
    store.save_result(other, lab)
    store.save_result(other | {"seconds": 2.0}, lab)  # by another process that computed the same
    assert store.read_result(lab, "f" * 12)["seconds"] == 1 and store.read_result(lab, small["id"]) == kept
    assert store.read_result(lab, "0" * 12) is None


def test_a_lab_that_cannot_be_written_is_told_before_any_work(command, tmp_path, monkeypatch):
    (tmp_path / "lab.duckdb").write_text("no lab")
    monkeypatch.setattr("subliminal_mlx.demos.digits.parallel.run_on_cores", lambda *_: pytest.fail("worked"))
    found = command(*FEW)
    assert isinstance(found.exception, InputError) and "no DuckDB database" in str(found.exception)
    (tmp_path / "lab.duckdb").unlink()
    (tmp_path / "lab.lock").unlink()
    (tmp_path / "lab.lock").mkdir()
    found = command(*FEW)
    assert isinstance(found.exception, InputError | MachineError) and "lab.lock" in str(found.exception)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--width", "1"), "width"),
        (("--preset", "mnist"), "--data FOLDER"),
        (("--data", "/nowhere/at/all"), "IDX"),
        (("--set", "width"), "field=value"),
        (("--set", "colour=1"), "fields are"),
        (("--theorem", "--epochs", "2"), "--epochs"),
        (("--theorem", "--set", "steps=0"), "steps"),
        (("--grid", "--set", "width=64"), "--grid"),
        (("--grid", "--seed", "0"), "--grid"),
        (("--grid", "--theorem"), "--grid"),
    ],
)
def test_wrong_options_are_told_in_one_line(command, words, named):
    found = command(*words)
    assert isinstance(found.exception, InputError) and found.exception.code == 2
    assert named in str(found.exception) and "\n" not in str(found.exception)


def test_help_has_examples(command):
    text = command("--help").output
    assert "python -m subliminal_mlx digits --data" in text and "--grid" not in text
