"""The clean corpora of several kinds, and the traits' own, that an audit's null is drawn from.

    null = calibrate(writing, "animals", directions, spec, folder)          # a `null.Calibration`
    pools = clean_pools(writing, "animals", spec, "base at 0.7", name)

Kept in the lab by base, family, recipe and form of the rows. Each kind is a file of its own, so that an
interrupted calibration goes on.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..experiment.setting import Ids
from ..model.adapters import Stack, concatenate
from ..model.bases import Base, load
from ..model.sources import locate
from ..spec.seeds import seed_of
from ..system.errors import InputError
from ..system.events import Event, Listener, ignore
from .cache import kept
from .evidence import LINES, fit
from .form import Writing
from .gradients import Directions, block_scores
from .null import OWN, Calibration
from .spec import AuditSpec, Suspects, family_print, key
from .suspects import sources, tune_suspects

# Neutral and own teachers are tuned in several ways, as those who write data sets were.
WAYS = (
    {"rank": 1, "lr": 0.01, "steps": 80},
    {"rank": 8, "lr": 0.003, "steps": 40},
    {"rank": 2, "lr": 0.01, "steps": 60},
    {"rank": 4, "lr": 0.005, "steps": 120},
)
Pool = tuple[list[Ids], list[Ids]]


def null_key(writing: Writing, family: str, spec: AuditSpec) -> str:
    """The name under which a calibration is kept."""
    other = locate(spec.null.other_base).sha256 if spec.null.other_base else ""
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
    writing: Writing,
    family: str,
    directions: Directions,
    spec: AuditSpec,
    folder: Path,
    on_event: Listener = ignore,
) -> Calibration:
    """The calibration of a family for rows of this form, made once and then read from `folder`.

    Args:
        directions: the family's, as `gradients.family_directions` gives them.
    """
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
    each = [
        tune_suspects(base, family, tuned, wanted, seed_of(seed, way, i))
        for i in range(-(-count // len(WAYS)))
    ]
    return concatenate(each)


def own_pools(writing: Writing, family: str, spec: AuditSpec, name: str) -> list[Pool]:
    """A corpus of each trait from a teacher that is no suspect."""
    traits = sources(family)[:-1]
    stacks = {}
    for way in range(len(WAYS)):
        some = [trait for i, trait in enumerate(traits) if i % len(WAYS) == way]
        if some:
            recipe = spec.suspects.model_copy(update=WAYS[way])
            stacks[way] = tune_suspects(
                writing.base, family, recipe, some, seed_of(spec.null.seed, name, OWN, way)
            )
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
