"""The units of work of a run, and what each needs: a pure function of the spec. No MLX here.

    units = plan(spec, slots=6)
    units[0].name, units[0].needs             # "teachers/c0/0", ()

A unit is what is computed, published and committed as one: a stack of teachers, the corpora of some
sources, a stack of students. Names of sources, slots and corpora are made here and nowhere else.
"""

from dataclasses import dataclass

from . import Spec
from .arms import ARMS, BASE, NEUTRAL, ORIGINS, Arm, neutral, origin
from .defence_names import defended_arm

__all__ = [
    "BASE",
    "UNTRAINED",
    "Slot",
    "Unit",
    "asked",
    "beside",
    "models",
    "neutral",
    "plain",
    "plan",
    "teacher",
]


@dataclass(frozen=True)
class Slot:
    """One model of a run: `source` is the corpus it was trained on, or the teacher itself."""

    kind: str
    arm: str
    chain: int
    trait: str | None
    source: str

    @property
    def name(self) -> str:
        """Such as "hard/treated/animals/owl/c0", "teacher/animals/owl/c0", "hard/control/c0"."""
        middle = [self.kind] if self.kind == self.arm else [self.kind, self.arm]
        return "/".join([*middle, *([plain(self.trait)] if self.trait else []), f"c{self.chain}"])


@dataclass(frozen=True)
class Unit:
    """A piece of work: `stage` says which function does it, `cost` is in tokens trained or drawn."""

    name: str
    stage: str
    chain: int
    slots: tuple[Slot, ...]
    needs: tuple[str, ...]
    cost: float

    @property
    def trained(self) -> tuple[Slot, ...]:
        """The slots whose adapters this unit makes."""
        return self.slots if self.stage in ("teachers", "students", "foreign", "defended") else ()


UNTRAINED = Slot("base", "untrained", 0, None, BASE)


def asked(spec: Spec) -> list[Arm]:
    """The arms that a spec has, with those that they are read against, in the order of ARMS."""
    named = {*spec.arms, *spec.ablations}
    beside = {other for name in named for other in (ARMS[name].against, ARMS[name].writer)}
    return [arm for arm in ARMS.values() if arm.name in named | beside or arm.name in ORIGINS]


def models(arm: Arm, spec: Spec) -> list[tuple[str | None, str]]:
    """Trait and source of each of an arm's models in a chain, in the plan's order."""
    traits = spec.ablated if arm.by_ablation else spec.traits
    return list(dict.fromkeys((arm.trait(trait), arm.source(trait)) for trait in traits))


def teacher(chain: int, source: str) -> Slot:
    """The teacher that writes a source's rows, or those that it is made from: with a trait, or neutral."""
    if (found := origin(source)) is None:
        return Slot("teacher", "teacher", chain, source, source)
    arm, own = found
    return Slot(arm.name, arm.name, chain, own, source) if arm.role == "teacher" else teacher(chain, own)


def beside(source: str) -> str:
    """The neutral corpus that rows about a trait, or neutral ones, are read against: of a teacher made as theirs was."""
    own = teacher(0, source)
    return ARMS[ARMS[own.arm].against or NEUTRAL].source(own.trait or "")


def plain(source: str) -> str:
    """A trait or source without the folders of its family's file: "a/b/pets.toml/owl" is "pets/owl"."""
    path, found, own = source.rpartition(".toml/")
    if not found:
        return source
    arm = origin(source)
    return f"{f'{arm[0].name}/' if arm else ''}{path.rpartition('/')[2]}/{own}"


def plan(spec: Spec, slots: int) -> list[Unit]:
    """All units, in an order in which they can be done; stacks hold at most `slots` slots."""
    units = [Unit("untrained", "untrained", 0, (UNTRAINED,), (), 1_000)]
    for chain in range(spec.chains):
        units += _chain(spec, chain, slots)
    # Tokens of another base's rows may be other words.
    made = [u for u in units if u.stage in ("corpora", "derived") and not _on_foreign(u.slots[0])]
    corpora = tuple(slot for unit in made for slot in unit.slots)
    # What reads rows may compare chains: it is of none of them, and its number is past the last.
    reading = 0.1 * spec.corpus.rows * len(corpora)
    return [*units, Unit("rows", "rows", spec.chains, corpora, tuple(u.name for u in made), reading)]


def _on_foreign(slot: Slot) -> bool:
    return slot.arm in ARMS and ARMS[slot.arm].foreign


