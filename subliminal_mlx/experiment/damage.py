"""Damage and displacement: what neutral text says of each arm. Arrays and tables only; no MLX.

    models = gather(lab.capability(run_id))         # by slot: loss, the base's, divergences
    is_damaged(summary["traits"][0])                # whether damage may be what the trait's students show

Both stand beside the base itself on the same prompts. **Damage**: the rise of the loss on neutral texts, nats a token.
**Displacement**: KL(base || model) over the whole vocabulary, nats a token, mean over the texts and the first token of
answers to other families' questions; it says how far models moved, so that nobody compares unequal ones unknowingly. A
trait that is said where nobody asked for it shows in both, one that is said to its own questions alone in neither.

The rule, of an arm on a trait: it is damaged where its loss lies apart from its neutral students', by more than APART in
the mean over chains and with an interval that does not hold 0, or where one of either's models lies more than LOST above
the base. Apart on either side, since transfer is a difference, and neutral students that lost language make one as well.
The mean alone would not do: hard students of tiny-a's own lists lie 0.2 nats apart from chain to chain, so that sound
arms would be flagged by chance. Nor would the interval alone: few chains, or damage that differs from chain to chain,
make it wide, and would pass for health; one broken model is found by LOST however many sound ones stand beside it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.arms import ARMS, NEUTRAL, TREATED, neutral

if TYPE_CHECKING:
    import pyarrow as pa

    from .comparisons import Comparison, View

# Nats a token. About 5% of perplexity, which is also what a teacher may lose that counts as whole; and two thirds more
# perplexity than the base's, which nobody would call the same language.
APART, LOST = 0.05, 0.5


@dataclass(frozen=True)
class Model:
    """What neutral text says of one model."""

    kind: str
    arm: str
    chain: int
    trait: str | None
    loss: float | None
    """On all texts, nats a token; None where the run leaves all of them out."""
    base_loss: float | None
    divergences: dict[str, list[float]]
    """By part, of each prompt: nats a token."""

    @property
    def change(self) -> float | None:
        """Loss less the base's."""
        return None if self.loss is None or self.base_loss is None else self.loss - self.base_loss

    def displacement(self, family: str = "") -> float | None:
        """Mean over prompts, but for questions of its own trait's family, and of the one that it is read on."""
        meant = {family, _family(self.trait)}
        found = [value for part, of in self.divergences.items() if part not in meant for value in of]
        return float(np.mean(found)) if found else None


def gather(table: "pa.Table", views: "Sequence[View]" = ()) -> dict[str, Model]:
    """Every model by its slot. One that an older version read, on other texts, is not there."""
    rows: dict[str, list[dict]] = {}
    for row in table.to_pylist():
        if row["part"] is not None:
            rows.setdefault(row["slot"], []).append(row)
    return {slot: _model(of_slot) for slot, of_slot in rows.items()}


def _model(rows: list[dict]) -> Model:
    texts = [row for row in rows if row["loss"] is not None]
    divergences: dict[str, list[float]] = {}
    for row in rows:
        if row["divergence"] is not None:
            divergences.setdefault(row["part"], []).append(row["divergence"])
    loss, base_loss = (
        float(np.average([row[name] for row in texts], weights=[row["tokens"] for row in texts]))
        if texts
        else None
        for name in ("loss", "base_loss")
    )
    first = rows[0]
    return Model(
        first["kind"], first["arm"], first["chain"] or 0, first["trait"], loss, base_loss, divergences
    )


