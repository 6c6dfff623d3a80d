"""A run from spec to summary: units handed to workers, committed as they come, resumable at any moment.

    outcome = run(spec, lab, processes=2, on_progress=bar.update)
    outcome.summary["traits"][0]["transfer"]

The parent alone opens the lab. Work that another process does on the same spec is followed instead of
repeated; a run that is done is answered from the lab.
"""

import os
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ..experiment.rules import row_filter
from ..lab import TABLES, Lab
from ..lab.identity import identify, own_fingerprints, stack_size
from ..spec import RESULT_VERSION, Spec, to_toml
from ..spec.families import load_family
from ..spec.plan import Unit, plan
from ..system import files
from ..system.errors import BusyError, InputError, SubliminalError
from ..system.machine import default_processes, environment, peak_memory
from .outcome import renewed_run, summarised
from .workers import Message, Workers

OnProgress = Callable[[dict[str, Any]], None]
# Held while a run computes; it gets the run's id and what says that somebody else does it already, which
# makes it give up and be False.
Turn = Callable[[str, Callable[[], bool]], AbstractContextManager[bool]]


@dataclass(frozen=True)
class Outcome:
    """What `run` found: the run's row in the lab, and how it was come by."""

    run_id: str
    run: dict[str, Any]
    how: str
    """"computed", "answered" from the lab, or "followed" another process."""

    @property
    def summary(self) -> dict[str, Any]:
        return self.run["summary"]


def run(
    spec: Spec,
    lab: Lab,
    processes: int | None = None,
    force: bool = False,
    on_progress: OnProgress = lambda progress: None,
    turn: Turn = lambda run_id, held: nullcontext(True),
) -> Outcome:
    """Do whatever of the spec's run is not done yet, and read its result.

    Args:
        force: go on with a run that was begun under other versions, or on another kind of machine.
        turn: waits until this run may compute; what is done, or followed, waits for nobody.
        on_progress: sees the same dictionary that `runs/ID/progress.json` holds.

    Raises:
        InputError, MachineError, BusyError: as told in one line; committed work is kept.
        KeyboardInterrupt: likewise.
    """
    name = identify(spec)
    how = "answered"
    while not (found := _finished(lab, name)):
        if lab.run_holder(name):
            _follow(lab, name, on_progress)
            how = "followed"
            continue
        # The turn first: who holds a run while it waits would make others wait for it that go before it.
        with turn(name, lambda: lab.run_holder(name) is not None) as mine:
            try:
                if mine and _begun(spec, name, lab, processes, force, on_progress):
                    how = "computed"
            except BusyError:
                if not lab.run_holder(name):
                    raise
    _tidy(lab, name)
    return Outcome(name, found, how)


def _begun(
    spec: Spec, name: str, lab: Lab, processes: int | None, force: bool, on_progress: OnProgress
) -> bool:
    with lab.run_lock(name):
        # Whoever held it until now may have finished it.
        if _finished(lab, name):
            return False
        # What is wrong with a user's channel or rule is told before anything is computed.
        row_filter(spec, [load_family(family) for family in spec.families])
        _Run(spec, name, lab, on_progress).finish(processes, force)
        return True


def _finished(lab: Lab, name: str) -> dict[str, Any] | None:
    """The run's row in the lab, if the run is done."""
    found = renewed_run(lab, name) if lab.exists else None
    return found if found and found["status"] == "done" else None


def _tidy(lab: Lab, name: str) -> None:
    """Sweep what a kill between a run's end and its own sweep left; a lab that cannot be written to is read."""
    if lab.shards_folder(name).exists():
        with suppress(SubliminalError), lab.run_lock(name):
            lab.sweep(name)


def _follow(lab: Lab, name: str, on_progress: OnProgress) -> None:
    """Watch the process that holds the run until it ends."""
    while holder := lab.run_holder(name):
        # Its progress may still be the one of a process before it.
        on_progress((lab.read_progress(name) or {}) | {"followed": True, "pid": holder})
        time.sleep(0.5)


