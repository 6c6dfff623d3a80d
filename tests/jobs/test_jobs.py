"""The queue behind the apps, with real processes: order, kills, cancelling, forged values, two labs, several visitors."""

import json
import os
import re
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import mini
import psutil
import pytest

from subliminal_mlx import jobs
from subliminal_mlx.jobs import dispatch, work
from subliminal_mlx.jobs import limits as allowed
from subliminal_mlx.jobs import line as turns
from subliminal_mlx.jobs.books import Books, open_books
from subliminal_mlx.jobs.kinds import run as runs
from subliminal_mlx.lab import Lab
from subliminal_mlx.report.public import public, shown
from subliminal_mlx.spec import Filter, Readout, Spec, Student, Teacher, defence_names
from subliminal_mlx.spec.corpus import channels
from subliminal_mlx.spec.defence_names import Defence, known, shipped
from subliminal_mlx.system import locks
from subliminal_mlx.system.errors import InputError

SMALL = """
title = "Small"
traits = ["trees/oak"]
chains = 1
arms = ["treated", "neutral"]
teacher = {rank = 2, steps = 2, batch = 2, neutral_answers = 1}
corpus = {rows = 8, numbers = [3, 3]}
hard = {rank = 2, steps = 2, batch = 2}
readout = {points = 1, answers = 0}
"""
STEADY = "hard = {rank = 2, steps = 2000, batch = 64}"
# Long enough to be watched and stopped, with a unit or two before that.
LONG = SMALL.replace("Small", "Long").replace("hard = {rank = 2, steps = 2, batch = 2}", STEADY)
ADA, BOB = "a" * 32, "b" * 32


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    return mini.finished(tmp_path_factory)


@pytest.fixture
def line(tmp_path, monkeypatch):
    monkeypatch.setenv("SUBLIMINAL_LINE", str(tmp_path / "line"))
    return tmp_path / "line"


@pytest.fixture
def labs(tmp_path, line):
    """Two labs on one machine; what still runs in them afterwards is ended."""
    both = [tmp_path / "one lab", tmp_path / "other lab"]
    yield both
    for books in map(Books, both):
        end(books.dispatcher())
        for job in books.jobs("running", "cancelled", "queued"):
            end(books.alive(job.id))


def end(pid: int | None) -> None:
    with suppress(ProcessLookupError):
        if pid and pid > 0:
            os.kill(pid, signal.SIGKILL)


def until(seen, seconds: float = 240):
    """Wait until something is seen, and return it; jobs are nice, and a busy machine lets them wait."""
    latest = time.monotonic() + seconds
    while not (found := seen()):
        assert time.monotonic() < latest, "not seen in time"
        time.sleep(0.02)
    return found


def submit(lab: Path, text: str, owner: str) -> jobs.Job:
    return jobs.submit(lab, "run", {"spec": text}, owner)


def state(lab: Path, job: jobs.Job) -> str:
    return jobs.view(lab, job.id).state


def own_process(lab: Path, job: jobs.Job) -> int:
    """The pid of a job's process, once it is no longer the dispatcher that holds its lock."""
    books = Books(lab)
    return until(lambda: (pid := books.alive(job.id)) and pid != books.dispatcher() and pid)


def training(lab: Path, job: jobs.Job):
    """The job's view, once its students are being trained."""

    def seen():
        view = jobs.view(lab, job.id)
        figures = [f for unit, f in ((view.progress or {}).get("running") or {}).items() if "hard" in unit]
        return view.state == "running" and any("loss" in f for f in figures) and view

    return until(seen)


@pytest.fixture
def busy(labs, tmp_path):
    """The machine is held, as by a run in a terminal: jobs wait."""
    with turns.turn(tmp_path, "f" * 12, "a terminal's", pytest.fail):
        yield


# --- their lives ----------------------------------------------------------------------------------


