"""What may be asked for, whatever its kind: a form with limits, checked as if its sender were hostile.

    class Count(Request):                            # the whole of a kind: kinds/count.py, named in kinds.NAMES
        kind: ClassVar[str] = "count"
        words: Annotated[str, Field(max_length=99)]

        def title(self, sender): return "Counting"
        def compute(self, work):
            work.write({"letters": len(self.words)})
            return f"{len(self.words)} letters"

Widgets hold their limits in the browser only, and a job's file may be anybody's: every value is checked when it comes,
and again in the process that computes (`kinds.checked`). Knows no kind.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from ..lab import Lab, provenance
from ..system.errors import InputError
from ..system.events import Listener
from .books import SUFFIXES
from .limits import inside

Line = Annotated[str, Field(max_length=1_000, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A name or a path."""


@dataclass(frozen=True)
class Upload:
    """A file from a browser: its name, which is only shown, and its bytes."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Sender:
    """Who asks, in which lab, and the file that came with it."""

    lab: Path
    owner: str
    upload: Upload | None = None

    def inside(self, relative: str) -> Path:
        """A path that was named, inside the lab; InputError as `limits.inside`."""
        return inside(self.lab, relative, self.owner)


@dataclass(frozen=True)
class Work:
    """What a job's process hands to `Request.compute`."""

    id: str
    title: str
    sender: Sender
    sent: Path | None
    """The file that came with it."""
    target: Path
    """A folder for what is found, which is published whole."""
    on_event: Listener
    on_progress: Callable[[Mapping[str, Any]], object]
    """Takes a whole progress, as the pipeline has it, in place of events."""
    cancelled: Callable[[], bool]
    """Whether its owner asked for its end."""

    @property
    def lab(self) -> Lab:
        return Lab(self.sender.lab)

    def write(self, found: Mapping[str, Any]) -> None:
        """Write result.json."""
        (self.target / "result.json").write_text(json.dumps(found), encoding="utf-8")

    def draw(self, name: str, chart: Any) -> None:
        """Write a chart as SVG."""
        from ..report import charts

        (self.target / f"{name}.svg").write_text(charts.to_svg(chart), encoding="utf-8")


class Request(BaseModel):
    """One kind of job: the fields are what may be asked, the methods what follows from that."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: ClassVar[str]
    takes_file: ClassVar[bool] = False
    smaller: ClassVar[str] = "ask for less"
    """What would make it shorter."""

    def title(self, sender: Sender) -> str:
        """What is looked at, in the sender's own words."""
        raise NotImplementedError

    def check(self, sender: Sender) -> None:
        """Raise InputError, in one line without paths, at the first value that a sender may not ask for."""

    def seconds(self, sender: Sender) -> float | None:
        """Estimated, of what passed `check`, at limits.GFLOPS; None of what takes minutes at most."""
        return None

    def is_long(self, sender: Sender) -> bool:
        """Whether it waits for the machine; what takes seconds goes beside what computes."""
        return True

    def paths(self, sender: Sender) -> list[str]:
        """The files and folders of the lab that it names: asked again after they changed, it is another job."""
        return []

    def identify(self, sender: Sender) -> str:
        """The job's id: the same request of the same sender and files has the same one, and it tells nothing."""
        upload = sender.upload
        asks = [self.kind, self.model_dump(mode="json")]
        asks += [hashlib.sha256(upload.content).hexdigest(), upload.name] if upload else ["", ""]
        asks.append(sender.owner)
        if found := [_states(sender.inside(path)) for path in self.paths(sender)]:
            asks.append(hashlib.sha256(json.dumps(found).encode()).hexdigest())
        return hashlib.sha256(json.dumps(asks).encode()).hexdigest()[:24]

    def compute(self, work: Work) -> str:
        """Fill the target, and say in a line what was found."""
        raise NotImplementedError


def stored_name(name: str) -> str:
    """What an upload is called on our disk, whatever it was called on the sender's.

    Raises:
        InputError: it ends in none of SUFFIXES.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{name!r:.80}: must be a file in {' or '.join(SUFFIXES)}")
    return f"rows{suffix}"


def _states(path: Path) -> list[list[object]]:
    """Name and state of a file and of the provenance beside it, or of every file in a folder.

    By sizes, times and numbers on the disk, not by content: a page waits for it, and a model may have gigabytes.
    So it says "another" of a file that was only touched, and never "the same" of one that was changed.
    """
    if path.is_dir():
        return [[str(p.relative_to(path)), *_state(p)] for p in sorted(path.rglob("*")) if not p.is_dir()]
    beside = path.with_name(path.name.partition(".")[0] + provenance.SUFFIX)
    return [["", *_state(path)], ["beside", *_state(beside)]]


def _state(path: Path) -> list[int]:
    try:
        seen = path.stat()
    except OSError:  # none there, or removed just now
        return []
    # The time of the last change to the entry too: who copies with times kept cannot set it.
    return [seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino]
