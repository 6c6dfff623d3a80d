"""The files of a lab beside its database: where they lie, who holds a run, how far it is.

    lab.duckdb  lab.lock  adapters/RUN/SLOT/  runs/RUN/{progress.json, lock, log, shards/}

Knows nothing about SQL.
"""

import json
import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..system import files, locks
from ..system.errors import InputError, MachineError
from .database import one_line_errors

# A glance by `run_holder` looks like a holder for microseconds; a run's real holder stays for minutes.
RUN_WAIT_SECONDS = 0.5
PROGRESS_SECONDS = 0.5


class Folders:
    """The paths below a lab's folder. Nothing is created before something is written."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().resolve()
        self.database = self.path / "lab.duckdb"
        self._progress_lock = threading.Lock()
        self._progress_written: dict[str, float] = {}

    @property
    def exists(self) -> bool:
        """Whether a run was ever started here."""
        return self.database.is_file()

    def run_folder(self, run_id: str) -> Path:
        """Where a run's log, progress and lock lie; InputError unless `run_id` is a full run id."""
        return self.path / "runs" / _check_run_id(run_id)

    def shards_folder(self, run_id: str) -> Path:
        """Where workers hand in what they made, by renaming whole files; `sweep` empties it."""
        return self.run_folder(run_id) / "shards"

    def adapter_folder(self, run_id: str, slot: str) -> Path:
        """Where to publish a slot's adapter before its unit commits; InputError unless `slot` is a name."""
        if not re.fullmatch(r"\w[\w.+-]*(/\w[\w.+-]*)*", slot):
            raise InputError(f"slot {slot!r}: must be names of letters, digits and _.+- joined by '/'")
        return self.path / "adapters" / _check_run_id(run_id) / slot

    @contextmanager
    def run_lock(self, run_id: str) -> Iterator[None]:
        """Hold a run for the length of the block; BusyError at once, naming the pid, if it is held.

        Not for two holders in one process either: the lock is taken again only after its release.
        """
        path = self.run_folder(run_id) / "lock"

        def attempt() -> int:
            path.parent.mkdir(parents=True, exist_ok=True)
            return locks.acquire(path)

        with one_line_errors(self.path, run_id):
            lock = locks.wait_for(attempt, f"run {run_id}", RUN_WAIT_SECONDS, lambda line: None)
        try:
            yield
        finally:
            locks.release(lock)

    def run_holder(self, run_id: str) -> int | None:
        """Pid of the process that holds the run; None if nobody does, -1 if it left no pid."""
        return locks.holder(self.run_folder(run_id) / "lock")

    def write_progress(self, run_id: str, progress: Mapping[str, Any], force: bool = False) -> None:
        """Replace the run's progress file, unless that was done less than PROGRESS_SECONDS ago.

        `force` writes at any time, for the last one. Not synced: after a power cut it may be the old
        one or none. Raises MachineError only when forced: progress is not worth a run.
        """
        path = self.run_folder(run_id) / "progress.json"
        temporary = path.with_name(".progress.json")
        with self._progress_lock:
            written = self._progress_written.get(run_id)
            now = time.monotonic()
            if not force and written is not None and now - written < PROGRESS_SECONDS:
                return
            self._progress_written[run_id] = now
            try:
                with one_line_errors(path, run_id):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    temporary.write_text(json.dumps(progress))
                    os.replace(temporary, path)
            except (InputError, MachineError):
                if force:
                    raise

    def read_progress(self, run_id: str) -> dict[str, Any] | None:
        """The last progress written, or None."""
        try:
            found = json.loads((self.run_folder(run_id) / "progress.json").read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    def _size(self, run_id: str) -> int:
        """Bytes of a run's files, and of the adapters published under its name."""
        folders = self.run_folder(run_id), self.path / "adapters" / run_id
        with one_line_errors(self.path, run_id):
            found = [path.lstat() for folder in folders for path in folder.rglob("*")]
        return sum(status.st_size for status in found if stat.S_ISREG(status.st_mode))

    def _sweep_files(self, run_id: str, kept: set[Path]) -> None:
        """Remove a run's shards, its half-written files, and its adapter folders that are not `kept`."""
        adapters = self.path / "adapters" / _check_run_id(run_id)
        with one_line_errors(self.path, run_id):
            files.sweep(self.run_folder(run_id))
            shutil.rmtree(self.shards_folder(run_id), ignore_errors=True)
            _remove_all_but(kept, adapters)


def _check_run_id(run_id: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{12}", run_id):
        raise InputError(f"run id {run_id!r}: must be 12 characters 0-9 and a-f")
    return run_id


def _remove_all_but(kept: set[Path], folder: Path) -> None:
    if not folder.is_dir():
        return
    for child in folder.iterdir():
        if child in kept:
            continue
        if any(path.is_relative_to(child) for path in kept):
            _remove_all_but(kept, child)
        elif child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