def test_jobs_survive_kills_wait_in_order_and_end_by_their_owners_word(labs, line):
    lab, other = labs
    long = submit(lab, LONG, ADA)
    small = submit(lab, SMALL, BOB)
    until(lambda: turns.computing() or len(turns.waiting()) == 2)
    elsewhere = submit(other, SMALL, ADA)
    assert submit(lab, SMALL, ADA) == small, "what waits already is answered"
    view = training(lab, long)
    assert view.owner_is(ADA) and not view.owner_is(BOB) and not view.owner_is("")
    assert 0 < view.progress["fraction"] < 1 and view.progress["stages"]["teachers"]["done"] == 1
    assert [(job.title, job.state) for job in jobs.queue(lab)] == [("Long", "running"), ("Small", "queued")]
    until(lambda: len(turns.waiting()) == 2)
    assert (jobs.view(lab, small.id).position, jobs.view(other, small.id).position) == (1, 2)
    assert psutil.Process(own_process(lab, long)).nice() > psutil.Process().nice()

    # The dispatcher dies: the job does not notice, and the next one takes the others at their old places.
    books = Books(lab)
    first = books.dispatcher()
    end(first)
    until(lambda: books.dispatcher() is None)
    assert state(lab, long) == "running" and state(lab, small) == "queued" and not jobs.wake(other)
    assert jobs.wake(lab) and until(lambda: books.dispatcher() not in (None, first))
    until(lambda: len(turns.waiting()) == 2)
    assert (jobs.view(lab, small.id).position, jobs.view(other, small.id).position) == (1, 2)
    jobs.cancel(other, elsewhere.id, ADA)
    assert state(other, elsewhere) == "cancelled"

    # Both die mid-way, as when the machine goes down: it goes on where it was, before those that came later.
    committed = Lab(lab).units_done(long.id)
    killed = own_process(lab, long)
    end(books.dispatcher())
    end(killed)
    # A process that is killed gives up its two locks one after the other.
    until(lambda: not (books.dispatcher() or books.alive(long.id) or books.runs.run_holder(long.id)))
    assert state(lab, long) == "interrupted" and jobs.wake(lab)
    until(lambda: books.runs.run_holder(long.id) not in (None, killed))
    assert committed and Lab(lab).units_done(long.id) >= committed
    assert books.read(long.id).attempts == 2 and state(lab, small) == "queued"

    # Only its owner ends it; what was computed is kept.
    with pytest.raises(InputError, match="started by somebody else"):
        jobs.cancel(lab, long.id, BOB)
    jobs.cancel(lab, long.id, ADA)
    until(lambda: Lab(lab).run(long.id)["status"] == "cancelled")
    until(lambda: not books.alive(long.id))
    assert state(lab, long) == "cancelled" and Lab(lab).units_done(long.id) >= committed

    # Bob's turn: his job is killed under the eyes of its dispatcher, which tells him; he starts it once more.
    end(own_process(lab, small))
    until(lambda: state(lab, small) == "interrupted")
    assert "killed, as when memory runs out" in jobs.view(lab, small.id).message
    again = submit(lab, SMALL, BOB)
    assert again.id == small.id and again.number > elsewhere.number
    until(lambda: state(lab, again) == "done")
    assert Lab(lab).run(small.id)["status"] == "done"
    answered = submit(lab, SMALL, ADA)
    assert (answered.id, answered.state, answered.owner) == (small.id, "done", "")

    # Nothing is left: no process, no ticket, no queue.
    until(lambda: not Books(lab).dispatcher() and not Books(other).dispatcher())
    assert jobs.queue(lab) == jobs.queue(other) == [] and os.listdir(line) == ["machine"]
    assert not jobs.wake(lab)
    logs = [path.read_text() for path in [lab / "jobs" / "dispatcher.log", *(lab / "jobs").glob("*/log")]]
    assert len(logs) == 3 and "Traceback" not in "".join(logs)


def test_a_forged_job_file_is_refused_by_the_job_itself(labs):
    lab, _ = labs
    for text, told in (
        (SMALL.replace("chains = 1", "chains = 9"), "chains: at most 8 from an app, not 9"),
        (SMALL.replace("trees/oak", f"{lab}/mine.toml/oak"), "is no trait"),
        (LONG, "holds the spec of run"),
    ):
        spec, run_id = runs.checked_spec(lab, SMALL)
        with open_books(lab) as books:
            forged = books.write(jobs.Job(run_id, "run", spec.title, "queued", 0.0, ADA, {"spec": text}, 1))
        with pytest.raises(InputError, match=told):
            work._compute(Books(lab), run_id)
    # The last one by its own process, too.
    assert jobs.wake(lab) and until(lambda: state(lab, forged) == "failed")
    assert jobs.view(lab, run_id).message.endswith("start it again") and not (lab / "lab.duckdb").exists()


