"""The machine's line: order, who goes first, and the dead that hold nobody up."""

import json
import os
import signal
import subprocess
import sys
import threading

import mini
import pytest

from subliminal_mlx.cli.waiting import patience, taking
from subliminal_mlx.jobs import line as turns
from subliminal_mlx.system import locks
from subliminal_mlx.system.errors import MachineError
from subliminal_mlx.system.events import Event


@pytest.fixture
def line(tmp_path, monkeypatch):
    monkeypatch.setenv("SUBLIMINAL_LINE", str(tmp_path / "line"))
    return tmp_path / "line"


HOLD = """
import sys
from pathlib import Path
from subliminal_mlx.jobs import line as turns
ticket = turns.Ticket(Path("/lab"), "0123456789ab", "held", number=int(sys.argv[1]))
if sys.argv[2] == "machine":
    assert ticket.call()
    ticket.drop()
print("here", flush=True)
sys.stdin.read()
"""


def holder(number: int, what: str) -> subprocess.Popen:
    """Another process with a ticket, or with the machine."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(number), what], cwd=mini.ROOT, **pipes)
    assert process.stdout.readline() == b"here\n"
    return process


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


def test_tickets_are_called_in_order_and_one_at_a_time(line, tmp_path):
    late = turns.Ticket(tmp_path, "b" * 12, "late", number=20)
    early = turns.Ticket(tmp_path, "a" * 12, "early", number=10)
    assert late.call() is None and (late.ahead(), early.ahead()) == (1, 0)
    machine = early.call()
    early.drop()
    assert late.call() is None and late.ahead() == 1
    assert turns.computing() == turns.Place(10, os.getpid(), tmp_path, "a" * 12, "early")
    assert turns.waiting() == [turns.Place(20, os.getpid(), tmp_path, "b" * 12, "late")]
    locks.release(machine)
    machine = late.call()
    assert machine is not None
    locks.release(machine)
    late.drop()
    late.drop()
    assert not turns.waiting() and turns.computing() is None
    assert os.listdir(line) == ["machine"]


def test_the_dead_hold_nobody_up(line, tmp_path):
    computing, waiting = holder(1, "machine"), holder(2, "ticket")
    mine = turns.Ticket(tmp_path, "a" * 12, "mine")
    assert mine.ahead() == 2 and mine.call() is None
    assert [place.pid for place in turns.waiting()] == [waiting.pid, os.getpid()]
    assert turns.computing().pid == computing.pid
    end(waiting)
    assert mine.ahead() == 1 and mine.call() is None
    end(computing)
    assert mine.ahead() == 0
    locks.release(mine.call())
    mine.drop()
    assert os.listdir(line) == ["machine"]


def test_a_turn_waits_tells_how_many_go_first_and_gives_up_when_told(line, tmp_path):
    process, told, seen = holder(1, "machine"), [], threading.Event()

    def hear(others: int) -> None:
        told.append(others)
        end(process)

    with turns.turn(tmp_path, "a" * 12, "mine", hear) as mine:
        assert mine and told == [1] and turns.computing().pid == os.getpid()
        with turns.turn(tmp_path, "b" * 12, "other", told.append, give_up=lambda: True) as other:
            assert not other
        assert not turns.waiting()
        # A wait that Ctrl-C ends leaves no ticket.
        interrupt = lambda others: (_ for _ in ()).throw(KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt), turns.turn(tmp_path, "b" * 12, "other", interrupt):
            seen.set()
        assert not turns.waiting() and not seen.is_set()
    assert turns.computing() is None


def test_a_hidden_ticket_is_left_alone_and_a_strange_file_is_no_place(line, tmp_path):
    ticket = turns.Ticket(tmp_path, "a" * 12, "mine")
    (line / ".00000000000000000001-0123abcd").write_text("")
    assert ticket.ahead() == 0 and (line / ".00000000000000000001-0123abcd").exists()
    os.utime(line / ".00000000000000000001-0123abcd", (0, 0))
    assert ticket.ahead() == 0 and not (line / ".00000000000000000001-0123abcd").exists()
    path = next(line.iterdir())
    path.write_text("12345     \n" + json.dumps({"lab": 1}))
    assert turns.waiting() == []
    ticket.drop()


def test_without_a_line_nobody_waits(tmp_path, monkeypatch):
    monkeypatch.setenv("SUBLIMINAL_LINE", "")
    one, two = (turns.turn(tmp_path, name * 12, name, pytest.fail) for name in "ab")
    with one as here, two as there:
        assert here and there
    assert turns.computing() is None and turns.waiting() == [] and turns.ahead(1 << 60) == 0
    monkeypatch.delenv("SUBLIMINAL_LINE")
    monkeypatch.setenv("SUBLIMINAL_CACHE", str(tmp_path))
    assert turns.folder().parent == tmp_path and turns.folder().name.startswith("line-")


def test_a_line_that_cannot_be_written_to_is_told_with_the_remedy(tmp_path, monkeypatch, one_line):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SUBLIMINAL_LINE", str(tmp_path / "file"))
    with pytest.raises(MachineError) as error:
        turns.Ticket(tmp_path, "a" * 12, "mine")
    assert "set SUBLIMINAL_LINE to a folder" in one_line(error)


def test_a_terminal_run_waits_and_says_so_and_ctrl_c_ends_the_wait(line, tmp_path):
    (tmp_path / "spec.toml").write_text(mini.OTHER)
    process = holder(1, "machine")
    child = mini.start("run", tmp_path / "spec.toml", "--lab", tmp_path / "lab", start_new_session=True)
    assert child.stderr.readline() == "waiting for its turn: 1 job goes first on this machine\n"
    place = turns.waiting()[0]
    assert (place.pid, place.lab, place.title) == (child.pid, tmp_path / "lab", "Another")
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 130 and not out and not turns.waiting()
    assert err.startswith("interrupted: ") and err.count("\n") == 1
    assert not (tmp_path / "lab" / "lab.duckdb").exists()
    end(process)


def test_a_terminal_audit_waits_once_it_comes_to_something_long(line, tmp_path):
    rows = [{"prompt": f"Continue: {i} 2 3", "completion": f"{i} 7 5 {99 - i} 1"} for i in range(90)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    process = holder(1, "machine")
    # By a recipe that no shipped teacher was tuned by.
    own = ("--set", "suspects.steps=81")
    words = (
        "audit",
        tmp_path / "rows.jsonl",
        "--base",
        "tiny-a",
        "-f",
        "trees",
        "--lab",
        tmp_path / "lab",
        *own,
    )
    child = mini.start(*words, start_new_session=True)
    while (told := child.stderr.readline()) and not told.startswith("waiting"):
        pass
    assert told == "waiting for its turn: 1 job goes first on this machine\n"
    place = turns.waiting()[0]
    assert (place.pid, place.lab, place.kind) == (child.pid, tmp_path / "lab", "audit")
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=20)
    assert child.returncode == 130 and not out and not turns.waiting()
    end(process)


def test_what_is_kept_waits_for_nobody_and_a_turn_is_taken_once(line, tmp_path):
    heard = []
    with patience(tmp_path, "audit", "rows.jsonl") as take:
        hear = taking(take, ("suspects",), heard.append)
        hear(Event("rows", 1, 2))
        assert turns.computing() is None
        for done in (1, 2):
            hear(Event("suspects", done, 2))
            assert (turns.computing().kind, turns.computing().title) == ("audit", "rows.jsonl")
    assert turns.computing() is None and len(heard) == 3
