"""The server's helper process: messages as they come, refusals in a line, turns, and no process left behind."""

import threading

import psutil
import pytest

from subliminal_mlx.system.errors import BusyError, InputError, MachineError
from subliminal_mlx.web.pages import background


@pytest.fixture(scope="module")
def helper():
    made = background.Background()
    yield made
    made.stop()


def test_messages_come_one_by_one(helper):
    steps = [message["point"]["step"] for message in helper.do("train", base="tiny-a", steps=2)]
    assert steps == [0, 1, 2]


def test_wrong_tasks_are_refused_and_the_process_lives_on(helper):
    list(helper.do("measure"))
    pid = helper._process.pid
    for task, values in (("train", {"base": "../x"}), ("exec", {}), ("train", {"base": "tiny-a", "x": 1})):
        with pytest.raises(InputError):
            list(helper.do(task, **values))
    found = next(helper.do("measure"))
    assert found["gflops"] > 0 and found["processes"] >= 1 and helper._process.pid == pid


def test_who_leaves_in_the_middle_leaves_nothing_for_the_next(helper):
    messages = helper.do("train", base="tiny-a", steps=3)
    next(messages)
    messages.close()
    assert "gflops" in next(helper.do("measure"))


def test_a_dead_process_is_told_and_replaced(helper):
    messages = helper.do("train", base="tiny-a")
    next(messages)
    psutil.Process(helper._process.pid).kill()
    with pytest.raises(MachineError, match="try again"):
        list(messages)
    assert helper.waiting == 0 and "gflops" in next(helper.do("measure"))


def test_visitors_take_turns_and_a_crowd_is_sent_away(helper, monkeypatch):
    monkeypatch.setattr(background, "MOST_WAITING", 2)
    first = helper.do("train", base="tiny-a", steps=2)
    next(first)
    second = []
    thread = threading.Thread(target=lambda: second.extend(helper.do("measure")))
    thread.start()
    while helper.waiting < 2:
        thread.join(0.01)
    with pytest.raises(BusyError, match="waiting"):
        next(helper.do("measure"))
    assert not second, "it waits for the first"
    list(first)
    thread.join(30)
    assert second and helper.waiting == 0