def test_a_job_that_is_cancelled_before_it_hears_ends_all_the_same(labs):
    lab, _ = labs
    job = submit(lab, LONG, ADA)
    own_process(lab, job)
    jobs.cancel(lab, job.id, ADA)
    until(lambda: state(lab, job) == "cancelled")
    assert not (lab / "lab.duckdb").exists()


def test_a_queue_that_cannot_be_taken_says_why(labs, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SUBLIMINAL_LINE", str(tmp_path / "file"))
    job = submit(labs[0], SMALL, ADA)
    log = labs[0] / "jobs" / "dispatcher.log"
    until(lambda: log.read_text() and not Books(labs[0]).dispatcher())
    assert state(labs[0], job) == "queued"
    message = jobs.view(labs[0], job.id).message
    assert "set SUBLIMINAL_LINE to a folder you can write to; it goes on when a page" in message
    assert str(tmp_path) not in message


def test_a_job_that_is_being_cancelled_is_not_started_beside_itself(labs):
    lab, _ = labs
    spec, run_id = runs.checked_spec(lab, LONG)
    with open_books(lab) as books:
        books.write(
            jobs.Job(run_id, "run", spec.title, "running", 0.0, ADA, {"spec": LONG}, 1, cancelled=time.time())
        )
    lock = locks.acquire(books.folder(run_id) / "lock")
    with pytest.raises(InputError, match="is being cancelled: start it again in a moment"):
        submit(lab, LONG, ADA)
    locks.release(lock)


# --- what may be queued ---------------------------------------------------------------------------


def spec_with(**fields: str) -> str:
    lines = [line for line in SMALL.strip().splitlines() if line.split(" ")[0] not in fields]
    return "\n".join([*lines, *(f"{name} = {value}" for name, value in fields.items())])


FORGED = {
    "a path as a base": (spec_with(base='"/etc"'), "base: '/etc' is not here"),
    "a path below here as a base": (spec_with(base='"data/bases/tiny-a"'), "base: .* is not here"),
    "a way out of the bases": (spec_with(base='"../bases/tiny-a"'), "base: .* is not here"),
    "a model of the hub": (spec_with(base='"mlx-community/gemma"'), "base: .* is not here"),
    "a base that is no text": (spec_with(base="7"), "base: 7 is not here"),
    "a path as another base": (
        spec_with(ablations='["foreign"]', foreign='"/etc"'),
        "foreign: '/etc' is not here",
    ),
    "a path as a family": (spec_with(traits='["/etc/passwd.toml/x"]'), "traits: .* is no trait"),
    "a path below here as a family": (
        spec_with(traits='["data/families/trees.toml/oak"]'),
        "traits: .* is no trait",
    ),
    "a path among ablations": (spec_with(ablation_traits='["../x.toml/oak"]'), "ablation_traits: .* is no"),
    "a trait that is no text": (spec_with(traits="[[1]]"), "traits: .* is no trait"),
    "code as a defence": (
        spec_with(defences='["data/mine.py"]'),
        "defences: 'data/mine.py' is none of an app's",
    ),
    "code as a defence, without a folder": (
        spec_with(defences='["mix-25", "mine.py"]'),
        "defences: 'mine.py' is",
    ),
    "code as the only defence": (spec_with(defences='"mine.py"'), "defences: 'mine.py' is none"),
    "a defence that is no text": (spec_with(defences="[{}]"), "defences: {} is none"),
    "code as a rule": (
        spec_with(filter='{rules = ["data/mine.py"]}'),
        "filter.rules: 'data/mine.py' is none of",
    ),
    "code as a rule among others": (
        spec_with(filter='{rules = ["trait-words", "../mine.py"]}'),
        "filter.rules: '../mine.py' is none of",
    ),
    "code as the only rule": (spec_with(filter='{rules = "mine.py"}'), "filter.rules: 'mine.py' is none"),
    "a rule that is no text": (spec_with(filter="{rules = [{}]}"), "filter.rules: {} is none"),
    "a filter that is no table": (spec_with(filter='"mine.py"'), "filter: "),
    "code as a channel": (
        spec_with(corpus='{channel = "data/mine.py"}'),
        "corpus.channel: 'data/mine.py' is none",
    ),
    "code as a channel by its whole path": (
        spec_with(corpus='{channel = "/etc/mine.py"}'),
        "channel: '/etc/mine.py'",
    ),
    "a channel that is no text": (spec_with(corpus="{channel = []}"), "corpus.channel: .. is none of"),
    "a path as a kept family": (
        spec_with(teacher='{keep = 0.1, keep_families = ["data/families/trees.toml"]}'),
        "teacher.keep_families: 'data/families/trees.toml' is no family",
    ),
    "a kept family that is no text": (
        spec_with(teacher="{keep = 0.1, keep_families = [1]}"),
        "keep_families: 1 is",
    ),
    "steps of removal": (spec_with(teacher="{removal = 2001}"), "teacher.removal: at most 2,000"),
    "a trait that is not there": (spec_with(traits='["trees/owl"]'), "no trait 'owl'"),
    "a family that is not there": (spec_with(traits='["rocks/granite"]'), "families are .*trees"),
    "rows": (spec_with(corpus="{rows = 20001}"), "corpus.rows: at most 20,000"),
    "steps": (spec_with(hard="{steps = 2001}"), "hard.steps: at most 2,000"),
    "steps of soft students": (spec_with(soft="{steps = 99999}"), "soft.steps: at most 2,000"),
    "steps of teachers": (spec_with(teacher="{steps = 2001}"), "teacher.steps: at most 2,000"),
    "chains": (spec_with(chains="9"), "chains: at most 8"),
    "defences": (spec_with(defences=str([f"mix-{n}" for n in range(10, 16)])), "defences: at most 5"),
    "an impossible value": (spec_with(chains="-1"), "chains: .*greater than or equal to 1"),
    "an infinite one": (spec_with(corpus="{temperature = inf}"), "corpus.temperature: "),
    "all of it together": (
        spec_with(base='"smollm2-135m"', chains="8", hard="{steps = 2000, batch = 128}"),
        "hours, at most 12 from an app",
    ),
    "defended students of it": (
        spec_with(
            base='"smollm2-135m"',
            defences='["mix-10", "mix-20", "mix-30", "re-emit"]',
            hard="{steps = 2000, batch = 32}",
        ),
        "hours, at most 12 from an app",
    ),
    "an unknown field": (spec_with(run="true"), "no such field"),
    "no TOML": ("chains = ", "not TOML"),
    "deep TOML": ("x = " + "[" * 5_000, "not TOML"),
    "long TOML": (f"title = '{'x' * 20_000}'", "over 20,000 bytes"),
    "halves of characters": ("title = '\ud800'", "title|TOML"),
    "nothing": ("", "hard, soft: at least one"),
}


@pytest.mark.parametrize(("text", "told"), FORGED.values(), ids=FORGED)
def test_a_spec_that_no_visitor_may_start_is_refused_in_one_line(text, told, labs, one_line):
    with pytest.raises(InputError, match=told) as error:
        submit(labs[0], text, ADA)
    assert str(labs[0].parent) not in one_line(error) and not labs[0].exists()


def test_every_free_text_of_a_spec_is_looked_at_here():
    """A field that is added to the spec and may name a file must not reach a job unseen: add it to `check` first."""
    text = {
        name
        for name, field in Spec.model_fields.items()
        if "str" in re.findall(r"\w+", str(field.annotation))
    }
    tables = (Teacher, *channels().values(), Filter, Student, Readout)
    inner = [
        n for t in tables for n, f in t.model_fields.items() if "str" in re.findall(r"\w+", str(f.annotation))
    ]
    assert text == {"title", "base", "foreign", "traits", "ablation_traits", "defences"}
    assert inner == ["keep_families", "rules"]


def test_too_many_traits_are_refused(tmp_path):
    many = [f"{family}/{t}" for family, t in (("animals", "owl"),)]
    assert jobs.LIMITS.traits == 32
    limits = replace(jobs.LIMITS, traits=0)
    spec, _ = runs.checked_spec(tmp_path, spec_with(traits=json.dumps(many)))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(InputError, match="traits: at most 0"):
        patch.setattr(runs, "LIMITS", limits)
        runs._sizes(spec)


def test_every_preset_may_be_started(tmp_path):
    from subliminal_mlx.spec import load_spec, presets, to_toml

    here = allowed.bases(tmp_path)
    for preset in presets():
        spec = load_spec(preset)
        if {spec.base, spec.foreign} - {None} <= set(here):
            assert runs.checked_spec(tmp_path, to_toml(spec))[0] == spec


@pytest.mark.parametrize("name", [*shipped(), "mix-7", "drop-99", "mask-1"])
def test_every_shipped_defence_may_be_started(tmp_path, name):
    text = spec_with(defences=f'["{name}"]', foreign='"tiny-b"')
    assert runs.checked_spec(tmp_path, text)[0].defences == (name,)


def test_a_defence_that_is_added_to_the_list_is_an_app_s_too(tmp_path, monkeypatch):
    asked = spec_with(defences='["blur-30", "rewrite"]')
    with pytest.raises(InputError, match=r"'blur-30' is none of an app's: mix-10, .*re-emit, other-init$"):
        runs.checked_spec(tmp_path, asked)
    monkeypatch.setattr(defence_names, "_known", {defence.name: defence for defence in known()})
    Defence("blur", "a test's", 0, list, percents=(20,))
    Defence("rewrite", "a test's", 99, list)
    assert runs.checked_spec(tmp_path, asked)[0].defences == ("blur-30", "rewrite")
    told = "app's: blur-20, mix-10, drop-25, mask-10 .any percent., re-emit, other-init, rewrite$"
    with pytest.raises(InputError, match=told):
        runs.checked_spec(tmp_path, spec_with(defences='["rewrite-10"]'))


def test_what_a_defence_looks_for_in_the_rows_counts_among_the_hours(tmp_path):
    """Suspects of the whole family are tuned for it, and every source's rows are scored by them."""
    of = lambda kind: spec_with(
        base='"smollm2-135m"',
        chains="8",
        corpus="{rows = 1000}",
        defences=str([f"{kind}-{share}" for share in (10, 20, 30, 40)]),
    )
    assert runs.checked_spec(tmp_path, of("mix"))
    with pytest.raises(InputError, match="hours, at most 12 from an app"):
        runs.checked_spec(tmp_path, of("drop"))


def test_a_full_queue_refuses_and_one_visitor_cannot_fill_it(labs, busy):
    lab, _ = labs
    number = iter(range(1_000))
    queue = lambda owner: submit(lab, spec_with(seed=str(next(number))), owner)
    mine = [queue(ADA) for _ in range(jobs.LIMITS.queue_of_one)]
    with pytest.raises(InputError, match="5 jobs of yours wait already"):
        queue(ADA)
    others = [queue(f"visitor {n // 5}") for n in range(jobs.LIMITS.queue - len(mine))]
    with pytest.raises(InputError, match="20 jobs wait already"):
        queue(BOB)
    assert jobs.queue(lab) == [*mine, *others] and not jobs.view(lab, mine[0].id).message
    until(lambda: len(turns.waiting()) == jobs.LIMITS.queue)
    assert [jobs.view(lab, job.id).position for job in (mine[0], others[-1])] == [1, 20]
    # One that is waiting already is answered, also now; one that is cancelled makes room.
    assert queue_again(lab, 0) == mine[0]
    jobs.cancel(lab, mine[0].id, ADA)
    assert queue(BOB).owner == BOB
    for job in jobs.queue(lab):
        jobs.cancel(lab, job.id, job.owner)
    until(lambda: Books(lab).dispatcher() is None)
    assert turns.waiting() == [] and not (lab / "lab.duckdb").exists()


def queue_again(lab: Path, seed: int) -> jobs.Job:
    return submit(lab, spec_with(seed=str(seed)), BOB)


def test_runs_of_terminals_stand_in_the_same_queue(labs, line):
    lab, _ = labs
    with turns.turn(lab, "f" * 12, "computes", pytest.fail):
        ticket = turns.Ticket(lab, "e" * 12, "waits")
        job = submit(lab, SMALL, ADA)
        until(lambda: len(turns.waiting()) == 2)
        found = jobs.queue(lab)
        assert [(j.title, j.state, j.owner) for j in found] == [
            ("computes", "running", ""),
            ("waits", "queued", ""),
            ("Small", "queued", ADA),
        ]
        assert jobs.view(lab, "e" * 12).state == "queued" and jobs.view(lab, "e" * 12).position == 1
        assert jobs.view(lab, job.id).position == 2
        with pytest.raises(InputError, match="neither queued nor running from this app"):
            jobs.cancel(lab, "e" * 12, "")
        jobs.cancel(lab, job.id, ADA)
        ticket.drop()
    assert jobs.view(lab, "e" * 12).state == "empty"


# --- what is seen ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "run_id", ["", "latest", "../../etc", "0123456789AB", "0123456789abc", "a/b", "..", "\0" * 12]
)
def test_a_run_id_that_is_none_is_refused_everywhere(run_id, tmp_path):
    for ask in (jobs.view, lambda lab, name: jobs.cancel(lab, name, ADA)):
        with pytest.raises(InputError, match="must be 12 characters"):
            ask(tmp_path, run_id)


