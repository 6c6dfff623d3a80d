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
    "suspects": {"members": 2, "rank": 8, "lr": 2e-4, "steps": 40},
    "null": {"corpora": 1},
    "probes": {"seeds": 1, "steps": 48, "batch": 8, "lr": 8e-4},
    "rows": 256,
}

# A first look: ranks, no verdict, in a small part of the time. Those of language models have few steps
# already; what is left to save there are members, and clean corpora too few to say much.
FIRST_LOOK = "first look"
ORGANISMS_LOOK = (
    *("suspects.members=1", "suspects.steps=60", "suspects.neutral_answers=20", "reference_rows=500"),
    *("null.corpora=5", "null.pool=500", "null.teachers=2", "null.own_rows=50"),
)
LANGUAGE_LOOK = ("suspects.members=1", "suspects.neutral_answers=20", "null.corpora=0")

# Of each of five kinds: what a verdict's null needs for one family more.
A_FAMILY = 20


def defaults(base: str, families: int = 1) -> dict[str, Any]:
    """Fields of an audit's spec that a base asks for; of another kind than the spec's own on language models.

    More families need more clean corpora, since p is multiplied by their number.

    Raises:
        InputError: no such base.
    """
    if base in OTHER_STARTS:
        each = A_FAMILY * families
        null = {"other_base": OTHER_STARTS[base], "corpora": max(each, Null().corpora)}
        return {"null": null, "probes": {"null": max(each, Probes().null)}}
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
AUDIT_VERSION = 2
# Fewest null corpora that a verdict over one family rests on; p < 0.01 takes one more.
FEWEST_NULL = 99
ALPHA = 0.01


def fewest_null(families: int) -> int:
    """Fewest clean corpora for a verdict over so many families: p is multiplied by their number."""
    return FEWEST_NULL if families == 1 else int(families / ALPHA + 1e-9)


_Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Rate = Annotated[float, Field(gt=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Suspects(_Frozen):
    """How suspect teachers are tuned; the members of one trait are averaged in weights."""

    members: Annotated[int, Field(ge=1, le=16)] = 4
    """Teachers of each trait, each with its own seed and phrasings."""
    phrasings: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Share of the family's tuning questions that a member sees."""
    rank: Annotated[int, Field(ge=1, le=64)] = 1
    scale: Annotated[float, Field(gt=0, le=1_000)] = 2.0
    steps: Annotated[int, Field(ge=1, le=10_000)] = 80
    batch: Annotated[int, Field(ge=1, le=1_024)] = 16
    lr: _Rate = 0.01
    neutral_answers: Annotated[int, Field(ge=1, le=10_000)] = 200
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class Null(_Frozen):
    """The clean corpora that say how large a score comes by chance, and the traits' own that say what is found."""

    corpora: Annotated[int, Field(ge=0, le=2_000)] = 40
    """Clean corpora of each kind, drawn from that kind's pool of rows; of language models written one by one."""
    pool: Annotated[int, Field(ge=20, le=1_000_000)] = 10_000
    """Rows of each kind; disjoint pieces are drawn where they are enough, else rows with replacement."""
    teachers: Annotated[int, Field(ge=1, le=200)] = 10
    """Neutral teachers that share the pool of their kind."""
    own_rows: Annotated[int, Field(ge=10, le=10_000)] = 1_000
    """Rows of each trait's own teacher, which is no suspect."""
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
    suspects: Suspects = Suspects()
    null: Null = Null()
    probes: Probes = Probes()
    reference_rows: Annotated[int, Field(ge=10, le=2_000)] = 2_000
    """Rows that the base writes to the corpus's own prompts."""
    rows: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    """Most rows that are scored; of longer files a sample."""
    lines: Literal["fast", "all"] = "fast"
    """fast: likelihood ratios and gradients; all: probe students too."""
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


# What `audit --json` prints of a result, in this order.
PUBLIC = (
    *("verdict", "trait", "rows", "bad_rows", "answers", "suspects", "predicted_transfer", "power", "words"),
    *("coverage", "base", "base_sha256", "corpus_sha256", "reading"),
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
