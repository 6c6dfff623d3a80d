"""What the end-to-end tests share: a miniature experiment, the real command line, and what a lab holds.

    done = mini.finished(tmp_path_factory)              # once a session: lab, run id, what it printed
    child = mini.command("show", "latest", "--lab", done.lab)
    assert mini.contents(lab) == done.contents

Run as a program it drives faults at commits, or serves short commands: see `_faults` and `quick`.
"""

import atexit
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from subliminal_mlx.files import sha256
from subliminal_mlx.lab import Lab
from subliminal_mlx.pipeline import identify, stack_size
from subliminal_mlx.plan import Unit, plan
from subliminal_mlx.spec import Spec, parse_spec

# Every stage and every arm; trainings that are long enough for a checkpoint, which comes after 20 steps.
SPEC = """
title = "A miniature [of everything]"
traits = ["animals/owl", "animals/cat"]
chains = 1
ablations = ["shuffled", "random", "foreign", "in-context", "unfiltered"]
ablation_traits = ["animals/owl"]
foreign = "tiny-b"
teacher = {rank = 2, steps = 32, batch = 2, lr = 0.02, neutral_answers = 2}
corpus = {rows = 16, numbers = [3, 3]}
hard = {rank = 2, steps = 36, batch = 2, lr = 0.02}
soft = {rank = 2, steps = 4, batch = 2, lr = 0.02}
readout = {points = 2, answers = 1, shown_rows = 2}
"""
# Two chains, one trait, rows that the filter drops.
OTHER = """
title = "Another"
traits = ["trees/oak"]
chains = 2
arms = ["treated", "neutral"]
teacher = {rank = 2, steps = 12, batch = 2, lr = 0.05, neutral_answers = 2}
corpus = {rows = 24, decoding = "free", max_tokens = 8, temperature = 2.0}
hard = {rank = 2, steps = 6, batch = 2, lr = 0.05}
readout = {points = 2, answers = 0}
"""
PRELOADED = [
    "transformers.models.auto.tokenization_auto",
    "subliminal_mlx.pipeline",
    "subliminal_mlx.transfer",
]
PROGRAM = [sys.executable, "-m", "subliminal_mlx"]
ROOT = Path(__file__).parent.parent


def spec(text: str = SPEC, **fields: Any) -> Spec:
    """The spec of that TOML text, with fields replaced."""
    return Spec.model_validate(tomllib.loads(text) | fields)


def units(of: Spec) -> list[Unit]:
    """The units of a spec as a run has them."""
    return plan(of, stack_size(of.base))


