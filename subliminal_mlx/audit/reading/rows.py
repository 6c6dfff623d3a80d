"""What a reader hands on: rows as they stood, the answers that a student would learn from, and what was not read.

    row = Row(17, content, answers=(Answer(17, (("user", "Continue: 1 2 3"),), 1, "4 5 6"),))
    row.answers[0].context, row.answers[0].completion

Data only: where rows come from and what their fields are called is others' business.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...system.errors import InputError, first_problem

# Raised whenever the same file would give other answers, another hash, or more that is unread: an audit says by which
# it was read.
READER_VERSION = 3
SHOWN_BAD = 20

Turn = tuple[str, str]
"""Who speaks, and what: `("user", "Name an animal.")`."""
REPLY, REASONING, CALL = "reply", "reasoning", "tool call"


class Reading(BaseModel):
    """How rows are read: as the trainer will be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    answers: Literal["all", "last", "weighted"] = "all"
    """all: every answer of a conversation (mlx-lm's default); last: its last turn (mlx-lm's --mask-prompt);
    weighted: those whose `weight` is not 0, as hosted services have it."""
    prompt_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The field that the prompt is in, where the trainer is told one (mlx-lm's prompt_feature)."""
    completion_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None

    @model_validator(mode="after")
    def _both(self) -> "Reading":
        if (self.prompt_key is None) != (self.completion_key is None):
            raise ValueError("prompt_key and completion_key: name both or none")
        if self.prompt_key is not None and self.prompt_key == self.completion_key:
            raise ValueError("prompt_key and completion_key: must be two fields")
        return self


def parse_reading(**fields: Any) -> Reading:
    """How rows are read, from plain values; InputError names the first that is wrong."""
    try:
        return Reading.model_validate(fields)
    except ValidationError as error:
        raise InputError(f"reading: {first_problem(error)}") from None


@dataclass(frozen=True, slots=True)
class Answer:
    """One text that a student would be trained on, and what stands before it."""

    number: int
    """Of its row."""
    turns: tuple[Turn, ...]
    """The whole conversation, shared by all answers of a row; empty where a row is text alone."""
    before: int
    """How many of the turns stand before this answer."""
    completion: str
    """As it stood, white space and all."""
    rejected: str | None = None
    """What it was preferred to; None where a row is no preference pair."""

    @property
    def context(self) -> tuple[Turn, ...]:
        return self.turns[: self.before]

    @property
    def prompt(self) -> str | None:
        """What was said just before; None where nothing was."""
        return self.turns[self.before - 1][1] if self.before else None

    @property
    def bare(self) -> bool:
        """Whether a user's words alone stand before it."""
        return self.before == 1 and self.turns[0][0] == "user"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a data set, good or bad."""

    number: int
    """Line of a JSONL file, row or element of any other, counted from 1 over all files of a folder."""
    content: bytes
    """The whole row in canonical JSON; of what is none, the bytes as they stood. What a corpus is hashed by."""
    answers: tuple[Answer, ...] = ()
    reason: str | None = None
    """Why nothing of it can be used; None for a good row."""
    unread: tuple[tuple[str, int], ...] = ()
    """Names and characters of what a trainer may train on and no answer holds."""
    told: tuple[str, ...] = ()
    """What a reader should know of how it was read, such as "read as prompt and completion, beside messages"."""
    size: int = 0
    """Bytes of a bad row as it stood."""
    where: str = ""
    """Place in its file where there are several, such as "line 3 of b.jsonl"."""

    @property
    def characters(self) -> int:
        return sum(len(answer.completion) for answer in self.answers)


@dataclass
class Bad:
    """Rows, or answers of rows, that could not be used."""

    total: int = 0
    shown: list[tuple[int, str]] = field(default_factory=list)
    """Number and reason of the first SHOWN_BAD."""
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, number: int, reason: str, where: str = "") -> None:
        self.total += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if len(self.shown) < SHOWN_BAD:
            self.shown.append((number, f"{reason} ({where})" if where else reason))

    def and_then(self, more: "Bad") -> "Bad":
        """Both counts, in this order."""
        reasons = {
            r: self.reasons.get(r, 0) + more.reasons.get(r, 0) for r in {**self.reasons, **more.reasons}
        }
        return Bad(self.total + more.total, [*self.shown, *more.shown][:SHOWN_BAD], reasons)

    @property
    def most(self) -> str:
        """The most frequent reason."""
        return max(self.reasons, key=lambda reason: self.reasons[reason])


def good(rows: Iterable[Row], bad: Bad | None = None) -> Iterator[Row]:
    """The rows that can be used; the others are counted in `bad`."""
    for row in rows:
        if row.reason is None:
            yield row
        elif bad is not None:
            bad.add(row.number, row.reason, row.where)


def described(how: Reading) -> dict[str, Any]:
    """What an audit says of how its rows were read."""
    return {"version": READER_VERSION, **how.model_dump(mode="json")}
