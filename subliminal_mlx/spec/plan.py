"""The units of work of a run, and what each needs: a pure function of the spec. No MLX here.

    units = plan(spec, slots=6)
    units[0].name, units[0].needs             # "teachers/c0/0", ()

A unit is what is computed, published and committed as one: a stack of teachers, the corpora of some
sources, a stack of students. Names of sources, slots and corpora are made here and nowhere else.
"""

from dataclasses import dataclass

from . import Spec
from .defence_names import defended_arm

BASE, SHUFFLED = "base", "shuffled/"


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


def neutral(family: str) -> str:
    """The source and trait name of a family's neutral teacher."""
    return f"{family}/neutral"


def plain(source: str) -> str:
    """A trait or source without the folders of its family's file: "a/b/pets.toml/owl" is "pets/owl"."""
    path, found, own = source.rpartition(".toml/")
    if not found:
        return source
    shuffled = SHUFFLED if source.startswith(SHUFFLED) else ""
    return f"{shuffled}{path.rpartition('/')[2]}/{own}"


def plan(spec: Spec, slots: int) -> list[Unit]:
    """All units, in an order in which they can be done; stacks hold at most `slots` slots."""
    units = [Unit("untrained", "untrained", 0, (Slot("base", "untrained", 0, None, BASE),), (), 1_000)]
    for chain in range(spec.chains):
        units += _chain(spec, chain, slots)
    return units


def _chain(spec: Spec, chain: int, slots: int) -> list[Unit]:
    sources = [*spec.traits, *(neutral(family) for family in spec.families)]
    teachers = [Slot("teacher", "teacher", chain, source, source) for source in sources]
    row = 30.0
    units, makers = [], {}
    prompted = spec.teacher.kind == "prompted"
    for i, stack in enumerate(_chunks(teachers, slots)):
        # A prompted teacher is only read: nothing waits for it.
        stage, cost = (
            ("prompted", 1_000.0)
            if prompted
            else ("teachers", 3 * row * spec.teacher.steps * spec.teacher.batch)
        )
        made = Unit(f"{stage}/c{chain}/{i}", stage, chain, stack, (), len(stack) * cost)
        needs = () if prompted else (made.name,)
        drawn = Unit(
            f"corpora/c{chain}/{i}", "corpora", chain, stack, needs, len(stack) * row * spec.corpus.rows
        )
        makers |= {slot.source: drawn.name for slot in stack}
        units += [made, drawn]
    if "control" in spec.arms or "random" in spec.ablations or spec.defences:
        own = Slot(BASE, BASE, chain, None, BASE)
        makers[BASE] = f"corpora/c{chain}/base"
        units.append(Unit(makers[BASE], "corpora", chain, (own,), (), row * spec.corpus.rows))
    every = tuple(dict.fromkeys(makers.values()))
    derived = _derived(spec, chain)
    if derived:
        units.append(Unit(f"derived/c{chain}", "derived", chain, derived, every, row * spec.corpus.rows / 10))
        every = (*every, units[-1].name)
    for kind, student in spec.kinds.items():
        each = 3 * row * student.steps * student.batch
        for i, stack in enumerate(_chunks(_students(spec, kind, chain), slots)):
            units.append(Unit(f"{kind}/c{chain}/{i}", "students", chain, stack, every, len(stack) * each))
        for i, stack in enumerate(_chunks(_foreign(spec, kind, chain), slots)):
            units.append(
                Unit(f"{kind}/foreign/c{chain}/{i}", "foreign", chain, stack, every, len(stack) * each)
            )
        for defence in spec.defences:
            for control in (False, True):
                for i, stack in enumerate(_chunks(_defended(spec, kind, chain, defence, control), slots)):
                    name = f"defended/{kind}/{stack[0].arm}/c{chain}/{i}"
                    units.append(Unit(name, "defended", chain, stack, every, len(stack) * each))
    if "in-context" in spec.ablations:
        shown = [Slot("in-context", "in-context", chain, trait, trait) for trait in spec.ablated]
        shown += [
            Slot("in-context", "in-context-neutral", chain, neutral(f), neutral(f))
            for f in _ablated_families(spec)
        ]
        units.append(
            Unit(f"in-context/c{chain}", "in-context", chain, tuple(shown), every, len(shown) * row * 3_000)
        )
    return units


def _derived(spec: Spec, chain: int) -> tuple[Slot, ...]:
    """Corpora made from other corpora, without a model."""
    made = []
    if "shuffled" in spec.ablations:
        made += [Slot("shuffled", "shuffled", chain, trait, SHUFFLED + trait) for trait in spec.ablated]
    if "random" in spec.ablations:
        made.append(Slot("random", "random", chain, None, "random"))
    return tuple(made)


def _students(spec: Spec, kind: str, chain: int) -> list[Slot]:
    """Students on the spec's base. Ablations that change the rows are about sampled tokens: hard only."""
    students = [Slot(kind, "treated", chain, trait, trait) for trait in spec.traits]
    students += [Slot(kind, "neutral", chain, neutral(family), neutral(family)) for family in spec.families]
    if "control" in spec.arms:
        students.append(Slot(kind, "control", chain, None, BASE))
    if kind == "hard":
        students += [Slot(kind, slot.arm, chain, slot.trait, slot.source) for slot in _derived(spec, chain)]
        if "unfiltered" in spec.ablations:
            students += [Slot(kind, "unfiltered", chain, trait, trait) for trait in spec.ablated]
    return students


def _foreign(spec: Spec, kind: str, chain: int) -> list[Slot]:
    """Students on the other base: of the trait's rows, and of the neutral rows they are read against."""
    if "foreign" not in spec.ablations:
        return []
    students = [Slot(kind, "foreign", chain, trait, trait) for trait in spec.ablated]
    return students + [
        Slot(kind, "foreign-neutral", chain, neutral(f), neutral(f)) for f in _ablated_families(spec)
    ]


def _defended(spec: Spec, kind: str, chain: int, defence: str, control: bool) -> list[Slot]:
    """Students of defended rows of every trait, and of the neutral rows they are read against."""
    arm = defended_arm(defence, control)
    sources = [*spec.traits, *(neutral(family) for family in spec.families)]
    return [Slot(kind, arm, chain, source, source) for source in sources]


def _ablated_families(spec: Spec) -> list[str]:
    return list(dict.fromkeys(trait.rpartition("/")[0] for trait in spec.ablated))


def _chunks(slots: list[Slot], size: int) -> list[tuple[Slot, ...]]:
    """Even pieces of at most `size`: 9 slots in pieces of 6 are 5 and 4, so that two processes end together."""
    if not slots:
        return []
    pieces = -(-len(slots) // size)
    size = -(-len(slots) // pieces)
    return [tuple(slots[i : i + size]) for i in range(0, len(slots), size)]
