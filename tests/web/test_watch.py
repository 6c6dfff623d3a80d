"""A run that goes on, seen from its files alone: losses at checkpoints, margins at readouts, and how it stands."""

import os
import signal

import mini
import pytest

from subliminal_mlx import jobs
from subliminal_mlx.jobs.books import open_books
from subliminal_mlx.lab import Lab
from subliminal_mlx.pipeline.run import identify
from subliminal_mlx.report import charts
from subliminal_mlx.spec import parse_spec
from subliminal_mlx.system.errors import InputError
from subliminal_mlx.web.pages import live, watch

# Two readouts of the students before their first checkpoint, and a killing after that.
SPEC = """
title = "Going on"
traits = ["animals/owl"]
chains = 1
teacher = {rank = 2, steps = 24, batch = 2, lr = 0.02, neutral_answers = 2}
corpus = {rows = 16, numbers = [3, 3]}
hard = {rank = 2, steps = 400, batch = 2, lr = 0.02}
readout = {points = 40, answers = 0}
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A lab whose only run was killed while its students trained, and what a page saw before."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "spec.toml").write_text(SPEC)
    spec, lab = parse_spec(SPEC), Lab(folder / "lab")
    name = identify(spec)
    process = mini.Forked("run", folder / "spec.toml", "--lab", lab.path, session=True)
    checkpoint = lab.run_folder(name) / "checkpoints" / "hard-c0-0" / "state.safetensors"
    # The progress file follows at most twice a second.
    told = lambda: (lab.read_progress(name) or {}).get("stages", {}).get("teachers", {}).get("done")
    mini.wait_until(lambda: checkpoint.exists() and told(), process)
    before = watch.watch(lab, name)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return lab, name, spec, before


def test_a_running_run_says_how_far_it_is(killed):
    _, name, spec, seen = killed
    assert seen.state == "running" and seen.spec == spec and not seen.ended and not seen.mine
    assert 0 < seen.fraction < 1 and seen.sentence.startswith("Running for")
    stages = {stage: (done, total) for stage, done, total, _ in seen.stages}
    assert stages["teachers"][0] == stages["teachers"][1] and stages["students"][0] < stages["students"][1]
    shown = live.stages(seen)
    assert all(stage in shown for stage in stages) and name not in shown


def test_losses_of_committed_units_and_of_the_checkpoint_are_there(killed):
    lab, name, spec, _ = killed
    rows = watch.losses(lab, name, spec).to_pylist()
    slots = {row["slot"] for row in rows}
    assert {
        "teacher/animals/owl/c0",
        "hard/treated/animals/owl/c0",
        "hard/neutral/animals/neutral/c0",
    } <= slots
    steps = [row["step"] for row in rows if row["slot"] == "hard/treated/animals/owl/c0"]
    assert steps == sorted(steps) and 20 <= steps[-1] < 400 and all(row["loss"] > 0 for row in rows)


def test_margins_rise_readout_by_readout(killed):
    lab, name, spec, _ = killed
    rows = watch.margins(lab, name, spec)
    assert {row["arm"] for row in rows} == {"treated", "neutral", "control"}
    steps = [row["step"] for row in rows if row["arm"] == "treated"]
    assert steps[:2] == [10, 20]
    drawn = watch.curves(lab, name, spec)
    assert [what for _, what in drawn] == ["losses so far", "margins so far"]
    assert "Is the trait arriving?" in drawn[1][0] and charts.ARMS["treated"] in drawn[1][0]


def test_a_killed_run_says_so_and_promises_nothing(killed):
    lab, name, _, _ = killed
    seen = watch.watch(lab, name, "somebody")
    assert seen.state == "interrupted" and "goes on from there" in seen.sentence and seen.ended


@pytest.mark.parametrize(
    ("state", "position", "message", "said"),
    [
        ("queued", 0, "", "Queued: it is next."),
        ("queued", 1, "", "Queued: 1 job of this machine goes first."),
        ("queued", 3, "", "Queued: 3 jobs of this machine go first."),
        ("running", None, "", "Running for 1:05."),
        ("failed", None, "disk is full (/home/ada/lab)", "Failed after 1:05: disk is full (lab). What was"),
        ("cancelled", None, "", "Cancelled after 1:05. What was committed is kept"),
        ("interrupted", None, "", "Interrupted after 1:05."),
        ("done", None, "", "Done in 1:05."),
    ],
)
def test_every_state_is_told_as_it_is(monkeypatch, tmp_path, state, position, message, said):
    progress = {"seconds": 65.0, "fraction": 0.5}
    view = jobs.View(state, position, progress, message, None)
    monkeypatch.setattr(jobs, "view", lambda lab, run_id: view)
    seen = watch.watch(Lab(tmp_path), "a" * 12)
    assert seen.sentence.startswith(said) and seen.state == state
    assert seen.ended == (state not in ("queued", "running"))


def test_another_jobs_id_is_no_runs_and_a_forged_record_is_none(tmp_path):
    with pytest.raises(InputError, match="must be 12 characters"):
        watch.watch(Lab(tmp_path), "a" * 24)
    with open_books(tmp_path) as books:
        books.write(jobs.Job("a" * 12, "run", "mine", "queued", 1.0, "", {"spec": 7}))
    assert watch.watch(Lab(tmp_path), "a" * 12).spec is None


def test_answers_stand_side_by_side_as_text():
    probabilities = {f"animal {i}": 0.05 for i in range(20)} | {"Owl": 0.9}
    found = [
        {"model": model, "probabilities": probabilities, "samples": {"<script>": 3, "": 1}}
        | {"context": "under the system prompt '<b>'"}
        for model in ("base", "treated student")
    ]
    html = live.answers(found)
    assert html.index("Owl") < html.index("animal 0") and html.count("<tr>") == live.SHOWN + 2
    assert "<script>" not in html and "&lt;script&gt; ×3" in html and "(nothing) ×1" in html
    assert "Asked under the system prompt &#x27;&lt;b&gt;&#x27;." in html
    assert charts.ARMS["treated"] in html and charts.ARMS["untrained"] in html
