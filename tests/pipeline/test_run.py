"""Runs with real processes: killed, interrupted, starved, raced and resumed, they end as if nothing had happened."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import mini
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subliminal_mlx.experiment.readouts import readouts
from subliminal_mlx.lab import TABLES, Lab
from subliminal_mlx.pipeline import run as pipeline
from subliminal_mlx.pipeline.outcome import so_far
from subliminal_mlx.pipeline.units import shard_folder
from subliminal_mlx.report.results import write_results
from subliminal_mlx.spec.families import FOLDER as FAMILIES
from subliminal_mlx.system.errors import InputError


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    return mini.finished(tmp_path_factory)


@pytest.fixture
def copy(done, tmp_path):
    """A lab like the finished one, to be changed."""
    shutil.copytree(done.lab, tmp_path / "copy")
    return Lab(tmp_path / "copy")


def family_of(process: subprocess.Popen) -> list[psutil.Process]:
    """The processes that a command has started."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "spawn_main" in " ".join(process.cmdline())
    return False


def assert_all_ended(processes: list[psutil.Process]) -> None:
    """Nobody ends them: they must see for themselves that their parent is gone."""
    alive = psutil.wait_procs(processes, timeout=20)[1]
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


def assert_tidy(folder: Path, run_id: str) -> None:
    """The lab holds what the database names, and nothing that a kill left."""
    lab = Lab(folder)
    assert not lab.shards_folder(run_id).exists() and not list(folder.rglob(".part-*"))
    files = (folder / "adapters" / run_id).rglob("adapters.safetensors")
    assert {path.parent for path in files} == {lab.adapter(run_id, slot) for slot in lab.adapters(run_id)}


def same_but_times(printed: str, other: dict) -> None:
    times = {"seconds": None, "peak_memory_bytes": None}
    assert json.loads(printed) | times == other | times


# --- kills ----------------------------------------------------------------------------------------

Moment = Callable[[Path], object]
CHECKPOINT = "checkpoints/{}/state.safetensors"


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def begun(unit: str) -> Moment:
    """When a unit is being computed, or just was."""
    return lambda run: (run / "checkpoints" / unit).exists() or (run / "shards" / unit).exists()


def handed_in(unit: str) -> Moment:
    """When a unit is computed and, if it just was, about to be committed."""
    return lambda run: (run / "shards" / unit).exists()


def past_checkpoint(unit: str) -> Moment:
    """When a training has a checkpoint, or just had."""
    return lambda run: (run / CHECKPOINT.format(unit)).exists() or handed_in(unit)(run)


def all_committed(run: Path) -> bool:
    """When the last unit is in the database, and the summary is being made."""
    lab, units = Lab(run.parent.parent), mini.units(mini.spec())
    shards = len(list(run.glob("shards/*"))) == len(units)
    return shards and lab.units_done(run.name) == {unit.name for unit in units}


def begin(done: mini.Finished, folder: Path, forked: bool = True) -> Any:
    """The real command, or the same in a forked process, which is there at once."""
    arguments = ("run", done.file, "--lab", folder, "--json", "--processes", 1)
    return mini.Forked(*arguments) if forked else mini.start(*arguments, start_new_session=True)


def stopped_at(process: Any, run: Path, seen: Moment, send: Callable[[int], object] = kill) -> str:
    """Send a process a signal when something is seen of its run; what it left on stderr."""
    workers = []
    if isinstance(process, subprocess.Popen):
        mini.wait_until(lambda: any(map(is_worker, family_of(process))), process, every=0.05)
        workers = family_of(process)
    mini.wait_until(lambda: seen(run), process)
    send(process.pid)
    out, err = process.communicate(timeout=20)
    assert not out
    assert_all_ended(workers)
    return err


