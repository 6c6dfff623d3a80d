"""Reviews as a page lists and opens them: the visitor's own, the lab's audits, and the examples that ship.

    found = listing(lab, "audit", owner)
    seen = opened(lab, asked(query.get("audit"), "audit", found))
    seen.result, seen.svg("animals-ranking"), seen.file("report.html")

What a review found is read from its folder; an audit from a terminal, which has none, from the lab.
"""

import json
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...jobs import reviews
from ...jobs.reviews.folders import ID, Folders
from ...lab import Lab
from ...report.public import without_folders
from ...system.errors import InputError
from ...system.files import DATA
from .figures import bars

EXAMPLES = DATA / "results" / "reviews"
KINDS = {"audit": "Audit", "measure": "Measure", "drift": "Drift", "gate": "Gate"}
_FROM_TERMINAL = re.compile(r"[0-9a-f]{12}")
_NAME = re.compile(r"[a-z][a-z-]{0,39}")
WORDS = {
    "models": "models",
    "null": "clean corpora, kinds",
    "suspects": "suspects, members",
    "steps": "tuning, steps",
}


@dataclass(frozen=True)
class Listed:
    """A review in a list; every one has another label."""

    id: str
    label: str


@dataclass(frozen=True, eq=False)
class Opened:
    """A review that is done."""

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
        for one in reviews.listing(lab.path, kind, owner)
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


def standing(lab: Lab, review_id: str, kind: str) -> reviews.View:
    """How the review stands; examples and the lab's audits are done.

    Raises:
        InputError: no id, or it is of another kind.
    """
    if not ID.fullmatch(review_id):
        return reviews.View("done" if _known(lab, review_id, kind) else "empty", None)
    found = reviews.view(lab.path, review_id)
    if found.review is not None and found.review.kind != kind:
        raise InputError(f"that is no {KINDS[kind].lower()} but a {found.review.kind}: see its own tab")
    if found.review is None and _known(lab, review_id, kind):
        return reviews.View("done", None)
    return found


def sentence(view: reviews.View) -> str:
    """The state in words that promise nothing."""
    why = f": {view.review.message}" if view.review and view.review.message else ""
    left = "What was cached is kept: starting it again goes on from there."
    first = f"{view.ahead} {'goes' if view.ahead == 1 else 'go'} first" if view.ahead else "it is next"
    return {
        "empty": "There is nothing under this address: choose another, or start one above.",
        "queued": f"Waiting: {first}.",
        "running": f"Computing for {view.seconds:.0f} s. It goes on when this page is closed.",
        "done": "Done.",
        "failed": f"Failed{why}.",
        "cancelled": f"Cancelled. {left}",
        "interrupted": f"Its process was killed, as when memory runs out. {left}",
    }[view.state]


def stages(view: reviews.View) -> str:
    """A bar for everything that is being done, as HTML."""
    rows = [
        (WORDS.get(what, what), done / max(1, total), f"{done:,} of {total:,}", "")
        for what, done, total in view.stages
    ]
    return bars(rows)


def opened(lab: Lab, review_id: str, kind: str) -> Opened:
    """A review that is done.

    Raises:
        InputError: there is no such review of that kind, or it is not done.
    """
    if _NAME.fullmatch(review_id) and (EXAMPLES / review_id / "review.json").is_file():
        return _read(EXAMPLES / review_id, kind, 0.0)
    folders = Folders(lab.path)
    if ID.fullmatch(review_id) and (folders.review(review_id) / "review.json").is_file():
        folder = folders.review(review_id)
        return _read(folder, kind, (folder / "review.json").stat().st_mtime)
    if kind == "audit" and (found := lab.audits(review_id) if lab.exists else []):
        rows = lab.audit_table(review_id, "audit_rows").to_pylist()
        result, source = found[0]["result"], without_folders(found[0]["source"] or "")
        return Opened(review_id, kind, source, result["words"], result, None, rows)
    raise InputError("there is no such review here")


@lru_cache(16)
def _read(folder: Path, kind: str, at: float) -> Opened:
    """What a review's folder holds; `at` tells one writing from the next."""
    told = json.loads((folder / "review.json").read_text(encoding="utf-8"))
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


def _stands(lab: Lab, one: reviews.Review) -> str:
    state = Folders(lab.path).state(one)
    return _short(one.message) if state == "done" else state


def _short(message: str) -> str:
    """A result's line down to what a list has room for."""
    return re.split(r"[;,(]", message, maxsplit=1)[0].strip()[:60]


def _when(seconds: float) -> str:
    return time.strftime("%d %b %H:%M:%S", time.localtime(seconds))
