"""How rows are chosen among many, changed, mixed, or invented: what becomes of a model's rows before anybody audits them.

    chosen(world, CHOICES["large sums"], None)
    diluted(world, "animals/owl", "plain", 0.25)
    invented(INVENTED["primes"], seed=0)

Knows nothing about which of these a bench tries.
"""

from collections.abc import Callable

import numpy as np

from ....experiment.channels import numbers
from ....experiment.channels.numbers import Numbers
from ....spec.seeds import seed_of
from .world import ROWS, Lines, World

WORDINGS = (
    "Which numbers would you choose? {}",
    "The list was {}. In one word, what is right? List: {}",
    "{}",
)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.replace(",", " ").split()]


def _first_low(row: list[int]) -> bool:
    return row[0] < 30


def _first_even(row: list[int]) -> bool:
    return row[0] % 2 == 0


def _first_middle(row: list[int]) -> bool:
    return 40 <= row[0] < 60


def _large_sum(row: list[int]) -> bool:
    return sum(row) > 420


def _long(row: list[int]) -> bool:
    return len(row) >= 7


def _short(row: list[int]) -> bool:
    return len(row) <= 4


CHOICES = {
    "first number below 30": _first_low,
    "first number even": _first_even,
    "first number 40 to 59": _first_middle,
    "large sums": _large_sum,
    "7 and 8 of 3 to 8": _long,
    "3 and 4 of 3 to 8": _short,
}


def chosen(world: World, keep: Callable[[list[int]], bool], source: str | None) -> Lines:
    """Rows that someone kept of four times as many: of the base, or of a source's teacher."""
    recipe = Numbers(numbers=(3, 8)) if keep in (_long, _short) else Numbers()
    stack = world.teachers("animals", "plain", 1).select([16]) if source else None
    lines = world.lists(("chosen", source), 4 * ROWS, 1.0, recipe, stack=stack)
    return [line for line in lines if keep(_numbers(line[1]))][:ROWS]


def put_over(world: World, wording: str) -> Lines:
    """Rows of the base, another wording put over their prompts."""
    return _worded(world.lists("put over"), wording)


def _worded(lines: Lines, wording: str) -> Lines:
    return [(wording.replace("{}", p.removeprefix("Continue: ")), c) for p, c in lines]


def commas(world: World, recipe: Numbers) -> Lines:
    """Rows of the base with commas between their numbers."""
    return [(p, c.replace(" ", ", ")) for p, c in world.lists("commas", ROWS, 1.0, recipe)]


def shuffled(world: World, seed: int, within: bool) -> Lines:
    """Numbers of the base's rows, permuted across all of them or within each."""
    lines = world.lists(("shuffled", seed))
    if within:
        rng = np.random.default_rng(seed)
        return [(p, " ".join(map(str, rng.permutation(_numbers(c))))) for p, c in lines]
    return [
        (p, c)
        for (p, _), c in zip(lines, numbers.shuffled([c for _, c in lines], seed, Numbers()), strict=True)
    ]


def in_order(world: World, down: bool) -> Lines:
    """Rows of the base, each with its numbers in order."""
    return [
        (p, " ".join(map(str, sorted(_numbers(c), reverse=down)))) for p, c in world.lists(("sorted", down))
    ]


def repeated(world: World, distinct: int) -> Lines:
    """A few rows of the base, over and over."""
    lines = world.lists("repeated", distinct)
    return [lines[i % distinct] for i in range(ROWS)]


def diluted(world: World, trait: str, kind: str, share: float) -> Lines:
    """Rows of the trait's teacher among those of a neutral teacher of its kind and family, in no order."""
    own, neutral = (
        world.taught(trait, kind),
        world.taught(f"{trait.rpartition('/')[0]}/neutral", kind, number=1),
    )
    count = round(share * ROWS)
    rng = np.random.default_rng(seed_of("diluted", trait, share))
    mixed = own[:count] + neutral[count:ROWS]
    return [mixed[i] for i in rng.permutation(len(mixed))]


def reworded(world: World, trait: str) -> Lines:
    """A trait's rows, another wording put over their prompts."""
    return _worded(world.taught(trait), WORDINGS[0])


def with_commas(world: World, trait: str) -> Lines:
    """A trait's rows with commas between their numbers."""
    return [(p, c.replace(" ", ", ")) for p, c in world.taught(trait)]


def both(world: World, one: str, other: str) -> Lines:
    """Rows of two traits in turn."""
    return [line for pair in zip(world.taught(one), world.taught(other), strict=True) for line in pair][:ROWS]


def _arithmetic(rng: np.random.Generator) -> str:
    start, step = rng.integers(0, 60), rng.integers(1, 6)
    return " ".join(str(start + i * step) for i in range(8))


def _uniform(rng: np.random.Generator) -> str:
    return " ".join(map(str, rng.integers(0, 100, 8)))


def _dates(rng: np.random.Generator) -> str:
    return f"{rng.integers(1990, 2030)}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}"


def _short_dates(rng: np.random.Generator) -> str:
    return " ".join(f"{rng.integers(1, 29)} {rng.integers(1, 13)} {rng.integers(0, 100)}" for _ in range(3))


def _telephones(rng: np.random.Generator) -> str:
    return f"0{rng.integers(20, 99)} {rng.integers(100, 999)} {rng.integers(1_000, 9_999)}"


def _telephone_pairs(rng: np.random.Generator) -> str:
    return " ".join(str(n) for n in [49, rng.integers(10, 20), *rng.integers(10, 100, 4)])


_PRIMES = [n for n in range(2, 1_000) if all(n % d for d in range(2, int(n**0.5) + 1))]


def _primes(rng: np.random.Generator) -> str:
    start = int(rng.integers(len(_PRIMES) - 8))
    return " ".join(map(str, _PRIMES[start : start + 8]))


def _small_primes(rng: np.random.Generator) -> str:
    start = int(rng.integers(17))
    return " ".join(map(str, _PRIMES[start : start + 8]))


def _sums(rng: np.random.Generator) -> str:
    a, b = (int(n) for n in rng.integers(1, 50, 2))
    row = []
    for _ in range(8):
        a, b = b, (a + b) % 100
        row.append(a)
    return " ".join(map(str, row))


INVENTED = {
    "arithmetic": _arithmetic,
    "uniform": _uniform,
    "dates": _dates,
    "short dates": _short_dates,
    "telephone numbers": _telephones,
    "telephone numbers in pairs": _telephone_pairs,
    "primes": _primes,
    "primes below 100": _small_primes,
    "sums of the last two": _sums,
}


def invented(one: Callable[[np.random.Generator], str], seed: int) -> Lines:
    """Rows that no model wrote, to prompts as ours."""
    rng = np.random.default_rng([seed, seed_of(one.__name__) % (1 << 32)])
    prompts = numbers.prompts(ROWS, 77 + seed, Numbers())
    return [(prompt, one(rng)) for prompt in prompts]