def killed_past_checkpoint(done: mini.Finished, folder: Path, unit: str, forked: bool) -> None:
    """Kill a run whose training will have to go on from a checkpoint."""
    run, before = folder / "runs" / done.run_id, folder.with_name(f"{folder.name} before {unit}")
    if folder.exists():
        shutil.copytree(folder, before)
    for _ in range(10):
        stopped_at(begin(done, folder, forked), run, past_checkpoint(unit))
        if (run / CHECKPOINT.format(unit)).exists() and not handed_in(unit)(run):
            return
        # On a busy machine the training may end before we see its checkpoint: once more.
        shutil.rmtree(folder)
        if before.exists():
            shutil.copytree(before, folder)
    pytest.fail(f"never killed {unit} between a checkpoint and its end")


def test_every_column_of_the_tables_is_written(done):
    unwritten = {
        (table, column)
        for table, columns in TABLES.items()
        for column in columns
        if all(row[column] is None for row in done.contents[table])
    }
    # No row of it is dropped, no neutral text left out, nobody defended, and no token comes often enough to lean.
    none = {(table, column) for table in ("costs", "entanglement") for column in TABLES[table]}
    assert unwritten == {("rows", "reason"), ("capability", "left_out")} | none


def test_killed_at_any_stage_a_run_goes_on_to_the_same_end(done, tmp_path):
    """Five kills and a Ctrl-C in two labs at once; their runs have one process, the one they must equal two."""
    luck = random.Random(1)
    hard = f"hard-c0-{luck.randrange(3)}"
    drawn = luck.choice([f"corpora-{where}" for where in ("c0-0", "foreign-c0-0", "c0-base", "again-c0-0")])
    late = luck.choice(["hard-foreign-c0-0", "soft-c0-0", "soft-foreign-c0-0"])

    def first(folder: Path) -> None:
        killed_past_checkpoint(done, folder, "teachers-c0-0", forked=False)
        # Ctrl-C in a terminal reaches parent and workers alike.
        interrupt = lambda pid: os.killpg(pid, signal.SIGINT)
        run = folder / "runs" / done.run_id
        err = stopped_at(begin(done, folder, forked=False), run, handed_in("hard-c0-1"), interrupt)
        assert err.splitlines()[-1].startswith("interrupted: ") and "Traceback" not in err
        assert Lab(folder).read_progress(done.run_id)["state"] == "interrupted"

    def second(folder: Path) -> None:
        run = folder / "runs" / done.run_id
        stopped_at(begin(done, folder), run, begun(drawn))
        killed_past_checkpoint(done, folder, hard, forked=True)
        stopped_at(begin(done, folder), run, handed_in(late))
        stopped_at(begin(done, folder), run, all_committed)

    def finish(folder: Path) -> None:
        child = mini.quick("resume", done.run_id[:5], "--lab", folder, "--json", "--processes", 1)
        assert child.returncode == 0, child.stderr
        same_but_times(child.stdout, done.printed)
        assert not mini.differing(mini.contents(folder, done.run_id), done.contents)
        assert_tidy(folder, done.run_id)

    with ThreadPoolExecutor(2) as pool:
        labs = [tmp_path / "first", tmp_path / "second"]
        list(pool.map(lambda play, lab: play(lab), (first, second), labs))
        list(pool.map(finish, labs))


def test_a_teacher_that_keeps_lists_goes_on_from_its_checkpoint(done, tmp_path):
    """What it keeps is drawn from the base once more, and is the same."""
    killed_past_checkpoint(done, tmp_path / "lab", "teachers-kept-lists-c0-0", forked=True)
    child = mini.quick("resume", done.run_id, "--lab", tmp_path / "lab", "--json", "--processes", 1)
    assert child.returncode == 0, child.stderr
    assert not mini.differing(mini.contents(tmp_path / "lab", done.run_id), done.contents)