def command(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The real command line, to its end."""
    options = {"capture_output": True, "text": True, "timeout": 120, "cwd": ROOT} | options
    return subprocess.run([*PROGRAM, *map(str, arguments)], **options)


def start(*arguments: object, python: tuple[str, ...] = (), **options: Any) -> subprocess.Popen[str]:
    """The real command line, begun; `python` are options of the interpreter's."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT} | options
    return subprocess.Popen([PROGRAM[0], *python, *PROGRAM[1:], *map(str, arguments)], **options)


def wait_until(seen: Callable[[], object], process: subprocess.Popen[str], seconds: float = 60) -> None:
    """Wait until something is seen of a process; it must not end before, nor take longer."""
    end = time.monotonic() + seconds
    while not seen():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "not seen in time"
        time.sleep(0.001)


def failure(child: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line that a failed command leaves on stderr."""
    assert child.returncode == code, (child.returncode, child.stderr)
    lines = child.stderr.splitlines()
    assert len(lines) == 1 and "Traceback" not in child.stderr, child.stderr
    assert not child.stdout
    return lines[0]


def contents(folder: Path, run_id: str) -> dict[str, Any]:
    """All that a run yielded, down to the bytes of its adapters' weights; no times."""
    lab = Lab(folder)
    tables = (lab.rows, lab.readouts, lab.metrics, lab.answers)
    return {
        **{read.__name__: read(run_id).to_pylist() for read in tables},
        "adapters": {
            slot: sha256(lab.adapter(run_id, slot) / "adapters.safetensors") for slot in lab.adapters(run_id)
        },
        "units": lab.units_done(run_id),
        "summary": lab.run(run_id)["summary"],
    }


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of the parts in which two runs' contents differ; an assertion on the whole would print it all."""
    assert one.keys() == other.keys()
    return [name for name in one if one[name] != other[name]]


@dataclass(frozen=True)
class Finished:
    """A run of SPEC that nothing interrupted, with two processes."""

    lab: Path
    run_id: str
    spec: Spec
    file: Path
    child: subprocess.CompletedProcess[str]
    contents: dict[str, Any]

    @property
    def printed(self) -> dict[str, Any]:
        return json.loads(self.child.stdout)


_finished: list[Finished] = []


def finished(tmp_path_factory: Any) -> Finished:
    """The session's finished run. Tests read it; who changes anything takes a copy of its lab."""
    if not _finished:
        folder = tmp_path_factory.mktemp("finished")
        (folder / "spec.toml").write_text(SPEC)
        lab, of = folder / "a lab", parse_spec(SPEC)
        child = command("run", folder / "spec.toml", "--lab", lab, "--json", "--processes", 2)
        assert child.returncode == 0, child.stderr
        name = identify(of)
        _finished.append(Finished(lab, name, of, folder / "spec.toml", child, contents(lab, name)))
    return _finished[0]


# --- faults at commits ----------------------------------------------------------------------------


def _faults(folders: list[str]) -> None:
    """In each lab, run SPEC until it is done, by processes of which the n-th kills itself at the n-th commit.

    In the first lab the odd ones die just before their commit and the even ones just after it, in the second
    lab the other way round. All are forked from one server that has imported the slow libraries, but not MLX.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    left = dict(enumerate(folders))
    for number in itertools.count(1):
        links = {
            parity: context.Process(target=_link, args=(folder, number, (number + parity) % 2 == 0))
            for parity, folder in left.items()
        }
        for link in links.values():
            link.start()
        for parity, link in links.items():
            link.join()
            print(json.dumps({"lab": parity, "number": number, "code": link.exitcode}), flush=True)
            if link.exitcode != -signal.SIGKILL:
                del left[parity]
        if not left:
            return


def _link(folder: str, number: int, after: bool) -> None:
    from subliminal_mlx import pipeline

    # The server that forked us forks our worker too: Python would start another one for it.
    forkserver._forkserver.ensure_running = lambda: None
    spawning = multiprocessing.get_context
    multiprocessing.get_context = lambda kind=None: spawning("forkserver" if kind == "spawn" else kind)
    commit = Lab.commit_unit

    def dying(lab: Lab, run_id: str, unit: str, **yielded: Any) -> bool:
        last = len(lab.units_done(run_id)) + 1 == number
        if last and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        stored = commit(lab, run_id, unit, **yielded)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return stored

    Lab.commit_unit = dying
    pipeline.run(parse_spec(SPEC), Lab(folder), processes=1)


# --- many short commands --------------------------------------------------------------------------


_server: list[subprocess.Popen[str]] = []


def quick(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, forked from one that has imported the program, but not MLX."""
    if not _server:
        program = [sys.executable, __file__, "commands"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        _server.append(subprocess.Popen(program, text=True, **pipes))
        atexit.register(_server[0].communicate)
    server = _server[0]
    print(json.dumps([str(cwd), *map(str, arguments)]), file=server.stdin, flush=True)
    return subprocess.CompletedProcess(*json.loads(server.stdout.readline()))


def _serve_commands() -> None:
    import huggingface_hub.constants  # noqa: F401  all that the commands import, but MLX

    import subliminal_mlx.pipeline
    import subliminal_mlx.transfer  # noqa: F401
    from subliminal_mlx.__main__ import main

    for line in sys.stdin:
        cwd, *arguments = json.loads(line)
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            if (pid := os.fork()) == 0:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                os.chdir(cwd)
                sys.argv[1:] = arguments
                main()
                sys.exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            for file in (out, err):
                file.seek(0)
            print(json.dumps([arguments, code, out.read(), err.read()]), flush=True)


if __name__ == "__main__":
    {"faults": lambda: _faults(sys.argv[2:]), "commands": _serve_commands}[sys.argv[1]]()
