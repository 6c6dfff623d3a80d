"""Processes: what they say comes back, and nobody but we ends them, but we always do."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from subliminal_mlx.system.processes import DiedError, Processes

PATIENCE = 60


def echo(pipe, greeting):
    """Greet, then say everything back."""
    pipe.send((greeting, os.environ["SUBLIMINAL_WORKER"]))
    while True:
        pipe.send(pipe.recv())


def heard(processes, **kwargs):
    found = dict(processes.receive(PATIENCE, **kwargs))
    assert found, "nothing within patience"
    return found


@pytest.fixture
def two():
    with Processes(echo, [("a",), ("b",)]) as processes:
        said = {}
        while len(said) < 2:
            said |= heard(processes, among={0, 1} - set(said))
        assert said == {0: ("a", "1"), 1: ("b", "1")}
        yield processes
    assert not any(psutil.pid_exists(process.pid) for process in processes.processes)


def test_each_is_heard_for_itself_and_interrupts_do_not_reach_it(two):
    two.pipes[1].send("x")
    assert heard(two) == {1: "x"}
    assert not list(two.receive(0)) and not list(two.receive(0, among=[0]))
    os.kill(two.processes[0].pid, signal.SIGINT)
    two.pipes[0].send("still here")
    assert heard(two) == {0: "still here"}
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, []), "we hear them"


def test_one_that_dies_is_named_with_its_code(two):
    two.processes[1].kill()
    with pytest.raises(DiedError) as error:
        list(two.receive(PATIENCE))
    assert (error.value.number, error.value.code) == (1, -signal.SIGKILL)


def test_a_parent_that_is_killed_leaves_none():
    program = (
        f"import sys, time; sys.path[:] = {[str(Path(__file__).parent), *sys.path]!r}\n"
        "from subliminal_mlx.system.processes import Processes\n"
        "from test_processes import sleeper\n"
        "if __name__ == '__main__':\n"
        "    processes = Processes(sleeper, [()])\n"
        "    next(iter(processes.receive()))\n"
        "    print(processes.processes[0].pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    child.wait(PATIENCE)


def sleeper(pipe):
    """Never looks at its pipe again."""
    import time

    pipe.send("ready")
    time.sleep(600)
