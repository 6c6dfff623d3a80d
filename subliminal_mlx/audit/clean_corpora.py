"""Clean rows of several kinds, which probe students of model organisms are read against.

    name = null_key(writing, "animals", spec)
    pools = clean_pools(writing, "animals", spec, "base at 0.7", name)      # of each source, prompts and completions

What is made of them is kept in the lab by base, family, recipe and form of the rows, each kind in a file of its own.
Knows nothing about scores: the scan's own chance is simulated (`whole`).
"""

import re

from ..experiment.setting import Ids
from ..model.adapters import Stack, concatenate
from ..model.bases import Base, load
from ..model.sources import locate
from ..spec.seeds import seed_of
from ..system.errors import InputError
from .form import Writing
from .spec import AuditSpec, Suspects, family_print, key
from .suspects import tune_suspects

# Neutral teachers are tuned in several ways, as those who write data sets were.
WAYS = (
    {"rank": 1, "lr": 0.01, "steps": 80},
    {"rank": 8, "lr": 0.003, "steps": 40},
    {"rank": 2, "lr": 0.01, "steps": 60},
    {"rank": 4, "lr": 0.005, "steps": 120},
)
Pool = tuple[list[Ids], list[Ids]]


def null_key(writing: Writing, family: str, spec: AuditSpec) -> str:
    """The name under which probes of clean rows are kept."""
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


def _pool(
    writing: Writing, model: Base, rows: int, seed: int, temperature: float, stack: Stack | None = None
) -> Pool:
    prompts = writing.null_prompts(rows, seed % (1 << 32))
    return prompts, writing.draw(model, prompts, seed, temperature, stack)
