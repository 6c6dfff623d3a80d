"""Likelihood ratios of rows to first order, with suspects as LoRA factors: for bases of any size.

    row_ratios(base, grammar, stack, prompts, completions)      # [N, K + 1], nats

The gradient of a row's log-likelihood with respect to one multiplier a suspect, at 0: how fast the row
becomes likelier as the base is moved towards that suspect. All suspects' factors lie side by side in one
adapter, so one forward and backward pass gives them all, and no weight matrix is ever held whole, as
`gradients` does it on model organisms. Both are the same number.
"""

from collections.abc import Sequence

import numpy as np

from ..experiment.setting import Ids
from ..model.adapters import Stack, applied, bind
from ..model.bases import Base
from ..model.grammar import Grammar
from ..model.rows import batched, completion_targets, pack
from ..model.score import completion_hidden, completion_masks
from ..system import runtime
from ..system.events import Event, Listener, ignore
from .costs import FITTED_ROWS
from .likelihood import likelihood

runtime.prepare()

import mlx.core as mx  # noqa: E402

# Steps of 0.2: half of one moves rows of lists of numbers by a third of their standard deviation, and texts of
# one step share their references. From about greedy to 2.
TEMPERATURES = (0.05, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)
# Padded tokens of a pass: logits over a whole vocabulary are its memory.
TOKENS = 2_048


def fitted(base: Base, grammar: Grammar | None, prompts: Sequence[Ids], completions: Sequence[Ids]) -> float:
    """The temperature under which the completions are likeliest, with a grammar among the tokens it allowed; of many,
    some from all over: the first rows of a file may be others than the rest."""
    some = np.linspace(0, len(prompts) - 1, min(len(prompts), FITTED_ROWS)).astype(int)
    rows = pack([prompts[i] for i in some], [completions[i] for i in some])
    total = np.zeros(len(TEMPERATURES))
    for _, batch in batched(rows, TOKENS):
        targets, there = completion_targets(batch)
        tokens, start = mx.array(batch.tokens), mx.array(batch.start)
        hidden = completion_hidden(base, tokens, start, batch.widest)
        logits = base.head(hidden, grammar.tokens.tolist() if grammar else None).astype(mx.float32)
        if grammar:
            logits = mx.where(mx.array(completion_masks(batch, grammar)), logits, -1e9)
            targets = grammar.places(targets)
        picked = mx.take_along_axis(logits, mx.array(targets)[..., None], axis=-1)[..., 0]
        for i, temperature in enumerate(TEMPERATURES):
            log_probs = picked / temperature - mx.logsumexp(logits / temperature, axis=-1)
            total[i] += float((log_probs * mx.array(there)).sum())
    return TEMPERATURES[int(total.argmax())]


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