@dataclass
class _Run:
    spec: Spec
    name: str
    lab: Lab
    on_progress: OnProgress
    peak_memory: int = 0
    before: float = 0.0
    started: float = field(default_factory=time.monotonic)
    running: dict[str, dict[str, Any]] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)

    def finish(self, processes: int | None, force: bool) -> None:
        """Compute, commit and summarise; the caller holds the run's lock."""
        self._check_environment(force)
        self.units = plan(self.spec, slots=stack_size(self.spec.base))
        files.sweep(self.lab.run_folder(self.name))
        self.before = (self.lab.read_progress(self.name) or {}).get("seconds", 0.0)
        self.committed = self.lab.units_done(self.name)
        self._discard_shards_of_before()
        # A unit that is committed but whose shard is gone is computed again for the units that need it.
        self.done = {
            unit.name for unit in self.units if unit.name in self.committed and self._shard(unit).exists()
        }
        self.already = sum(unit.cost for unit in self.units if unit.name in self.done)
        try:
            if len(self.done) < len(self.units):
                self._compute(processes or default_processes())
            self._summarise()
        except BaseException as error:
            state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            # A full disk fails here too; the run is resumable whatever its progress and status say.
            with suppress(SubliminalError):
                self._tell(state, str(error) if isinstance(error, SubliminalError) else type(error).__name__)
                if state == "failed":
                    self.lab.finish_run(self.name, "failed", self._seconds(), self.peak_memory)
            raise

    def _discard_shards_of_before(self) -> None:
        """Remove what an older version published and a kill kept from the lab, where its tables were others.

        Its units are computed again, and are the same.
        """
        for unit in self.units:
            if unit.name in self.committed:
                continue
            for path in self._shard(unit).glob("*.parquet"):
                if not set(pq.read_schema(path).names) <= set(TABLES.get(path.stem, ())):
                    shutil.rmtree(self._shard(unit))
                    break

    def _check_environment(self, force: bool) -> None:
        here = environment()
        found = self.lab.run(self.name) if self.lab.exists else None
        if found and not force:
            for before in found["environments"]:
                # What a machine changes in the bits is its system, device and BLAS; its name has changed
                # with networks, and with what it is made of.
                differing = [k for k in here if k not in ("commit", "machine") and here[k] != before.get(k)]
                if differing:
                    k = differing[0]
                    raise InputError(
                        f"run {self.name} was begun with {k} {before.get(k)!r}, this is {here[k]!r}: results may "
                        "differ in the last bits; --force goes on all the same"
                    )
        self.lab.start_run(
            self.name,
            self.spec.title,
            to_toml(self.spec),
            self.spec.model_dump_json(),
            here,
            RESULT_VERSION,
        )

    def _compute(self, processes: int) -> None:
        processes = min(processes, len(self.units) - len(self.done))
        own_files = own_fingerprints(self.spec)
        with Workers(processes, self.lab.path, self.name, to_toml(self.spec), own_files) as workers:
            while len(self.done) < len(self.units):
                for unit in self._ready(workers.busy):
                    if not workers.idle:
                        break
                    self.begun[unit.name] = time.monotonic()
                    workers.give(unit)
                for message in workers.messages(timeout=0.5):
                    self.peak_memory = max(self.peak_memory, message.peak_memory_bytes)
                    if message.what == "failed":
                        raise self._failure(message)
                    if message.what == "event" and message.event:
                        event = message.event
                        self.running[message.unit] = {
                            "what": event.what,
                            "done": event.done,
                            "total": event.total,
                            **event.figures,
                        }
                    if message.what == "done":
                        self._commit(next(u for u in self.units if u.name == message.unit))
                self._tell("running")

    def _ready(self, busy: set[str]) -> list[Unit]:
        """Units whose needs are done, the earliest chain first."""
        return [
            unit
            for unit in self.units
            if unit.name not in self.done and unit.name not in busy and self.done.issuperset(unit.needs)
        ]

    def _failure(self, message: Message) -> BaseException:
        """A worker's error, its traceback kept in the run's log and shown by --debug."""
        with suppress(OSError):
            files.write_atomic(self.lab.run_folder(self.name) / "log", message.trace)
        error = message.error or RuntimeError(message.unit)
        error.add_note(message.trace)
        return error

    def _commit(self, unit: Unit) -> None:
        shard = self._shard(unit)
        tables = {
            name: pq.read_table(shard / f"{name}.parquet")
            for name in TABLES
            if (shard / f"{name}.parquet").exists()
        }
        self.lab.commit_unit(
            self.name,
            unit.name,
            seconds=time.monotonic() - self.begun.get(unit.name, time.monotonic()),
            adapters=[(slot.name, self.lab.adapter_folder(self.name, slot.name)) for slot in unit.trained],
            **tables,
        )
        self.running.pop(unit.name, None)
        self.done.add(unit.name)

    def _summarise(self) -> None:
        summary = summarised(self.lab, self.name, self.spec)
        self.peak_memory = max(self.peak_memory, peak_memory())
        self.lab.finish_run(self.name, "done", self._seconds(), self.peak_memory, summary)
        self._tell("done")
        self.lab.sweep(self.name)

    def _shard(self, unit: Unit) -> Path:
        return self.lab.shards_folder(self.name) / unit.name.replace("/", "-")

    def _seconds(self) -> float:
        return self.before + time.monotonic() - self.started

    def _tell(self, state: str, message: str = "") -> None:
        costs = {unit.name: unit.cost for unit in self.units}
        parts = sum(costs[u] * p["done"] / max(1, p["total"]) for u, p in self.running.items() if u in costs)
        total = sum(costs.values())
        reached = sum(costs[name] for name in self.done) + parts
        fresh, here = reached - self.already, time.monotonic() - self.started
        stages: dict[str, dict[str, int]] = {}
        for unit in self.units:
            stage = stages.setdefault(unit.stage, {"done": 0, "total": 0})
            stage["total"] += 1
            stage["done"] += unit.name in self.done
        progress = {
            "state": state,
            "message": message,
            "pid": os.getpid(),
            "fraction": reached / total,
            "seconds": self._seconds(),
            "seconds_left": (total - reached) * here / fresh if fresh > 0 else None,
            "tokens_per_second": fresh / here if here > 0 else None,
            "stages": stages,
            "running": self.running,
        }
        self.lab.write_progress(self.name, progress, force=state != "running")
        self.on_progress(progress)
