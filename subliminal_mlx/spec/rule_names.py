"""Rules of the filter as a spec names them. No MLX here.

    find("trait-words").words                     # "a word of a trait, in any form"
    check(("trait-words", "mine.py"))             # ValueError says what is allowed
    is_shipped("trait-words"), is_shipped("mine.py")      # True, False

A rule is a module of `experiment/rules/` that defines one `Rule`; defining it makes it known. This room imports none
of them: it asks for the folder's modules when the first name is looked up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..system.errors import InputError
from ..system.modules import import_folder, register
from .own_code import is_file

if TYPE_CHECKING:
    from .families import Family

FOLDER = "experiment.rules"
Check = Callable[[Mapping[str, Any]], str | None]
"""From a row (row, prompt, completion) to why it is dropped; None where it is kept."""

_known: dict[str, "Rule"] = {}


@dataclass(frozen=True)
class Rule:
    """A rule, and what of it is known without applying it."""

    name: str
    words: str
    """What it drops, in a few words."""
    prepared: "Callable[[str, Sequence[Family]], Check]"
    """From the name in the spec and the run's families to the check of a row."""
    file: bool = False
    """Its names are paths of users' files, whose hashes are part of what a spec means."""

    def __post_init__(self) -> None:
        register(_known, self.name, self, "rule")


def known() -> dict[str, Rule]:
    """Every rule by its name."""
    import_folder(FOLDER)
    return dict(_known)


def find(name: str) -> Rule | None:
    """The rule of a name, as a spec has it; None where there is none."""
    rules = known()
    if is_file(name):
        return next(rule for rule in rules.values() if rule.file)
    return None if name in rules and rules[name].file else rules.get(name)


def shipped() -> tuple[str, ...]:
    """The names under which rules ship; none of users' files."""
    return tuple(name for name, rule in known().items() if not rule.file)


def is_shipped(name: str) -> bool:
    """Whether a name is a shipped rule's; no user's file is."""
    return name in shipped()


def check(names: Sequence[str]) -> None:
    """Raise ValueError, saying what is allowed, where a name is none or one is named twice."""
    for name in names:
        if not find(name):
            raise ValueError(f"filter.rules: no {name!r}: there are {', '.join(shipped())}, a .py file")
    if len(set(names)) < len(names):
        raise ValueError("filter.rules: one is named twice")


def prepared(name: str, families: "Sequence[Family]") -> Check:
    """The check of a row by a rule.

    Raises:
        InputError: no such rule, or a user's file that fails.
    """
    rule = find(name)
    if rule is None:
        raise InputError(f"no rule {name!r}: there are {', '.join(shipped())}, a .py file")
    return rule.prepared(name, families)
