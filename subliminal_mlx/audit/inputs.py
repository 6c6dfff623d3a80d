"""What an audit works on, read once: the base, the corpus, and the suspects as they are asked for.

    inputs = read_inputs(source, load(spec.base), spec, Path("lab/audit"))
    inputs.corpus.total, inputs.base.parameters
    traits, stack = inputs.suspects("animals")

Whoever estimates, audits, ranks rows or drops some takes these, and loads and reads nothing again. Knows no
evidence and no verdict.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..model.adapters import Stack
from ..model.bases import Base
from ..system.errors import InputError
from ..system.events import Listener, ignore
from .corpus import Corpus, Source, look
from .factored import by_factors
from .known import Known, check_words, know_teachers
from .pieces import Pieces
from .reading import Reading
from .spec import AuditSpec, Suspects
from .suspects import average, members, sources


@dataclass(frozen=True, eq=False)
class Inputs:
    """One corpus, the base it is audited for, and what was asked."""

    corpus: Corpus
    spec: AuditSpec
    folder: Path
    """Where what is made for audits is kept."""
    told: tuple[str, ...]
    """What else is to be known of how the corpus was read, such as files that were not."""
    seconds: float
    """That the corpus took to read."""
    _members: dict[str, list[tuple[Suspects, Stack]]] = field(default_factory=dict, repr=False)

    @property
    def base(self) -> Base:
        return self.corpus.writing.base

    @property
    def factored(self) -> bool:
        """Whether suspects are held as factors."""
        return by_factors(self.spec, self.base)

    @cached_property
    def pieces(self) -> Pieces:
        """The files that an audit with suspects as factors rests on."""
        return Pieces(self.corpus, self.spec, self.folder)

    def suspects(self, family: str, on_event: Listener = ignore) -> tuple[list[str], Stack]:
        """A family's suspects and their stack, which has the neutral teacher's slot last.

        Tuned here where they are held in whole weights; as factors they are among the pieces.
        """
        if self.factored:
            suspected = self.pieces.suspected
            own, neutral = suspected.columns(family)
            return suspected.traits[family], suspected.stack.select([*own, neutral])
        return sources(family)[:-1], average([stack for _, stack in self.members(family, on_event)])

    def members(self, family: str, on_event: Listener = ignore) -> list[tuple[Suspects, Stack]]:
        """A family's members on a model organism: recipes, and stacks with the neutral teacher's slot last."""
        if family not in self._members:
            recipe = self.spec.suspects
            self._members[family] = members(self.base, family, recipe, self.folder, on_event)
        return self._members[family]

    def known(self, on_event: Listener = ignore) -> Known:
        """Every teacher that a scan on a model organism knows."""
        return know_teachers(self.base, self.spec, self.folder, self.members, on_event)

    def neutral(self, family: str) -> Stack:
        """A family's neutral teacher, as the suspects are."""
        _, stack = self.suspects(family)
        return stack.select([stack.slots - 1])


def read_inputs(
    source: Source,
    base: Base,
    spec: AuditSpec,
    folder: Path,
    how: Reading | None = None,
    told: Sequence[str] = (),
) -> Inputs:
    """Look through a corpus that is to be audited for `base`, which is the spec's.

    Args:
        source: gives the rows (`corpus`).
        folder: caches lie there; nothing else is written.
        how: as the source was told to read them; by default every answer.
        told: what else is to be known of how they are read.

    Raises:
        InputError: no row can be used, suspects are chosen where a family costs as much as one, or the base has no
            words for a family's answers.
    """
    began = time.monotonic()
    check_words(base, spec.families)
    if spec.suspects_only and not by_factors(spec, base):
        raise InputError(
            f"suspects_only: on {spec.base} a whole family costs as much as one suspect: leave it out"
        )
    corpus = look(source, base, how)
    return Inputs(corpus, spec, folder, tuple(told), time.monotonic() - began)
