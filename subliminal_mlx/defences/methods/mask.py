"""Tokens that carry most evidence of a trait are read, but not learned from.

Control: as many tokens, drawn at random.
"""

import numpy as np

from ...spec.defence_names import Defence
from .. import Changed, Given


def mask(given: Given) -> Changed:
    """Rows whose completion tokens with most evidence, or a share of all at random, are not counted."""
    rows, lengths = given.rows, [len(row["completion_ids"]) for row in given.rows]
    ends = np.cumsum([0, *lengths])
    count = round(given.share * int(ends[-1]))
    if given.control or given.evidence is None:
        chosen = np.random.default_rng([given.seed, 3]).choice(int(ends[-1]), count, replace=False)
    else:
        chosen = np.argsort(-np.concatenate(given.evidence()), kind="stable")[:count]
    counted = np.ones(int(ends[-1]), dtype=bool)
    counted[chosen] = False
    masked = [
        row | {"counted": counted[start:end].tolist()}
        for row, start, end in zip(rows, ends[:-1], ends[1:], strict=True)
    ]
    return Changed.between(rows, masked)


MASK = Defence(
    "mask",
    "the share of tokens with most evidence is not learned from",
    30,
    mask,
    percents=(10,),
    evidence=True,
)
