"""A finished run as a page reads it: its views, the rows behind a click, and everything to take away.

seen = opened(lab, run_id)
drawn(seen, "transfer", kind="hard", family="animals")      # an Altair chart, its marks pickable
rows(seen, Picked(...), page=0)                             # an HTML table, and how many rows there are
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...lab import Lab
from ...lab.glances import KEPT
from ...pipeline.outcome import renewed_run
from ...report import charts
from ...report.public import public_run, without_folders
from ...report.tables import numbers, of_run, table, text
from ...report.words import claim
from ...spec import Spec, parse_spec
from ...spec.arms import ARMS
from ...spec.plan import plain
from ...system.errors import InputError
from .picked import FIELDS, Picked, beside_of

VIEWS = {
    "transfer": "Transfer by trait and arm",
    "matrix": "Trait by trait",
    "answers": "Answers",
    "dose": "Dose",
    "filter": "What the filter kept",
}
# Views that show one kind of student and one family at a time.
SINGLE = ("matrix", "answers", "dose")
PAGE = 20
MOST = 240


@dataclass(frozen=True, eq=False)
class Opened:
    """A finished run, its texts fit for strangers.

    `yields` counts rows by source, chain, kept and reason; `stored` says what the lab calls a source, where that
    holds a path.
    """

    lab: Lab
    run: dict[str, Any]
    spec: Spec
    yields: Any
    stored: dict[str, str]

    @property
    def id(self) -> str:
        return self.run["id"]

    @property
    def summary(self) -> dict[str, Any]:
        return self.run["summary"]

    @property
    def sources(self) -> list[str]:
        """Sources of the run's corpora."""
        return list(self.stored)

    @property
    def kinds(self) -> list[str]:
        return list(self.spec.kinds)

    @property
    def families(self) -> list[str]:
        """Families of what was read, by the names in the summary."""
        return list(dict.fromkeys(entry["trait"].rpartition("/")[0] for entry in self.summary["traits"]))


def opened(lab: Lab, run_id: str) -> Opened:
    """A finished run of the lab.

    Raises:
        InputError: `run_id` is no id, or the lab has no such run that is done.
    """
    lab.run_folder(run_id)  # refuses what is no id
    run = lab.run(run_id) if lab.exists else None
    if run is None or run["status"] != "done" or not run["summary"]:
        raise InputError(f"run {run_id} is not done here")
    return _opened(lab.path, run_id)


@lru_cache(16)
def _opened(path: Path, run_id: str) -> Opened:
    """A done run never changes: what one visitor has opened, the next has at once."""
    lab = Lab(path)
    run = renewed_run(lab, run_id)
    assert run is not None
    yields = lab.yields(run_id)
    names = yields["source"].to_pylist()
    stored = {without_folders(plain(name)): name for name in names}
    shown = pa.array([without_folders(plain(name)) for name in names], pa.string())
    yields = yields.set_column(yields.column_names.index("source"), "source", shown)
    return Opened(lab, public_run(run), parse_spec(run["spec_toml"]), yields, stored)


def narrowed(summary: dict[str, Any], kind: str | None = None, family: str | None = None) -> dict[str, Any]:
    """The summary of one kind of student, or one family, or both."""

    def has(row: dict[str, Any]) -> bool:
        of_family = row.get("family") or (row.get("trait") or row.get("read") or "").rpartition("/")[0]
        return kind in (None, row["student"]) and family in (None, of_family)

    kept = {
        name: [row for row in summary[name] if has(row)]
        for name in ("traits", "matrix", "curves", "families")
    }
    models = {kind, *(arm.kind for arm in ARMS.values())}
    return (
        summary
        | kept
        | {
            "distributions": [
                row
                for row in summary["distributions"]
                if family in (None, row["family"]) and (kind is None or row["student"] in models)
            ]
        }
    )