def test_views_of_runs_that_no_app_started(done, tmp_path):
    seen = jobs.view(done.lab, done.run_id)
    assert seen.state == "done" and seen.job is None and seen.progress["fraction"] == pytest.approx(1)
    assert jobs.view(done.lab, "0" * 12) == jobs.View("empty", None, None, "", None)
    lab = Lab(shutil.copytree(done.lab, tmp_path / "copy"))
    with lab.run_lock(done.run_id):
        lab.write_progress(done.run_id, {"state": "running", "message": ""}, force=True)
        assert jobs.view(lab.path, done.run_id).state == "running"
    assert jobs.view(lab.path, done.run_id).state == "interrupted"
    told = f"adapter folder {lab.path}/adapters/x is gone"
    lab.write_progress(done.run_id, {"state": "failed", "message": told}, force=True)
    seen = jobs.view(lab.path, done.run_id)
    assert (seen.state, seen.message) == ("failed", seen.progress["message"])
    assert str(tmp_path) not in seen.message and seen.message.endswith("x is gone")
    # A lab that was sent without its small files: the database tells.
    shutil.rmtree(lab.path / "runs")
    assert jobs.view(lab.path, done.run_id).state == "done"
    lab.finish_run(done.run_id, "cancelled", 1.0)
    assert jobs.view(lab.path, done.run_id).state == "cancelled"


