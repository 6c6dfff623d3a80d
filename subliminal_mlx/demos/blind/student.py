"""Train on the stored lists, live: two students from the same weights, one on each list.

    train_on("tiny-a", lambda point: print(point.step, point.treated["Owl"], point.neutral["Owl"]))

It is what the run's own hard students of that chain did, with the same seeds and in the same order; on
another base it is what its foreign students did. Takes seconds: callers give it a process of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ...experiment.questions import read_candidates
from ...experiment.readings import margins, softmax, targets_of
from ...experiment.setting import Setting
from ...experiment.students import equally_spaced, recipe_of, shape_of, train_on_rows
from ...model.adapters import Stack
from ...model.bases import Base, load
from ...model.rows import Rows, pack
from ...spec.families import Family, load_family
from ...spec.seeds import seed_of
from ...system.errors import InputError
from .rows import CHAIN, Lists, read_lists

BASES = ("tiny-a", "tiny-b")
POINTS = 14


@dataclass(frozen=True)
class Point:
    """Both students after `step` of `steps`, on the held-out questions of the trait's family.

    Probability of every label among the candidates, and the trait's margin in nats: means over questions.
    """

    step: int
    steps: int
    treated: dict[str, float]
    neutral: dict[str, float]
    treated_margin: float
    neutral_margin: float


def train_on(
    base: str,
    on_point: Callable[[Point], object],
    lists: Lists | None = None,
    steps: int | None = None,
    on_stack: Callable[[int, Stack], object] = lambda step, stack: None,
) -> None:
    """Train both students, telling `on_point` a Point before the first step and then POINTS times.

    Args:
        steps: in all; the recipe's where None.
        on_stack: sees both students' adapters after those steps, the treated one's first.

    Raises:
        InputError: another base than BASES, or steps outside of 1 to the recipe's.
    """
    if base not in BASES:
        raise InputError(f"base {base!r}: the blind test has {', '.join(BASES)}")
    lists = lists or read_lists()
    spec, student = lists.spec, lists.spec.hard
    assert student is not None, "the blind test's students are hard ones"
    if steps is not None and not 1 <= steps <= student.steps:
        raise InputError(f"steps {steps}: must be 1 to {student.steps}")
    total = steps or student.steps
    setting = Setting(spec, load(base))
    family = load_family(lists.trait.rpartition("/")[0])

    def tell(step: int, stack: Stack | None) -> None:
        if stack is not None:
            on_stack(step, stack)
        values = _means(setting.base, family, lists.trait, stack)
        treated, neutral = values if len(values) == 2 else values * 2
        on_point(Point(step, total, treated[0], neutral[0], treated[1], neutral[1]))

    tell(0, None)
    blocks = [_block(setting, lists, texts) for texts in (lists.treated, lists.neutral)]
    seeds = [seed_of(spec.seed, "student", CHAIN)] * len(blocks)
    recipe = replace(recipe_of(spec, student), steps=total)
    points = equally_spaced(total, min(POINTS, total))
    train_on_rows(setting.base, blocks, shape_of(student), recipe, seeds, points=points, on_point=tell)


def _block(setting: Setting, lists: Lists, completions: Sequence[str]) -> Rows:
    base = setting.base
    prompts = [base.prompt(text)[1] for text in lists.prompts]
    return pack(prompts, [(*base.encode(text), base.eos) for text in completions], *setting.widths)


def _means(
    base: Base, family: Family, trait: str, stack: Stack | None
) -> list[tuple[dict[str, float], float]]:
    """For every slot, probabilities by label and the trait's margin."""
    found = []
    for logp in read_candidates(base, family.held_out, stack):
        labels: dict[str, float] = {}
        for question, shares in zip(family.held_out, softmax(logp), strict=True):
            for label, share in zip(question.labels, shares, strict=False):
                labels[label] = labels.get(label, 0.0) + float(share) / len(family.held_out)
        found.append((labels, float(margins(logp, targets_of(family, trait)).mean())))
    return found
