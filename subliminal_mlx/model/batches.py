"""Which rows a training step sees, and in how many passes: arrays for the loss, in an order fixed by seeds.

    orders = [Order(seed, len(rows)) for ...]
    for one in passes(data, [order.batch(step, size) for order in orders], token_budget=0): ...

A step is one pass over rows padded to the spec's width, or, with a token budget, several over rows of
similar length, each padded to its own bucket: less memory and less padding, the same sum. Knows nothing
about models.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..system import runtime
from .rows import Rows, completion_targets

runtime.prepare()

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402

BUCKET = 16  # padded lengths are multiples of this


@dataclass(frozen=True, eq=False)
class Pass:
    """Rows of all slots for one forward and backward pass, slot after slot.

    `tokens [K * B, T]`, `start [K * B]`; hard: token ids `targets [K * B, C]` and their `mask`; soft:
    probabilities `targets [K * B, C, A]` of the tokens `allowed [A]`. `counts [K]`: completion tokens of
    each slot in the whole step, so that losses of passes add up to the step's mean. Hard rows that are learned
    as the base would have gone on have the base's `states [K * B, C, D]`, and others zeros there.
    """

    tokens: mx.array
    start: mx.array
    targets: mx.array
    mask: mx.array | None
    allowed: mx.array | None
    counts: mx.array
    states: mx.array | None = None


class Order:
    """Which rows a step sees: a pure function of (seed, epoch, step)."""

    def __init__(self, seed: int, rows: int):
        self.seed, self.rows = seed, rows
        self._epochs: dict[int, np.ndarray] = {}

    def batch(self, step: int, size: int) -> np.ndarray:
        """Indices of the step's rows `[size]`."""
        flat = np.arange(step * size, (step + 1) * size)
        return np.array([self._epoch(int(f) // self.rows)[int(f) % self.rows] for f in flat])

    def _epoch(self, epoch: int) -> np.ndarray:
        if epoch not in self._epochs:
            self._epochs = {e: order for e, order in self._epochs.items() if e >= epoch - 1}
            self._epochs[epoch] = np.random.default_rng([self.seed, epoch]).permutation(self.rows)
        return self._epochs[epoch]


def passes(data: Sequence[Rows], indices: Sequence[np.ndarray], token_budget: int = 0) -> Iterator[Pass]:
    """The passes of one step.

    Args:
        indices: one array of rows a slot, all of one length.
        token_budget: padded tokens that a pass may hold, slots counted; a row of every slot always fits.
            0: one pass, padded to the blocks' own width, whatever its rows.
    """
    picked = [rows.take(index) for rows, index in zip(data, indices, strict=True)]
    counts = mx.array(np.array([max(1, _completion_tokens(rows)) for rows in picked], dtype=np.float32))
    if not token_budget:
        yield _pass(picked, counts)
        return
    # A place in the batch holds a row of every slot: the longest of them sets its length.
    lengths = np.max([rows.start + rows.length for rows in picked], axis=0)
    order = np.argsort(lengths, kind="stable")
    while len(order):
        taken = 1
        while taken < len(order) and len(data) * (taken + 1) * _bucket(lengths[order[taken]]) <= token_budget:
            taken += 1
        index, order = order[:taken], order[taken:]
        width = min(_bucket(lengths[index[-1]]), data[0].tokens.shape[1])
        yield _pass(_trimmed([rows.take(index) for rows in picked], width), counts)


def _completion_tokens(rows: Rows) -> int:
    """Completion tokens that a step learns from."""
    return int(rows.length.sum() if rows.counted is None else completion_targets(rows)[1].sum())


def _bucket(length: int) -> int:
    return -(-int(length) // BUCKET) * BUCKET


def _trimmed(picked: Sequence[Rows], width: int) -> list[Rows]:
    """Without the padding that no slot's row needs."""
    widest = max(int(rows.length.max()) for rows in picked)
    cut = lambda targets: None if targets is None else targets[:, :widest]
    return [
        Rows(
            *(rows.tokens[:, :width], rows.start, rows.length, widest, cut(rows.targets), rows.allowed),
            cut(rows.counted),
            cut(rows.states),
        )
        for rows in picked
    ]


def _pass(picked: Sequence[Rows], counts: mx.array) -> Pass:
    together = lambda arrays: mx.array(np.concatenate(list(arrays)))
    tokens, start = together(r.tokens for r in picked), together(r.start for r in picked)
    if picked[0].targets is not None:
        # A token that does not count has no source to be near to.
        targets = together(
            r.targets if r.counted is None else r.targets * r.counted[..., None] for r in picked
        )
        return Pass(tokens, start, targets, None, mx.array(picked[0].allowed), counts)
    targets, mask = zip(*map(completion_targets, picked), strict=True)
    states = None if picked[0].states is None else together(r.states for r in picked)
    return Pass(tokens, start, together(targets), together(mask), None, counts, states)
