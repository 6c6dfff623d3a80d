"""An audit's suspects as one stack of factors, and the files that they and the writers of clean rows lie in.

suspected = Suspected(base, spec, folder)
finish(suspected.tasks("animals"))           # one file a teacher
suspected.stack                              # [sum over families of T + 1] slots
own, neutral = suspected.columns("animals")  # places in the ratios
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..adapters import Stack, concatenate
from ..bases import Base
from ..setting import seed_of
from .costs import tuned
from .spec import AuditSpec, family_print, key
from .suspects import average, load, save, sources, tune
from .tasks import Task

NEUTRAL = "neutral"


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
            [average([load(path) for path in self._members(family, s)]) for family, s in self._slots]
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
        make = lambda to, tell: save(to, tune(base, family, recipe, [source], seed, tell, share_prefix=True))
        return Task("suspects", self.teacher(family, source, member), tuned(recipe), make)