def test_files_among_jobs_that_are_none_of_ours_are_no_jobs(tmp_path):
    good = jobs.Job("a" * 12, "run", "x", "queued", 1.0, ADA, number=5)
    with open_books(tmp_path) as books:
        books.write(good)
    (tmp_path / "queue").mkdir()
    old = {"title": "", "state": "queued", "created": 0, "owner": "", "spec_toml": ""}
    new = {"kind": "run", "title": "", "state": "queued", "created": 0, "owner": ""}
    for name, change in (
        ("b" * 12, None),
        ("c" * 12, {"id": "a" * 12, "run_id": "a" * 12}),
        ("d" * 12, {"state": "dancing"}),
        ("z" * 12, {}),
        ("e" * 12, {"title": []}),
    ):
        ids = {"id": name, "run_id": name}
        (tmp_path / "jobs" / name).mkdir()
        text = "{" if change is None else json.dumps(new | ids | change)
        (tmp_path / "jobs" / name / "job.json").write_text(text)
        # The same in a lab of before, under names of their own.
        name = name.translate(str.maketrans("bcde", "1234"))
        ids = {"id": name, "run_id": name}
        text = "{" if change is None else json.dumps(old | ids | change)
        (tmp_path / "queue" / f"{name}.json").write_text(text)
    assert Books(tmp_path).jobs() == [good]


