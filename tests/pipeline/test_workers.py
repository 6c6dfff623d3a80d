"""Workers: what they say, how they fail, and that they end."""

import signal

import mini
import psutil
import pytest

from subliminal_mlx.pipeline import workers
from subliminal_mlx.pipeline.units import shard_folder
from subliminal_mlx.pipeline.workers import Workers
from subliminal_mlx.spec import to_toml
from subliminal_mlx.system.errors import InputError, MachineError
from subliminal_mlx.system.events import Event

RUN = "0123456789ab"


def test_a_worker_that_dies_is_named_with_its_unit(tmp_path):
    of = mini.spec(mini.OTHER)
    with Workers(2, tmp_path, RUN, to_toml(of)) as pool:
        unit = mini.units(of)[0]
        assert pool.idle and not pool.busy
        pool.give(unit)
        assert pool.idle and pool.busy == {unit.name}
        started = pool._pool.processes
        started[0].kill()
        with pytest.raises(MachineError, match=r"ended with code -9 in unit untrained: .*--processes 1"):
            list(pool.messages(60))
    assert [process.exitcode for process in started] == [-signal.SIGKILL, -signal.SIGTERM]
    assert not any(psutil.pid_exists(process.pid) for process in started)


def test_units_are_done_told_of_and_failures_are_one_line(tmp_path, one_line):
    """One worker: a unit that is done, done again at once, and one whose needs are not there."""
    of = mini.spec(mini.OTHER)
    units = {unit.name: unit for unit in mini.units(of)}

    def until_told(unit):
        pool.give(units[unit])
        said = []
        while not said or said[-1].what == "event":
            said += pool.messages(60)
        assert {message.unit for message in said} == {unit} and pool.idle
        return said

    with Workers(1, tmp_path, RUN, to_toml(of)) as pool:
        assert list(pool.messages(0)) == []
        told = until_told("teachers/c0/0")
        assert told[-1].what == "done" and told[-1].peak_memory_bytes > 1 << 25
        steps = [message.event.done for message in told[:-1] if message.event.what == "steps"]
        assert steps[-1] == of.teacher.steps and steps == sorted(steps)
        # A shard that stands is left as it is.
        shard = shard_folder(workers_folders(tmp_path), RUN, "teachers/c0/0")
        before = shard.stat().st_mtime_ns
        assert [message.what for message in until_told("teachers/c0/0")] == ["done"]
        assert shard.stat().st_mtime_ns == before
        failed = until_told("hard/c0/0")[-1]
        assert failed.what == "failed" and isinstance(failed.error, MachineError)
        assert "Traceback" in failed.trace and "\n" not in str(failed.error)
        # The worker goes on after that.
        assert until_told("untrained")[-1].what == "done"


def workers_folders(path):
    from subliminal_mlx.lab.folders import Folders

    return Folders(path)


def test_events_are_thinned_to_ten_a_second_and_the_last(monkeypatch):
    heard = []
    listen = workers._thinned(heard.append)
    clock = iter(range(1_000))
    monkeypatch.setattr("time.monotonic", lambda: 100 + next(clock) / 50)
    for step in range(1, 101):
        listen(Event("steps", step, 100))
    assert heard[-1].done == 100 and heard[0].done == 1
    assert 100 / 50 * 10 / 2 <= len(heard) <= 100 / 50 * 10 + 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(28, "No space left on device"), "disk is full .*free space and `resume 0123456789ab`"),
        (OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"), "disk is full"),
        (RuntimeError("[write] Unable to write 334558 bytes to file."), "disk is full"),
        (PermissionError(13, "Permission denied", "a file"), "a file: Permission denied: name a folder"),
        (FileNotFoundError(2, "No such file", "a file"), "No such file"),
        (KeyError("slot"), "a worker failed: KeyError: 'slot' .--debug"),
        (ValueError("two\nlines"), "a worker failed: ValueError"),
    ],
)
def test_what_stops_a_worker_is_told_with_its_remedy(error, expected, tmp_path):
    told = workers._as_told(error, tmp_path, RUN)
    assert isinstance(told, MachineError | InputError)
    with pytest.raises(type(told), match=expected):
        raise told
