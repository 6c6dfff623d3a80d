"""Audits, measurements, drifts and gates as a page lists and opens them: own ones, the lab's audits, the examples.

    found = listing(lab, "audit", owner)
    seen = opened(lab, asked(query.get("audit"), found), "audit")
    seen.result, seen.svg("animals-ranking"), seen.file("report.html")

What was found is read from a job's folder; an audit from a terminal, which has none, from the lab.
"""

import json
import re
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ... import jobs
from ...jobs.books import Books
from ...lab import Lab
from ...report.public import without_folders
from ...system.errors import InputError
from ...system.files import DATA
from .figures import bars

EXAMPLES = DATA / "results" / "reviews"
KINDS = {"audit": "Audit", "measure": "Measure", "drift": "Drift", "gate": "Gate"}
_JOB, _FROM_TERMINAL = re.compile(r"[0-9a-f]{24}"), re.compile(r"[0-9a-f]{12}")
_NAME = re.compile(r"[a-z][a-z-]{0,39}")
WORDS = {
    "models": "models",
    "teachers": "suspects and clean teachers",
    "suspects": "suspects",
    "steps": "tuning, steps",
}


@dataclass(frozen=True)
class Listed:
    """One in a list; every one has another label."""

    id: str
    label: str


@dataclass(frozen=True, eq=False)
class Opened:
    """What is done."""

    id: str
    kind: str
    title: str
    words: str
    """What was found, in the command's own line."""
    result: dict[str, Any]
    folder: Path | None
    """With what was written; None of an audit from a terminal."""
    evidence: list[dict[str, Any]]
    """Of an audit: rows with their tokens' evidence, most first."""

    def file(self, name: str) -> bytes | None:
        """What was written under that name, if it was."""
        path = self.folder / name if self.folder else None
        return path.read_bytes() if path and path.is_file() else None

    def svg(self, name: str) -> str | None:
        """A chart, if it was drawn."""
        found = self.file(f"{name}.svg")
        return found.decode() if found else None


def examples(kind: str) -> list[Listed]:
    """Those that ship, by name."""
    found = []
    for path in sorted(EXAMPLES.glob("*/review.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["kind"] == kind:
            found.append(Listed(path.parent.name, f"Example · {told['title']} · {_short(told['message'])}"))
    return found


def listing(lab: Lab, kind: str, owner: str) -> list[Listed]:
    """The visitor's own reviews of a kind, newest first, then what terminals left in the lab, then the examples."""
    own = [
        Listed(one.id, f"{_when(one.created)} · {one.title[:60]} · {_stands(lab, one)}")
        for one in jobs.listing(lab.path, kind, owner)
    ]
    there = [
        Listed(
            one["id"],
            f"{_when(one['created'].timestamp())} · {without_folders(one['source'] or '')[:60]} · in the lab · "
            f"{_short(one['result']['words'])}",
        )
        for one in (lab.audits() if kind == "audit" else [])
        if one["id"] not in {mine.id for mine in own}
    ]
    return [*own, *there, *examples(kind)]


def asked(value: Any, listed: list[Listed]) -> str:
    """The id that a page's address names, else the first example's, else nothing."""
    if isinstance(value, list):
        value = value[-1] if value else None
    if isinstance(value, str) and value:
        return f"{value:.40}"
    shipped = [one.id for one in listed if _NAME.fullmatch(one.id) and not _FROM_TERMINAL.fullmatch(one.id)]
    return shipped[0] if shipped else ""


def standing(lab: Lab, review_id: str, kind: str) -> jobs.View:
    """How the job stands; examples and the lab's audits are done.

    Raises:
        InputError: no id, or it is of another kind.
    """
    nothing = jobs.View("empty", None, None, "", None)
    found = jobs.view(lab.path, review_id) if _JOB.fullmatch(review_id) else nothing
    if found.job is not None and found.job.kind != kind:
        raise InputError(f"that is no {KINDS[kind].lower()} but a {found.job.kind}: see its own tab")
    return found if found.job or not _known(lab, review_id, kind) else replace(nothing, state="done")


def sentence(view: jobs.View) -> str:
    """The state in words that promise nothing."""
    why = f": {view.message}" if view.message else ""
    left = "What was cached is kept: starting it again goes on from there."
    ahead, seconds = view.position, (view.progress or {}).get("seconds", 0.0)
    first = f"{ahead} {'goes' if ahead == 1 else 'go'} first" if ahead else "it is next"
    return {
        "empty": "There is nothing under this address: choose another, or start one above.",
        "queued": f"Waiting: {first}{why}.",
        "running": f"Computing for {seconds:.0f} s. It goes on when this page is closed.",
        "done": "Done.",
        "failed": f"Failed{why}.",
        "cancelled": f"Cancelled. {left}",
        "interrupted": f"Interrupted{why}. {left}",
    }[view.state]


def stages(view: jobs.View) -> str:
    """A bar for everything that is being done, as HTML."""
    return bars(
        [
            (WORDS.get(what, what), n["done"] / max(1, n["total"]), f"{n['done']:,} of {n['total']:,}", "")
            for what, n in (view.progress or {}).get("stages", {}).items()
        ]
    )


def opened(lab: Lab, review_id: str, kind: str) -> Opened:
    """What is done.

    Raises:
        InputError: there is no such thing of that kind, or it is not done.
    """
    if _NAME.fullmatch(review_id) and (EXAMPLES / review_id / "review.json").is_file():
        return _read(EXAMPLES / review_id / "review.json", kind, 0.0)
    if _JOB.fullmatch(review_id):
        # A lab of before has a review of it.
        for name in ("job.json", "review.json"):
            if (path := Books(lab.path).folder(review_id) / name).is_file():
                return _read(path, kind, path.stat().st_mtime)
    if kind == "audit" and (found := lab.audits(review_id) if lab.exists else []):
        rows = lab.audit_table(review_id, "audit_rows").to_pylist()
        result, source = found[0]["result"], without_folders(found[0]["source"] or "")
        return Opened(review_id, kind, source, result["words"], result, None, rows)
    raise InputError("there is nothing of that kind here")


@lru_cache(16)
def _read(path: Path, kind: str, at: float) -> Opened:
    """What the folder of a job's record holds; `at` tells one writing from the next."""
    told, folder = json.loads(path.read_text(encoding="utf-8")), path.parent
    if told["kind"] != kind or told["state"] != "done":
        raise InputError(f"that is no {kind} that is done")
    place = folder / "result"
    result = json.loads((place / "result.json").read_text(encoding="utf-8"))
    rows = []
    if (place / "rows.parquet").is_file():
        import pyarrow.parquet

        rows = pyarrow.parquet.read_table(place / "rows.parquet").to_pylist()
    return Opened(folder.name, kind, told["title"], told["message"], result, place, rows)


def _known(lab: Lab, review_id: str, kind: str) -> bool:
    """Whether it is an example, or an audit of the lab."""
    if any(one.id == review_id for one in examples(kind)):
        return True
    return kind == "audit" and lab.exists and bool(lab.audits(review_id))


def _stands(lab: Lab, one: jobs.Job) -> str:
    state = jobs.view(lab.path, one.id).state
    return _short(one.message) if state == "done" else state


def _short(message: str) -> str:
    """A result's line down to what a list has room for."""
    return re.split(r"[;,(]", message, maxsplit=1)[0].strip()[:60]


def _when(seconds: float) -> str:
    return time.strftime("%d %b %H:%M:%S", time.localtime(seconds))
