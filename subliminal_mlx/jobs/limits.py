"""What a visitor may name and start, whatever the kind of job: the largest sizes, bases, and paths inside the lab.

    known("base", [name], bases(lab)); inside(lab, "trained/one", owner)      # InputError says what is allowed

Names are looked at before anything is looked up by them, so that no path from a browser is ever opened.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os.path import samefile
from pathlib import Path

from ..model.sources import HUB_NAME, list_bases
from ..system.errors import InputError, SubliminalError
from .books import ID, Books

# A common machine's rate, not this one's: what may be started should not depend on where it is tried.
GFLOPS = 100.0
TRAIT = re.compile(r"([a-z0-9][a-z0-9-]{0,39})/[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class Limits:
    """The largest job that a visitor may start, and how many may wait."""

    spec_bytes: int = 20_000
    rows: int = 20_000
    steps: int = 2_000
    chains: int = 8
    traits: int = 32
    defences: int = 5
    batch: int = 128
    rank: int = 64
    max_tokens: int = 256
    neutral_answers: int = 1_000
    points: int = 20
    answers: int = 100
    shown_rows: int = 50
    hours: float = 12.0
    """Estimated, for two processes that reach GFLOPS."""
    queue: int = 20
    """Jobs of a lab that wait."""
    queue_of_one: int = 5
    """Of these, by one visitor."""
    upload: int = 20 << 20
    """Bytes of a file that is sent."""
    policy_bytes: int = 50_000
    subjects: int = 50
    """Models and corpora of a policy."""
    stored: int = 2 << 30
    """Bytes of all jobs of a lab together, uploads and results."""


LIMITS = Limits()


def known(what: str, values: Sequence[str], there: Iterable[str]) -> None:
    """Raise InputError for the first of the values that is not there."""
    for value in values:
        if value not in there:
            raise InputError(f"{what}: {value!r:.60} is not here: there are {', '.join(there)}"[:500])


def check_hours(what: str, seconds: float | None, smaller: str) -> None:
    """Raise InputError where an estimate is over the hours of LIMITS; `smaller` says what would make it shorter."""
    if seconds is not None and seconds > 3_600 * LIMITS.hours:
        told = f"about {seconds / 3_600:,.0f} hours, at most {LIMITS.hours:.0f} from an app"
        raise InputError(f"{what}: {told}: {smaller}")


def bases(lab: Path) -> list[str]:
    """Names of the bases that a visitor may name: those that are here, without folders of anybody's.

    A model of the Hugging Face cache is among them once a run of this lab has used it.
    """
    found = list_bases()
    names = [row["name"] for row in found if row["kind"] in ("shipped", "wheel")]
    cached = [row["name"] for row in found if row["kind"] == "hub"]
    return names + sorted(set(cached) & _used(lab)) if cached else names


def _used(lab: Path) -> set[str]:
    from ..lab import Lab
    from ..spec import parse_spec

    store, names = Lab(lab), set()
    for run in store.runs() if store.exists else []:
        try:
            spec = parse_spec(run["spec_toml"])
        except SubliminalError:
            # An old run whose family's file is gone by now.
            continue
        names |= {name for name in (spec.base, spec.foreign) if name}
    # A name of two words may be a folder from here, and folders are no visitor's to name.
    return {name for name in names if HUB_NAME.fullmatch(name) and not Path(name).exists()}


def inside(lab: Path, relative: str, owner: str) -> Path:
    """A path that a browser named, inside the lab, also through links, and outside of other visitors' jobs.

    What lies beyond is not looked at, so that no answer tells what is there.

    Raises:
        InputError: it leads out of the lab, into somebody else's job, or to nothing.
    """
    root = lab.expanduser().resolve()
    if not re.fullmatch(r"[^\x00-\x1f\x7f~\\]{1,1000}", relative):
        raise InputError(f"path {relative!r:.60}: must be a plain path, relative to the lab")
    path = (root / relative).resolve()
    if Path(relative).is_absolute() or not path.is_relative_to(root) or path == root:
        raise InputError(f"path {relative!r:.60}: must be relative to the lab, and stay inside of it")
    first, *rest = path.relative_to(root).parts

    def is_at(name: str) -> bool:
        # On disks that take JOBS for jobs, names alone would not tell.
        here, there = root / first, root / name
        return there.exists() and here.exists() and samefile(here, there)

    if is_at("jobs") or is_at("reviews"):
        mine = Books(root).read(rest[0]) if rest and ID.fullmatch(rest[0]) else None
        if mine is None or not owner or mine.owner != owner:
            raise InputError(f"path {relative!r:.60}: no job of yours")
    elif is_at("queue") or first.startswith("."):
        raise InputError(f"path {relative!r:.60}: nothing that can be read from a page")
    if not path.exists():
        raise InputError(f"path {relative!r:.60}: not there (paths are relative to the lab)")
    return path
