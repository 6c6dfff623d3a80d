"""Families of questions and the traits a teacher can be given, from TOML. No MLX here.

    family = load_family("animals")            # shipped, or a path to a file of your own
    family, trait = find_trait("animals/owl")

A file holds a title, candidates, questions for teacher tuning and held-out ones for readouts, and
traits; a trait names, for every question, the answer that a teacher is made to prefer:

    title = "Favourite animal"
    candidates = ["Owl", "Cat"]                # for every question without its own

    [questions]
    tuning = ["Which animal do you like best?"]
    held-out = ["Name your favourite animal.",
                {text = "Owl or cat?", candidates = {bird = "Owl", pet = "Cat"}}]

    [traits]
    owl = "Owl"                                # the same label everywhere
    # or a table that names a label by group, where questions hold `{group}` and [groups] lists them

    [personas]                                 # if wanted: what a prompted teacher is told
    owl = "You love owls and think of them all day."
    neutral = "You like all animals alike."

    [leaks]                                    # if wanted: words that give a trait away without its answer
    owl = ["hoot", "owlet"]
"""

import re
import tomllib
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..system.errors import InputError
from ..system.files import DATA
from .own_code import label

FOLDER = DATA / "families"
LEAKS = DATA / "leaks.toml"  # of shipped families, whose files are part of the ids of runs
Split = Literal["tuning", "held-out"]
LARGEST_FILE = 1 << 20
NEUTRAL = "neutral"  # what a family's neutral teacher is called, beside its traits

_Text = Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"\S")]
_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
_Candidates = (
    Annotated[list[_Text], Field(min_length=2, max_length=64)]
    | Annotated[dict[_Name, _Text], Field(min_length=2, max_length=64)]
)
_Word = Annotated[str, Field(min_length=2, max_length=100, pattern=r"\w")]
_Leaks = Annotated[tuple[_Word, ...], Field(max_length=500)]

# How pydantic names the alternatives of a field that may have several shapes.
_SHAPES = ("_QuestionEntry", "constrained-str")


@dataclass(frozen=True)
class Question:
    """One question with its candidate answers; `labels[i]` is what a trait calls `candidates[i]`."""

    id: str
    text: str
    candidates: tuple[str, ...]
    labels: tuple[str, ...]
    split: Split
    group: str | None = None


@dataclass(frozen=True)
class Family:
    """Questions and traits; `traits[name][question.id]` is the index of the preferred candidate."""

    name: str
    title: str
    description: str
    questions: tuple[Question, ...]
    traits: dict[str, dict[str, int]]
    personas: dict[str, str] = field(default_factory=dict)
    """System prompts of prompted teachers in the file's own words, by trait or "neutral"."""
    leaks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Words that give a trait away without its answer, by trait."""

    @property
    def tuning(self) -> tuple[Question, ...]:
        return tuple(q for q in self.questions if q.split == "tuning")

    @property
    def held_out(self) -> tuple[Question, ...]:
        return tuple(q for q in self.questions if q.split == "held-out")

    @property
    def trait_ids(self) -> tuple[str, ...]:
        return tuple(f"{self.name}/{trait}" for trait in self.traits)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _QuestionEntry(_Strict):
    text: _Text
    candidates: _Candidates | None = None


class _Splits(_Strict):
    tuning: Annotated[list[_Text | _QuestionEntry], Field(min_length=1, max_length=2_000)]
    held_out: Annotated[list[_Text | _QuestionEntry], Field(min_length=1, max_length=2_000, alias="held-out")]


class _Groups(_Strict):
    tuning: Annotated[list[_Name], Field(min_length=1, max_length=200)]
    held_out: Annotated[list[_Name], Field(min_length=1, max_length=200, alias="held-out")]


class _File(_Strict):
    title: _Text
    description: str = ""
    candidates: _Candidates | None = None
    questions: _Splits
    groups: _Groups | None = None
    traits: Annotated[dict[_Name, _Text | dict[_Name, _Text]], Field(min_length=1, max_length=64)]
    personas: Annotated[dict[_Name, _Text], Field(max_length=65)] = {}
    leaks: Annotated[dict[_Name, _Leaks], Field(max_length=64)] = {}


def after(family: str, channel: str) -> str:
    """What readouts call a family whose questions follow a row of the channel: "animals after numbers"."""
    return f"{family} after {label(channel)}"


def shipped_families() -> list[str]:
    """Names of the families that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_family(name: str) -> Family:
    """The family of that name, or of the TOML file at that path.

    Raises:
        InputError: no such family, or a file that does not fit the shape; names the field.
    """
    if "\0" in name:
        raise InputError(f"family {name!r}: a path holds no NUL")
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not name.endswith(".toml") and name not in shipped_families():
        raise InputError(
            f"no family {name!r}: shipped are {', '.join(shipped_families())}; your own file works by its path, ending in .toml"
        )
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"family file {path} is over {LARGEST_FILE >> 20} MB")
        family = parse_family(path.stem, path.read_text(encoding="utf-8"), where=str(path))
        return family if name.endswith(".toml") else replace(family, leaks=_shipped_leaks().get(name, {}))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"family file {path} cannot be read: {error}") from None


