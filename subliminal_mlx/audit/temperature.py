"""At which temperature the base would have written rows like these.

    fitted(base, grammar, prompts, completions)      # one of TEMPERATURES, likeliest of them

A reference drawn at another temperature than the corpus differs from it by more than any trait: its mean
surprise is many standard errors away, and what a regression on the surprise takes out is then mostly the
regression's own error.
"""

from collections.abc import Sequence

import numpy as np

from .. import runtime
from ..bases import Base
from ..channels.grammar import Grammar
from ..rows import batched, completion_targets, pack
from ..score import completion_hidden, completion_masks
from ..setting import Ids
from .costs import FITTED_ROWS

runtime.prepare()

import mlx.core as mx  # noqa: E402

# Steps of 0.2: half of one moves rows of lists of numbers by a third of their standard deviation, and texts of
# one step share their references.
TEMPERATURES = (0.4, 0.6, 0.8, 1.0, 1.2, 1.4)
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