def test_a_folder_that_leads_elsewhere_is_no_job_and_one_that_cannot_be_held_stops_no_other(tmp_path):
    lab, elsewhere = tmp_path / "lab", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with open_books(lab) as books:
        for number, name in enumerate(("a" * 24, "b" * 24)):
            books.write(jobs.Job(name, "gate", "x", "queued", 1.0, ADA, number=number, is_long=False))
    os.rename(lab / "jobs" / ("a" * 24) / "job.json", elsewhere / "job.json")
    os.rmdir(lab / "jobs" / ("a" * 24))
    (lab / "jobs" / ("a" * 24)).symlink_to(elsewhere)
    assert [job.id for job in Books(lab).jobs()] == ["b" * 24]
    held = lab / "jobs" / ("b" * 24) / "lock"
    held.symlink_to(held)
    with open_books(lab) as books:
        assert dispatch._Dispatcher(books).step()
    assert (
        "its folder: " in Books(lab).read("b" * 24).message
        and state(lab, jobs.Job("b" * 24, "gate", "", "queued", 1, "")) == "failed"
    )
    assert sorted(os.listdir(elsewhere)) == ["job.json"]


def test_an_old_run_whose_family_is_gone_hides_no_base(tmp_path, monkeypatch):
    store, name = Lab(tmp_path / "lab"), "mlx-community/gemma"
    gone = spec_with(traits=f'["{tmp_path}/gone.toml/owl"]')
    for number, text in enumerate((spec_with(base=f'"{name}"'), gone)):
        store.start_run(str(number) * 12, "", text, "{}", {"machine": "this one"})
    cached = [{"name": "tiny-a", "kind": "shipped"}, {"name": name, "kind": "hub"}]
    monkeypatch.setattr(allowed, "list_bases", lambda: cached)
    assert jobs.bases(store.path) == ["tiny-a", name]