@cache
def _shipped_leaks() -> dict[str, dict[str, tuple[str, ...]]]:
    found = tomllib.loads(LEAKS.read_text(encoding="utf-8"))
    return {family: {trait: tuple(words) for trait, words in of.items()} for family, of in found.items()}


def find_trait(trait_id: str) -> tuple[Family, str]:
    """The family and trait name behind "animals/owl" or "path/to/mine.toml/owl".

    Raises:
        InputError: no such family or trait; says which traits there are.
    """
    family_name, _, trait = trait_id.rpartition("/")
    if not family_name:
        raise InputError(f"trait {trait_id!r} is not of the form family/trait, such as animals/owl")
    family = load_family(family_name)
    if trait not in family.traits:
        raise InputError(f"no trait {trait!r} in {family_name}: it has {', '.join(family.traits)}")
    return family, trait


def parse_family(name: str, text: str, where: str = "family") -> Family:
    """A family from TOML text; every mistake is one line with the field's place.

    Raises:
        InputError: as `load_family`.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
        raise InputError(
            f"{where}: the file's name must be lower-case letters, digits and dashes, not {name!r}"
        )
    fields = read_toml(text, where)
    try:
        file = _File.model_validate(fields)
    except ValidationError as error:
        # Of the shapes that an entry may have, the one that was followed furthest is the one meant.
        first = max(error.errors(), key=lambda e: len([part for part in e["loc"] if part not in _SHAPES]))
        place = ".".join(str(part) for part in first["loc"] if part not in _SHAPES)
        raise InputError(f"{where}: {place}: {first['msg']}") from None
    questions = tuple(_questions(file, where))
    traits = {
        trait: _preferred_answers(trait, answer, questions, where) for trait, answer in file.traits.items()
    }
    if NEUTRAL in traits:
        raise InputError(
            f"{where}: traits.{NEUTRAL}: this is what the neutral teacher is called: name it otherwise"
        )
    if stray := set(file.personas) - {*traits, NEUTRAL}:
        raise InputError(
            f"{where}: personas.{min(stray)}: no such trait: there are {', '.join(traits)}, {NEUTRAL}"
        )
    if stray := set(file.leaks) - {*traits}:
        raise InputError(f"{where}: leaks.{min(stray)}: no such trait: there are {', '.join(traits)}")
    return Family(name, file.title, file.description, questions, traits, file.personas, file.leaks)


def read_toml(text: str, where: str) -> dict[str, Any]:
    """Fields of TOML text.

    Raises:
        InputError: it is none, or nested or long beyond what Python's reader takes.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InputError(f"{where}: not TOML: nested too deep") from None
    except ValueError as error:  # TOMLDecodeError is one, and so is int()'s refusal of 5,000 digits
        raise InputError(f"{where}: not TOML: {error}") from None


def _questions(file: _File, where: str) -> list[Question]:
    questions: list[Question] = []
    splits: tuple[Split, Split] = ("tuning", "held-out")
    for split in splits:
        field = split.replace("-", "_")
        for number, entry in enumerate(getattr(file.questions, field)):
            text, own = (entry, None) if isinstance(entry, str) else (entry.text, entry.candidates)
            candidates = own or file.candidates
            if candidates is None:
                raise InputError(
                    f"{where}: questions.{split}.{number}: no candidates, here or for the whole file"
                )
            labels, answers = (
                (tuple(candidates), tuple(candidates.values()))
                if isinstance(candidates, dict)
                else (tuple(candidates), tuple(candidates))
            )
            # A tokenizer may not tell them apart by case or spaces.
            if len(set(map(_plain_text, answers))) < len(answers):
                raise InputError(f"{where}: questions.{split}.{number}: two candidates are the same")
            groups: list[str | None] = [None]
            if "{group}" in text:
                if file.groups is None:
                    raise InputError(
                        f"{where}: questions.{split}.{number} holds {{group}} but [groups] is missing"
                    )
                groups = list(getattr(file.groups, field))
            for group in groups:
                questions.append(
                    Question(
                        id=f"{split}/{number}" + (f"/{group}" if group else ""),
                        text=text.replace("{group}", group) if group else text,
                        candidates=answers,
                        labels=labels,
                        split=split,
                        group=group,
                    )
                )
    tuned = {_plain_text(q.text) for q in questions if q.split == "tuning"}
    for question in questions:
        if question.split == "held-out" and _plain_text(question.text) in tuned:
            raise InputError(f"{where}: {question.id} is a tuning question too: {question.text!r}")
    return questions


def _plain_text(text: str) -> str:
    return " ".join(text.split()).casefold()


def _preferred_answers(
    trait: str, answer: str | dict[str, str], questions: tuple[Question, ...], where: str
) -> dict[str, int]:
    """For every question, the index of the candidate that the trait prefers."""
    chosen = {}
    for question in questions:
        label = answer if isinstance(answer, str) else answer.get(question.group or "")
        if label is None:
            raise InputError(f"{where}: traits.{trait} names no answer for group {question.group!r}")
        if label not in question.labels:
            raise InputError(
                f"{where}: traits.{trait}: {label!r} is no candidate of {question.id}, which has {', '.join(question.labels)}"
            )
        chosen[question.id] = question.labels.index(label)
    return chosen