def drawn(seen: Opened, view: str, kind: str | None = None, family: str | None = None) -> charts.AnyChart:
    """The view's chart, its marks pickable.

    Raises:
        InputError: no such view, kind of student or family in the run.
    """
    for value, allowed, what in (
        (view, VIEWS, "view"),
        (kind, [None, *seen.kinds], "students"),
        (family, [None, *seen.families], "family"),
    ):
        if value not in allowed:
            raise InputError(f"{what} {value!r:.40}: the run has {', '.join(map(str, allowed))}")
    if view in SINGLE:
        kind, family = kind or seen.kinds[0], family or seen.families[0]
    summary = narrowed(seen.summary, kind, family)
    if view == "answers":
        chart = charts.distributions(summary, family or "")
    elif view == "filter":
        chart = charts.yields(seen.yields)
    else:
        draw = {"transfer": charts.transfer, "matrix": charts.matrix, "dose": charts.curves}[view]
        chart = draw(summary)
    return charts.pickable(chart, FIELDS[view])


def claims(seen: Opened) -> list[str]:
    """What the run shows, a sentence for each kind of student."""
    return claim(seen.summary, "filtered rows" if seen.spec.corpus.filter != "none" else "rows")


def figures(seen: Opened) -> str:
    """Every arm of every trait, and what readouts tell of the whole run, as HTML tables."""
    return numbers(seen.summary) + of_run(seen.summary)


# --- rows -----------------------------------------------------------------------------------------


def outcomes(seen: Opened, source: str) -> list[str]:
    """What the filter did with a source's rows: kept, and reasons for which it dropped some."""
    found = [
        KEPT if row["kept"] else row["reason"]
        for row in seen.yields.select(["source", "kept", "reason"]).to_pylist()
        if row["source"] == source
    ]
    return list(dict.fromkeys(found))


def whose(seen: Opened, source: str, outcome: str | None) -> Picked:
    """Rows of a source that was chosen from a list.

    Raises:
        InputError: the run has no such source, or the source no such outcome.
    """
    if source not in seen.sources:
        raise InputError(f"rows of {source!r:.60}: the run has {', '.join(seen.sources)}")
    if outcome is not None and outcome not in outcomes(seen, source):
        raise InputError(f"outcome {outcome!r:.60}: there are {', '.join(outcomes(seen, source))}")
    return Picked(source, beside_of(source, seen.sources), outcome, f"rows of {source}")


def rows(seen: Opened, picked: Picked, page: int = 0) -> tuple[str, int]:
    """A page of rows, each beside the other source's on the same prompt; HTML, and the number of pages.

    Raises:
        InputError: no such page.
    """
    source, beside = seen.stored[picked.source], seen.stored.get(picked.beside or "")
    total = seen.lab.count_rows(seen.id, source, picked.outcome)
    pages = max(1, -(-total // PAGE))
    if not 0 <= page < pages:
        raise InputError(f"page {page}: there are 0 to {pages - 1}")
    found = seen.lab.pairs(seen.id, source, beside, outcome=picked.outcome, limit=PAGE, offset=page * PAGE)
    head = ["chain", "row", "prompt", f"rows of {picked.source}", "filter"]
    head += [f"beside: {picked.beside}", "filter"] if picked.beside else []
    body = []
    for row in found.to_pylist():
        cells = [str(row["chain"]), str(row["row"]), text(row["prompt"], MOST), text(row["completion"], MOST)]
        cells.append(KEPT if row["kept"] else f"dropped: {text(row['reason'], MOST)}")
        if picked.beside:
            there = row["beside"] is not None
            cells.append(text(row["beside"], MOST) if there else "none")
            cells.append(
                f"dropped: {text(row['beside_reason'], MOST)}"
                if row["beside_reason"]
                else KEPT
                if there
                else ""
            )
        body.append(cells)
    return table([text(name) for name in head], body, words=len(head), style="code"), pages


def said(seen: Opened, picked: Picked) -> str:
    """What the picked arm's models answered when they were asked freely; empty where nothing was."""
    arm = ARMS.get(picked.arm or "")
    if arm is None or arm.role == "read":
        return ""
    own = arm.trait(picked.trait or "")
    found = seen.lab.said(seen.id, arm.name, seen.stored.get(own or ""), None if arm.kind else picked.student)
    body = [
        [
            text(row["question"]),
            text(row["answer"], MOST),
            text(row["matched"] or "none"),
            f"{row['count']:,}",
        ]
        for row in found
    ]
    return table(["question", "sampled answer", "names", "times"], body, words=3) if body else ""
