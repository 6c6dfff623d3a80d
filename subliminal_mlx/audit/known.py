"""Every teacher that a scan knows, as directions in the base's weights: suspects, clean ones, and the traits' own.

    known = know_teachers(base, spec, folder, members)         # an audit's: inputs.known()
    known.traits, known.suspects, known.clean, known.own       # names, and places among known.directions

The traits of other families are known beside those that are asked for, so that none of them is taken for a suspect.
Whatever is tuned is kept in the folder. Reads no rows.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..experiment.setting import unreadable
from ..model.adapters import Stack
from ..model.bases import Base
from ..spec.families import load_family
from ..spec.seeds import seed_of
from ..system.errors import InputError
from ..system.events import Listener, ignore
from .cache import Task
from .gradients import Directions, displacements, joined
from .spec import AuditSpec, Suspects, family_print, key, ways
from .suspects import (
    NEUTRAL,
    load_suspects,
    member_tasks,
    readable,
    sources,
    teacher_task,
    teachers_file,
    tune_missing,
)

# How the traits' own teachers are tuned, who say what would be found: neither way is a suspect's.
OWN = (
    {"rank": 6, "lr": 0.4, "steps": 0.75, "keep": 0.0},
    {"rank": 6, "lr": 0.8, "steps": 1.5, "keep": 0.5},
)
# In words: tuned to the trait alone, or kept to what the base says elsewhere.
KINDS = ("plain", "kept")


Members = Callable[[str, Listener], list[tuple[Suspects, Stack]]]


@dataclass(frozen=True, eq=False)
class Known:
    """Directions, and which is whose."""

    name: str
    """What is made with these directions is cached under it."""
    directions: Directions
    families: tuple[str, ...]
    """Whose traits are suspected."""
    traits: tuple[str, ...]
    """Suspects', family after family, and those of other families."""
    suspects: np.ndarray
    """Places `[T, M]` of a trait's members."""
    kinds: np.ndarray
    """Which of KINDS each member is `[M]`."""
    clean: np.ndarray
    """Places of neutral teachers, each with a seed of its own: the members', and others."""
    own: np.ndarray
    """Places `[T, K]` of teachers that no suspect was made from, by KINDS."""

    @property
    def suspected(self) -> tuple[str, ...]:
        return tuple(trait for trait in self.traits if trait.rpartition("/")[0] in self.families)

    def places(self, family: str) -> np.ndarray:
        """Of a family's traits among all."""
        return np.array([i for i, trait in enumerate(self.traits) if trait.rpartition("/")[0] == family])


def check_words(base: Base, families: Iterable[str]) -> None:
    """Refuse families that the base cannot be asked about.

    Raises:
        InputError: names the family and a word that the base lacks.
    """
    for family in map(load_family, families):
        missing, alike = unreadable(base, family)
        if alike:
            why = f", which lacks words such as {missing[0]!r}" if missing else ""
            raise InputError(
                f"families: {base.name} cannot be asked about {family.name}: two answers of {alike} questions are one "
                f"to its tokenizer{why}; it can about {', '.join(readable(base)) or 'none that ship'}"
            )


def know_teachers(
    base: Base, spec: AuditSpec, folder: Path, members: Members, on_event: Listener = ignore
) -> Known:
    """Tune, or read from the folder, all that a scan for the spec's families knows.

    Args:
        members: gives a family's suspects as `suspects.members` does.
        on_event: hears of all teachers together, as they are tuned.
    """
    beside = readable(base) if spec.decoys is None else spec.decoys
    names = [*spec.families, *(name for name in beside if name not in spec.families)]
    directions: list[Directions] = []
    traits: list[str] = []
    suspects, clean, own = [], [], []
    tune_missing(known_tasks(base, spec, folder, names), on_event)
    count = 0

    def add(stacks: Sequence[Stack]) -> np.ndarray:
        nonlocal count
        first = count
        directions.extend(map(displacements, stacks))
        count += sum(stack.slots for stack in stacks)
        return np.arange(first, count)

    for family in names:
        traits += sources(family)[:-1]
        places = np.stack([add([stack]) for _, stack in members(family, on_event)], axis=1)
        suspects.append(places[:-1])
        clean += [places[-1], add([load_suspects(task.path) for task in _clean(base, family, spec, folder)])]
        own.append(
            np.stack([add([load_suspects(task.path)]) for task in _own(base, family, spec, folder)], axis=1)
        )
    kinds = np.array([int(bool(how.keep)) for how in ways(spec.suspects)])
    every, neutral, theirs = (np.concatenate(some) for some in (suspects, clean, own))
    prints = [(name, family_print(name)) for name in names]
    name = key("known", base.sha256, prints, spec.suspects, spec.null.teachers, spec.null.seed)
    return Known(name, joined(directions), tuple(spec.families), tuple(traits), every, kinds, neutral, theirs)


def known_tasks(base: Base, spec: AuditSpec, folder: Path, families: Sequence[str]) -> list[Task]:
    """What makes every file of teachers that a scan of these families reads."""
    found = []
    for family in families:
        found += member_tasks(base, family, spec.suspects, folder)
        found += _clean(base, family, spec, folder) + _own(base, family, spec, folder)
    return found


def _clean(base: Base, family: str, spec: AuditSpec, folder: Path) -> list[Task]:
    """Neutral teachers, each of its own seed."""
    found = []
    every = ways(spec.suspects.model_copy(update={"members": 8}))
    for number in range(spec.null.teachers):
        how = every[number % len(every)]
        name = key("neutral", base.sha256, family_print(family), how, spec.null.seed, number)
        seed = seed_of(spec.null.seed, "neutral teacher", number)
        path = teachers_file(folder, f"neutral-{name}")
        found.append(teacher_task(path, base, family, how, [f"{family}/{NEUTRAL}"], seed))
    return found


def _own(base: Base, family: str, spec: AuditSpec, folder: Path) -> list[Task]:
    """A teacher of every trait in each of KINDS."""
    found, recipe = [], spec.suspects
    for kind, way in zip(KINDS, OWN, strict=True):
        if way["keep"] and not recipe.keep:
            continue
        how = recipe.model_copy(
            update={
                "rank": way["rank"],
                "lr": recipe.lr * way["lr"],
                "steps": min(10_000, round(recipe.steps * way["steps"])),
                "keep": way["keep"],
                "members": 1,
            }
        )
        name = key("own", base.sha256, family_print(family), how, spec.null.seed)
        seed = seed_of(spec.null.seed, "own", kind)
        path = teachers_file(folder, f"own-{name}")
        found.append(teacher_task(path, base, family, how, sources(family)[:-1], seed))
    return found
