"""Results of the digits experiment and of the one-step theorem in a lab: a row a result, and its measurements."""

import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any

import pyarrow as pa

from .database import checked, insert, listed
from .runs import Runs, now
from .schema import DIGITS

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
            checked(name, table, DIGITS[name])
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
