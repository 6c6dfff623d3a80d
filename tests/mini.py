"""What the end-to-end tests share: a miniature experiment, the real command line, and what a lab holds.

    done = mini.finished(tmp_path_factory)              # once a session: lab, run id, what it printed
    child = mini.command("show", "latest", "--lab", done.lab)
    assert mini.contents(lab) == done.contents

Run as a program it is the server behind `quick` and `Forked`.
"""

import atexit
import fcntl
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from subliminal_mlx.__main__ import main
from subliminal_mlx.lab import Lab
from subliminal_mlx.pipeline.run import identify, stack_size
from subliminal_mlx.spec import Spec, parse_spec
from subliminal_mlx.spec.plan import Unit, plan
from subliminal_mlx.system.files import sha256

# Every stage and every arm; trainings that are long enough for a checkpoint, which comes after 20 steps.
SPEC = """
title = "A miniature [of everything]"
traits = ["animals/owl", "animals/cat"]
chains = 1
arms = ["treated", "neutral", "control", "other-trait", "neutral-again"]
ablations = [
    "shuffled", "random", "foreign", "foreign-own", "in-context", "unfiltered", "traceless", "traceless-2", "thinned",
    "kept-lists",
]
ablation_traits = ["animals/owl"]
foreign = "tiny-b"
teacher = {rank = 2, steps = 26, batch = 2, lr = 0.02, neutral_answers = 2}
corpus = {rows = 16, numbers = [3, 3]}
hard = {rank = 2, steps = 26, batch = 2, lr = 0.02}
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
    "subliminal_mlx.pipeline.run",
    "subliminal_mlx.experiment.transfer",
    "subliminal_mlx.report.charts",
    "subliminal_mlx.report.terminal",
    "subliminal_mlx.__main__",
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


def package_copy(folder: Path) -> Path:
    """A copy of the package in that folder, to be changed; what is run there with `command` runs the copy."""
    package = folder / "subliminal_mlx"
    shutil.copytree(ROOT / "subliminal_mlx", package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "data").symlink_to(ROOT / "data")
    return package


def changed(path: Path, old: str, new: str) -> None:
    """Write `new` for `old`, which must stand there once."""
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def start(*arguments: object, python: tuple[str, ...] = (), **options: Any) -> subprocess.Popen[str]:
    """The real command line, begun; `python` are options of the interpreter's."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT} | options
    return subprocess.Popen([PROGRAM[0], *python, *PROGRAM[1:], *map(str, arguments)], **options)


