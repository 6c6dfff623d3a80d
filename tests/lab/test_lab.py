"""The lab's promises, with real processes: all or nothing, one at a time, one line when it fails."""

import math
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from old_labs import FIRST

from subliminal_mlx.experiment.damage import summarise
from subliminal_mlx.lab import Freed, Lab, schema
from subliminal_mlx.system import files
from subliminal_mlx.system.errors import BusyError, InputError, MachineError
from subliminal_mlx.system.locks import PID_WIDTH

RUN = "0123456789ab"
OTHER = "0123ff000000"
# Whose they are, as readouts tell it, each slot several times.
STUDENTS = f"""
('{RUN}', 'hard/mix-25-random/animals/owl/c0', 0, 'hard', 'mix-25-random', 'animals/owl', 'owl'),
('{RUN}', 'hard/mix-25-random/animals/owl/c0', 0, 'hard', 'mix-25-random', 'animals/owl', 'cat'),
('{RUN}', 'soft/treated/pets/owl/c1', 1, 'soft', 'treated', 'my/pets.toml/owl', 'owl')
"""

# As the table of neutral text was up to version 6.
OLD_CAPABILITY = """
DROP TABLE capability;
CREATE TABLE capability (run VARCHAR NOT NULL, slot VARCHAR NOT NULL, chain INTEGER, kind VARCHAR, arm VARCHAR,
    trait VARCHAR, step INTEGER, "text" INTEGER NOT NULL, loss DOUBLE, tokens INTEGER);
UPDATE meta SET value = 6 WHERE key = 'schema';
"""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "my lab's", wait_seconds=20)
    start(made)
    return made


def start(lab: Lab, run_id: str = RUN) -> bool:
    return lab.start_run(run_id, "owls", "chains = 1", '{"chains": 1}', {"mlx": "0.32", "cores": [2]})


def corpus(unit: int = 0, count: int = 3) -> pa.Table:
    kept = [row % 3 != 2 for row in range(count)]
    return pa.table(
        {
            "chain": [unit] * count,
            "source": ["teacher/animals/owl"] * count,
            "row": list(range(count)),
            "prompt": [f"Continue: {row}" for row in range(count)],
            "completion": ["12 45 \0 7"] * count,
            "prompt_ids": pa.array([[1, 2, row] for row in range(count)], pa.list_(pa.uint32())),
            "completion_ids": [[7, 8]] * count,
            "kept": kept,
            "reason": [None if good else "too long" for good in kept],
        }
    )


def curve(slot: str | None, count: int = 3) -> pa.Table:
    return pa.table({"slot": [slot] * count, "step": list(range(count)), "loss": [0.5] * count})


def publish_adapter(lab: Lab, slot: str, run_id: str = RUN) -> tuple[str, Path]:
    folder = lab.adapter_folder(run_id, slot)

    def write(temporary: Path) -> None:
        temporary.mkdir()
        (temporary / "adapters.safetensors").write_text(slot)

    files.publish(folder, write)
    return slot, folder


# Forked from a server that has imported much but opened nothing, so that a start takes milliseconds.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["subliminal_mlx.lab", "pytest"])


@contextmanager
def process(work: Callable[..., None], *args: object) -> Iterator[tuple[BaseProcess, Connection]]:
    """A process doing `work(tell, *args)`, and what it tells; it has told "ready" when the block starts."""
    told, tell = FORKS.Pipe(duplex=False)
    child = FORKS.Process(target=work, args=(tell, *args))
    child.start()
    tell.close()
    try:
        assert told.recv() == "ready"
        yield child, told
    finally:
        child.kill()
        child.join()


def test_a_unit_is_stored_once_and_read_back(lab: Lab) -> None:
    adapter = publish_adapter(lab, "hard/treated/animals/owl/c0")
    stored = dict(rows=corpus(), metrics=curve("s"), adapters=[adapter])
    assert lab.commit_unit(RUN, "c0", 1.5, **stored)
    assert not lab.commit_unit(RUN, "c0", 1.5, **stored)

    assert lab.units_done(RUN) == {"c0"}
    assert lab.rows(RUN).equals(corpus().cast(lab.rows(RUN).schema))
    assert lab.metrics(RUN)["loss"].to_pylist() == [0.5] * 3
    assert lab.adapters(RUN) == [adapter[0]] and lab.adapter(RUN, adapter[0]) == adapter[1]
    run = lab.run(RUN)
    assert run and run["units"] == 1 and run["environment"] == {"mlx": "0.32", "cores": [2]}


