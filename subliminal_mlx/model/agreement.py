"""Whether a base computes a row alike alone and in company: batched, padded, after a beginning that was kept.

    found = agreement(base, prompts)
    found["largest"], found["bound"], found["within"]            # nats

Sampling, scoring and readouts take rows together, in these ways: what a row's neighbours change of it would
be read as the model's own. Knows nothing about what the prompts say.
"""

import math
from collections.abc import Sequence
from typing import Any

from ..system import runtime
from .bases import Base
from .prefill import Prefix, plain_cache
from .rows import pack

runtime.prepare()

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402

# Largest difference of a log-probability that is rounding, in nats, by the numbers that the base computes in.
BOUNDS = {"float32": 2e-3, "float16": 0.05, "bfloat16": 0.4}

Ids = tuple[int, ...]


def agreement(base: Base, prompts: Sequence[Ids]) -> dict[str, Any]:
    """Next-token log-probabilities of every prompt alone, held against those of the ways that rows are computed in.

    Args:
        prompts: token ids, two of them at least, of several lengths.

    Returns:
        ways: the largest difference of each way that the base is computed in; largest: of them all; both None where
        it is no number. bound: what rounding does; within it or not; dtype.
    """
    alone = [_log_probs(base, base.hidden(mx.array([ids])))[0] for ids in prompts]
    tried = {"batched": _batched, "padded on the right": _padded, "after a kept beginning": _after_beginning}
    if plain_cache(base):
        tried["padded on the left"] = _aligned
    ways = {name: way(base, prompts, alone) for name, way in tried.items()}
    largest = float(np.max(list(ways.values())))
    dtype = str(base.head(base.hidden(mx.array([prompts[0]]))).dtype).removeprefix("mlx.core.")
    bound = BOUNDS.get(dtype, BOUNDS["float32"])
    shown = {name: _number(way) for name, way in ways.items()}
    # A NaN is within no bound.
    within = largest <= bound
    return {"ways": shown, "largest": _number(largest), "bound": bound, "within": within, "dtype": dtype}


def _batched(base: Base, prompts: Sequence[Ids], alone: list[np.ndarray]) -> float:
    width = min(map(len, prompts))
    found = _log_probs(base, base.hidden(mx.array([ids[:width] for ids in prompts])))
    return _largest(found, [row[:width] for row in alone])


def _padded(base: Base, prompts: Sequence[Ids], alone: list[np.ndarray]) -> float:
    """As rows are scored and trained on: padding behind what is read."""
    rows = pack([ids[:-1] for ids in prompts], [ids[-1:] for ids in prompts])
    found = _log_probs(base, base.hidden(mx.array(rows.tokens)))
    return _largest([row[: len(ids)] for row, ids in zip(found, prompts, strict=True)], alone)


def _after_beginning(base: Base, prompts: Sequence[Ids], alone: list[np.ndarray]) -> float:
    """As candidates are read: what all prompts begin with is computed once."""
    prefix = Prefix(base, prompts, slots=1)
    found = [_log_probs(base, prefix.read([ids], room=0)[0])[0] for ids in prompts]
    return _largest(found, [row[-1] for row in alone])


def _aligned(base: Base, prompts: Sequence[Ids], alone: list[np.ndarray]) -> float:
    """As language models draw: prompts' ends side by side, padding before them, a token at a time from there."""
    before = [ids[:-1] for ids in prompts]
    hidden, cache = Prefix(base, before, slots=1).read_aligned(before, room=1)
    found = _log_probs(base, hidden)
    after = _log_probs(base, base.hidden(mx.array([ids[-1:] for ids in prompts]), cache))[:, -1]
    return max(_largest(found, [row[-2] for row in alone]), _largest(after, [row[-1] for row in alone]))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _log_probs(base: Base, hidden: mx.array) -> np.ndarray:
    logits = base.head(hidden).astype(mx.float32)
    return np.array(logits - mx.logsumexp(logits, axis=-1, keepdims=True))


def _largest(found: Sequence[np.ndarray], alone: Sequence[np.ndarray]) -> float:
    return float(np.max([np.abs(f - a).max() for f, a in zip(found, alone, strict=True)]))