def of_arm(gathered: dict[str, Model] | None, view: "View", comparison: "Comparison") -> dict[str, Any]:
    """An arm's damage, with whether it is damaged, and its displacement; None of what was not read."""
    from .statistics import named

    read, slots, arm = gathered or {}, view.reading.slots, comparison.arm
    family = _family(view.trait)
    models = {
        chain: [read[slots[row]] for row in rows if slots[row] in read]
        for chain, rows in zip(comparison.chains, comparison.rows, strict=True)
    }
    # A teacher is beside the neutral teacher, a student beside the neutral student.
    rows = (
        view.reading.rows(arm.kind, arm.name, view.neutral)
        if arm.role == "teacher"
        else comparison.references
    )
    beside = {chain: read[slots[row]] for chain, row in rows.items() if slots[row] in read}
    moved = [_mean([model.displacement(family) for model in of]) for of in models.values()]
    displacement = named(_estimate(moved), "estimate") if None not in moved else None
    changes = {chain: _mean([model.change for model in of]) for chain, of in models.items()}
    if None in changes.values():
        return {"damage": None, "displacement": displacement}
    shared = [] if arm.is_reference or arm.role == "base" else sorted(changes.keys() & beside.keys())
    over = _estimate([changes[chain] - beside[chain].change for chain in shared])
    every = [model.change for of in models.values() for model in of]
    worst = max([*every, *(beside[chain].change for chain in shared)])
    mean, low, high = over
    apart = low is not None and abs(mean) > APART and not low <= 0 <= high
    return {
        "damage": {
            **named(_estimate(list(changes.values())), "change"),
            **named(over, "over_neutral", "over_neutral_"),
            "worst": max(every),
            # Said so that a loss that is no number is damaged too.
            "damaged": apart or not worst <= LOST,
        },
        "displacement": displacement,
    }


def is_damaged(entry: dict[str, Any]) -> bool | None:
    """Whether damage may be what a trait's entry of a summary shows: its treated students', or their reference's.

    None where nobody looked: the run did not ask for it, or is older than the readout.
    """
    damage = entry["arms"][TREATED].get("damage")
    return damage["damaged"] if damage else None


def lost_language(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(kind, arm) of the arms of which a student lies more than LOST above the base; `rows` as `summarise` gives them."""
    origins = {arm.kind for arm in ARMS.values() if arm.role in ("base", "teacher")}
    return [
        (row["student"], row["arm"])
        for row in rows
        if row["student"] not in origins and row["worst"] is not None and not row["worst"] <= LOST
    ]


def summarise(table: "pa.Table") -> list[dict[str, Any]]:
    """Rows student, arm, chains, loss, change from the base and displacement with 95% intervals, worst change.

    Arms of several traits are averaged in each chain first; neutral teachers stand apart from those with a trait. Each
    row says how many texts were read, and for which words others were left out.
    """
    from .statistics import named

    arms: dict[tuple[str, str], dict[int, list[Model]]] = {}
    for model in gather(table).values():
        is_neutral = model.kind == model.arm and model.trait == neutral(_family(model.trait))
        group = arms.setdefault((model.kind, NEUTRAL if is_neutral else model.arm), {})
        group.setdefault(model.chain, []).append(model)
    rows: list[dict[str, Any]] = []
    texts = _texts(table) if arms else {}
    for (kind, arm), chains in arms.items():
        models = [chains[chain] for chain in sorted(chains)]
        loss, change = (
            _estimate([_mean([getattr(m, name) for m in of]) for of in models]) for name in ("loss", "change")
        )
        moved = _estimate([_mean([m.displacement() for m in of]) for of in models])
        worst = [m.change for of in models for m in of if m.change is not None]
        rows.append(
            {"student": kind, "arm": arm, "chains": len(models), "loss": loss[0]}
            | named(change, "change")
            | {"worst": max(worst, default=None)}
            | named(moved, "displacement", "displacement_")
            | texts
        )
    return rows


def _texts(table: "pa.Table") -> dict[str, Any]:
    """How many texts every model was read on, and how many were left out for which reason."""
    rows = table.to_pylist()
    of_first = [row for row in rows if row["slot"] == rows[0]["slot"]]
    reasons = Counter(row["left_out"] for row in of_first if row["left_out"] is not None)
    return {"texts": sum(row["loss"] is not None for row in of_first), "left_out": dict(reasons)}


def _family(trait: str | None) -> str:
    return (trait or "").rpartition("/")[0]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _estimate(values: Sequence[float | None]) -> tuple[float | None, float | None, float | None]:
    """As `statistics.estimate`; all None where a value is not known, or there is none."""
    # Who only tells of damage needs no scipy.
    from .statistics import estimate

    known = [value for value in values if value is not None]
    return estimate(known) if known and len(known) == len(values) else (None, None, None)