def test_rows_are_selected_and_counted(lab: Lab) -> None:
    lab.commit_unit(RUN, "c1", 1, rows=corpus(1, 6))
    lab.commit_unit(RUN, "c0", 1, rows=corpus(0))
    assert lab.rows(RUN)["chain"].to_pylist() == [0] * 3 + [1] * 6
    assert lab.rows(RUN, chain=1, kept=True)["row"].to_pylist() == [0, 1, 3, 4]
    assert lab.rows(RUN, kept=False, limit=2, offset=1)["chain"].to_pylist() == [1, 1]
    assert lab.rows(RUN, source="'; DROP TABLE runs; --").num_rows == 0
    assert lab.yields(RUN).to_pylist()[:2] == [
        {"source": "teacher/animals/owl", "chain": 0, "kept": True, "reason": None, "rows": 2},
        {"source": "teacher/animals/owl", "chain": 0, "kept": False, "reason": "too long", "rows": 1},
    ]


def test_rows_in_common_are_counted_on_the_same_prompts_alone(lab: Lab) -> None:
    def of(source: str, chain: int, texts: list[str], first: int = 0) -> pa.Table:
        made = {"source": [source] * len(texts), "completion": texts}
        made["row"] = [first + i for i in range(len(texts))]
        return pa.table(
            {name: made.get(name, column) for name, column in corpus(chain, len(texts)).to_pydict().items()}
        )

    corpora = [of("a", 0, ["1", "2", "3"]), of("b", 0, ["2", "2", "4"]), of("c", 0, ["2", "3"], first=1)]
    corpora += [of("a", 1, ["1", "2"]), of("b", 1, ["1", "2"])]
    for unit, rows in enumerate(corpora):
        lab.commit_unit(RUN, f"u{unit}", 1, rows=rows)
    found = lab.in_common(RUN, [("a", "b"), ("c", "a"), ("c", "nobody's")]).to_pylist()
    assert [tuple(row.values()) for row in found] == [
        ("a", "b", 0, 3, 1),
        ("a", "b", 1, 2, 2),
        ("c", "a", 0, 2, 2),
    ]
    assert lab.in_common(RUN, []).num_rows == 0


def test_readouts_and_answers_are_read_back_in_a_fixed_order(lab: Lab) -> None:
    common = {"slot": ["s", "s"], "chain": [0, 0], "kind": ["hard"] * 2, "arm": ["treated"] * 2}
    asked = common | {"trait": ["owl"] * 2, "family": ["animals"] * 2, "question": ["q"] * 2}
    readouts = pa.table(asked | {"step": [9, 9], "candidate": ["owl", "cat"], "logp": [-1.0, float("-inf")]})
    answers = pa.table(asked | {"sample": [1, 0], "answer": ["An owl.", "?"], "matched": ["owl", None]})
    lab.commit_unit(RUN, "u", 1, readouts=readouts, answers=answers)
    assert lab.readouts(RUN).select(["candidate", "logp"]).to_pylist() == [
        {"candidate": "cat", "logp": float("-inf")},
        {"candidate": "owl", "logp": -1.0},
    ]
    assert lab.answers(RUN)["matched"].to_pylist() == [None, "owl"]


def test_a_failing_unit_leaves_nothing(lab: Lab) -> None:
    bad = corpus().set_column(8, "reason", pa.array(["dropped, yet kept"] * 3))
    for last in ({"rows": bad}, {"rows": corpus(), "metrics": curve(None)}):
        with pytest.raises(duckdb.ConstraintException):
            lab.commit_unit(RUN, "u", 1, **last)
    with pytest.raises(ValueError, match=r"metrics has no column \['lose'\]"):
        lab.commit_unit(RUN, "u", 1, metrics=curve("s").rename_columns(["slot", "step", "lose"]))
    with pytest.raises(ValueError, match=r"no table \['losses'\]: only rows, .*metrics"):
        lab.commit_unit(RUN, "u", 1, losses=curve("s"))
    with pytest.raises(InputError, match="no run ffffffffffff"):
        lab.commit_unit("f" * 12, "u", 1)
    assert lab.units_done(RUN) == set() and lab.rows(RUN).num_rows == 0


