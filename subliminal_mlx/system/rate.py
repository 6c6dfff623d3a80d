"""How fast this machine multiplies matrices: measured once a lab and kept there, for estimates of time.

kept_rate(lab.path).gflops            # of one process, 1e9 operations a second
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from . import runtime
from .files import write_atomic
from .machine import default_processes


@dataclass(frozen=True)
class Rate:
    """Of one process, in 1e9 operations a second, and how many compute at once: one where a GPU does."""

    gflops: float
    processes: int


def machine_gflops() -> float:
    """The rate of a 1024 x 1024 product in fp32, in 1e9 operations a second; takes well under a second."""
    runtime.prepare()
    import mlx.core as mx

    x = mx.random.normal((1024, 1024), key=mx.random.key(0))
    mx.eval(x @ x)
    started = time.perf_counter()
    mx.eval(x @ x)
    return 2 * 1024**3 / (time.perf_counter() - started) / 1e9


def machine_rate() -> Rate:
    """This machine's rate, and how many processes a run has here."""
    return Rate(machine_gflops(), default_processes())


def kept_rate(folder: Path, measure: Callable[[], Rate] = machine_rate, keep: bool = True) -> Rate:
    """This machine's rate, measured once a lab and kept in its folder."""
    if found := read_rate(folder):
        return found
    rate = measure()
    if keep:
        write_atomic(folder / "machine.json", json.dumps(asdict(rate)))
    return rate


def read_rate(folder: Path) -> Rate | None:
    """What is kept in a lab's folder; None where there is none, or one without its processes."""
    try:
        found = json.loads((folder / "machine.json").read_text())
        return Rate(float(found["gflops"]), int(found["processes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
