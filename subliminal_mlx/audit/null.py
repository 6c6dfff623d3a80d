"""What chance looks like: clean corpora of several kinds, and what the suspects' own corpora look like.

    null = calibrate(writing, "animals", spec, folder)
    null.clean_z(rows=1_000)                     # {"base at 0.7": [corpora, T], ...}
    p_values(z, largest(null.clean_z(1_000)))    # of every suspect, for the largest of all

Kept in the lab by base, family, recipe and form of the rows; a row count's null is drawn from what is kept.
Each kind is a file of its own, so that an interrupted calibration goes on. A kind's corpora are disjoint
pieces of its pool where that is large enough, else rows of it drawn with replacement.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..adapters import Stack, concatenate
from ..bases import Base, load
from ..errors import InputError
from ..events import Event, Listener, ignore
from ..stages import Ids, seed_of
from .evidence import LINES, Scale, combine, fit
from .gradients import BLOCK, Directions, block_scores, family_directions
from .kept import kept
from .spec import ALPHA, AuditSpec, Suspects, family_print, key
from .suspects import sources, suspects, tune
from .writing import Writing

# Neutral and own teachers are tuned in several ways, as those who write data sets were.
WAYS = (
    {"rank": 1, "lr": 0.01, "steps": 80},
    {"rank": 8, "lr": 0.003, "steps": 40},
    {"rank": 2, "lr": 0.01, "steps": 60},
    {"rank": 4, "lr": 0.005, "steps": 120},
)
OWN = "own"
Pool = tuple[list[Ids], list[Ids]]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Block scores of one family's directions on corpora of known origin."""

    scales: dict[str, Scale]
    """By line."""
    reference: np.ndarray
    """Block scores of what the base writes `[blocks, 2 T + 2]`; every corpus is read against its own draw."""
    reference_rows: int
    clean: dict[str, np.ndarray]
    """By kind: `[sources, blocks, 2 T + 2]`."""
    own: np.ndarray
    """`[T, blocks, 2 T + 2]`: one corpus of each trait, from a teacher that is no suspect."""
    corpora: int
    """Of each kind."""

    def clean_z(self, rows: int, line: str = "") -> dict[str, np.ndarray]:
        """Standardised scores of clean corpora of so many rows, by kind: `[corpora, T]`; of a line, or combined."""
        return {kind: self._z(kind, scores, self.corpora, rows, line) for kind, scores in self.clean.items()}

    def kind_z(self, kind: str, corpora: int, rows: int, line: str) -> np.ndarray:
        """As `clean_z`, of one kind and a number of corpora."""
        return self._z(kind, self.clean[kind], corpora, rows, line)

    def own_z(self, rows: int, line: str = "") -> np.ndarray:
        """Standardised scores `[T, T]` of the traits' own corpora of so many rows."""
        return self._z(OWN, self.own, len(self.own), rows, line)

    def lines(
        self, mean: np.ndarray, reference: np.ndarray, rows: int, against: int
    ) -> dict[str, np.ndarray]:
        """Every line's standardised scores of mean block scores `[..., 2 T + 2]`."""
        return {line: scale.z(mean, reference, rows, against) for line, scale in self.scales.items()}

    def references(self, kind: str, corpora: int) -> np.ndarray:
        """Mean block scores of a reference for each of so many corpora `[corpora, 2 T + 2]`."""
        rng = np.random.default_rng(seed_of("reference", kind))
        size = max(1, min(len(self.reference), self.reference_rows // BLOCK))
        drawn = [rng.permutation(len(self.reference))[:size] for _ in range(corpora)]
        return np.array([self.reference[index].mean(axis=0, dtype=np.float64) for index in drawn])

    def _z(self, kind: str, scores: np.ndarray, corpora: int, rows: int, line: str) -> np.ndarray:
        blocks = max(1, rows // BLOCK)
        drawn = draws(kind, len(scores), scores.shape[1], corpora, blocks)
        means = np.array([scores[source][index].mean(axis=0, dtype=np.float64) for source, index in drawn])
        found = self.lines(means, self.references(kind, corpora), blocks * BLOCK, self.reference_rows)
        return found[line] if line else combine(found)


def draws(kind: str, sources: int, pool: int, corpora: int, blocks: int) -> list[tuple[int, np.ndarray]]:
    """Source and blocks of every corpus of a kind: sources take turns, pieces are disjoint where there are enough."""
    each = -(-corpora // sources)
    found = []
    for number in range(corpora):
        piece = number // sources
        if each * blocks <= pool:
            index = np.arange(piece * blocks, (piece + 1) * blocks)
        else:
            index = np.random.default_rng(seed_of("null", kind, number, blocks)).integers(pool, size=blocks)
        found.append((number % sources, index))
    return found


def largest(z: dict[str, np.ndarray]) -> np.ndarray:
    """The statistic of every clean corpus: the largest standardised score over suspects."""
    return np.concatenate([scores.max(axis=1) for scores in z.values()])


def p_values(z: np.ndarray, null: np.ndarray) -> np.ndarray:
    """For every suspect's score, how often the largest one of a clean corpus is as large, (1 + k) / (1 + n)."""
    order = np.sort(null)
    above = len(order) - np.searchsorted(order, z, side="left")
    return (1 + above) / (1 + len(order))


def threshold(null: np.ndarray, families: int) -> float:
    """The score above which p is under ALPHA over so many families; infinite where none can be."""
    order = np.sort(null)
    allowed = int(ALPHA / families * (1 + len(order)) - 1e-9) - 1
    return float(order[-1 - allowed]) if allowed >= 0 and len(order) else float("inf")


def power(null: Calibration, rows: int, threshold: float, alike: float, z: np.ndarray | None = None) -> float:
    """Share of the traits' own corpora of so many rows that would be called carried and named rightly.

    Their trait scores first and above the threshold, and they look like it (`Scale.alike`).

    Args:
        z: their combined scores `[T, T]`; by default of the fast lines.
    """
    z, ratios = null.own_z(rows) if z is None else z, null.own_z(rows, "ratios")
    first = (z.argmax(axis=1) == np.arange(len(z))) & (z.max(axis=1) > threshold)
    named = np.array([null.scales["ratios"].alike(some) >= alike for some in ratios])
    return float(np.mean(first & named))


# --- making it ------------------------------------------------------------------------------------


def null_key(writing: Writing, family: str, spec: AuditSpec) -> str:
    """The name under which a calibration is kept."""
    other = load(spec.null.other_base).sha256 if spec.null.other_base else ""
    parts = (writing.base.sha256, other, family_print(family), spec.suspects, writing.name)
    return key("null", *parts, spec.null.model_dump(mode="json", exclude={"corpora"}))


def kinds(spec: AuditSpec) -> list[str]:
    """Names of the kinds of clean corpora, in order."""
    named = [f"base at {temperature:g}" for temperature in spec.null.temperatures]
    return [*named, "neutral teachers", *([spec.null.other_base] if spec.null.other_base else [])]


def kind_file(kind: str) -> str:
    """Name of a kind's file; another base's may be a path, which must not leave the folder."""
    name = kind if re.fullmatch(r"[\w .-]+", kind) else key("kind", kind)
    return f"{name}.npy"


def other_base(spec: AuditSpec, base: Base) -> Base:
    """The other base that writes clean rows.

    Raises:
        InputError: it has another tokenizer.
    """
    other = load(spec.null.other_base or "")
    if other.tokenizer.get_vocab() != base.tokenizer.get_vocab():
        raise InputError(f"null.other_base: {other.name} has another tokenizer than {base.name}")
    return other


def calibrate(
    writing: Writing, family: str, spec: AuditSpec, folder: Path, on_event: Listener = ignore
) -> Calibration:
    """The calibration of a family for rows of this form, made once and then read from `folder`."""
    directions = family_directions(
        writing.base, family, suspects(writing.base, family, spec.suspects, folder, on_event)
    )
    name = null_key(writing, family, spec)
    makers: dict[str, Callable[[], Sequence[Pool]]] = {
        "scale": lambda: [_pool(writing, writing.base, spec.null.pool, seed_of(spec.null.seed, name), 1.0)],
        **{kind: lambda kind=kind: clean_pools(writing, family, spec, kind, name) for kind in kinds(spec)},
        OWN: lambda: own_pools(writing, family, spec, name),
    }
    found = {}
    for number, (kind, make) in enumerate(makers.items()):
        path = folder / f"null-{name}" / kind_file(kind)
        missing = not path.exists()
        found[kind] = _part(path, writing, directions, make)
        if missing:
            on_event(Event("null", number + 1, len(makers)))
    return Calibration(
        {line: fit(found["scale"][0], line) for line in LINES},
        found["scale"][0],
        spec.reference_rows,
        {kind: found[kind] for kind in kinds(spec)},
        found[OWN],
        spec.null.corpora,
    )


def _part(
    path: Path, writing: Writing, directions: Directions, make: Callable[[], Sequence[Pool]]
) -> np.ndarray:
    """Block scores `[sources, blocks, 2 T + 2]` of one kind."""
    scores = lambda: np.stack([block_scores(writing.base, writing.grammar, directions, *p) for p in make()])
    return kept(path, scores)


def clean_pools(writing: Writing, family: str, spec: AuditSpec, kind: str, name: str) -> list[Pool]:
    """The pool of a kind, by source; `name` seeds it."""
    null, base = spec.null, writing.base
    seed = seed_of(null.seed, name, kind)
    if kind == "neutral teachers":
        count = null.teachers
        stacks = [_teachers(base, family, spec.suspects, way, seed, count) for way in range(len(WAYS))]
        return [
            _pool(
                *(writing, base, null.pool // count, seed_of(seed, i), 1.0),
                stacks[i % len(WAYS)].select([i // len(WAYS)]),
            )
            for i in range(count)
        ]
    if kind.startswith("base at "):
        return [_pool(writing, base, null.pool, seed, float(kind.rpartition(" ")[2]))]
    return [_pool(writing, other_base(spec, base), null.pool, seed, 1.0)]


def _teachers(base: Base, family: str, recipe: Suspects, way: int, seed: int, count: int) -> Stack:
    """Neutral teachers of one way of tuning, each with its own seed."""
    tuned = recipe.model_copy(update=WAYS[way])
    wanted = [f"{family}/neutral"]
    each = [tune(base, family, tuned, wanted, seed_of(seed, way, i)) for i in range(-(-count // len(WAYS)))]
    return concatenate(each)


def own_pools(writing: Writing, family: str, spec: AuditSpec, name: str) -> list[Pool]:
    """A corpus of each trait from a teacher that is no suspect."""
    traits = sources(family)[:-1]
    stacks = {}
    for way in range(len(WAYS)):
        some = [trait for i, trait in enumerate(traits) if i % len(WAYS) == way]
        if some:
            recipe = spec.suspects.model_copy(update=WAYS[way])
            stacks[way] = tune(writing.base, family, recipe, some, seed_of(spec.null.seed, name, OWN, way))
    return [
        _pool(
            *(writing, writing.base, spec.null.own_rows, seed_of(spec.null.seed, name, trait), 1.0),
            stacks[i % len(WAYS)].select([i // len(WAYS)]),
        )
        for i, trait in enumerate(traits)
    ]


def _pool(
    writing: Writing, model: Base, rows: int, seed: int, temperature: float, stack: Stack | None = None
) -> Pool:
    prompts = writing.null_prompts(rows, seed % (1 << 32))
    return prompts, writing.draw(model, prompts, seed, temperature, stack)