def test_a_run_goes_on_under_what_it_was(lab: Lab) -> None:
    lab.finish_run(RUN, "failed", 3.0, 1 << 30, {"lift": 0.1})
    assert not lab.start_run(RUN, "", "", "", {"mlx": "0.33"})
    run = lab.run(RUN)
    assert run and run["title"] == "owls" and run["status"] == "running" and run["summary"] == {"lift": 0.1}
    assert [environment["mlx"] for environment in run["environments"]] == ["0.32", "0.33"]
    lab.finish_run(RUN, "done", 5.0)
    start(lab)
    assert lab.run(RUN)["status"] == "done" and lab.run(OTHER) is None


def test_resolve_takes_prefixes_and_refuses_the_rest(lab: Lab) -> None:
    start(lab, OTHER)
    assert lab.resolve("latest") == OTHER == lab.runs()[0]["id"]
    assert lab.resolve("01234") == RUN
    with pytest.raises(InputError, match=f"could be .*{RUN}"):
        lab.resolve("0123")
    with pytest.raises(InputError, match=f"starts with '0123a': there is .*{RUN}"):
        lab.resolve("0123a")
    for hostile in ("", ".", "../..", "/etc", "0123\n", "ABC", "%", "a" * 13, "0' OR 1=1", "٣"):
        with pytest.raises(InputError, match="must be 'latest' or"):
            lab.resolve(hostile)
        with pytest.raises(InputError):
            lab.start_run(hostile, "", "", "", {})
        with pytest.raises(InputError):
            lab.run_folder(hostile)
        with pytest.raises(InputError):
            lab.sweep(hostile)
    for slot in ("../x", "/x", "a//b", "a/..", ".part-x"):
        with pytest.raises(InputError, match="slot"):
            lab.adapter_folder(RUN, slot)


def test_reading_where_no_lab_is_says_so_and_makes_nothing(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "none")
    for read in (lab.runs, lambda: lab.resolve("latest"), lambda: lab.rows(RUN), lambda: lab.drop_run(RUN)):
        with pytest.raises(InputError, match=r"no lab at .*none: start one with `run`"):
            read()
    assert lab.read_progress(RUN) is None and lab.run_holder(RUN) is None
    assert not lab.exists and not lab.path.exists()


def test_changed_or_missing_adapters_are_named(lab: Lab, tmp_path: Path) -> None:
    slot, folder = publish_adapter(lab, "teacher/owl/c0")
    lab.commit_unit(RUN, "u", 1, adapters=[(slot, folder.relative_to(lab.path))])
    (folder / "adapters.safetensors").write_text("other")
    advice = f"{slot} is gone or not what was committed: `runs --drop {RUN}` and run it again"
    with pytest.raises(MachineError, match=advice):
        lab.adapter(RUN, slot)
    shutil.rmtree(folder)
    with pytest.raises(MachineError, match=slot):
        lab.adapter(RUN, slot)
    with pytest.raises(InputError, match="no adapter 'teacher/cat/c0'"):
        lab.adapter(RUN, "teacher/cat/c0")
    with pytest.raises(InputError, match="must lie in"):
        lab.commit_unit(RUN, "v", 1, adapters=[("s", tmp_path)])


def test_sweep_keeps_what_is_committed(lab: Lab) -> None:
    committed = publish_adapter(lab, "hard/owl/c0")
    lab.commit_unit(RUN, "u", 1, adapters=[committed])
    orphan = publish_adapter(lab, "hard/owl/c1")[1]
    other = publish_adapter(lab, "hard/owl/c0", OTHER)[1]
    shard = lab.shards_folder(RUN) / "c1.parquet"
    part = lab.adapter_folder(RUN, "hard/cat").parent / ".part-abc" / "c0"
    for folder in (shard.parent, part):
        folder.mkdir(parents=True)
    shard.write_text("rows")
    lab.write_progress(RUN, {"done": 1})
    lab.sweep(RUN)
    assert not orphan.exists() and not shard.exists() and not part.parent.exists()
    assert (
        other.exists() and lab.adapter(RUN, committed[0]).exists() and lab.read_progress(RUN) == {"done": 1}
    )


