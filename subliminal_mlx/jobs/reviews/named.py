"""Which files a request names in the lab, and what they are at this moment: they may be others the next time.

state = named(lab, asked, owner)           # "" where it names none
"""

import hashlib
import json
from pathlib import Path

from ...lab import provenance
from .requests import Audit, Gate, Request, inside, policy_of


def named(lab: Path, asked: Request, owner: str) -> str:
    """A hash of what the named files and folders hold; empty for uploads and runs, whose rows and slots stay.

    By sizes, times and numbers on the disk, not by content: a page waits for it, and a model may have gigabytes.
    So it says "another" of a file that was only touched, and never "the same" of one that was changed.

    Raises:
        InputError: a path leads out of the lab, or to nothing.
    """
    if isinstance(asked, Gate):
        policy = policy_of(lab, asked.policy, owner)
        paths = [entry.path for entry in (*policy.model, *policy.corpus)]
        paths += [entry.audit for entry in policy.corpus if entry.audit is not None]
    else:
        paths = [] if isinstance(asked, Audit) or not asked.folder else [asked.folder]
    if not paths:
        return ""
    found = [_states(inside(lab, path, owner)) for path in paths]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _states(path: Path) -> list[list[object]]:
    """Name and state of a file and of the provenance beside it, or of every file in a folder."""
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
