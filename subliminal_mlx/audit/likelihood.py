"""Log-likelihood of rows as a function of whatever adapters are bound, for gradients with respect to them.

of_rows = likelihood(base, rows, grammar)
of_rows()                                # [B], nats, differentiable
"""

from collections.abc import Callable

from .. import runtime
from ..bases import Base
from ..channels.grammar import Grammar
from ..rows import Rows, completion_targets
from ..score import completion_hidden, completion_masks

runtime.prepare()

import mlx.core as mx  # noqa: E402


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
