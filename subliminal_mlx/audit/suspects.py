"""Suspect teachers of a family: one slot a trait, the neutral teacher last, cached in the lab.

    stack = suspects(base, "animals", spec.suspects, folder)      # [T + 1] slots
    members(base, "animals", spec.suspects, folder)               # the stacks that it is the average of
    tune_suspects(base, "animals", recipe, ["animals/owl"], seed)

A trait's slot is the average of several teachers with their own seeds, phrasings and recipes, in weights: what they
share is the trait, and one slot costs as much as one teacher. Adapters add up, so the average of adapters is an
adapter of the sum of their ranks.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ..experiment.channels.numbers import Numbers
from ..experiment.kept import elsewhere
from ..experiment.setting import unreadable
from ..experiment.teachers import Beside, tune_teachers
from ..model.adapters import Shape, Stack, concatenate
from ..model.bases import Base
from ..model.train import Recipe
from ..spec.families import FOLDER, Family, load_family
from ..spec.seeds import seed_of
from ..system import files, runtime
from ..system.errors import MachineError
from ..system.events import Event, Listener, ignore
from .cache import Task, finish, missing
from .costs import tuned
from .spec import AuditSpec, Suspects, family_print, key, ways

runtime.prepare()

import mlx.core as mx  # noqa: E402

NEUTRAL = "neutral"
# Teachers of the small bases, by the names that a lab would keep them under (`cli.make.suspects`).
SHIPPED = files.DATA / "suspects"


@dataclass(frozen=True, eq=False)
class Suspected:
    """One slot a suspect, family after family, each family's neutral teacher after its suspects."""

    base: Base
    spec: AuditSpec
    folder: Path

    @cached_property
    def traits(self) -> dict[str, list[str]]:
        """Suspects by family, without the neutral teacher."""
        only = self.spec.suspects_only
        return {f: [t for t in sources(f)[:-1] if not only or t in only] for f in self.spec.families}

    @cached_property
    def stack(self) -> Stack:
        return concatenate(
            [average([load_suspects(path) for path in self._members(family, s)]) for family, s in self._slots]
        )

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """Files that the stack is made of."""
        return tuple(path for family, source in self._slots for path in self._members(family, source))

    def columns(self, family: str) -> tuple[list[int], int]:
        """Places in the ratios of a family's suspects, and of its neutral teacher."""
        places = [i for i, (f, _) in enumerate(self._slots) if f == family]
        return places[:-1], places[-1]

    @property
    def common(self) -> list[int]:
        """Places of what tuned teachers and temperatures have in common: every neutral teacher, and the base's
        likelihood."""
        return [*(self.columns(family)[1] for family in self.spec.families), -1]

    def teacher(self, family: str, source: str, member: object) -> Path:
        """File of one teacher: a member of a suspect, or who writes clean rows."""
        parts = (self.base.sha256, family_print(family), self.spec.suspects, source, member)
        return self.folder / f"teacher-{key('teacher', *parts)}.safetensors"

    def tasks(self, family: str) -> list[Task]:
        neutral, recipe = f"{family}/{NEUTRAL}", self.spec.suspects
        wanted = [(s, m) for s in (*self.traits[family], neutral) for m in range(recipe.members)]
        # Those who write clean rows are no suspects.
        wanted += [(neutral, f"null {i}") for i in range(self.spec.null.corpora)]
        return [self._tuned(family, source, member) for source, member in wanted]

    @property
    def _slots(self) -> list[tuple[str, str]]:
        return [(f, s) for f, traits in self.traits.items() for s in (*traits, f"{f}/{NEUTRAL}")]

    def _members(self, family: str, source: str) -> list[Path]:
        return [self.teacher(family, source, m) for m in range(self.spec.suspects.members)]

    def _tuned(self, family: str, source: str, member: object) -> Task:
        base, recipe = self.base, self.spec.suspects
        seed = seed_of(recipe.seed, "suspect", member)
        make = lambda to, tell: save_suspects(
            to, tune_suspects(base, family, recipe, [source], seed, tell, share_prefix=True)
        )
        return Task("suspects", self.teacher(family, source, member), tuned(recipe), make)


# Trained in one stack: more slots gain nothing on a model organism.
SLOTS = 18
# What a step costs that no slot is to blame for, in slots.
FIXED = 8


def sources(family: str) -> list[str]:
    """A family's traits, and its neutral teacher last."""
    return [*(f"{family}/{trait}" for trait in load_family(family).traits), f"{family}/neutral"]


def suspects(base: Base, family: str, recipe: Suspects, folder: Path, on_event: Listener = ignore) -> Stack:
    """The family's suspects: each trait's members averaged."""
    return average([stack for _, stack in members(base, family, recipe, folder, on_event)])


def members(
    base: Base, family: str, recipe: Suspects, folder: Path, on_event: Listener = ignore
) -> list[tuple[Suspects, Stack]]:
    """Each member's recipe and stack, the neutral teacher's slot last; tuned once and then read from `folder`."""
    tasks = member_tasks(base, family, recipe, folder)
    tune_missing(tasks, on_event)
    return [(how, load_suspects(task.path)) for how, task in zip(ways(recipe), tasks, strict=True)]