def test_what_is_said_to_strangers_holds_no_folder(tmp_path):
    home = Path.home()
    assert public(f"the lab {tmp_path} is held by pid 7", tmp_path) == "the lab the lab is held by pid 7"
    assert public(f"{tmp_path}/lab.duckdb: damaged", tmp_path) == "lab.duckdb: damaged"
    assert (
        public(f"no room in '{home}/x/y.json' (see /var/log)\n  more", tmp_path)
        == "no room in 'y.json' (see log) more"
    )
    disk = "/Volumes/My Disk/clients/acme secret/base"
    assert public(f"no '{disk}' or \"{disk}/\", but '/' and '~/my own/x'", tmp_path) == (
        "no 'base' or \"a folder\", but 'a folder' and 'x'"
    )
    # Where a name is cut, so is its closing quote.
    assert public(f"base {disk!r:.34} is not here: there are 'a/b'", tmp_path) == (
        "base 'acme sec is not here: there are 'a/b'"
    )
    for kept in ("animals/owl", "12 rows/s", "hard/treated/animals/owl/c0", "https://example.org/x"):
        assert public(kept, tmp_path) == kept


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tiny-a", "tiny-a"),
        ("mlx-community/gemma@main", "mlx-community/gemma@main"),
        ("hard/treated/animals/owl/c0", "hard/treated/animals/owl/c0"),
        ("/Volumes/My Disk/acme secret/base/", "base"),
        ("~/clients/acme/base", "base"),
        ("../clients/acme/base", "base"),
        (r"C:\Users\ada\base", "base"),
        ("/clients/acme/pets.toml/owl", "pets/owl"),
        ("/", "a folder"),
        ("~", "a folder"),
    ],
)
def test_a_name_that_is_a_path_is_shown_by_its_last_part(name, told):
    assert shown(name) == told


def test_the_books_lock_is_waited_for(tmp_path):
    (tmp_path / "jobs").mkdir()
    held = locks.acquire(tmp_path / "jobs" / "books.lock")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Exception, match="the queue is held by"):
        patch.setattr("subliminal_mlx.jobs.books.WAIT_SECONDS", 0.1)
        with open_books(tmp_path):
            pytest.fail("held")
    locks.release(held)
