"""The lab: a folder that keeps every spec, corpus, curve and readout. The only module that speaks SQL.

    lab = Lab("lab")
    with lab.run_lock(run_id):                      # held for the run's life
        lab.start_run(run_id, title, toml, json, environment)
        lab.commit_unit(run_id, "sample/c0", seconds=12.5, rows=table)
    lab.rows(run_id, kept=True)                     # a pyarrow Table

Work is kept by units: what a unit yields enters the database in the same transaction as the row that
says it is done, so a kill at any moment leaves all of it or nothing. Each call opens one short
connection (`database`) on the tables of `schema`; runs are kept by `runs`, results of the digits
experiment by `digits`, audits by `audits`, files beside the database by `folders`. Knows nothing about
models, channels or statistics.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..system import files
from ..system.errors import InputError, MachineError
from .database import check_columns, insert, listed, one_line_errors
from .findings import Audits
from .glances import Glances
from .runs import now, require_run
from .schema import ORDER, TABLES

__all__ = ["TABLES", "Freed", "Lab"]


@dataclass(frozen=True)
class Freed:
    """What a dropped run leaves room for: rows of TABLES, adapters, and bytes of files beside the database."""

    rows: int
    adapters: int
    bytes: int


class Lab(Audits, Glances):
    """A lab folder: its runs, what they yielded, and the files that belong to them.

    Opens and creates nothing before the first call that needs it. A call that reaches the database
    waits `wait_seconds` for whoever holds it, telling `on_wait` once by whom, and raises BusyError
    after that; InputError where there is no lab or a file that is none of ours; MachineError where
    disk or memory is full or the file is damaged.
    """

    def commit_unit(
        self,
        run_id: str,
        unit: str,
        seconds: float,
        adapters: Iterable[tuple[str, str | Path]] = (),
        **tables: pa.Table,
    ) -> bool:
        """Store what a unit yielded and that it is done, in one transaction; False if it already was.

        Args:
            seconds: the unit's wall-clock time.
            adapters: (slot, folder) pairs, each folder published under `adapter_folder` before this call.
            tables: by names of TABLES, without the column `run`; a missing column is stored as NULL.

        Raises:
            ValueError: a table or a column that TABLES lacks.
        """
        if unknown := tables.keys() - TABLES.keys():
            raise ValueError(f"no table {sorted(unknown)}: only {', '.join(TABLES)}")
        for name, table in tables.items():
            check_columns(name, table, TABLES[name])
        # Hashed before the lock is taken: nobody waits for our disk.
        with one_line_errors(self.path, run_id):
            hashed = [(slot, *self._hashed(Path(folder))) for slot, folder in adapters]
        with self._connection(run_id, write=True) as con:
            require_run(con, run_id, self.path)
            key = {"run": run_id, "unit": unit}
            if con.execute("SELECT 1 FROM units WHERE run = $run AND unit = $unit", key).fetchone():
                return False
            for name, table in tables.items():
                insert(con, name, table, {"run": run_id})
            for slot, folder, digest in hashed:
                con.execute(
                    "INSERT INTO adapters (run, slot, folder, sha256) VALUES ($run, $slot, $folder, $sha256)",
                    {"run": run_id, "slot": slot, "folder": folder, "sha256": digest},
                )
            con.execute(
                "INSERT INTO units (run, unit, finished, seconds) VALUES ($run, $unit, $finished, $seconds)",
                key | {"finished": now(), "seconds": seconds},
            )
        return True

    def units_done(self, run_id: str) -> set[str]:
        """The names of the units that are committed."""
        with self._connection(run_id, write=False) as con:
            found = con.execute("SELECT unit FROM units WHERE run = $run", {"run": run_id}).fetchall()
        return {unit for (unit,) in found}

    def sweep(self, run_id: str) -> None:
        """Remove what a killed run left: adapters that no unit committed, shards, half-written files.

        Call it holding the run's lock, before work starts: what the run's own workers have written
        but not yet handed in goes too. A shard is redundant once its unit is committed, and its
        unit's work is repeated if it is not.
        """
        kept: set[Path] = set()
        if self.exists:
            with self._connection(run_id, write=False) as con:
                # Other runs' too: one run may name another's adapters.
                found = con.execute("SELECT folder FROM adapters").fetchall()
            kept = {self.path / folder for (folder,) in found}
        self._sweep_files(run_id, kept)

    def drop_run(self, run_id: str) -> Freed:
        """Remove a run, all it yielded, and the adapters that no other run names.

        Raises BusyError while a process holds the run, InputError if there is no such run.
        """
        with self._connection(run_id, write=False) as con:
            require_run(con, run_id, self.path)
        with self.run_lock(run_id):
            size = self._size(run_id)
            with self._connection(run_id, write=True) as con:
                con.execute("DELETE FROM runs WHERE id = $run", {"run": run_id})
                con.execute("DELETE FROM units WHERE run = $run", {"run": run_id})
                own = "DELETE FROM adapters WHERE run = $run RETURNING folder"
                folders = {folder for (folder,) in con.execute(own, {"run": run_id}).fetchall()}
                folders -= {folder for (folder,) in con.execute("SELECT folder FROM adapters").fetchall()}
                rows = 0
                for table in TABLES:
                    gone = con.execute(f'DELETE FROM "{table}" WHERE run = $run', {"run": run_id})
                    rows += gone.fetchall()[0][0]
            # A kill from here on leaves files that no row names: `sweep` removes them as well.
            self.sweep(run_id)
            with one_line_errors(self.path, run_id):
                folder = self.run_folder(run_id)
                # Where somebody moved it elsewhere and left a link, the link is ours and the rest is theirs.
                folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)
            return Freed(rows, len(folders), size - self._size(run_id))

    def rows(
        self,
        run_id: str,
        source: str | None = None,
        chain: int | None = None,
        kept: bool | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> pa.Table:
        """Corpus rows by source, chain and row; all, or those of one source or chain, or kept or not."""
        return self._select(
            run_id,
            f'SELECT {listed(TABLES["rows"])} FROM "rows" WHERE run = $run '
            "AND ($source::VARCHAR IS NULL OR source = $source) "
            "AND ($chain::INTEGER IS NULL OR chain = $chain) "
            "AND ($kept::BOOLEAN IS NULL OR kept = $kept) "
            'ORDER BY source, chain, "row" LIMIT $limit OFFSET $offset',
            source=source,
            chain=chain,
            kept=kept,
            limit=limit,
            offset=offset,
        )

    def yields(self, run_id: str) -> pa.Table:
        """How many `rows` were kept, and dropped for each reason: source, chain, kept, reason, rows."""
        return self._select(
            run_id,
            'SELECT source, chain, kept, reason, count(*) AS "rows" FROM "rows" WHERE run = $run '
            'GROUP BY ALL ORDER BY source, chain, kept DESC, "rows" DESC, reason',
        )

    def in_common(self, run_id: str, pairs: Sequence[tuple[str, str]]) -> pa.Table:
        """Of pairs of sources, on how many prompts of a chain both have a row, and on how many the same text.

        Columns source, beside, chain, rows, common.
        """
        return self._select(
            run_id,
            'SELECT a.source, b.source AS beside, a.chain, count(*) AS "rows", '
            "count(*) FILTER (a.completion = b.completion) AS common "
            "FROM (SELECT unnest($sources::VARCHAR[]) AS source, unnest($besides::VARCHAR[]) AS beside) pair "
            'JOIN "rows" a ON a.run = $run AND a.source = pair.source '
            'JOIN "rows" b ON b.run = $run AND b.source = pair.beside AND b.chain = a.chain AND b."row" = a."row" '
            "GROUP BY ALL ORDER BY a.source, beside, a.chain",
            sources=[source for source, _ in pairs],
            besides=[beside for _, beside in pairs],
        )

    def readouts(self, run_id: str, arms: Iterable[str] | None = None) -> pa.Table:
        """Log-probabilities of candidates, in nats, by slot, step and question; all, or those of some arms."""
        return self._select(
            run_id,
            f'SELECT {listed(TABLES["readouts"])} FROM "readouts" WHERE run = $run '
            "AND ($arms::VARCHAR[] IS NULL OR list_contains($arms, arm)) "
            "ORDER BY slot, step, family, question, trait, candidate",
            arms=None if arms is None else list(arms),
        )

    def metrics(self, run_id: str) -> pa.Table:
        """Training curves by slot and step: loss in nats a token."""
        return self.table(run_id, "metrics")

    def answers(self, run_id: str) -> pa.Table:
        """Sampled free answers; `matched` is the candidate found in the answer, or NULL."""
        return self.table(run_id, "answers")

    def capability(self, run_id: str) -> pa.Table:
        """Loss on neutral text, nats a token, by slot and text."""
        return self.table(run_id, "capability")

    def costs(self, run_id: str) -> pa.Table:
        """What a defence took from each student: rows, completion tokens; and its loss on clean rows, nats a token."""
        return self.table(run_id, "costs")

    def adapters(self, run_id: str) -> list[str]:
        """The slots whose adapters are committed, in order of their names."""
        with self._connection(run_id, write=False) as con:
            found = con.execute("SELECT slot FROM adapters WHERE run = $run ORDER BY slot", {"run": run_id})
            return [slot for (slot,) in found.fetchall()]

    def adapter(self, run_id: str, slot: str) -> Path:
        """The folder of a slot's adapter, checked against the hash that was committed with it.

        Raises InputError if the run has no such adapter, MachineError if its files changed or are gone.
        """
        with self._connection(run_id, write=False) as con:
            found = con.execute(
                "SELECT folder, sha256 FROM adapters WHERE run = $run AND slot = $slot",
                {"run": run_id, "slot": slot},
            ).fetchone()
        if not found:
            raise InputError(f"run {run_id} has no adapter {slot!r} in {self.path}")
        folder = (self.path / found[0]).resolve()
        with one_line_errors(self.path, run_id):
            # A lab may come from somebody else: its paths are not trusted to stay inside it.
            if folder.is_relative_to(self.path) and folder.exists() and files.sha256(folder) == found[1]:
                return folder
        raise MachineError(
            f"adapter folder {folder} is gone or not what was committed: "
            f"`runs --drop {run_id}` and run it again"
        )

    def table(self, run_id: str, name: str) -> pa.Table:
        """All rows of one of TABLES, in its order."""
        query = f'SELECT {listed(TABLES[name])} FROM "{name}" WHERE run = $run ORDER BY {listed(ORDER[name])}'
        return self._select(run_id, query)

    def _select(self, run_id: str, query: str, **values: Any) -> pa.Table:
        with self._connection(run_id, write=False) as con:
            return con.sql(query, params={"run": run_id, **values}).to_arrow_table()

    def _hashed(self, folder: Path) -> tuple[str, str]:
        """An adapter's folder relative to the lab, and its hash."""
        folder = (self.path / folder).resolve()
        if not folder.is_relative_to(self.path / "adapters"):
            raise InputError(f"adapter {folder}: must lie in {self.path / 'adapters'}")
        return folder.relative_to(self.path).as_posix(), files.sha256(folder)
