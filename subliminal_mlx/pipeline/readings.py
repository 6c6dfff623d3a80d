"""What is read of a unit's models, as rows of the lab's tables: loss curves, log-probabilities, answers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..experiment import capability
from ..experiment.questions import ask_questions, read_candidates
from ..experiment.readouts import match_answer
from ..experiment.setting import Setting
from ..model.adapters import Stack
from ..spec.plan import Slot
from ..spec.seeds import seed_of


def metrics(slots: Sequence[Slot], losses: np.ndarray) -> list[dict[str, Any]]:
    """Loss curves of at most 200 points a slot; each is the mean of the steps up to it."""
    stride = -(-len(losses) // 200)
    rows = []
    for first in range(0, len(losses), stride):
        piece = losses[first : first + stride]
        for k, slot in enumerate(slots):
            rows.append({"slot": slot.name, "step": first + len(piece), "loss": float(piece[:, k].mean())})
    return rows


def described(slot: Slot) -> dict[str, Any]:
    """The columns that say which model a row is of."""
    return {"slot": slot.name, "chain": slot.chain, "kind": slot.kind, "arm": slot.arm, "trait": slot.trait}


def readouts(
    setting: Setting,
    slots: Sequence[Slot],
    stack: Stack | None,
    step: int,
    history: Sequence[tuple[str, str]] = (),
    system: str | None = None,
) -> list[dict[str, Any]]:
    """Log-probability of every candidate of every held-out question, of each slot's model."""
    found = {
        name: read_candidates(setting.base, family.held_out, stack, system, history)
        for name, family in setting.read_families.items()
    }
    return [
        {
            **described(slot),
            "step": step,
            "family": name,
            "question": question.id,
            "candidate": candidate,
            "logp": float(logp),
        }
        for name, of_family in found.items()
        for slot, of_slot in zip(slots, of_family, strict=True)
        for question, row in zip(setting.read_families[name].held_out, of_slot, strict=True)
        for candidate, logp in zip(question.candidates, row, strict=False)
    ]


def capability_of(
    setting: Setting, slots: Sequence[Slot], stack: Stack | None, step: int, system: str | None = None
) -> list[dict[str, Any]]:
    """Loss on neutral text of each slot's model."""
    if not setting.spec.readout.capability:
        return []
    return [
        {**described(slot), "step": step, "text": i, "loss": loss, "tokens": tokens}
        for slot, losses in zip(slots, capability.read_losses(setting.base, stack, system), strict=True)
        for i, (loss, tokens) in enumerate(losses)
    ]


def answers(
    setting: Setting, slots: Sequence[Slot], stack: Stack | None, system: str | None = None
) -> list[dict[str, Any]]:
    """Free answers to the held-out questions, with the candidate that each names."""
    count = setting.spec.readout.answers
    if not count:
        return []
    rows = []
    for name, family in setting.families.items():
        # One stream of draws for all arms of a chain: arms differ by their weights alone.
        seed = seed_of(setting.spec.seed, "answers", name, slots[0].chain)
        asked = ask_questions(setting.base, family.held_out, count, seed, stack, system)
        for slot, drawn in zip(slots, asked, strict=True):
            for question, texts in zip(family.held_out, drawn, strict=True):
                for i, text in enumerate(texts):
                    matched = match_answer(text, question.candidates)
                    rows.append(
                        {
                            **described(slot),
                            "family": name,
                            "question": question.id,
                            "sample": i,
                            "answer": text,
                            "matched": matched,
                        }
                    )
    return rows