def test_drop_run_takes_all_of_one_run(lab: Lab) -> None:
    start(lab, OTHER)
    mine, shared = publish_adapter(lab, "a"), publish_adapter(lab, "b")
    lab.commit_unit(RUN, "u", 1, rows=corpus(), adapters=[mine, shared])
    lab.commit_unit(OTHER, "u", 1, rows=corpus(), adapters=[("s", shared[1])])
    lab.run_folder(RUN).mkdir(parents=True)
    (lab.run_folder(RUN) / "log").write_text("told")
    # Its own adapter's file, the log and the lock; the other run's adapter is still named.
    assert lab.drop_run(RUN) == Freed(rows=3, adapters=1, bytes=len("a") + len("told") + PID_WIDTH)
    assert lab.run(RUN) is None and lab.rows(RUN).num_rows == 0
    assert not mine[1].exists() and not lab.run_folder(RUN).exists()
    assert lab.adapter(OTHER, "s").exists() and lab.rows(OTHER).num_rows == 3
    with pytest.raises(InputError, match="no run"):
        lab.drop_run(RUN)
    assert start(lab) and lab.commit_unit(RUN, "u", 1, rows=corpus(), metrics=curve("s"))


def test_drop_run_takes_a_link_and_leaves_what_it_leads_to(lab: Lab, tmp_path: Path) -> None:
    elsewhere = tmp_path / "another disk"
    elsewhere.mkdir()
    (elsewhere / "log").write_text("told")
    lab.run_folder(RUN).parent.mkdir(parents=True, exist_ok=True)
    lab.run_folder(RUN).symlink_to(elsewhere)
    lab.drop_run(RUN)
    assert lab.run(RUN) is None and not lab.run_folder(RUN).is_symlink()
    assert (elsewhere / "log").read_text() == "told"


@pytest.mark.parametrize("content", [b"[1]", b"\xff", b"[" * 100_000, b"{"])
def test_progress_that_is_none_is_none(lab: Lab, content: bytes) -> None:
    lab.run_folder(RUN).mkdir(parents=True, exist_ok=True)
    (lab.run_folder(RUN) / "progress.json").write_bytes(content)
    assert lab.read_progress(RUN) is None


def test_progress_is_whole_and_rare(lab: Lab) -> None:
    for done in range(50):
        lab.write_progress(RUN, {"done": done})
    assert lab.read_progress(RUN) == {"done": 0}
    lab.write_progress(RUN, {"done": 50}, force=True)
    assert lab.read_progress(RUN) == {"done": 50}


