"""Prompts read once: what they share is computed a single time, and what follows starts from there.

    prefix = Prefix(base, prompts, slots)
    hidden, cache = prefix.read(rows, room=40)         # rows: some of the prompts, of one length

Chat templates begin every prompt alike, and a question's candidates all follow the same question; over
a language model on a CPU these are most of a readout's cost.
"""

from collections.abc import Sequence
from typing import Any

from . import runtime
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
        self.length = 0
        if len(prompts) < 2:
            return
        first, last = min(prompts), max(prompts)
        # One token is left over: its hidden state is what the caller wants.
        longest = min(map(len, prompts)) - 1
        self.length = next((i for i in range(longest) if first[i] != last[i]), longest)
        if self.length < SHORTEST:
            self.length = 0
            return
        self._cache = _new_cache(base, self.length)
        base.hidden(mx.array([first[: self.length]] * slots), self._cache)
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