def test_a_fault_at_any_commit_changes_nothing(done, tmp_path):
    """One parent after the other dies at the next unit's commit: before it in one lab, after it in the other."""
    labs = [tmp_path / "odd", tmp_path / "even"]
    for number in range(1, len(mini.units(done.spec)) + 2):
        arguments = ("--json", "--processes", 1)
        children = [
            mini.Forked("run", done.file, "--lab", lab, *arguments, dies_at=(number, (number + odd) % 2 == 0))
            for odd, lab in enumerate(labs)
        ]
        printed = [child.communicate()[0] for child in children]
        codes = [child.returncode for child in children]
        assert codes == [-signal.SIGKILL] * 2 if number <= len(mini.units(done.spec)) else [0] * 2
    for lab, out in zip(labs, printed, strict=True):
        same_but_times(out, done.printed)
        assert not mini.differing(mini.contents(lab, done.run_id), done.contents)
        assert_tidy(lab, done.run_id)


def test_what_an_older_version_published_and_never_committed_is_computed_again(done, tmp_path):
    """Its tables had other columns: a defence's costs, among the losses."""
    lab = Lab(tmp_path / "lab")
    shard = shard_folder(lab, done.run_id, "untrained")
    shard.mkdir(parents=True)
    old = pa.table({"slot": ["base"], "step": [0], "loss": [0.5], "tokens": [3]})
    pq.write_table(old, shard / "metrics.parquet")
    child = mini.quick("run", done.file, "--lab", lab.path, "--json")
    assert child.returncode == 0, child.stderr
    assert not mini.differing(mini.contents(lab.path, done.run_id), done.contents)


def test_the_finished_chains_of_an_unfinished_run_are_an_experiment_of_their_own(tmp_path):
    """Killed before the first commit of its second chain, a run of two says what a run of one says, but for what is
    read of all chains' rows together once they are there."""
    of_rows = {name for name, readout in readouts().items() if readout.of_rows}
    models = lambda summary: {key: value for key, value in summary.items() if key not in of_rows}
    two, one = mini.spec(mini.OTHER), mini.spec(mini.OTHER, chains=1)
    for of in (two, one):
        (tmp_path / f"{of.chains}.toml").write_text(pipeline.to_toml(of))
    number = sum(unit.chain == 0 for unit in mini.units(two)) + 1
    options = ("--lab", tmp_path / "two", "--json", "--processes", 1)
    child = mini.Forked("run", tmp_path / "2.toml", *options, dies_at=(number, False))
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    alone = pipeline.run(one, Lab(tmp_path / "one"), processes=1)
    *done, summary = so_far(Lab(tmp_path / "two"), pipeline.identify(two))
    assert done == [1, 2] and models(summary) == models(alone.summary)
    assert any(alone.summary.get(name) for name in of_rows) and not any(summary.get(name) for name in of_rows)
    assert so_far(Lab(tmp_path / "one"), alone.run_id)[:2] == (1, 1)
    with pytest.raises(InputError, match="not done"):
        write_results(Lab(tmp_path / "two"), pipeline.identify(two), tmp_path / "results")
    written = {}
    for name, of in (("two", two), ("one", one)):
        write_results(
            Lab(tmp_path / name), pipeline.identify(of), tmp_path / name / "results", unfinished=True
        )
        written[name] = json.loads((tmp_path / name / "results" / "summary.json").read_text())
    assert written["two"]["chains_done"] == 1 and "chains_done" not in written["one"]
    assert models(written["two"]["summary"]) == models(written["one"]["summary"])
    assert written["two"]["yields"] == written["one"]["yields"]