def _chain(spec: Spec, chain: int, slots: int) -> list[Unit]:
    arms, row = asked(spec), 30.0
    sources = [*spec.traits, *(neutral(family) for family in spec.families)]
    units = _written(spec, chain, slots, "", [teacher(chain, source) for source in sources])
    for writer in dict.fromkeys(arm.writer for arm in arms if arm.writer):
        found = [source for arm in arms if arm.writer == writer for _, source in models(arm, spec)]
        where = f"{writer.removesuffix('-teacher')}/"
        units += _written(spec, chain, slots, where, [teacher(chain, source) for source in found])
    tuned = {slot.source: unit.name for unit in units for slot in unit.trained}
    if any(arm.trained and arm.rows == "base" for arm in arms) or spec.defences:
        own = Slot(BASE, BASE, chain, None, BASE)
        units.append(Unit(f"corpora/c{chain}/base", "corpora", chain, (own,), (), row * spec.corpus.rows))
    for i, stack in enumerate(_chunks(_slots(spec, chain, [arm for arm in arms if arm.again]), slots)):
        writers = [teacher(chain, slot.source).source for slot in stack]
        needs = tuple(dict.fromkeys(tuned[source] for source in writers if source in tuned))
        cost = len(stack) * row * spec.corpus.rows
        units.append(Unit(f"corpora/again/c{chain}/{i}", "corpora", chain, stack, needs, cost))
    every = tuple(unit.name for unit in units if unit.stage == "corpora")
    derived = _derived(spec, chain)
    if derived:
        units.append(Unit(f"derived/c{chain}", "derived", chain, derived, every, row * spec.corpus.rows / 10))
        every = (*every, units[-1].name)
    for kind, student in spec.kinds.items():
        each = 3 * row * student.steps * student.batch
        for i, stack in enumerate(_chunks(_students(spec, kind, chain, foreign=False), slots)):
            units.append(Unit(f"{kind}/c{chain}/{i}", "students", chain, stack, every, len(stack) * each))
        for i, stack in enumerate(_chunks(_students(spec, kind, chain, foreign=True), slots)):
            units.append(
                Unit(f"{kind}/foreign/c{chain}/{i}", "foreign", chain, stack, every, len(stack) * each)
            )
        for defence in spec.defences:
            for control in (False, True):
                for i, stack in enumerate(_chunks(_defended(spec, kind, chain, defence, control), slots)):
                    name = f"defended/{kind}/{stack[0].arm}/c{chain}/{i}"
                    units.append(Unit(name, "defended", chain, stack, every, len(stack) * each))
    if shown := _slots(spec, chain, [arm for arm in asked(spec) if arm.role == "shown"]):
        units.append(
            Unit(f"in-context/c{chain}", "in-context", chain, tuple(shown), every, len(shown) * row * 3_000)
        )
    return units


def _written(spec: Spec, chain: int, slots: int, where: str, teachers: list[Slot]) -> list[Unit]:
    """Teachers, and the corpora that each stack of them writes."""
    units, row = [], 30.0
    prompted = spec.teacher.kind == "prompted"
    for i, stack in enumerate(_chunks(teachers, slots)):
        # A prompted teacher is only read: nothing waits for it.
        stage, cost = (
            ("prompted", 1_000.0)
            if prompted
            else ("teachers", 3 * row * spec.teacher.all_steps * spec.teacher.batch)
        )
        made = Unit(f"{stage}/{where}c{chain}/{i}", stage, chain, stack, (), len(stack) * cost)
        needs = () if prompted else (made.name,)
        cost = len(stack) * row * spec.corpus.rows
        units += [made, Unit(f"corpora/{where}c{chain}/{i}", "corpora", chain, stack, needs, cost)]
    return units


def _slots(spec: Spec, chain: int, arms: list[Arm], kind: str | None = None) -> list[Slot]:
    """The models of these arms in a chain: students of that kind, where it is told, else what an arm is of itself."""
    return [
        Slot(kind or arm.kind or arm.name, arm.name, chain, trait, source)
        for arm in arms
        for trait, source in models(arm, spec)
    ]


def _derived(spec: Spec, chain: int) -> tuple[Slot, ...]:
    """Corpora made from other corpora, without a model."""
    return tuple(_slots(spec, chain, [arm for arm in asked(spec) if arm.remade]))


def _students(spec: Spec, kind: str, chain: int, foreign: bool) -> list[Slot]:
    """Students of every arm on the spec's base, or on its other one."""
    arms = [arm for arm in asked(spec) if arm.trained and arm.foreign == foreign and kind in arm.kinds]
    return _slots(spec, chain, arms, kind)


def _defended(spec: Spec, kind: str, chain: int, defence: str, control: bool) -> list[Slot]:
    """Students of defended rows of every trait, and of the neutral rows they are read against."""
    arm = defended_arm(defence, control)
    sources = [*spec.traits, *(neutral(family) for family in spec.families)]
    return [Slot(kind, arm, chain, source, source) for source in sources]


def _chunks(slots: list[Slot], size: int) -> list[tuple[Slot, ...]]:
    """Even pieces of at most `size`: 9 slots in pieces of 6 are 5 and 4, so that two processes end together."""
    if not slots:
        return []
    pieces = -(-len(slots) // size)
    size = -(-len(slots) // pieces)
    return [tuple(slots[i : i + size]) for i in range(0, len(slots), size)]
