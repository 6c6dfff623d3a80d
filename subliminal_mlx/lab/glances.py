"""What pages ask of a lab: its runs in a glance, and rows a page at a time, beside other rows.

    lab.glance()                                     # one small row a run
    lab.pairs(run_id, "animals/owl", "animals/neutral", limit=25)
    lab.count_rows(run_id, "animals/owl", outcome="not numbers")

Everything is counted, joined and cut in the database, so a page costs as much in a large lab as in a
small one.
"""

from typing import Any

import pyarrow as pa

from .runs import Runs

# An outcome of the filter beside the reasons for which it drops.
KEPT = "kept"
_OUTCOME = "($outcome::VARCHAR IS NULL OR coalesce(a.reason, 'kept') = $outcome)"


class Glances(Runs):
    """Queries of a lab that a page can afford; errors as `Lab` says."""

    def glance(self) -> list[dict[str, Any]]:
        """All runs, newest first: id, created (UTC), title, status, seconds, base, traits, chains, defences (how many).

        Without summaries, which are most of what `runs` reads. `status` is the lab's: a killed run is 'running'.
        """
        with self._connection(None, write=False) as con:
            cursor = con.execute(
                "SELECT id, created, title, status, seconds, spec_json->>'$.base' AS base, "
                "json_array_length(spec_json, '$.traits') AS traits, "
                "CAST(spec_json->>'$.chains' AS INTEGER) AS chains, "
                "coalesce(json_array_length(spec_json, '$.defences'), 0) AS defences FROM runs ORDER BY created DESC, id"
            )
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def finished(self, machine: str, most: int) -> list[dict[str, Any]]:
        """The newest runs that this machine alone has done: spec_toml, seconds."""
        with self._connection(None, write=False) as con:
            cursor = con.execute(
                "SELECT spec_toml, seconds FROM runs WHERE status = 'done' "
                "AND json_array_length(environment_json) = 1 "
                "AND environment_json->>'$[0].machine' = $machine ORDER BY created DESC LIMIT $most",
                {"machine": machine, "most": most},
            )
            return [{"spec_toml": toml, "seconds": seconds} for toml, seconds in cursor.fetchall()]

    def pairs(
        self,
        run_id: str,
        source: str,
        beside: str | None = None,
        *,
        outcome: str | None = None,
        chain: int | None = None,
        limit: int = 25,
        offset: int = 0,
    ) -> pa.Table:
        """Rows of a source, each beside the row of another source with the same prompt and keys.

        Columns chain, row, prompt, completion, kept, reason, and beside, beside_reason of the other's.
        `outcome` is KEPT, or a reason for dropping; None for all rows.
        """
        query = (
            "SELECT a.chain, a.row, a.prompt, a.completion, a.kept, a.reason, "
            "b.completion AS beside, b.reason AS beside_reason "
            'FROM "rows" a LEFT JOIN "rows" b '
            "ON b.run = $run AND b.source = $beside AND b.chain = a.chain AND b.row = a.row "
            "WHERE a.run = $run AND a.source = $source "
            f"AND {_OUTCOME} AND ($chain::INTEGER IS NULL OR a.chain = $chain) "
            "ORDER BY a.chain, a.row LIMIT $limit OFFSET $offset"
        )
        values = {"source": source, "beside": beside, "outcome": outcome, "chain": chain}
        with self._connection(run_id, write=False) as con:
            return con.sql(
                query, params={"run": run_id, "limit": limit, "offset": offset, **values}
            ).to_arrow_table()

    def count_rows(
        self, run_id: str, source: str, outcome: str | None = None, chain: int | None = None
    ) -> int:
        """How many rows `pairs` has in all."""
        query = (
            'SELECT count(*) FROM "rows" a WHERE a.run = $run AND a.source = $source '
            f"AND {_OUTCOME} AND ($chain::INTEGER IS NULL OR a.chain = $chain)"
        )
        values = {"run": run_id, "source": source, "outcome": outcome, "chain": chain}
        with self._connection(run_id, write=False) as con:
            found = con.execute(query, values).fetchone()
        return found[0] if found else 0

    def said(
        self, run_id: str, arm: str, trait: str | None, kind: str | None, limit: int = 25
    ) -> list[dict[str, Any]]:
        """Sampled answers of an arm's models, the most frequent first: question, answer, matched, count."""
        query = (
            "SELECT question, answer, matched, count(*) AS count FROM answers "
            "WHERE run = $run AND arm = $arm AND ($trait::VARCHAR IS NULL OR trait = $trait) "
            "AND ($kind::VARCHAR IS NULL OR kind = $kind) "
            "GROUP BY ALL ORDER BY count DESC, question, answer LIMIT $limit"
        )
        values = {"run": run_id, "arm": arm, "trait": trait, "kind": kind, "limit": limit}
        with self._connection(run_id, write=False) as con:
            return con.sql(query, params=values).to_arrow_table().to_pylist()