@pytest.mark.soak
def test_twenty_random_kills_change_nothing(tmp_path):
    """A larger run, killed at random moments of its life, ends like one that nobody touched."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    luck = random.Random(seed)
    file = tmp_path / "soak.toml"
    larger = {"chains": 2, "readout": {"points": 4, "answers": 2}}
    of = mini.spec(**larger, hard={"rank": 4, "steps": 90, "batch": 4, "lr": 0.02})
    file.write_text(pipeline.to_toml(of))
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    begun = time.monotonic()
    child = mini.command("run", file, "--lab", whole, "--json", "--processes", 2, timeout=600)
    assert child.returncode == 0, child.stderr
    life = time.monotonic() - begun
    run_id, kills = pipeline.identify(of), 0
    for _ in range(20):
        process = mini.start("run", file, "--lab", torn, "--json", "--processes", 2)
        moment = luck.uniform(0, life / 2)
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        workers = family_of(process)
        process.kill()
        process.communicate()
        assert_all_ended(workers)
        kills += process.returncode == -signal.SIGKILL
        committed = len(Lab(torn).units_done(run_id)) if Lab(torn).exists else 0
        print(f"after {moment:.2f} s: {committed} units, code {process.returncode}", flush=True)
        if process.returncode == 0:
            assert not mini.differing(mini.contents(torn, run_id), mini.contents(whole, run_id))
            # Done early: the next kills find a lab that is done, or a fresh one.
            shutil.rmtree(torn)
    child = mini.command("run", file, "--lab", torn, "--json", "--processes", 2, timeout=600)
    assert child.returncode == 0, child.stderr
    assert kills >= 10
    assert not mini.differing(mini.contents(torn, run_id), mini.contents(whole, run_id))
    assert_tidy(torn, run_id)


def test_ctrl_c_while_workers_start_is_one_line(done, tmp_path):
    """Also from a worker that has not come to its first line."""
    process = mini.start("run", done.file, "--lab", tmp_path / "lab", start_new_session=True)
    mini.wait_until(lambda: any(map(is_worker, family_of(process))), process, every=0.02)
    workers = family_of(process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and not out
    assert len(err.splitlines()) <= 2 and err.splitlines()[-1].startswith("interrupted: "), err
    assert_all_ended(workers)


# --- several at once ------------------------------------------------------------------------------


def test_runs_at_once_lose_nothing_and_the_second_of_one_spec_follows(done, tmp_path):
    lab, other = tmp_path / "lab", tmp_path / "other.toml"
    other.write_text(mini.OTHER)
    one = mini.Forked("run", done.file, "--lab", lab, "--json", "--processes", 1)
    mini.wait_until(lambda: Lab(lab).run_holder(done.run_id) == one.pid, one)
    two = mini.Forked("run", other, "--lab", lab, "--json", "--processes", 1)
    three = mini.Forked("run", done.file, "--lab", lab, "--json", "--processes", 1)
    (out, err), (out_other, err_other), (out_followed, err_followed) = (
        process.communicate(timeout=120) for process in (one, two, three)
    )
    assert (one.returncode, two.returncode, three.returncode) == (0, 0, 0), (err, err_other, err_followed)
    assert f"another process (pid {one.pid}) does this run: following it" in err_followed
    assert "follow" not in err + err_other
    assert out == out_followed
    # Had the third computed a unit, it would have said how far it is.
    assert Lab(lab).read_progress(done.run_id)["pid"] == one.pid
    # One process here, two there.
    same_but_times(out, done.printed)
    assert not mini.differing(mini.contents(lab, done.run_id), done.contents)
    assert_tidy(lab, done.run_id)

    oak = json.loads(out_other)
    assert Lab(lab).units_done(oak["run"]) == {unit.name for unit in mini.units(mini.spec(mini.OTHER))}
    arms = oak["traits"][0]["arms"]
    assert set(arms) == {"treated", "neutral", "untrained", "teacher"}
    assert arms["treated"]["chains"] == 2 and arms["treated"]["low"] < arms["treated"]["high"]
    rows = Lab(lab).rows(oak["run"])
    assert rows.num_rows == 2 * 2 * 24 and set(rows["kept"].to_pylist()) == {True, False}


def test_a_run_that_somebody_holds_is_followed_and_not_computed(done, copy):
    summary = copy.run(done.run_id)["summary"]
    copy.finish_run(done.run_id, "running", 1.0)
    with copy.run_lock(done.run_id):
        process = mini.Forked("run", done.file, "--lab", copy.path, "--json")
        said = f"another process (pid {os.getpid()}) does this run: following it"
        mini.wait_until(lambda: said in process.read()[1], process)
        assert process.poll() is None
        copy.finish_run(done.run_id, "done", 9.0, 1, summary)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert json.loads(out) == done.printed | {"seconds": 9.0, "peak_memory_bytes": 1}
    assert not mini.differing(mini.contents(copy.path, done.run_id), done.contents)


def test_a_run_whose_holder_dies_is_taken_over(done, copy):
    copy.finish_run(done.run_id, "running", 1.0)
    stand_shards(copy, done)
    holder = (
        "import sys; from subliminal_mlx.lab import Lab\n"
        f"with Lab({str(copy.path)!r}).run_lock({done.run_id!r}): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=mini.ROOT
    ) as process:
        assert process.stdout.readline() == b"held\n"
        heard = []

        def hear(progress: dict) -> None:
            if not heard:
                process.kill()
            heard.append(progress)

        outcome = pipeline.run(done.spec, copy, on_progress=hear)
    assert heard[0]["followed"] and outcome.how == "computed"
    assert not mini.differing(mini.contents(copy.path, done.run_id), done.contents)


class Stale(Lab):
    """A lab whose first look at the run comes just before another process finishes it."""

    looked = False

    def run(self, run_id):
        found = super().run(run_id)
        if not self.looked:
            self.looked = True
            return found | {"status": "running"}
        return found


def test_a_run_finished_between_look_and_lock_is_not_computed_again(done, copy):
    heard = []
    outcome = pipeline.run(done.spec, Stale(copy.path), on_progress=heard.append)
    assert not heard and outcome.how == "answered" and outcome.summary == done.contents["summary"]


def test_what_a_kill_after_the_end_left_is_swept(done, copy):
    stand_shards(copy, done)
    assert pipeline.run(done.spec, copy).how == "answered"
    assert_tidy(copy.path, done.run_id)
    stand_shards(copy, done)
    # Not while somebody still does so.
    with copy.run_lock(done.run_id):
        assert pipeline.run(done.spec, copy).how == "answered"
        assert copy.shards_folder(done.run_id).exists()


def test_a_foreign_holder_of_the_database_is_named_and_waited_for(done):
    hold = f"import duckdb, sys\ncon = duckdb.connect({str(done.lab / 'lab.duckdb')!r})\nprint('held', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        process = mini.Forked("run", done.file, "--lab", done.lab, "--json")
        said = f"held by pid {holder.pid} (python"
        mini.wait_until(lambda: said in process.read()[1], process)
        holder.stdin.close()
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0 and err.count("\n") == 1 and "waiting up to 60 s" in err
    assert json.loads(out) == done.printed


# --- no room, other versions ----------------------------------------------------------------------


@pytest.fixture
def narrow(tmp_path):
    """A lab's folder on a file system of its own with little room, where one can be made."""
    folder = tmp_path / "narrow"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
    root = sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mount")
    mounted = root and subprocess.run(mount, capture_output=True).returncode == 0
    yield folder, mounted
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, left: int) -> Path:
    """A file that leaves so many bytes of the file system free."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file:
        with suppress(OSError):
            while file.write(bytes(1 << 16)):
                pass
        file.truncate(file.tell() - left)
    return filler


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(done, narrow):
    folder, mounted = narrow

    def fails(**options: object) -> None:
        child = mini.quick("run", done.file, "--lab", folder, "--json", "--processes", 1, **options)
        assert child.returncode == 1 and not child.stdout, child.stderr
        *progress, line = child.stderr.splitlines()
        assert line.startswith("error: disk is full") and f"`resume {done.run_id}`" in line, child.stderr
        assert all("%  " in line for line in progress), child.stderr

    # No room for a database; room for it, but not for all that workers hand in.
    for left in (1 << 16, 3 << 20) if mounted else ():
        filler = fill(folder, left)
        fails()
        filler.unlink()
        assert_whole(folder, done)
    if mounted:
        assert 0 < len(Lab(folder).units_done(done.run_id)) < len(mini.units(done.spec))
    # Room for workers, but none in the database: as with a quota, no file may be written past this.
    database = folder / "lab.duckdb"
    most = database.stat().st_size // 2 if database.exists() else 1 << 20
    fails(file_size=most)
    assert_whole(folder, done)

    child = mini.quick("run", done.file, "--lab", folder, "--json", "--processes", 1)
    assert child.returncode == 0, child.stderr
    assert not mini.differing(mini.contents(folder, done.run_id), done.contents)
    assert_tidy(folder, done.run_id)


def assert_whole(folder: Path, done: mini.Finished) -> None:
    """The adapters in the database are those of committed units, and unharmed."""
    lab = Lab(folder)
    if lab.exists:
        units = {unit.name: unit for unit in mini.units(done.spec)}
        slots = {slot.name for name in lab.units_done(done.run_id) for slot in units[name].trained}
        assert set(lab.adapters(done.run_id)) == slots
        assert all(lab.adapter(done.run_id, slot) for slot in slots)


def stand_shards(lab: Lab, done: mini.Finished) -> None:
    """As if the run had been killed before its sweep."""
    for unit in mini.units(done.spec):
        shard_folder(lab, done.run_id, unit.name).mkdir(parents=True)


def test_other_versions_need_force(done, copy):
    environment = copy.run(done.run_id)["environment"]
    copy.finish_run(done.run_id, "failed", 1.0)
    stand_shards(copy, done)
    arguments = (done.run_id, "", "", "")
    # Another commit of this project is no other version: RESULT_VERSION says whether results differ.
    copy.start_run(*arguments, environment | {"commit": "0123456789ab"})
    # Nor is this machine under another name, or one of the same system, device and BLAS.
    copy.start_run(*arguments, environment | {"machine": "0123abcd"})
    copy.start_run(*arguments, environment | {"numpy": "1.0"})
    with pytest.raises(InputError, match=r"was begun with numpy '1.0', this is '.*--force"):
        pipeline.run(done.spec, copy)
    assert "--force" in mini.failure(mini.quick("resume", "latest", "--lab", copy.path), 2)
    assert copy.run(done.run_id)["status"] == "running"
    assert pipeline.run(done.spec, copy, force=True).how == "computed"
    assert not mini.differing(mini.contents(copy.path, done.run_id), done.contents)
    assert {"1.0", environment["numpy"]} <= {e["numpy"] for e in copy.run(done.run_id)["environments"]}


def test_identify_tells_specs_and_files_apart(tmp_path, done):
    assert pipeline.identify(mini.spec(title="renamed")) == done.run_id
    assert pipeline.identify(mini.spec(seed=1)) != done.run_id
    family = (FAMILIES / "animals.toml").read_text()
    (tmp_path / "pets.toml").write_text(family)
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "pets.toml").write_text(family)
    own = mini.spec(mini.OTHER, traits=[f"{tmp_path}/pets.toml/owl"])
    before = pipeline.identify(own)
    (tmp_path / "pets.toml").write_text(family.replace("Owl", "Barn owl"))
    assert pipeline.identify(own) != before
    for traits in (
        [f"{tmp_path}/pets.toml/owl", f"{tmp_path}/deeper/pets.toml/owl"],
        ["animals/owl", f"{tmp_path}/animals.toml/owl"],
    ):
        (tmp_path / "animals.toml").write_text(family)
        with pytest.raises(InputError, match=r"two families are called '(pets|animals)'"):
            pipeline.identify(mini.spec(mini.OTHER, traits=traits))


def test_progress_tells_stages_rates_and_the_end(done):
    progress = Lab(done.lab).read_progress(done.run_id)
    assert progress["state"] == "done" and progress["fraction"] == pytest.approx(1)
    counts = {}
    for unit in mini.units(done.spec):
        counts[unit.stage] = counts.get(unit.stage, 0) + 1
    assert progress["stages"] == {stage: {"done": n, "total": n} for stage, n in counts.items()}
    assert progress["seconds"] > 0 and progress["tokens_per_second"] > 0 and not progress["running"]


def test_model_organisms_are_trained_six_at_a_time():
    assert pipeline.stack_size("tiny-a") == 6
