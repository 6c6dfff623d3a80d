"""Worker processes that compute units, and the parent's end of them.

    with Workers(2, lab_path, run_id, spec_toml) as workers:
        workers.give(unit)
        for message in workers.messages(timeout=0.5): ...

A worker loads the base once and computes the units it is handed; it never opens the database.
"""

import errno
import os
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ..spec.plan import Unit
from ..system import runtime
from ..system.errors import MachineError, SubliminalError
from ..system.events import Event
from ..system.machine import peak_memory
from ..system.processes import DiedError, Processes


@dataclass(frozen=True)
class Message:
    """What a worker says of a unit: `what` is "event", "done" or "failed"."""

    what: str
    unit: str
    event: Event | None = None
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    error: BaseException | None = None
    trace: str = ""


class Workers:
    """A fixed number of worker processes; each holds one unit at a time."""

    def __init__(
        self,
        count: int,
        lab: Path,
        run_id: str,
        spec_toml: str,
        own_files: dict[str, str] | None = None,
    ):
        """
        Args:
            own_files: hashes of users' files of code as the run's id has them (`lab.identity.own_fingerprints`).
        """
        self._pool = Processes(_serve, [(str(lab), run_id, spec_toml, own_files or {})] * count)
        self._idle = list(range(count))
        self._busy: dict[int, str] = {}

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.__exit__(*error)

    @property
    def idle(self) -> bool:
        """Whether a worker waits for a unit."""
        return bool(self._idle)

    @property
    def busy(self) -> set[str]:
        """Names of the units being computed."""
        return set(self._busy.values())

    def give(self, unit: Unit) -> None:
        """Hand a unit to an idle worker."""
        number = self._idle.pop(0)
        self._busy[number] = unit.name
        self._pool.pipes[number].send(unit)

    def messages(self, timeout: float) -> Iterator[Message]:
        """What the workers have said, waiting at most `timeout` seconds for the first word.

        Raises:
            MachineError: a worker died, as when memory runs out.
        """
        try:
            for number, message in self._pool.receive(timeout):
                if message.what != "event":
                    del self._busy[number]
                    self._idle.append(number)
                yield message
        except DiedError as died:
            raise MachineError(
                f"a worker ended with code {died.code} in unit {self._busy.get(died.number, 'none')}: "
                "out of memory? The run can be resumed, with --processes 1"
            ) from None


def _serve(pipe: Connection, lab: str, run_id: str, spec_toml: str, own_files: dict[str, str]) -> None:
    """A worker's life."""
    from ..experiment.setting import Setting
    from ..lab.folders import Folders
    from ..model.bases import load
    from ..spec import parse_spec
    from .units import Context, compute

    # Of a channel in a user's file the parent has run the code before; it hands over no other.
    spec = parse_spec(spec_toml, own_code=True)
    if spec.grad_checkpoint:
        runtime.depth_first()
    context: Any = None
    while True:
        try:
            unit: Unit = pipe.recv()
        except (EOFError, OSError):
            return  # The parent is gone.
        on_event = lambda event, name=unit.name: pipe.send(Message("event", name, event))
        try:
            context = context or Context(Folders(lab), run_id, Setting(spec, load(spec.base)), own_files)
            compute(unit, context, _thinned(on_event))
            pipe.send(Message("done", unit.name, peak_memory_bytes=peak_memory()))
        except Exception as error:
            told = error if isinstance(error, SubliminalError) else _as_told(error, Path(lab), run_id)
            with suppress(OSError):
                pipe.send(Message("failed", unit.name, error=told, trace=traceback.format_exc()))


def _as_told(error: Exception, lab: Path, run_id: str) -> SubliminalError:
    from ..lab.database import one_line_errors

    if str(error).startswith("[write]"):  # how MLX says that a file took no more bytes
        error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    try:
        with one_line_errors(lab, run_id):
            raise error
    except SubliminalError as told:
        return told
    except Exception:
        return MachineError(f"a worker failed: {type(error).__name__}: {error} (--debug shows where)")


def _thinned(on_event: Any) -> Any:
    """At most ten events a second, and always the last."""
    import time

    last = 0.0

    def listener(event: Event) -> None:
        nonlocal last
        now = time.monotonic()
        if event.done >= event.total or now - last > 0.1:
            last = now
            on_event(event)

    return listener
