"""Readouts: what is measured of a run's models, one module each, found by being in this folder.

    for readout in readouts().values(): readout.name, readout.columns
    readouts()["capability"].read(Given(setting, slots, stack, step))        # rows of its table
    readouts()["capability"].of_run(table)                                   # its part of a summary

A module here defines one `Readout`; defining it makes it known: the lab has its table, every run reads it, and the
summary holds what follows from it. What pages and terminals say of it is `report.readouts`' business. Declared
without MLX, which the functions that read models import when they are called.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...spec.plan import Slot
from ...system.modules import import_folder, register

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from ...model.adapters import Stack
    from ...spec import Spec
    from ..comparisons import Comparison, View
    from ..judges import Rows as TokenRows
    from ..setting import Setting

FOLDER = "experiment.readouts"
# What a summary holds beside what readouts tell: of its corpora, by `making`.
IN_COMMON = "rows_in_common"
Rows = list[dict[str, Any]]
# What every readout's table says of the model that a row is of.
OF_MODEL = {
    "slot": "VARCHAR NOT NULL",
    "chain": "INTEGER",
    "kind": "VARCHAR",
    "arm": "VARCHAR",
    "trait": "VARCHAR",
}

_known: dict[str, "Readout"] = {}


@dataclass(frozen=True, eq=False)
class Given:
    """Models that are read: one a slot, of a stack or, without one, the base."""

    setting: "Setting"
    slots: Sequence[Slot]
    stack: "Stack | None" = None
    step: int = 0
    system: str | None = None
    """What the models are told."""
    history: Sequence[tuple[str, str]] = ()
    """Turns (user, assistant) before every question."""
    rows: "Callable[[str, int], tuple[TokenRows, np.ndarray]] | None" = None
    """Kept rows of a source in a chain, and the number of each one's prompt `[R]`; where what is read is rows, of all
    corpora of all chains, and `slots` are those that wrote them or that they are made for."""


@dataclass(frozen=True, eq=False)
class Readout:
    """A readout: its table, when it is read, and how it enters a summary."""

    name: str
    """The name of its table."""
    columns: dict[str, str]
    """Of its table after OF_MODEL: SQL types by name."""
    order: tuple[str, ...]
    """Columns by which its rows are sorted."""
    read: Callable[[Given], Rows]
    """Rows of its table, with `described` in each."""
    wanted: "Callable[[Spec], bool]"
    """Whether a spec asks for it."""
    at_points: bool = False
    """Read at every point of a training, not only after its last step."""
    in_context: bool = False
    """Read of a base that is shown rows, too."""
    of_rows: bool = False
    """Read of rows and of no model's answers: once, when all corpora are there."""
    gather: "Callable[[pa.Table, Sequence[View]], Any] | None" = None
    """What `of_arm` needs of its table, made once for all arms of a summary."""
    of_arm: "Callable[[Any, View, Comparison], dict[str, Any]] | None" = None
    """Its part in what a summary says of an arm; None is gathered where its table was not read, and of questions
    that come after a row."""
    of_run: "Callable[[pa.Table], Any] | None" = None
    """What a summary holds under its name."""

    def __post_init__(self) -> None:
        register(_known, self.name, self, "readout")


def readouts() -> dict[str, Readout]:
    """Every readout by its name, those of the folder and whatever else has been defined."""
    import_folder(FOLDER)
    return dict(_known)


def described(slot: Slot) -> dict[str, Any]:
    """The columns that say which model a row is of."""
    return {"slot": slot.name, "chain": slot.chain, "kind": slot.kind, "arm": slot.arm, "trait": slot.trait}
