"""Named changes to a student's rows that are meant to stop transfer, each with its random control.

    changed = defend("mix-25", rows, clean, setting, seed)             # a quarter of the rows is clean
    changed = defend("mix-25", rows, clean, setting, seed, control=True)
    changed = defend("drop-25", rows, clean, setting, seed, evidence=lambda: scores)

A control touches as many rows and tokens as its defence, at the same places, without what the defence
rests on: whatever it stops is the price of touching rows, not the defence's merit. Rows are dicts as the
lab keeps them (row, prompt, prompt_ids, completion, completion_ids); `counted`, where present, says which
tokens of the completion are learned from; `clean_from` is the first token that the untuned base wrote in
the source's place: from there on a soft student learns the base's distributions.

Each is a module of `methods/`. Imports no MLX: a spec that is read asks which defences there are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.defence_names import find, shipped_in_words
from ..system.errors import InputError

if TYPE_CHECKING:
    from ..experiment.setting import Setting

Row = dict[str, Any]


@dataclass(frozen=True)
class Given:
    """What a defence may use. Its seed is the same for the defence and its control: they touch the same places."""

    name: str
    """As in the spec's `defences`."""
    share: float
    """That the name asks for; 0 where it has no percentage."""
    rows: Sequence[Row]
    """What the student would train on."""
    clean: Sequence[Row]
    """Rows of the untuned base."""
    setting: "Setting"
    seed: int
    control: bool
    """The random control is asked for."""
    evidence: Callable[[], list[np.ndarray]] | None
    """What each row's tokens carry, nats; costly, and not asked for by controls."""


@dataclass(frozen=True)
class Changed:
    """Rows after a defence, and what they lost: rows and completion tokens of the source that are gone."""

    rows: list[Row]
    rows_lost: int
    tokens_lost: int

    @classmethod
    def between(cls, before: Sequence[Row], after: list[Row]) -> "Changed":
        """What was taken away: rows, and tokens of rows that are gone, rewritten or left uncounted."""
        kept = {row["row"]: row for row in after}
        lost = 0
        for row in before:
            found = kept.get(row["row"])
            if found is None or found["completion_ids"] != row["completion_ids"]:
                lost += len(row["completion_ids"])
            elif "counted" in found:
                lost += found["counted"].count(False)
        return cls(after, len(before) - len(kept), lost)


def defend(
    name: str,
    rows: Sequence[Row],
    clean: Sequence[Row],
    setting: "Setting",
    seed: int,
    control: bool = False,
    evidence: Callable[[], list[np.ndarray]] | None = None,
) -> Changed:
    """Apply a defence, or its random control, to one source's rows; arguments as in `Given`.

    Raises:
        InputError: no such defence, too few clean rows, or a user's function that does not do as it should.
    """
    defence = find(name)
    if defence is None:
        raise InputError(f"no defence {name!r}: there are {shipped_in_words()}, a .py file")
    return defence.change(Given(name, defence.share(name), rows, clean, setting, seed, control, evidence))