def member_tasks(base: Base, family: str, recipe: Suspects, folder: Path) -> list[Task]:
    """What makes each member's stack, all traits of the family and the neutral teacher."""
    found = []
    for member, how in enumerate(ways(recipe)):
        name = key("suspects", base.sha256, family_print(family), how, member)
        seed = seed_of(recipe.seed, "suspect", member)
        found.append(
            teacher_task(teachers_file(folder, f"suspects-{name}"), base, family, how, sources(family), seed)
        )
    return found


def teachers_file(folder: Path, name: str) -> Path:
    """Where teachers of that name are: shipped, or else in the folder, tuned or yet to be."""
    shipped = SHIPPED / f"{name}.safetensors"
    return shipped if shipped.exists() else folder / shipped.name


def teacher_task(
    path: Path, base: Base, family: str, how: Suspects, wanted: Sequence[str], seed: int
) -> Task:
    """What makes one file of teachers of a model organism."""

    def make(to: Path, tell: Listener) -> None:
        save_suspects(to, tune_suspects(base, family, how, wanted, seed, tell))

    return Task("teachers", path, tuned(how) * (len(wanted) + FIXED), make)


def tune_missing(tasks: Sequence[Task], on_event: Listener = ignore) -> None:
    """Tune those that are not kept yet. Told before any is begun: who then waits for the machine holds nobody up."""
    if todo := missing(tasks):
        on_event(Event("teachers", 0, len(todo)))
        finish(todo, on_event)


def tune_suspects(
    base: Base,
    family: str,
    recipe: Suspects,
    wanted: Sequence[str],
    seed: int,
    on_event: Listener = ignore,
    share_prefix: bool = False,
) -> Stack:
    """Teachers of the traits and neutral teachers in `wanted`, all of one seed, as one stack.

    They see a share of the family's tuning questions, which the seed chooses.
    """
    families = {family: _phrased(load_family(family), recipe.phrasings, seed)}
    shape = Shape(recipe.rank, recipe.scale, recipe.layers)
    how = Recipe(recipe.steps, recipe.batch, recipe.lr, share_prefix=share_prefix)
    beside = Beside()
    if recipe.keep:
        rows = math.ceil(recipe.steps * recipe.batch * recipe.keep)
        kept = elsewhere(
            base, [*map(load_family, readable(base))], Numbers().channel, rows, seed_of(seed, "kept")
        )
        beside = Beside(keep=(kept, recipe.keep))
    more = {"neutral_answers": recipe.neutral_answers, "beside": beside, "on_event": on_event}
    stacks = []
    for first in range(0, len(wanted), SLOTS):
        some = wanted[first : first + SLOTS]
        stacks.append(tune_teachers(base, families, some, shape, how, seed, **more)[0])
    return stacks[0] if len(stacks) == 1 else concatenate(stacks)


def readable(base: Base) -> list[str]:
    """Shipped families whose answers the base has words for."""
    names = sorted(path.stem for path in FOLDER.glob("*.toml"))
    return [name for name in names if not any(unreadable(base, load_family(name)))]


def _phrased(family: Family, share: float, seed: int) -> Family:
    """The family with a share of its tuning questions."""
    rng = np.random.default_rng(seed_of(seed, "phrasings", family.name))
    count = max(1, round(share * len(family.tuning)))
    chosen = {family.tuning[i].id for i in rng.permutation(len(family.tuning))[:count]}
    questions = tuple(q for q in family.questions if q.split != "tuning" or q.id in chosen)
    return replace(family, questions=questions)


def average(stacks: Sequence[Stack]) -> Stack:
    """The stack whose slot k changes the base by the mean of what the stacks' slots k change it by.

    A path that some of them do not adapt has fewer ranks.
    """
    paths = dict.fromkeys(path for stack in stacks for path in stack.arrays)
    arrays = {}
    for path in paths:
        there = [stack.arrays[path] for stack in stacks if path in stack.arrays]
        arrays[path] = {
            "a": mx.concatenate([ab["a"] for ab in there], axis=2),
            "b": mx.concatenate([ab["b"] for ab in there], axis=1) / len(stacks),
        }
    mx.eval(arrays)
    layers = 0 if any(not stack.shape.layers for stack in stacks) else max(s.shape.layers for s in stacks)
    return Stack(Shape(sum(stack.shape.rank for stack in stacks), stacks[0].shape.scale, layers), arrays)


def save_suspects(path: Path, stack: Stack) -> None:
    """Write a whole stack to one file."""
    arrays = {f"{p}|{n}": x for p, ab in stack.arrays.items() for n, x in ab.items()}
    shape = json.dumps([stack.shape.rank, stack.shape.scale, stack.shape.layers])
    files.publish(path, lambda to: mx.save_safetensors(str(to), arrays, metadata={"shape": shape}))


def load_suspects(path: Path) -> Stack:
    """A stack as `save` wrote it; MachineError where the file is damaged."""
    try:
        named, metadata = mx.load(str(path), return_metadata=True)
        arrays: dict[str, dict[str, mx.array]] = {}
        for name, array in named.items():
            p, _, n = name.rpartition("|")
            arrays.setdefault(p, {})[n] = array
        return Stack(Shape(*json.loads(metadata["shape"])), dict(sorted(arrays.items())))
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise MachineError(f"{path} cannot be read, remove it: {error}") from None
