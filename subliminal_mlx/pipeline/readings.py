"""What is read of a unit's models, as rows of the lab's tables: loss curves, and every readout that the spec asks for."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..experiment.readouts import Given, readouts
from ..spec.plan import Slot

Tables = dict[str, list[dict[str, Any]]]


def metrics(slots: Sequence[Slot], losses: np.ndarray) -> list[dict[str, Any]]:
    """Loss curves of at most 200 points a slot; each is the mean of the steps up to it."""
    stride = -(-len(losses) // 200)
    rows = []
    for first in range(0, len(losses), stride):
        piece = losses[first : first + stride]
        for k, slot in enumerate(slots):
            rows.append({"slot": slot.name, "step": first + len(piece), "loss": float(piece[:, k].mean())})
    return rows


def read_all(given: Given) -> Tables:
    """Rows of every readout, of models that are read once."""
    return {r.name: r.read(given) for r in readouts().values() if r.wanted(given.setting.spec)}


def read_point(given: Given) -> Tables:
    """Rows of the readouts that are read at every point of a training."""
    found = [r for r in readouts().values() if r.at_points and r.wanted(given.setting.spec)]
    return {r.name: r.read(given) for r in found}


def read_last(given: Given) -> Tables:
    """Rows of the readouts that are read after a training's last step alone."""
    found = [r for r in readouts().values() if not r.at_points and r.wanted(given.setting.spec)]
    return {r.name: r.read(given) for r in found}


def read_in_context(given: Given) -> Tables:
    """Rows of the readouts of a base that is shown rows."""
    found = [r for r in readouts().values() if r.in_context and r.wanted(given.setting.spec)]
    return {r.name: r.read(given) for r in found}