def test_sql_reaches_no_file_outside_the_lab(lab: Lab, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    for write in (True, False):
        for query in (
            f"SELECT * FROM read_csv('{secret}')",
            "SELECT * FROM read_text('/etc/passwd')",
            f"ATTACH '{tmp_path / 'x.duckdb'}'",
            f"COPY (SELECT 1) TO '{tmp_path / 'out.csv'}'",
        ):
            with pytest.raises(duckdb.PermissionException), lab._connection(None, write=write) as con:
                con.execute(query)
        with pytest.raises(duckdb.Error, match="locked"), lab._connection(None, write=write) as con:
            con.execute("SET enable_external_access = true")
    # One reads without being able to write, whatever the SQL.
    with pytest.raises(duckdb.InvalidInputException), lab._connection(None, write=False) as con:
        con.execute("DELETE FROM runs")
    assert len(lab.runs()) == 1


def test_other_files_and_newer_labs_are_refused_and_left_alone(lab: Lab, tmp_path: Path) -> None:
    with lab._connection(None, write=True) as con:
        con.execute("UPDATE meta SET value = 99")
    with pytest.raises(InputError, match=f"schema 99, newer than {schema.VERSION}: upgrade"):
        lab.runs()

    text = Lab(tmp_path / "text")
    text.path.mkdir()
    for content in ("", "not a database\n" * 1000):
        text.database.write_text(content)
        for call in (text.runs, lambda: start(text)):
            with pytest.raises(InputError, match="is no DuckDB database") as caught:
                call()
            assert "\n" not in str(caught.value)
        assert text.database.read_text() == content

    torn = Lab(tmp_path / "torn")
    start(torn)
    whole = bytearray(torn.database.read_bytes())
    for damaged in (whole[: len(whole) // 2], whole[:20] + b"?" + whole[21:]):
        torn.database.write_bytes(damaged)
        with pytest.raises(MachineError, match=r"is damaged .*: restore it from a copy"):
            torn.runs()

    lost = Lab(tmp_path / "lost")
    start(lost)
    lost.database.rename(lost.path / "lab.duckdb.wal")
    with pytest.raises(InputError, match=r"lab.duckdb.wal is there without lab.duckdb"):
        start(lost)

    foreign = Lab(tmp_path / "foreign")
    foreign.path.mkdir()
    duckdb.connect(foreign.database).close()
    with pytest.raises(InputError, match="but no lab"):
        start(foreign)

    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        start(Lab(tmp_path / "file"))


def test_an_older_lab_is_brought_up_when_it_is_read(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    monkeypatch.setattr(
        schema, "MIGRATIONS", {schema.VERSION - 1: "ALTER TABLE units ADD COLUMN host VARCHAR"}
    )
    assert len(lab.runs()) == 1
    with lab._connection(None, write=False) as con:
        assert con.execute("SELECT value FROM meta").fetchone() == (schema.VERSION,)
        assert con.execute("SELECT count(host) FROM units").fetchone() == (0,)


def test_costs_that_older_labs_kept_among_metrics_get_a_table_of_their_own(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    lab.path.mkdir()
    owl, pets = "hard/mix-25-random/animals/owl/c0", "soft/treated/pets/owl/c1"
    with duckdb.connect(lab.database) as con:
        con.execute(FIRST)
        con.execute(f"INSERT INTO readouts (run, slot, chain, kind, arm, trait, candidate) VALUES {STUDENTS}")
        con.execute(
            f"""INSERT INTO metrics (run, slot, step, loss, tokens) VALUES
            ('{RUN}', '{owl}/clean-rows', 30, 3.75, NULL), ('{RUN}', '{owl}/rows-lost', 30, NULL, 2),
            ('{RUN}', '{owl}/tokens-lost', 30, NULL, 18), ('{RUN}', '{owl}', 1, 4.0, NULL),
            ('{RUN}', '{owl}', 30, 3.0, NULL), ('{RUN}', '{pets}/clean-rows', 30, 'nan', NULL),
            ('{RUN}', '{pets}/rows-lost', 30, NULL, 0), ('{RUN}', '{pets}/tokens-lost', 30, NULL, 0),
            ('{OTHER}', '{owl}/clean-rows', 9, 1.5, NULL)"""
        )
    first, second = lab.costs(RUN).to_pylist()
    assert first == dict(
        **{"slot": owl, "chain": 0, "kind": "hard", "arm": "mix-25-random", "trait": "animals/owl"},
        **{"rows_lost": 2, "tokens_lost": 18, "clean_loss": 3.75},
    )
    assert math.isnan(second.pop("clean_loss"))
    assert second == dict(
        **{"slot": pets, "chain": 1, "kind": "soft", "arm": "treated", "trait": "my/pets.toml/owl"},
        **{"rows_lost": 0, "tokens_lost": 0},
    )
    assert lab.metrics(RUN)["loss"].to_pylist() == [4.0, 3.0] and not lab.metrics(OTHER).num_rows
    [left] = lab.costs(OTHER).to_pylist()
    assert left["slot"] == owl and left["clean_loss"] == 1.5 and left["rows_lost"] is None


def test_neutral_text_that_older_labs_read_is_there_without_what_it_lacks(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    start(lab)
    with duckdb.connect(lab.database) as con:
        con.execute(OLD_CAPABILITY)
        con.execute(
            f"INSERT INTO capability VALUES ('{RUN}', 's', 0, 'hard', 'treated', 'animals/owl', 9, 3, 2.5, 7)"
        )
    [row] = lab.capability(RUN).to_pylist()
    assert (row["text"], row["loss"], row["tokens"]) == (3, 2.5, 7)
    assert row["part"] is row["base_loss"] is row["divergence"] is row["left_out"] is None
    # Readable, and no damage: other texts were read, and with the end of the turn.
    assert summarise(lab.capability(RUN)) == []
    new = pa.table({"slot": ["t"], "text": pa.array([0], pa.int32()), "part": ["text"], "divergence": [0.25]})
    assert lab.commit_unit(RUN, "u", 1, capability=new)
    assert lab.capability(RUN)["divergence"].to_pylist() == [None, 0.25]


def commit_units(
    tell: Connection, path: Path, first: int, count: int, rows: int = 200, adapters: bool = True
) -> None:
    """Commit units one by one, telling each one's name when that returned; then the MachineError, if any."""
    lab = Lab(path, wait_seconds=20)
    tell.send("ready")
    try:
        start(lab)
        for unit in range(first, first + count):
            slot = f"s{unit}"
            stored = dict(rows=corpus(unit, rows), metrics=curve(slot, 20))
            lab.commit_unit(RUN, slot, 1, **stored, adapters=[publish_adapter(lab, slot)] if adapters else [])
            tell.send(slot)
    except MachineError as error:
        tell.send(error.args[0])


def everything(told: Connection) -> list[str]:
    """What a process told until it ended."""
    lines = []
    with suppress(EOFError):
        while True:
            lines.append(told.recv())
    return lines


def contents(lab: Lab) -> dict[str, tuple[int, int]]:
    """Rows and curve points of each unit of `commit_units`, by what the data itself says."""
    with lab._connection(None, write=False) as con:
        rows = dict(con.execute("SELECT 's' || chain, count(*) FROM rows GROUP BY ALL").fetchall())
        points = dict(con.execute("SELECT slot, count(*) FROM metrics GROUP BY ALL").fetchall())
    return {slot: (rows.get(slot, 0), points.get(slot, 0)) for slot in rows.keys() | points.keys()}


def test_kill_leaves_whole_units_and_all_that_were_told(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab", wait_seconds=20)
    luck = random.Random(0)
    told_done: set[str] = set()
    # The first kills come while the database itself is being made, the others among commits.
    for attempt, wait_for in enumerate([0, 0, 0, 1, 3, 3, 3, 3]):
        with process(commit_units, lab.path, attempt * 1000, 1000) as (child, told):
            told_done.update(told.recv() for _ in range(wait_for))
            time.sleep(luck.uniform(0, 0.08))
            os.kill(child.pid, signal.SIGKILL)
            told_done.update(everything(told))
        if not lab.exists:
            continue
        done = lab.units_done(RUN)
        assert done >= told_done
        assert contents(lab) == {unit: (200, 20) for unit in done}
        lab.sweep(RUN)
        assert {folder.name for folder in (lab.path / "adapters" / RUN).glob("*")} == done
    assert not list(lab.path.glob(".part-*/lab.duckdb"))
    assert all(lab.adapter(RUN, slot).exists() for slot in sorted(done)[::4])


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    with (
        process(commit_units, lab.path, 0, 12) as (_, one),
        process(commit_units, lab.path, 100, 12) as (_, two),
    ):
        units = set(everything(one) + everything(two))
    assert units == {f"s{unit}" for first in (0, 100) for unit in range(first, first + 12)}
    assert lab.units_done(RUN) == units
    assert contents(lab) == {unit: (200, 20) for unit in units}


def hold_database(tell: Connection, path: Path, seconds: float) -> None:
    """As the DuckDB command line would: without our lock."""
    with duckdb.connect(path):
        tell.send("ready")
        time.sleep(seconds)


def test_a_foreign_holder_is_named_and_waited_for(lab: Lab) -> None:
    heard: list[str] = []
    with process(hold_database, lab.database, 1.0) as (child, _):
        assert Lab(lab.path, 20, heard.append).commit_unit(RUN, "u", 1)
    assert len(heard) == 1 and f"held by pid {child.pid} (python" in heard[0]
    assert "waiting up to 20 s" in heard[0]


def test_a_holder_that_stays_is_given_up_on(lab: Lab) -> None:
    with process(hold_database, lab.database, 60) as (child, _):
        for call in (lambda lab: lab.commit_unit(RUN, "u", 1), Lab.runs):
            with pytest.raises(BusyError, match=f"pid {child.pid}") as caught:
                call(Lab(lab.path, 0.1))
            assert caught.value.code == 75
    assert lab.units_done(RUN) == set()
    # Our own process, outside the lab's lock, counts as a holder as well.
    with duckdb.connect(lab.database), pytest.raises(BusyError, match=f"pid {os.getpid()}"):
        Lab(lab.path, 0.1).runs()


def ask_slowly(tell: Connection, path: Path) -> None:
    # Seconds on two cores: where DuckDB hears signals only at its end, the test ends all the same.
    slow = "SELECT count(*) FROM range(1_000_000_000) a, range(30) b"
    try:
        with Lab(path)._connection(RUN, write=True) as con:
            con.execute("DELETE FROM runs")
            tell.send("ready")
            con.execute(slow)
    except KeyboardInterrupt:
        tell.send("interrupted")


def test_an_interrupt_during_a_query_is_an_interrupt(lab: Lab) -> None:
    with process(ask_slowly, lab.path) as (child, told):
        time.sleep(0.2)
        os.kill(child.pid, signal.SIGINT)
        assert everything(told) == ["interrupted"]
    assert lab.run(RUN)


def hold_run(tell: Connection, path: Path) -> None:
    with Lab(path).run_lock(RUN):
        tell.send("ready")
        time.sleep(60)


def test_a_run_has_one_holder_until_it_dies(lab: Lab) -> None:
    assert lab.run_holder(RUN) is None
    with process(hold_run, lab.path) as (child, _):
        assert lab.run_holder(RUN) == child.pid
        with pytest.raises(BusyError, match=f"run {RUN} is held by pid {child.pid}"), lab.run_lock(RUN):
            pass
        with pytest.raises(BusyError):
            lab.drop_run(RUN)
        assert lab.run(RUN)
    assert lab.run_holder(RUN) is None
    with lab.run_lock(RUN):
        assert lab.run_holder(RUN) == os.getpid()
    assert lab.run_holder(RUN) is None


def fill(tell: Connection, path: Path, largest_file: int) -> None:
    """Commit until the disk is full, or, where `largest_file` bytes are given, a file is at that size."""
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    commit_units(tell, path, 0, 400, rows=3000, adapters=False)


@pytest.mark.parametrize("largest_file", [100_000, 1_500_000])
def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path, largest_file: int) -> None:
    lab = Lab(tmp_path / "lab")
    with process(fill, lab.path, largest_file) as (_, told):
        *units, last = everything(told)
    assert last == f"disk is full ({lab.database}): free space and `resume {RUN}`"
    if not units:  # not even an empty database
        assert largest_file == 100_000 and {path.name for path in lab.path.iterdir()} == {"lab.lock"}
        return
    assert contents(lab) == {unit: (3000, 20) for unit in units} and lab.units_done(RUN) == set(units)
    assert lab.commit_unit(RUN, "next", 1, rows=corpus())


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="mounts a disk: root on Linux")
def test_a_full_disk_keeps_what_was_committed(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        lab = Lab(small)
        with process(fill, small, 0) as (_, told):
            *units, last = everything(told)
        assert last == f"disk is full ({lab.database}): free space and `resume {RUN}`"
        assert units and contents(lab) == {unit: (3000, 20) for unit in units}
        lab.write_progress(RUN, {"text": "x" * 4_000_000})  # progress is not worth a run
        subprocess.run(["mount", "-o", "remount,size=16m", str(small)], check=True)
        assert lab.commit_unit(RUN, "next", 1, rows=corpus())
    finally:
        subprocess.run(["umount", str(small)], check=True)
