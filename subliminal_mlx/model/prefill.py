"""Prompts read once: what they share is computed a single time, and what follows starts from there.

    prefix = Prefix(base, prompts, slots)
    hidden, cache = prefix.read(rows, room=40)         # rows: some of the prompts, of one length

Chat templates begin every prompt alike, and a question's candidates all follow the same question; over
a language model on a CPU these are most of a readout's cost, and a third of a training step's.
"""

from collections.abc import Sequence
from typing import Any

from ..system import runtime
from ..system.errors import InputError
from .bases import Base

runtime.prepare()

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402

# Shorter prefixes cost more to copy than to compute.
SHORTEST = 4

Ids = tuple[int, ...]
Cache = list[Any]


class Prefix:
    """The longest common beginning of some prompts, computed once for each slot of the applied stack."""

    def __init__(self, base: Base, prompts: Sequence[Ids], slots: int):
        self.base, self.slots = base, slots
        self.length = common_length(prompts) if len(prompts) > 1 else 0
        if self.length < SHORTEST:
            self.length = 0
            return
        self._cache = _new_cache(base, self.length)
        base.hidden(mx.array([prompts[0][: self.length]] * slots), self._cache)
        mx.eval([part for layer in self._cache for part in _arrays(layer)])

    def read(self, rows: Sequence[Ids], room: int) -> tuple[mx.array, Cache]:
        """Hidden states after the last token `[K * B, D]` of prompts of one length, and the filled cache.

        Args:
            rows: B of the prompts that the prefix was made of.
            room: tokens that will follow, so that the cache need not grow.
        """
        tokens = np.array(rows, dtype=np.int32)[:, self.length :]
        cache = _new_cache(self.base, self.length + tokens.shape[1] + room)
        if self.length:
            copy(self._cache, cache, np.repeat(np.arange(self.slots), len(rows)), self.length)
        hidden = self.base.hidden(mx.array(np.tile(tokens, (self.slots, 1))), cache)
        return hidden[:, -1], cache

    def read_aligned(self, rows: Sequence[Ids], room: int) -> tuple[mx.array, Cache]:
        """As `read`, for prompts of any lengths: in the cache their ends stand side by side, padding before them."""
        from mlx_lm.models.cache import BatchKVCache

        lengths = np.array([len(row) for row in rows])
        index, states, caches = [], [], []
        for length in np.unique(lengths):
            some = np.flatnonzero(lengths == length)
            hidden, cache = self.read([rows[i] for i in some], room=0)
            index.append((np.arange(self.slots)[:, None] * len(rows) + some).ravel())
            states.append(hidden)
            caches.append((int(length), cache))
        # Where each row of the slots' whole batch lies in the pieces one after the other.
        place = mx.array(np.argsort(np.concatenate(index)))
        longest, padding = int(lengths.max()), np.tile(lengths.max() - lengths, self.slots).tolist()

        def aligned(layer: int, part: int) -> mx.array:
            pieces = []
            for length, cache in caches:
                kept = _arrays(cache[layer])[part][..., :length, :]
                pieces.append(mx.pad(kept, [(0, 0), (0, 0), (longest - length, 0), (0, 0)]))
            return mx.concatenate(pieces)[place]

        together = []
        for layer in range(len(caches[0][1])):
            cache = BatchKVCache([0] * len(padding))
            cache.step = -(-(longest + room) // 8) * 8
            cache.update_and_fetch(aligned(layer, 0), aligned(layer, 1))
            cache.left_padding = mx.array(padding)
            cache.offset = cache.offset - cache.left_padding
            together.append(cache)
        return mx.concatenate(states)[place], together


def extend(base: Base, cache: Cache, index: np.ndarray, length: int, tokens: np.ndarray) -> mx.array:
    """Hidden states `[R, L, D]` of `tokens [R, L]`, each row after the row `index[r]` of a filled cache.

    The cache itself is left as it is; `length` is how many tokens it holds.
    """
    longer = _new_cache(base, length + tokens.shape[1])
    copy(cache, longer, index, length)
    return base.hidden(mx.array(tokens), longer)


def copy(source: Cache, target: Cache, index: np.ndarray, length: int) -> None:
    """Fill `target` with the rows `index` of `source`, up to `length` tokens."""
    rows = mx.array(index)
    for old, new in zip(source, target, strict=True):
        # Through the cache's own door, so that any of mlx-lm's caches that keeps keys and values works.
        keys, values = _arrays(old)[:2]
        new.update_and_fetch(keys[..., :length, :][rows], values[..., :length, :][rows])


class Beginning:
    """Keys and values of a beginning that a slot's rows share, in one layer, with their gradients.

    Stored at the first pass, over `[K, P]`; put before each of a slot's rows at the next, over `[K * B, T]`.
    """

    def __init__(self) -> None:
        self.keys: mx.array | None = None
        self.values: mx.array | None = None
        self.offset = 0

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """What a block attends to: mlx-lm's door of a cache."""
        if self.keys is None:
            self.keys, self.values, self.offset = keys, values, keys.shape[2]
            return keys, values
        rows = keys.shape[0] // self.keys.shape[0]
        before = lambda kept: mx.repeat(kept, rows, axis=0)
        return (
            mx.concatenate([before(self.keys), keys], axis=2),
            mx.concatenate([before(self.values), values], axis=2),
        )


def beginnings(base: Base) -> list[Beginning]:
    """One a layer, empty.

    Raises:
        InputError: the base keeps something else than keys and values, such as a window or a state.
    """
    if not plain_cache(base):
        raise InputError(
            f"share_prefix: {base.name} keeps more than keys and values, so rows cannot share a beginning"
        )
    return [Beginning() for _ in base.layers]


def plain_cache(base: Base) -> bool:
    """Whether the base keeps all keys and values, and nothing else."""
    from mlx_lm.models.cache import KVCache, make_prompt_cache

    return all(type(layer) is KVCache for layer in make_prompt_cache(base.model))


def common_length(prompts: Sequence[Ids]) -> int:
    """How many tokens all prompts begin with, short of each one's last, whose hidden state is what is wanted."""
    first, last, longest = min(prompts), max(prompts), min(map(len, prompts)) - 1
    return next((i for i in range(longest) if first[i] != last[i]), longest)


def shared_length(rows: Sequence[np.ndarray], start: Sequence[np.ndarray]) -> int:
    """The same of the prompts in blocks of rows `[N, T]`, one a slot, whose completions begin at `start [N]`."""
    return common_length(
        [
            tuple(row[:n])
            for block, at in zip(rows, start, strict=True)
            for row, n in zip(block, at, strict=True)
        ]
    )


def _new_cache(base: Base, length: int) -> Cache:
    from mlx_lm.models.cache import make_prompt_cache

    cache = make_prompt_cache(base.model)
    for layer in cache:
        if hasattr(layer, "step"):
            # The default grows in steps of 256 positions, which is mostly zeros for short rows.
            layer.step = -(-length // 8) * 8
    return cache


def _arrays(layer: Any) -> list[mx.array]:
    return [part for part in layer.state if isinstance(part, mx.array)]
