"""Audits in a lab: a row an audit with its whole answer, and the rows that its evidence rests on."""

import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any

import pyarrow as pa

from .database import check_columns, insert, listed
from .runs import Runs, now
from .schema import AUDITS, DIGITS

_JSON = ("spec", "data", "environment")
_PLAIN = ("id", "kind", "version", "seconds", "peak_memory_bytes")


class Digits(Runs):
    """What `digits` yielded in a lab folder; errors as `Lab` says."""

    def make(self) -> None:
        """Make the database where there is none, so that long work does not end where nothing can be kept."""
        with self._connection(None, write=True):
            pass

    def save_digits(self, about: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> bool:
        """Store a result whole, in one transaction; False if it is there already.

        Args:
            about: id, kind, version, spec, data, environment (the three of JSON), seconds, peak_memory_bytes.
            tables: by names of DIGITS, without the column `result`.
        """
        for name, table in tables.items():
            check_columns(name, table, DIGITS[name])
        values = {name: about[name] for name in _PLAIN} | {f"{n}_json": json.dumps(about[n]) for n in _JSON}
        values["created"] = now()
        with self._connection(None, write=True) as con:
            if con.execute("SELECT 1 FROM digits WHERE id = $id", {"id": about["id"]}).fetchone():
                return False
            places = ", ".join(f"${name}" for name in values)
            con.execute(f"INSERT INTO digits ({listed(values)}) VALUES ({places})", values)
            for name, table in tables.items():
                insert(con, name, table, {"result": about["id"]})
        return True

    def digits(self, result_id: str | None = None) -> list[dict[str, Any]]:
        """Results, newest first: what `save_digits` was given of them, and created (UTC); all, or that one.
        None of them where no lab is.
        """
        if not self.exists:
            return []
        columns = (*_PLAIN, "created", *(f"{name}_json" for name in _JSON))
        with self._connection(None, write=False) as con:
            found = con.execute(
                f"SELECT {listed(columns)} FROM digits WHERE $id::VARCHAR IS NULL OR id = $id "
                "ORDER BY created DESC, id",
                {"id": result_id},
            ).fetchall()
        return [_result(dict(zip(columns, row, strict=True))) for row in found]

    def digits_table(self, result_id: str, name: str) -> pa.Table:
        """A result's rows of one table of DIGITS, in the order of its first three columns."""
        query = f'SELECT {listed(DIGITS[name])} FROM "{name}" WHERE result = $id ORDER BY 1, 2, 3'
        with self._connection(None, write=False) as con:
            return con.sql(query, params={"id": result_id}).to_arrow_table()


def _result(columns: dict[str, Any]) -> dict[str, Any]:
    parsed = {name: json.loads(columns.pop(f"{name}_json")) for name in _JSON}
    return columns | parsed | {"created": columns["created"].replace(tzinfo=UTC)}


class Audits(Digits):
    """What `audit` found in a lab folder; errors as `Lab` says."""

    def save_audit(
        self, audit_id: str, source: str, result: Mapping[str, Any], tables: Mapping[str, pa.Table]
    ) -> bool:
        """Store an audit whole, in one transaction, in the place of an earlier one of that id.

        Args:
            source: what was audited, in words.
            tables: by names of AUDITS, without the column `audit`.
        """
        for name, table in tables.items():
            check_columns(name, table, AUDITS[name])
        values = {
            "id": audit_id,
            "created": now(),
            "source": source,
            "verdict": result["verdict"],
            "trait": result["trait"],
            "result_json": json.dumps(result),
        }
        with self._connection(None, write=True) as con:
            fresh = not con.execute("SELECT 1 FROM audits WHERE id = $id", {"id": audit_id}).fetchone()
            con.execute("DELETE FROM audits WHERE id = $id", {"id": audit_id})
            for name in AUDITS:
                con.execute(f'DELETE FROM "{name}" WHERE audit = $id', {"id": audit_id})
            places = ", ".join(f"${name}" for name in values)
            con.execute(f"INSERT INTO audits ({listed(values)}) VALUES ({places})", values)
            for name, table in tables.items():
                insert(con, name, table, {"audit": audit_id})
        return fresh

    def audits(self, audit_id: str | None = None) -> list[dict[str, Any]]:
        """Audits, newest first: id, created (UTC), source, verdict, trait, result; all, or that one."""
        if not self.exists:
            return []
        columns = ("id", "created", "source", "verdict", "trait", "result_json")
        with self._connection(None, write=False) as con:
            found = con.execute(
                f"SELECT {listed(columns)} FROM audits WHERE $id::VARCHAR IS NULL OR id = $id "
                "ORDER BY created DESC, id",
                {"id": audit_id},
            ).fetchall()
        rows = [dict(zip(columns, row, strict=True)) for row in found]
        return [
            row
            | {"created": row["created"].replace(tzinfo=UTC), "result": json.loads(row.pop("result_json"))}
            for row in rows
        ]

    def audit_table(self, audit_id: str, name: str) -> pa.Table:
        """An audit's rows of one table of AUDITS, in the order of its first column."""
        query = f'SELECT {listed(AUDITS[name])} FROM "{name}" WHERE audit = $id ORDER BY 1'
        with self._connection(None, write=False) as con:
            return con.sql(query, params={"id": audit_id}).to_arrow_table()
