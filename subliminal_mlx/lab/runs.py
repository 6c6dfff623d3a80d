"""The runs of a lab: their specs, how they ended, and which one a user means."""

import difflib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from ..spec import RESULT_VERSION
from ..system.errors import InputError
from .database import connection
from .folders import Folders

WAIT_SECONDS = 60.0
STATUSES = ("running", "done", "failed", "cancelled")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Runs(Folders):
    """The runs in a lab folder; errors as `Lab` says."""

    def __init__(
        self,
        path: str | Path,
        wait_seconds: float = WAIT_SECONDS,
        on_wait: Callable[[str], object] = _tell,
    ) -> None:
        super().__init__(path)
        self._wait_seconds = wait_seconds
        self._on_wait = on_wait

    def start_run(
        self,
        run_id: str,
        title: str,
        spec_toml: str,
        spec_json: str,
        environment: Mapping[str, Any],
        version: int = RESULT_VERSION,
    ) -> bool:
        """Record a run, or that it goes on; True if it is new.

        A failed or cancelled run is running again, a done one stays done. An `environment` unlike
        the earlier ones is added to them: the run's results then come from both.
        """
        self.run_folder(run_id)  # refuses what is no run id
        environment = json.loads(json.dumps(environment))
        with self._connection(run_id, write=True) as con:
            found = con.execute("SELECT environment_json FROM runs WHERE id = $id", {"id": run_id}).fetchone()
            environments = json.loads(found[0]) if found else []
            if environment not in environments:
                environments.append(environment)
            values = {"id": run_id, "environments": json.dumps(environments)}
            if found:
                con.execute(
                    "UPDATE runs SET environment_json = $environments, "
                    "status = CASE status WHEN 'done' THEN 'done' ELSE 'running' END WHERE id = $id",
                    values,
                )
                return False
            values |= {"created": now(), "title": title, "version": version}
            con.execute(
                "INSERT INTO runs "
                "(id, created, title, spec_toml, spec_json, environment_json, status, version) "
                "VALUES ($id, $created, $title, $toml, $json, $environments, 'running', $version)",
                values | {"toml": spec_toml, "json": spec_json},
            )
            return True

    def finish_run(
        self,
        run_id: str,
        status: str,
        seconds: float,
        peak_memory_bytes: int | None = None,
        summary: Mapping[str, Any] | None = None,
    ) -> None:
        """Record how a run ended: one of STATUSES, and the wall-clock seconds and memory it took."""
        if status not in STATUSES:
            raise ValueError(f"status {status!r}: must be one of {', '.join(STATUSES)}")
        with self._connection(run_id, write=True) as con:
            require_run(con, run_id, self.path)
            con.execute(
                "UPDATE runs SET status = $status, seconds = $seconds, peak_memory_bytes = $memory, "
                "summary_json = $summary WHERE id = $id",
                {"id": run_id, "status": status, "seconds": seconds, "memory": peak_memory_bytes}
                | {"summary": None if summary is None else json.dumps(summary)},
            )

    def run(self, run_id: str) -> dict[str, Any] | None:
        """One run as in `runs`, or None. `run_id` is a full id: `resolve` makes one of a prefix."""
        return next(iter(self._runs(run_id)), None)

    def runs(self) -> list[dict[str, Any]]:
        """All runs, newest first: id, created (UTC), title, spec_toml, spec_json, status, seconds,
        peak_memory_bytes, version, units (how many are done), environment (the first), environments
        (all), summary. A killed run stays 'running' until it goes on: `run_holder` tells them apart.
        """
        return self._runs(None)

    def resolve(self, prefix: str) -> str:
        """The full id of the one run that starts with `prefix`, or of the newest for "latest".

        Raises InputError if it can be no id, and, naming near ones, if it is no run's or several runs'.
        """
        if prefix != "latest" and not re.fullmatch(r"[0-9a-f]{1,12}", prefix):
            raise InputError(f"run {prefix!r}: must be 'latest' or the start of 12 characters 0-9 and a-f")
        ids = [run["id"] for run in self.runs()]
        if not ids:
            raise InputError(f"the lab at {self.path} has no runs yet: start one with `run`")
        if prefix == "latest":
            return ids[0]
        matching = [run_id for run_id in ids if run_id.startswith(prefix)]
        if len(matching) > 1:
            raise InputError(f"run {prefix!r} could be {_some(matching)}: give more characters")
        if not matching:
            near = difflib.get_close_matches(prefix, ids, cutoff=0.3) or ids
            raise InputError(f"no run in {self.path} starts with {prefix!r}: there is {_some(near)}")
        return matching[0]

    def _runs(self, run_id: str | None) -> list[dict[str, Any]]:
        with self._connection(run_id, write=False) as con:
            cursor = con.execute(
                "SELECT id, created, title, spec_toml, spec_json, environment_json, status, seconds, "
                "peak_memory_bytes, summary_json, version, "
                "(SELECT count(*) FROM units WHERE units.run = runs.id) AS units "
                "FROM runs WHERE $id::VARCHAR IS NULL OR id = $id ORDER BY created DESC, id",
                {"id": run_id},
            )
            names = [column[0] for column in cursor.description]
            return [_run(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]

    def _connection(
        self, run_id: str | None, *, write: bool
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return connection(
            self.database, write=write, wait_seconds=self._wait_seconds, on_wait=self._on_wait, run_id=run_id
        )


def now() -> datetime:
    """The time in UTC as DuckDB's TIMESTAMP has it, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def require_run(con: duckdb.DuckDBPyConnection, run_id: str, path: Path) -> None:
    """Raise InputError unless the run is in the lab at `path` that `con` is open on."""
    if not con.execute("SELECT 1 FROM runs WHERE id = $id", {"id": run_id}).fetchone():
        raise InputError(f"no run {run_id} in {path}: `runs` lists those there are")


def _run(columns: dict[str, Any]) -> dict[str, Any]:
    environments = json.loads(columns.pop("environment_json"))
    summary = columns.pop("summary_json")
    return columns | {
        "created": columns["created"].replace(tzinfo=UTC),
        "environments": environments,
        "environment": environments[0],
        "summary": None if summary is None else json.loads(summary),
    }


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
