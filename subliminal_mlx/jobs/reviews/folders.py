"""A review's folder: what was asked, how far it is, what was found.

    LAB/reviews/ID/  review.json  lock  log  progress.json  rows.jsonl or rows.parquet  result/

Each file is replaced whole, so who reads needs no lock; `lock` is held by the review's process while it lives.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError

from ...system import files, locks
from ...system.errors import InputError

Kind = Literal["audit", "measure", "drift", "gate"]
KINDS = get_args(Kind)
SUFFIXES = (".jsonl", ".parquet")
ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True)
class Review:
    """Something that a page asked for."""

    id: str
    kind: Kind
    title: str
    """What is looked at, in a visitor's own words."""
    owner: str
    """Who started it, as an opaque token that is shown to nobody."""
    created: float
    """Seconds since 1970."""
    values: dict[str, Any]
    state: Literal["queued", "failed", "cancelled", "done"] = "queued"
    """As its process last said it; `Folders.state` knows better."""
    message: str = ""
    """Why it failed, or what was found, in one line without paths."""
    seconds: float = 0.0
    cancelled: bool = False
    """Whether its owner asked for its end."""

    @property
    def ended(self) -> bool:
        return self.state != "queued"


_REVIEW = TypeAdapter(Review)


class Folders:
    """The reviews of one lab."""

    def __init__(self, lab: Path) -> None:
        self.lab = Path(lab).expanduser().resolve()
        self.path = self.lab / "reviews"

    def review(self, review_id: str) -> Path:
        """A review's folder.

        Raises:
            InputError: no id.
        """
        if not ID.fullmatch(review_id):
            raise InputError(f"review {review_id!r:.40}: an id is 24 characters 0-9 and a-f")
        return self.path / review_id

    def result(self, review_id: str) -> Path:
        """Where what was found lies; there once the review is done."""
        return self.review(review_id) / "result"

    def sent(self, one: Review) -> Path | None:
        """The file that came with a review; None where none did."""
        paths = [self.review(one.id) / f"rows{suffix}" for suffix in SUFFIXES]
        return next((path for path in paths if path.is_file()), None)

    def read(self, folder: Path) -> Review | None:
        """The review of a folder; None where there is none, or its file is none of ours."""
        try:
            found = _REVIEW.validate_json((folder / "review.json").read_bytes())
        except (OSError, ValidationError):
            return None
        return found if found.id == folder.name else None

    def write(self, one: Review) -> Review:
        """Replace a review's file."""
        files.write_atomic(self.review(one.id) / "review.json", json.dumps(asdict(one)))
        return one

    def all(self) -> list[Review]:
        """Every review, oldest first."""
        folders = (
            [path for path in self.path.iterdir() if ID.fullmatch(path.name)] if self.path.is_dir() else []
        )
        return sorted(filter(None, map(self.read, folders)), key=_order)

    def alive(self, review_id: str) -> int | None:
        """Pid of the review's process."""
        return locks.holder(self.review(review_id) / "lock")

    def state(self, one: Review) -> str:
        """queued, running, failed, cancelled, done, or interrupted where its process was killed."""
        if one.ended:
            return one.state
        if not self.alive(one.id):
            # It may have ended since it was read.
            now = self.read(self.review(one.id))
            if now and now.ended:
                return now.state
            return "cancelled" if now and now.cancelled else "interrupted"
        return "running" if self.progress(one.id) else "queued"

    def before(self, one: Review) -> list[Review]:
        """Those that go first: they came earlier, and live."""
        return [
            other
            for other in self.all()
            if _order(other) < _order(one) and not other.ended and self.alive(other.id)
        ]

    def progress(self, review_id: str) -> dict[str, Any]:
        """What its process last wrote; nothing before it begins."""
        try:
            found = json.loads((self.review(review_id) / "progress.json").read_text())
            return found if isinstance(found, dict) else {}
        except (OSError, ValueError):
            return {}

    def write_progress(self, review_id: str, progress: Mapping[str, Any]) -> None:
        """Replace the progress; not synced, since it is not worth a disk's wait."""
        path = self.review(review_id) / "progress.json"
        temporary = path.with_name(".progress.json")
        temporary.write_text(json.dumps(progress))
        os.replace(temporary, path)

    def size(self) -> int:
        """Bytes of all reviews."""
        found = 0
        for place, _, names in os.walk(self.path):
            for name in names:
                # Others' reviews go on meanwhile: what they write is renamed, and what ends is removed.
                with suppress(OSError):
                    found += os.stat(os.path.join(place, name)).st_size
        return found

    def remove(self, one: Review) -> None:
        """Remove a review's folder."""
        shutil.rmtree(self.review(one.id), ignore_errors=True)


def _order(one: Review) -> tuple[float, str]:
    return one.created, one.id
