"""Likelihood ratios of single rows and tokens: how much likelier a suspect finds them than the base does.

    token_ratios(base, grammar, stack, prompts, completions)     # [slot][row] of arrays [tokens], nats

Exact, and a forward pass a suspect: a whole corpus is read to first order instead (`gradients`), which on
trees told traits apart as well for a tenth of the work; rows and tokens are ranked by these.
"""

from collections.abc import Sequence

import numpy as np

from ..adapters import Stack
from ..bases import Base
from ..channels.grammar import Grammar
from ..rows import pack
from ..score import score
from ..setting import Ids


def token_ratios(
    base: Base, grammar: Grammar | None, stack: Stack, prompts: Sequence[Ids], completions: Sequence[Ids]
) -> list[list[np.ndarray]]:
    """log p(token | suspect) - log p(token | base) in nats: `[slot][row]` of arrays `[tokens]`."""
    rows = pack(prompts, completions)
    plain = score(base, rows, None, grammar=grammar)[0]
    suspected = score(base, rows, stack, grammar=grammar)
    return [[row - own for row, own in zip(slot, plain, strict=True)] for slot in suspected]
