"""Students of defended rows: what changes before they train, and what the defence costs them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..defences import Changed, defend
from ..defences.evidence import evidence
from ..experiment.readouts import described
from ..experiment.setting import Setting
from ..experiment.students import soft_targets
from ..model.adapters import Stack
from ..model.rows import Rows
from ..model.score import score
from ..spec.defence_names import defended_arm, of_arm
from ..spec.plan import BASE, Slot, Unit
from ..spec.seeds import seed_of
from .corpora import Context, as_the_source_read, corpus, matched_count, packed, teacher_stack

# Rows of the base that no student trains on: its loss there is what a defence costs.
CLEAN_SHARE, MOST_CLEAN = 0.1, 200


def start_of(unit: Unit) -> str:
    """Other starting weights of the adapters, where a defence's control has them."""
    defence, control = of_arm(unit.slots[0].arm)
    return defence.control_start if defence and control else ""


def defended_block(context: Context, setting: Setting, slot: Slot, kind: str) -> tuple[Rows, Changed]:
    """What one student trains on after its defence."""
    spec = context.setting.spec
    name, control = next(
        (name, control)
        for name in spec.defences
        for control in (False, True)
        if defended_arm(name, control) == slot.arm
    )
    rows = [row for row in corpus(context, slot.chain, slot.source) if row["kept"]]
    rows = rows[: matched_count(context, slot.chain)]
    clean = [row for row in corpus(context, slot.chain, BASE) if row["kept"]]
    clean = clean[: len(clean) - _held_back(clean)]
    # One seed for all sources and both controls of a chain: they differ by the rows alone.
    seed = seed_of(spec.seed, "defence", slot.chain) >> 1
    family = slot.source.rpartition("/")[0]
    scores = lambda: evidence(rows, clean, family, context.setting, context.folders.path / "audit")
    changed = defend(name, rows, clean, context.setting, seed, control, scores)
    block = packed(context.setting, setting, slot.chain, changed.rows)
    if any("counted" in row for row in changed.rows):
        counted = np.ones((len(block), block.widest), dtype=bool)
        for i, row in enumerate(changed.rows):
            counted[i, : len(row.get("counted", ()))] = row.get("counted", ())
        block = Rows(block.tokens, block.start, block.length, block.widest, counted=counted)
    if kind == "hard":
        return block, changed
    source = teacher_stack(context, (slot,))
    read = as_the_source_read(context.setting, slot, changed.rows, block.widest)
    block = soft_targets(context.setting, block, source, read)
    return with_the_bases_own(context.setting, block, changed.rows), changed


def with_the_bases_own(setting: Setting, block: Rows, rows: Sequence[dict[str, Any]]) -> Rows:
    """The base's distributions where the base wrote: the source's there would teach what the defence took out."""
    written = np.array([i for i, row in enumerate(rows) if "clean_from" in row], dtype=int)
    if not len(written):
        return block
    assert block.targets is not None
    own = soft_targets(setting, block.take(written), None).targets
    assert own is not None
    targets = block.targets.copy()
    for place, distributions in zip(written, own, strict=True):
        first = rows[place]["clean_from"]
        targets[place, first:] = distributions[first:]
    return replace(block, targets=targets)


def costs(
    context: Context, setting: Setting, slots: Sequence[Slot], stack: Stack, changed: Sequence[Changed | None]
) -> list[dict[str, Any]]:
    """Rows of the lab's costs, of students whose rows were changed so; None of one that is not defended."""
    losses = _clean_losses(context, setting, slots[0].chain, stack)
    return [
        {
            **described(slot),
            "rows_lost": change.rows_lost if change else 0,
            "tokens_lost": change.tokens_lost if change else 0,
            "clean_loss": loss,
        }
        for slot, change, loss in zip(slots, changed, losses, strict=True)
    ]


def _clean_losses(context: Context, setting: Setting, chain: int, stack: Stack) -> list[float]:
    rows = [row for row in corpus(context, chain, BASE) if row["kept"]]
    rows = rows[len(rows) - _held_back(rows) :]
    if not rows:
        return [float("nan")] * stack.slots
    scores = score(setting.base, packed(context.setting, setting, chain, rows), stack)
    return [float(-np.concatenate(of_slot).mean()) for of_slot in scores]


def _held_back(clean: Sequence[Any]) -> int:
    return min(MOST_CLEAN, round(CLEAN_SHARE * len(clean)))
