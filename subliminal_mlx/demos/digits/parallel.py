"""The experiment on all cores: each process takes some of the replicas, whole.

    result = run_on_cores(spec, load_images(), on_event=print)           # as run_digits, sooner
    result = run_on_cores(spec, load_images(folder), folder)             # processes read the folder themselves

Threads would not do: MLX computes the arrays of several threads one after the other on a CPU. A
replica does not depend on the others, so neither does the result on the number of processes.
"""

import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from ...system.errors import MachineError, SubliminalError
from ...system.events import Event, Listener, ignore
from ...system.machine import default_processes, peak_memory
from ...system.processes import DiedError, Processes
from .data import Images, load_images
from .spec import CLASSES, Digits

# Of one core of a small server: a step of one stack, and what each weight and row of a batch adds.
STEP_SECONDS, ROW_SECONDS = 1e-3, 1.6e-10
# A process takes a second to start; below that many seconds of work in all it is not worth it.
WORTH_SECONDS = 5.0


def work_seconds(spec: Digits, inputs: int) -> float:
    """What the distillation takes on one core, roughly."""
    steps = spec.epochs * -(-spec.noise // spec.batch)
    weights = spec.width * (inputs + spec.width + CLASSES + spec.auxiliary)
    rows = len(spec.arms) * spec.replicas * weights * (spec.batch + 50)
    return steps * (3 * STEP_SECONDS + rows * ROW_SECONDS)


def run_on_cores(
    spec: Digits,
    data: Images,
    folder: Path | None = None,
    on_event: Listener = ignore,
    processes: int | None = None,
) -> dict[str, Any]:
    """`run_digits` in several processes where the CPU does the work and there is enough of it.

    Adds `peak_memory_bytes`, of the largest process.

    Args:
        folder: where `data` was loaded from; None for the shipped digits.
        processes: how many; by default one a core.

    Raises:
        MachineError: a process died, as when memory runs out.
    """
    number = min(processes or _worthwhile(spec, data.inputs), spec.replicas)
    if number == 1:
        from .experiment import run_digits

        return run_digits(spec, data, on_event) | {"peak_memory_bytes": peak_memory()}
    began = time.perf_counter()
    parts = [part.tolist() for part in np.array_split(np.arange(spec.replicas), number)]
    found = _computed(spec, folder, parts, _Together(parts, on_event))
    most = max(peak_memory(), *(result["peak_memory_bytes"] for result in found))
    return merged(found) | {"seconds": time.perf_counter() - began, "peak_memory_bytes": most}


def _worthwhile(spec: Digits, inputs: int) -> int:
    return 1 if work_seconds(spec, inputs) < WORTH_SECONDS else default_processes()


def _computed(
    spec: Digits, folder: Path | None, parts: list[list[int]], tell: "_Together"
) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    with Processes(_serve, [(spec, folder, part) for part in parts]) as processes:
        while waited_for := set(range(len(parts))) - set(found):
            try:
                for number, said in processes.receive(among=waited_for):
                    if isinstance(said, Exception):
                        raise said
                    if isinstance(said, Event):
                        tell(number, said)
                    else:
                        found[number] = said
            except DiedError as died:
                raise MachineError(f"a process ended with code {died.code}: out of memory?") from None
    return [found[number] for number in range(len(parts))]


def _serve(pipe: Connection, spec: Digits, folder: Path | None, part: list[int]) -> None:
    try:
        from .experiment import run_digits

        result = run_digits(spec, load_images(folder), pipe.send, part)
        pipe.send(result | {"peak_memory_bytes": peak_memory()})
    except SubliminalError as error:
        pipe.send(error)
    except ConnectionError:
        pass  # The parent is gone.
    except Exception as error:
        pipe.send(MachineError(f"a process failed: {type(error).__name__}: {error}"))


class _Together:
    """Makes one progress of several: as far as the slowest, with figures over all replicas."""

    def __init__(self, parts: Sequence[Sequence[int]], on_event: Listener):
        self._sizes = [len(part) for part in parts]
        self._heard: dict[str, dict[int, Event]] = {}
        self._told: dict[str, int] = {}
        self._on_event = on_event

    def __call__(self, number: int, event: Event) -> None:
        heard = self._heard.setdefault(event.what, {})
        heard[number] = event
        done = min((e.done for e in heard.values()), default=0)
        if len(heard) < len(self._sizes) or self._told.get(event.what, -1) >= done:
            return
        self._told[event.what] = done
        sizes = [self._sizes[n] for n in heard]
        mean = lambda name: float(np.average([e.figures[name] for e in heard.values()], weights=sizes))
        self._on_event(Event(event.what, done, event.total, {name: mean(name) for name in event.figures}))


def merged(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One result of several that computed different replicas of the same spec, in their order."""
    first = results[0]
    return first | {
        "teacher": _joined([result["teacher"] for result in results]),
        "arms": _joined([result["arms"] for result in results]),
        "confusion": np.sum([result["confusion"] for result in results], axis=0).tolist(),
    }


def _joined(found: Sequence[Any]) -> Any:
    """Lists over replicas laid end to end, wherever they are in the dictionaries and lists of epochs."""
    if isinstance(found[0], dict):
        return {key: _joined([one[key] for one in found]) for key in found[0]}
    if isinstance(found[0][0], list | dict):
        return [_joined(epoch) for epoch in zip(*found, strict=True)]
    return [value for one in found for value in one]
