"""What pages and terminals say of the readouts of a whole run: a heading, a few words, a table, warnings.

    for words, rows in shown(summary):
        words.title, words.columns
    told("capability", rows).title                # of one readout

One that has no words here is shown with its own names. What a readout tells of an arm is a column of `tables`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ..experiment.readouts import IN_COMMON, readouts
from .words import alike, damage

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Column:
    """A column of a readout's table, from the rows of its part of a summary."""

    head: str
    key: str
    kind: Literal["words", "figure", "change", "share", "estimate"] = "words"
    """change: a signed figure, beside which `low` and `high` of the row are its 95% interval; share: 0 to 1,
    with the same interval; estimate: one without a sign, whose ends are named after it, and which a terminal shows
    without them."""


def _nothing(rows: Rows) -> list[str]:
    return []


@dataclass(frozen=True)
class Told:
    """How a readout of a whole run is told."""

    title: str
    about: str
    """For the page, under the title."""
    columns: tuple[Column, ...]
    warnings: Callable[[Rows], list[str]] = _nothing


TOLD = {
    "capability": Told(
        "language: loss on neutral text, and displacement, nats a token",
        "Loss on neutral text, which no trait is about: a student that lost its language is damaged, and what it "
        "says of a trait may be damage too. Displacement: how far a model moved from the base in all that it says "
        "there and in answers to other families' questions, KL(base || model); effects of arms that moved unequally "
        "far are no equals. Nats a token, with 95% intervals over chains.",
        (
            Column("student", "student"),
            Column("arm", "arm"),
            Column("loss", "loss", "figure"),
            Column("over the base", "change", "change"),
            Column("displaced", "displacement", "estimate"),
        ),
        damage,
    ),
    IN_COMMON: Told(
        "rows in common: prompts to which two arms' corpora have the same text",
        "Share of prompts to which two arms' corpora have the same text. Corpora that were drawn with the same keys, or "
        "one relabelled as another, have much in common, and their students differ by little else than the rest.",
        (
            Column("arm", "arm"),
            Column("beside", "beside"),
            Column("in common", "share", "share"),
        ),
        alike,
    ),
}


def shown(summary: dict[str, Any]) -> Iterator[tuple[Told, Rows]]:
    """The readouts of a whole run that a summary holds, with words for each and its rows."""
    for name in (*(name for name, readout in readouts().items() if readout.of_run), IN_COMMON):
        if rows := summary.get(name):
            yield told(name, rows), rows


def told(name: str, rows: Rows) -> Told:
    """The words for a readout; its own names where there are none."""
    columns = tuple(
        Column(key, key, "figure" if isinstance(value, float) else "words") for key, value in rows[0].items()
    )
    return TOLD.get(name) or Told(name, "", columns)
