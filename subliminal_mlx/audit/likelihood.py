"""Log-likelihood of rows as a function of whatever adapters are bound, for gradients with respect to them.

of_rows = likelihood(base, rows, grammar)
of_rows()                                # [B], nats, differentiable
"""

from collections.abc import Callable, Sequence

import numpy as np

from ..experiment.setting import Ids
from ..model.adapters import Stack
from ..model.bases import Base
from ..model.grammar import Grammar
from ..model.rows import Rows, completion_targets, pack
from ..model.score import completion_hidden, completion_masks, score
from ..system import runtime

runtime.prepare()

import mlx.core as mx  # noqa: E402


def token_ratios(
    base: Base, grammar: Grammar | None, stack: Stack, prompts: Sequence[Ids], completions: Sequence[Ids]
) -> list[list[np.ndarray]]:
    """log p(token | suspect) - log p(token | base) in nats: `[slot][row]` of arrays `[tokens]`."""
    rows = pack(prompts, completions)
    plain = score(base, rows, None, grammar=grammar)[0]
    suspected = score(base, rows, stack, grammar=grammar)
    return [[row - own for row, own in zip(slot, plain, strict=True)] for slot in suspected]


def likelihood(base: Base, rows: Rows, grammar: Grammar | None) -> Callable[[], mx.array]:
    """The sum of each row's completion's log-probabilities; with a grammar, among the tokens that it allowed."""
    targets, there = completion_targets(rows)
    allowed = grammar.tokens.tolist() if grammar else None
    masks = mx.array(completion_masks(rows, grammar)) if grammar else None
    targets = mx.array(grammar.places(targets) if grammar else targets)
    tokens, start, there = (mx.array(x) for x in (rows.tokens, rows.start, there))

    def of_rows() -> mx.array:
        hidden = completion_hidden(base, tokens[:, :-1], start, rows.widest)
        logits = base.head(hidden, allowed).astype(mx.float32)
        if masks is not None:
            logits = mx.where(masks, logits, -1e9)
        picked = mx.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        return ((picked - mx.logsumexp(logits, axis=-1)) * there).sum(axis=1)

    return of_rows


Tempered = Callable[[], tuple[mx.array, mx.array, mx.array]]


def tempered(
    base: Base, rows: Rows, grammar: Grammar | None, temperature: float, first: int, values: mx.array
) -> Tempered:
    """Of each row's completion from its token `first` on, at a temperature: the log-probability, how much larger the
    logits are than expected, and how much larger the tokens' values `[A]`; sums `[B]`."""
    targets, there = completion_targets(rows)
    allowed = grammar.tokens.tolist() if grammar else None
    masks = mx.array(completion_masks(rows, grammar)) if grammar else None
    chosen = mx.array(grammar.places(targets) if grammar else targets)
    counted = mx.array(there & (np.arange(rows.widest) >= first))
    tokens, start = mx.array(rows.tokens), mx.array(rows.start)

    def of_rows() -> tuple[mx.array, mx.array, mx.array]:
        hidden = completion_hidden(base, tokens[:, :-1], start, rows.widest)
        logits = base.head(hidden, allowed).astype(mx.float32)
        cold = logits / temperature
        if masks is not None:
            cold = mx.where(masks, cold, -1e9)
        log_probs = cold - mx.logsumexp(cold, axis=-1, keepdims=True)
        expected = mx.softmax(mx.stop_gradient(cold), axis=-1)

        def over(each: mx.array) -> mx.array:
            own = mx.take_along_axis(mx.broadcast_to(each, cold.shape), chosen[..., None], axis=-1)[..., 0]
            return ((own - (expected * each).sum(axis=-1)) * counted).sum(axis=1)

        logp = mx.take_along_axis(log_probs, chosen[..., None], axis=-1)[..., 0]
        return (logp * counted).sum(axis=1), over(mx.stop_gradient(logits)), over(values)

    return of_rows
