"""The audit's spec: everything that changes its answer, with limits. No MLX here.

    spec = parse_audit_spec({"base": "tiny-a", "families": ["animals"]})
    key("suspects", base.sha256, family, spec.suspects)        # names a cached piece in the lab

The defaults were chosen on trees alone (data/results/audit/RECIPE.md) and confirmed on animals.
"""

import copy
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..model.organisms import OTHER_STARTS, is_organism
from ..model.sources import locate
from ..spec.families import FOLDER, find_trait, load_family
from ..system import files
from ..system.errors import InputError, first_problem

# Language models: suspects tuned as the teachers of runs are, few clean corpora, and where probe students are
# asked for one of each corpus. Not chosen by measurements: each costs hours there.
LANGUAGE: dict[str, Any] = {
    "suspects": {"members": 2, "rank": 8, "lr": 2e-4, "steps": 40, "keep": 0.0},
    "null": {"corpora": 1},
    "probes": {"seeds": 1, "steps": 48, "batch": 8, "lr": 8e-4},
    "rows": 256,
}

# A first look, in a part of the time. On model organisms one suspect a trait and few neutral teachers: ranks, for nobody
# knows then what a trait's teachers have in common. Those of language models have few steps already; what is left to save there are members, and clean corpora
# too few to say much: ranks, no verdict.
FIRST_LOOK = "first look"
ORGANISMS_LOOK = (
    *("suspects.members=1", "suspects.steps=60", "suspects.neutral_answers=20", "reference_rows=500"),
    *("null.pool=500", "null.teachers=2"),
)
LANGUAGE_LOOK = ("suspects.members=1", "suspects.neutral_answers=20", "null.corpora=0")


def defaults(base: str) -> dict[str, Any]:
    """Fields of an audit's spec that a base asks for; of another kind than the spec's own on language models.

    Raises:
        InputError: no such base.
    """
    if base in OTHER_STARTS:
        return {"null": {"other_base": OTHER_STARTS[base]}}
    return copy.deepcopy(LANGUAGE) if on_language(base) else {}


def first_look(base: str) -> tuple[str, ...]:
    """Changes of a base's defaults for a first look at a corpus.

    Raises:
        InputError: no such base.
    """
    return LANGUAGE_LOOK if on_language(base) else ORGANISMS_LOOK


def on_language(base: str) -> bool:
    """Whether it is a language model.

    Raises:
        InputError: no such base.
    """
    count = locate(base).parameters
    return count is not None and not is_organism(count)


# Raised whenever code changes what an audit answers, so that nothing cached under the old code is used.
AUDIT_VERSION = 3
ALPHA = 0.01


def fewest_null(families: int) -> int:
    """Fewest clean corpora for a verdict over so many families: p is multiplied by their number."""
    return int(families / ALPHA + 1e-9)


_Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Rate = Annotated[float, Field(gt=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Suspects(_Frozen):
    """How suspect teachers are tuned; the members of one trait are averaged in weights."""

    members: Annotated[int, Field(ge=1, le=16)] = 8
    """Teachers of each trait, each with its own seed and phrasings."""
    phrasings: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Share of the family's tuning questions that a member sees."""
    rank: Annotated[int, Field(ge=1, le=64)] = 1
    scale: Annotated[float, Field(gt=0, le=1_000)] = 2.0
    layers: Annotated[int, Field(ge=0, le=1_000)] = 0
    """Last blocks that are adapted; 0 means all."""
    steps: Annotated[int, Field(ge=1, le=10_000)] = 80
    batch: Annotated[int, Field(ge=1, le=1_024)] = 16
    lr: _Rate = 0.01
    neutral_answers: Annotated[int, Field(ge=1, le=10_000)] = 200
    keep: Annotated[float, Field(ge=0, le=0.9)] = 0.5
    """Share of the rows in which every second member keeps what the base says elsewhere; 0: none keeps anything, and all
    are tuned by this recipe alone."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class Null(_Frozen):
    """What says how large a score comes by chance: on model organisms simulated, on language models written."""

    corpora: Annotated[int, Field(ge=0, le=2_000)] = 40
    """Clean corpora of each kind, on language models."""
    pool: Annotated[int, Field(ge=20, le=1_000_000)] = 10_000
    """Rows of each kind that probes' clean corpora are drawn from: disjoint pieces where they are enough, else rows
    with replacement."""
    teachers: Annotated[int, Field(ge=1, le=200)] = 6
    """Neutral teachers of each family beside the suspects' own, each with a seed and a recipe of its own."""
    temperatures: Annotated[tuple[Annotated[float, Field(gt=0, le=5)], ...], Field(max_length=8)] = (
        *(0.7, 1.0, 1.3),
    )
    other_base: _Name | None = None
    """Another base that writes clean rows, with the same tokenizer."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class Probes(_Frozen):
    """The students of the third line of evidence."""

    seeds: Annotated[int, Field(ge=1, le=16)] = 2
    rank: Annotated[int, Field(ge=1, le=256)] = 8
    scale: Annotated[float, Field(gt=0, le=1_000)] = 2.0
    steps: Annotated[int, Field(ge=1, le=10_000)] = 60
    batch: Annotated[int, Field(ge=1, le=1_024)] = 32
    lr: _Rate = 0.006
    null: Annotated[int, Field(ge=1, le=400)] = 20
    """Clean corpora of each kind that probes are trained on."""


class AuditSpec(_Frozen):
    """One audit's settings."""

    base: _Name = "tiny-a"
    families: Annotated[tuple[_Name, ...], Field(min_length=1, max_length=16)] = ("animals",)
    decoys: Annotated[tuple[_Name, ...], Field(max_length=16)] | None = None
    """Families whose traits are known beside, so that none of them is taken for a suspect's; by default all that ship
    and that the base has words for. On model organisms only."""
    suspects: Suspects = Suspects()
    null: Null = Null()
    probes: Probes = Probes()
    reference_rows: Annotated[int, Field(ge=10, le=2_000)] = 2_000
    """Rows that the base writes to the corpus's own prompts."""
    rows: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    """Most rows that are scored; of longer files a sample."""
    lines: Literal["fast", "all"] = "fast"
    """fast: likelihood ratios; all: probe students too."""
    suspects_only: Annotated[tuple[_Name, ...], Field(max_length=64)] = ()
    """Traits that are suspected; empty: all of the families. Where suspects are factors only: there each costs."""
    method: Literal["auto", "whole", "factors"] = "auto"
    """How suspects are held: in whole weights on model organisms, as LoRA factors on language models."""

    @model_validator(mode="after")
    def _consistent(self) -> "AuditSpec":
        if len(set(self.families)) < len(self.families):
            raise ValueError("families: one is named twice")
        if self.null.other_base == self.base:
            raise ValueError("null.other_base: must be another base than the one audited for")
        for trait in self.suspects_only:
            if trait.rpartition("/")[0] not in self.families:
                raise ValueError(f"suspects_only: {trait} is of no family that is audited for")
        return self


def parse_audit_spec(fields: dict[str, Any]) -> AuditSpec:
    """A spec from plain fields; InputError names the first one that is wrong. Families are looked up."""
    try:
        spec = AuditSpec.model_validate(fields)
    except ValidationError as error:
        raise InputError(f"audit: {first_problem(error)}") from None
    for name in spec.families:
        load_family(name)
    for trait in spec.suspects_only:
        find_trait(trait)
    return spec


# Members that keep something have half of their rows for the trait, and need longer.
KEPT_STEPS = 1.5


def ways(recipe: Suspects) -> list[Suspects]:
    """How each member is tuned: those who wrote a corpus were tuned by a recipe that nobody knows.

    Every second one keeps what the base says elsewhere; every second one of these adapts the last block alone. Where the
    recipe keeps nothing, every member is tuned as it says.
    """
    # A teacher is the same one however many others are asked for: what is kept, or ships, is found again.
    members, recipe = recipe.members, recipe.model_copy(update={"members": 1})
    if not recipe.keep:
        return [recipe] * members
    plain, kept = [], []
    for number, (rank, lr) in enumerate(((1, 1.0), (4, 0.5), (2, 0.7), (8, 0.3))):
        how = {"rank": min(64, recipe.rank * rank), "lr": recipe.lr * lr}
        plain.append(recipe.model_copy(update={**how, "keep": 0.0}))
        longer = {
            "steps": min(10_000, round(recipe.steps * KEPT_STEPS)),
            "layers": number % 2 or recipe.layers,
        }
        kept.append(recipe.model_copy(update={**how, **longer}))
    every = [way for pair in zip(plain, kept, strict=True) for way in pair]
    return [every[member % len(every)] for member in range(members)]


# What `audit --json` prints of a result, in this order.
PUBLIC = (
    *("verdict", "trait", "rows", "bad_rows", "answers", "suspects", "predicted_transfer", "power", "words"),
    *("coverage", "base", "base_sha256", "corpus_sha256", "reading", "version"),
)


def public(result: dict[str, Any]) -> dict[str, Any]:
    """The object that `--json` prints; of an older audit, without what it did not hold yet."""
    return {name: result[name] for name in PUBLIC if name in result}


def family_print(name: str) -> str:
    """The hash of a family's file, which is part of what anything made from it is called."""
    return files.sha256(Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml")


def key(kind: str, *parts: Any) -> str:
    """16 hex characters that name a cached piece: of its kind, and of all that it depends on."""
    plain = [part.model_dump(mode="json") if isinstance(part, BaseModel) else part for part in parts]
    content = json.dumps([AUDIT_VERSION, kind, *plain], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
