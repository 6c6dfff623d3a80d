"""The names of defences, as a spec holds them and as tables call their students. No MLX here.

    defended_arm("mix-25"), defended_arm("mix-25", control=True)     # "mix-25", "mix-25-random"
    check(("mix-25", "mine.py"))                                     # ValueError says what is allowed
    is_shipped("mix-25"), is_shipped("mine.py")                      # True, False

What each does is `defences`' business.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from ..system import files
from ..system.errors import InputError

# Every defence that ships, in the order of tables and charts; any other percentages work too.
SHIPPED = ("mix-10", "mix-25", "mix-50", "drop-25", "mask-10", "re-emit", "other-init")
UNDONE = "-random"
# Those that rest on an audit's evidence, for which suspects of the whole family are tuned.
BY_EVIDENCE = ("drop", "mask")
_PERCENTAGE = re.compile(r"-[1-9]\d?\Z")
_FILE = re.compile(r"[^\x00-\x1f]*[^\x00-\x1f/]\.py")


def defended_arm(defence: str, control: bool = False) -> str:
    """The arm of a defence's students, or of its random control's: "mix-25", "mix-25-random", "own-mine"."""
    own = defence.endswith(".py")
    name = "own-" + re.sub(r"[^A-Za-z0-9_-]", "-", Path(defence).stem) if own else defence
    return name + (UNDONE if control else "")


def is_shipped(name: str) -> bool:
    """Whether a name is a shipped defence's, by any percentage where it takes one; no user's file is."""
    return _kind(name) in map(_kind, SHIPPED)


def in_words() -> str:
    """The shipped ones, each kind once: "mix-10, drop-25, mask-10 (any percent), re-emit, other-init"."""
    first: dict[tuple[str, bool], str] = {}
    for name in SHIPPED:
        first.setdefault(_kind(name), name)
    shares = ", ".join(name for (_, percentage), name in first.items() if percentage)
    others = ", ".join(name for (_, percentage), name in first.items() if not percentage)
    return f"{shares} (any percent), {others}"


def by_evidence(name: str) -> bool:
    """Whether a defence needs to know what each row's tokens carry."""
    return _kind(name)[0] in BY_EVIDENCE


def check(defences: Sequence[str]) -> None:
    """Raise ValueError, saying what is allowed, where a name is none or two are called alike."""
    for defence in defences:
        if not (is_shipped(defence) or _FILE.fullmatch(defence)):
            raise ValueError(f"defences: no {defence!r}: there are {in_words()}, a .py file")
    if len({defended_arm(defence) for defence in defences}) < len(defences):
        raise ValueError("defences: two have one name")


def fingerprints(defences: Sequence[str]) -> dict[str, str]:
    """Hashes of the users' files among them: they are part of what a spec means.

    Raises:
        InputError: one is not there.
    """
    found = {}
    for name in defences:
        if name.endswith(".py"):
            if not Path(name).is_file():
                raise InputError(f"defences: no file {name}")
            found[f"defence/{name}"] = files.sha256(Path(name))
    return found


def _kind(name: str) -> tuple[str, bool]:
    """What a defence does, and whether to a percentage: ("mix", True), ("re-emit", False)."""
    stem = _PERCENTAGE.sub("", name)
    return stem, stem != name
