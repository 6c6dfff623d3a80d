"""Likelihood ratios of rows to first order, with suspects as LoRA factors: for bases of any size.

    row_ratios(base, grammar, stack, prompts, completions)      # [N, K + 1], nats

The gradient of a row's log-likelihood with respect to one multiplier a suspect, at 0: how fast the row
becomes likelier as the base is moved towards that suspect. All suspects' factors lie side by side in one
adapter, so one forward and backward pass gives them all, and no weight matrix is ever held whole, as
`gradients` does it on model organisms. Both are the same number.
"""

from collections.abc import Sequence

import numpy as np

from .. import runtime
from ..adapters import Stack, applied, bind
from ..bases import Base
from ..channels.grammar import Grammar
from ..events import Event, Listener, ignore
from ..rows import batched, pack
from ..setting import Ids
from .likelihood import likelihood

runtime.prepare()

import mlx.core as mx  # noqa: E402

# Padded tokens of a pass: about those of a training step.
TOKENS = 1_024


def row_ratios(
    base: Base,
    grammar: Grammar | None,
    stack: Stack,
    prompts: Sequence[Ids],
    completions: Sequence[Ids],
    on_event: Listener = ignore,
) -> np.ndarray:
    """Each slot's log-likelihood ratio of every row to first order `[N, K + 1]`, nats; last, the base's
    log-likelihood of the row."""
    rows = pack(prompts, completions)
    side = _side_by_side(stack)
    found = np.zeros((len(rows), stack.slots + 1))
    done = 0
    with applied(base, Stack(stack.shape, _scaled(side, mx.zeros((1, stack.slots))))):
        for index, batch in batched(rows, TOKENS):
            of_rows = likelihood(base, batch, grammar)

            def total(sizes: mx.array) -> tuple[mx.array, mx.array]:
                bind(base, _scaled(side, sizes), stack.shape.scale)
                logp = of_rows()  # noqa: B023
                return logp.sum(), logp

            (_, logp), slope = mx.value_and_grad(total)(mx.zeros((len(index), stack.slots)))
            found[index, :-1], found[index, -1] = np.array(slope), np.array(logp)
            done += len(index)
            on_event(Event("rows", done, len(rows)))
    return found


def _side_by_side(stack: Stack) -> dict[str, dict[str, mx.array]]:
    """All slots' factors as one adapter: `a [in, K r]`, `b [K, r, out]`."""
    return {
        path: {"a": ab["a"].transpose(1, 0, 2).reshape(ab["a"].shape[1], -1), "b": ab["b"]}
        for path, ab in stack.arrays.items()
    }


def _scaled(side: dict[str, dict[str, mx.array]], sizes: mx.array) -> dict[str, dict[str, mx.array]]:
    """The adapter in which each of `sizes [B, K]` multiplies its suspect, a slot a row of the batch."""
    rows = len(sizes)
    return {
        path: {
            "a": mx.broadcast_to(ab["a"], (rows, *ab["a"].shape)),
            "b": (sizes[:, :, None, None] * ab["b"]).reshape(rows, -1, ab["b"].shape[2]),
        }
        for path, ab in side.items()
    }