def wait_until(seen: Callable[[], object], process: Any, seconds: float = 60, every: float = 0.002) -> None:
    """Wait until something is seen of a process; it must not end before, nor take longer."""
    now = asked = time.monotonic()
    end = now + seconds
    while not seen():
        # A look costs little, a question to a forked process's server more.
        if now - asked > 0.05:
            asked = now
            if process.poll() is not None:
                assert seen(), process.communicate()
                return
        assert now < end, "not seen in time"
        time.sleep(every)
        now = time.monotonic()


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
    tables = (lab.rows, lab.readouts, lab.metrics, lab.answers, lab.capability, lab.costs)
    return {
        **{read.__name__: read(run_id).to_pylist() for read in tables},
        **{name: lab.table(run_id, name).to_pylist() for name in ("giveaway", "entanglement", "leaks")},
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
        folder, of = tmp_path_factory.mktemp("finished") / "of this process", parse_spec(SPEC)
        shutil.copytree(_made_once(tmp_path_factory), folder)
        code, *texts = json.loads((folder / "child.json").read_text())
        child = subprocess.CompletedProcess([], code, *texts)
        lab, name = folder / "a lab", identify(of)
        _finished.append(Finished(lab, name, of, folder / "spec.toml", child, contents(lab, name)))
    return _finished[0]


def _made_once(tmp_path_factory: Any) -> Path:
    """A folder of the finished lab, its spec and what the command said, made by whichever process comes first."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    made = shared / "made once"
    with open(shared / "made once.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            making = Path(tempfile.mkdtemp(dir=shared))
            (making / "spec.toml").write_text(SPEC)
            arguments = (making / "spec.toml", "--lab", making / "a lab", "--json", "--processes", 2)
            child = command("run", *arguments)
            assert child.returncode == 0, child.stderr
            told = json.dumps([child.returncode, child.stdout, child.stderr])
            (making / "child.json").write_text(told)
            making.rename(made)
    return made


# --- forked processes -----------------------------------------------------------------------------


class Forked:
    """The command line in a process forked from one that has imported what it needs, but not MLX.

    What a fresh interpreter does in two seconds, and its worker in three, is done at once; all else is the
    same. With `session` it has a process group of its own; with `file_size` no file may grow past that; with
    `dies_at` (n, after) it kills itself when the lab's n-th unit is committed, or just before that.
    """

    def __init__(self, *arguments: object, cwd: Path = ROOT, **options: Any):
        # They live as long as this object.
        self._texts = [tempfile.NamedTemporaryFile("r") for _ in range(2)]  # noqa: SIM115
        texts = [text.name for text in self._texts]
        self.pid = _ask(
            "start", {"arguments": [*map(str, arguments)], "cwd": str(cwd), "texts": texts, **options}
        )
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = _ask("poll", self.pid)
        return self.returncode

    def read(self) -> tuple[str, str]:
        """All that it has written to stdout and stderr."""
        for text in self._texts:
            text.seek(0)
        return self._texts[0].read(), self._texts[1].read()

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        end = time.monotonic() + timeout
        while self.poll() is None:
            assert time.monotonic() < end, self.read()
            time.sleep(0.02)
        return self.read()


def quick(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """As `command`, but forked."""
    process = Forked(*arguments, **options)
    out, err = process.communicate()
    return subprocess.CompletedProcess([*map(str, arguments)], process.returncode, out, err)


_server: list[subprocess.Popen[str]] = []
_turn = threading.Lock()


def _ask(what: str, value: Any) -> Any:
    with _turn:
        if not _server:
            quiet = os.environ | {"TRANSFORMERS_VERBOSITY": "error"}
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            _server.append(subprocess.Popen([sys.executable, __file__], text=True, env=quiet, **pipes))
            atexit.register(_server[0].communicate)
        print(json.dumps([what, value]), file=_server[0].stdin, flush=True)
        return json.loads(_server[0].stdout.readline())


def _serve() -> None:
    """Start processes and tell how they ended."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    processes: dict[int, Any] = {}
    for line in sys.stdin:
        what, value = json.loads(line)
        if what == "start":
            process = context.Process(target=_forked, kwargs=value)
            process.start()
            processes[process.pid] = process
            answer = process.pid
        else:
            answer = processes[value].exitcode
        print(json.dumps(answer), flush=True)


def _forked(
    arguments: list[str],
    cwd: str,
    texts: list[str],
    session: bool = False,
    file_size: int | None = None,
    dies_at: tuple[int, bool] | None = None,
) -> None:
    # The server that forked us forks our workers too: Python would start another one for them.
    forkserver._forkserver.ensure_running = lambda: None
    spawning = multiprocessing.get_context
    multiprocessing.get_context = lambda kind=None: spawning("forkserver" if kind == "spawn" else kind)
    if session:
        os.setsid()
    if file_size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    if dies_at:
        Lab.commit_unit = _dying(Lab.commit_unit, *dies_at)
    for number, text in enumerate(texts, 1):
        os.dup2(os.open(text, os.O_WRONLY | os.O_APPEND), number)
    os.chdir(cwd)
    sys.argv[1:] = arguments
    main()


def _dying(commit: Callable[..., bool], number: int, after: bool) -> Callable[..., bool]:
    def dying(lab: Lab, run_id: str, unit: str, **yielded: Any) -> bool:
        last = len(lab.units_done(run_id)) + 1 == number
        if last and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        stored = commit(lab, run_id, unit, **yielded)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return stored

    return dying


if __name__ == "__main__":
    _serve()
