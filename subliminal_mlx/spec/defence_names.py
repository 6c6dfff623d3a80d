"""Defences as a spec names them and as plans and tables need to know them. No MLX here.

    find("mix-25").name                                              # "mix"
    defended_arm("mix-25"), defended_arm("mix-25", control=True)     # "mix-25", "mix-25-random"
    check(("mix-25", "mine.py"))                                     # ValueError says what is allowed
    is_shipped("mix-25"), is_shipped("mine.py")                      # True, False

A defence is a module of `defences/methods/` that defines one `Defence`; defining it makes it known. This room
imports none of them: it asks for the folder's modules when the first name is looked up.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..system.errors import InputError
from ..system.modules import import_folder, register
from .arms import ARMS
from .own_code import is_file

FOLDER = "defences.methods"
UNDONE = "-random"
_PERCENT = r"-[1-9]\d?"

_known: dict[str, "Defence"] = {}


@dataclass(frozen=True)
class Defence:
    """A defence, and what of it is known without applying it."""

    name: str
    words: str
    """What it changes, in a few words, such as "clean rows in the place of a share of them"."""
    place: int
    """Where it stands in tables and charts: those with smaller ones come first."""
    change: Callable[[Any], Any]
    """From what it is given (`defences.Given`) to the rows that a student trains on (`defences.Changed`)."""
    percents: tuple[int, ...] = ()
    """The percentages that ship, where it takes one; any other works too."""
    pieces: bool = False
    """It needs a channel whose rows come apart."""
    evidence: bool = False
    """It needs to know what each row's tokens carry, for which suspects of the whole family are tuned."""
    foreign: bool = False
    """Its students are adapters of the spec's `foreign` base; its control's are not."""
    control_start: str = ""
    """Names other starting weights of the adapters for its random control."""
    writes: bool = False
    """The base writes every student's rows anew."""
    file: bool = False
    """Its names are paths of users' files, whose hashes are part of what a spec means."""

    def __post_init__(self) -> None:
        if self.name.endswith(UNDONE) or self.name in ARMS:
            raise InputError(f"defence {self.name!r}: an arm, or a random control, is called so")
        register(_known, self.name, self, "defence")

    @property
    def shipped(self) -> tuple[str, ...]:
        """The names under which it ships; none of users' files."""
        if self.file:
            return ()
        return tuple(f"{self.name}-{percent}" for percent in self.percents) or (self.name,)

    def is_named(self, name: str) -> bool:
        """Whether that is one of its names."""
        if self.file:
            return is_file(name)
        return re.fullmatch(re.escape(self.name) + _PERCENT * bool(self.percents), name) is not None

    def share(self, name: str) -> float:
        """The share that one of its names asks for; 0 where it takes none."""
        return int(name.removeprefix(f"{self.name}-")) / 100 if self.percents else 0.0


def known() -> list[Defence]:
    """Every defence, in the order of tables and charts."""
    import_folder(FOLDER)
    return sorted(_known.values(), key=_place)


def _place(defence: Defence) -> tuple[int, str]:
    return defence.place, defence.name


def find(name: str) -> Defence | None:
    """The defence of a name, as a spec has it; None where there is none."""
    return next((defence for defence in known() if defence.is_named(name)), None)


def shipped() -> tuple[str, ...]:
    """Every defence that ships, by name, in the order of tables and charts; any other percentages work too."""
    return tuple(name for defence in known() for name in defence.shipped)


def is_shipped(name: str) -> bool:
    """Whether a name is a shipped defence's, by any percentage where it takes one; no user's file is."""
    found = find(name)
    return found is not None and not found.file


def by_evidence(name: str) -> bool:
    """Whether a defence needs to know what each row's tokens carry."""
    found = find(name)
    return found is not None and found.evidence


def shipped_in_words() -> str:
    """The shipped ones, each once: "mix-10, drop-25, mask-10 (any percent), re-emit, other-init"."""
    ours = [defence for defence in known() if not defence.file]
    shares = [defence.shipped[0] for defence in ours if defence.percents]
    return ", ".join([f"{', '.join(shares)} (any percent)", *(d.name for d in ours if not d.percents)])


# --- arms -----------------------------------------------------------------------------------------


def defended_arm(defence: str, control: bool = False) -> str:
    """The arm of a defence's students, or of its random control's: "mix-25", "mix-25-random", "own-mine"."""
    own = defence.endswith(".py")
    name = "own-" + re.sub(r"[^A-Za-z0-9_-]", "-", Path(defence).stem) if own else defence
    return name + (UNDONE if control else "")


def of_arm(arm: str) -> tuple[Defence | None, bool]:
    """A shipped defence by the arm of its students, and whether they are its random control's."""
    name = arm.removesuffix(UNDONE)
    return find(name), name != arm


# --- what a spec checks ---------------------------------------------------------------------------


def check(defences: Sequence[str]) -> None:
    """Raise ValueError, saying what is allowed, where a name is none or two are called alike."""
    for defence in defences:
        if not find(defence):
            raise ValueError(f"defences: no {defence!r}: there are {shipped_in_words()}, a .py file")
    if len({defended_arm(defence) for defence in defences}) < len(defences):
        raise ValueError("defences: two have one name")
