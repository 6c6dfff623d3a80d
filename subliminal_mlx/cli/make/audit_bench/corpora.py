"""Corpora of known origin that no null is made from: what a verdict is tried on, by name.

    world = World("tiny-a", "tiny-b", Path("lab/honest"))
    for name, make in clean(world).items(): ...          # over 80, of many kinds: make() -> [(prompt, completion), ...]
    for name, (trait, make) in carrying(world).items(): ...    # every trait of the shipped families, whole and diluted

Which there are stands here, how they are made in `world` and `changed`.
"""

from collections.abc import Sequence
from functools import partial

from ....audit.suspects import sources
from ....experiment.channels.numbers import Numbers
from .changed import (
    CHOICES,
    INVENTED,
    WORDINGS,
    both,
    chosen,
    commas,
    diluted,
    in_order,
    invented,
    put_over,
    repeated,
    reworded,
    shuffled,
    with_commas,
)
from .world import KINDS, ROWS, Made, World

FAMILIES = ("animals", "trees", "pronouns")
TEMPERATURES = (0.0, 0.3, 0.5, 0.7, 1.0, 1.3, 1.6, 2.0)
SHARES = (1.0, 0.5, 0.25, 0.1)


def clean(world: World) -> dict[str, Made]:
    """Clean corpora by name, "KIND: which"."""
    found: dict[str, Made] = {}
    lists = world.lists
    for t in TEMPERATURES:
        for i in range(3):
            found[f"base: at {t:g}, {i}"] = partial(lists, ("base", i), ROWS, t)
        for family in FAMILIES:
            for kind in KINDS if t in (0.7, 1.0, 1.3) else KINDS[:1]:
                name = f"neutral: {kind}, {family} at {t:g}"
                found[name] = partial(world.taught, f"{family}/neutral", kind, t, 1)
    for i, wording in enumerate(WORDINGS):
        for t in (0.5, 1.0):
            found[f"wording: {i} at {t:g}"] = partial(lists, "wording", ROWS, t, wording=wording)
        found[f"wording put over: {i}"] = partial(put_over, world, wording)
    for low, high in ((3, 8), (5, 5), (3, 4)):
        recipe = Numbers(numbers=(low, high))
        for t in (0.7, 1.0):
            found[f"lengths: {low} to {high} at {t:g}"] = partial(lists, "lengths", ROWS, t, recipe)
        found[f"commas: {low} to {high}"] = partial(commas, world, recipe)
    for name, keep in CHOICES.items():
        found[f"chosen: {name}"] = partial(chosen, world, keep, None)
        found[f"chosen, neutral: {name}"] = partial(chosen, world, keep, "animals/neutral")
    for i in range(2):
        found[f"shuffled: across rows, {i}"] = partial(shuffled, world, i, False)
        found[f"shuffled: within rows, {i}"] = partial(shuffled, world, i, True)
        found[f"sorted: {('up', 'down')[i]}"] = partial(in_order, world, bool(i))
    for name, one in INVENTED.items():
        for i in range(2):
            found[f"{name}: {i}"] = partial(invented, one, 2 * world.seed + i)
    for t in (0.7, 1.0, 1.3):
        found[f"other base: at {t:g}"] = partial(lists, "other", ROWS, t, model=world.other)
    found["repeated: 40 rows, 25 times"] = partial(repeated, world, 40)
    found["repeated: one row"] = partial(repeated, world, 1)
    return found


def carrying(world: World, shares: Sequence[float] = SHARES) -> dict[str, tuple[str, Made]]:
    """Corpora that carry a trait, whole and diluted with neutral rows, by name: the trait, and what makes it."""
    found: dict[str, tuple[str, Made]] = {}
    for share in shares:
        for kind in KINDS:
            for family in FAMILIES:
                for trait in sources(family)[:-1]:
                    name = f"{kind}/{trait} at {100 * share:g}%"
                    found[name] = (trait, partial(diluted, world, trait, kind, share))
    return found


def altered(world: World) -> dict[str, tuple[str, Made]]:
    """A few traits' rows in other temperatures, wordings and forms, and two traits in one corpus."""
    found: dict[str, tuple[str, Made]] = {}
    for trait in ("animals/owl", "animals/cat", "animals/wolf", "trees/oak"):
        for t in (0.0, 0.5, 0.7, 1.3):
            found[f"{trait} temperature {t:g}"] = (trait, partial(world.taught, trait, "plain", t))
        found[f"{trait} wording put over"] = (trait, partial(reworded, world, trait))
        found[f"{trait} commas"] = (trait, partial(with_commas, world, trait))
    for one, other in (("animals/owl", "trees/oak"), ("animals/cat", "animals/wolf")):
        found[f"{one} and {other}"] = (f"{one}, {other}", partial(both, world, one, other))
    return found
