"""Progress: bars on a terminal, plain lines in a pipe, and what they say of rate and time left."""

import io
import json
import re

import mini
import pytest
from rich.console import Console

from subliminal_mlx.report.bars import LINE_SECONDS, Bars, RunBars
from subliminal_mlx.system.events import Event


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    return mini.finished(tmp_path_factory)


def progress(fraction=0.25, done=1, **others):
    return {
        "state": "running",
        "pid": 12,
        "fraction": fraction,
        "seconds": 12.3,
        "seconds_left": 3_723.0,
        "tokens_per_second": 1_234_567.8,
        "stages": {"teachers": {"done": done, "total": 2}, "students": {"done": 0, "total": 12}},
        "running": {
            "hard/c0/0": {"what": "steps", "done": 1_234, "total": 5_678, "loss": 3.14159},
            "hard/c0/1": {"what": "steps", "done": 20, "total": 5_678, "loss": 2.5},
            "hard/foreign/c0/0": {"what": "steps", "done": 1, "total": 2},
        },
        **others,
    }


def written(steps, kind=RunBars, terminal=False, width=80):
    """What bars write of a run's dictionaries, or of events."""
    bars = kind()
    bars.console = Console(file=io.StringIO(), force_terminal=terminal, width=width, _environ={})
    bars._drawn.live.console = bars.console
    with bars:
        for step in steps:
            bars(step) if kind is RunBars else bars.listen(step)
    return bars.console.file.getvalue()


def last_lines(text, count):
    """The last bars that were drawn on a terminal."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = plain.replace("\r", "\n").splitlines()
    assert "…" not in plain
    return [line.rstrip() for line in lines if line.strip()][-count:]


def test_a_pipe_gets_plain_lines():
    text = written([progress()])
    assert text == " 25%  12 s, 1,234,568 tokens/s, 1:02:03 left  teachers 1/2, students 0/12\n"


def test_a_pipe_gets_a_line_when_a_stage_ends_and_every_ten_seconds(monkeypatch):
    clock = [1_000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    bars = RunBars()
    bars.console = Console(file=io.StringIO(), width=80)
    lines = lambda: bars.console.file.getvalue().count("\n")
    bars(progress())
    for _ in range(50):
        clock[0] += LINE_SECONDS / 100
        bars(progress())
    assert lines() == 1
    bars(progress(done=2))
    assert lines() == 2
    bars(progress(done=2))
    assert lines() == 2
    clock[0] += LINE_SECONDS
    bars(progress(done=2))
    assert lines() == 3


def test_who_follows_is_told_whom_once():
    other = {"followed": True, "pid": 4321}
    text = written([other, other | progress(pid=4321), other])
    assert text.count("another process (pid 4321) does this run: following it\n") == 1
    assert text.count("\n") == 2


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_gets_bars_that_fit(width):
    last = last_lines(written([progress(), progress(0.5, 2)], terminal=True, width=width), 3)
    assert [line.split()[0] for line in last] == ["teachers", "students", "all"]
    assert max(map(len, last)) <= width
    assert "1234/5678 steps, loss 3.142" in last[1] and "0/12" in last[1]
    assert "50%" in last[2] and "12 s" in last[2]


def test_the_real_command_wrote_plain_lines(done):
    lines = done.child.stderr.splitlines()
    assert len(lines) >= 2 and "\x1b" not in done.child.stderr
    for line in lines:
        assert re.match(
            r" *\d+%  \d+ s(, [\d,]+ tokens/s)?(, [\d:]+ left)?  base read \d/1, teachers", line
        ), line
    assert lines[-1].startswith("100%") and "students 5/5, foreign students 2/2, in context 1/1" in lines[-1]
    json.loads(done.child.stdout)


@pytest.fixture
def clock(monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_events_tell_rate_and_time_left(clock):
    def events():
        yield Event("steps", 10, 140)
        clock[0] += 20
        yield Event("steps", 40, 140, {"loss": 0.3})

    # Of what was done before the first event the rate knows nothing: 30 steps in 20 s.
    lines = written(events(), Bars).splitlines()
    assert lines[1] == " 29%  20 s, 1.5/s, 1:06 left, loss 0.300  steps 40/140" and len(lines) == 2
    [bar] = last_lines(written(events(), Bars, terminal=True), 1)
    assert bar.split()[0] == "steps" and bar.endswith("40/140 20 s, 1.5/s, 1:06 left, loss 0.300")


def test_a_piece_that_begins_anew_has_a_rate_of_its_own_and_an_end_of_its_own(clock):
    def events():
        for total in (2, 4):
            yield Event("rows", 0, total)
            clock[0] += 1
            yield Event("rows", total, total)

    lines = written(events(), Bars).splitlines()
    assert lines[1:] == ["100%  1 s, 2.0/s  rows 2/2", "100%  1 s, 4.0/s  rows 4/4"]
    assert lines[0] == "  0%  0 s  rows 0/2"


def test_a_stage_is_full_when_its_units_are_committed():
    last = progress(done=2)
    last["stages"]["students"]["done"] = 11
    last["running"] = {"hard/c0/0": {"what": "steps", "done": 5, "total": 5}}
    assert "students 11/12" in written([last])
    ended = last | {"stages": last["stages"] | {"students": {"done": 12, "total": 12}}, "running": {}}
    assert [line.endswith("students 12/12") for line in written([last, ended]).splitlines()] == [False, True]
