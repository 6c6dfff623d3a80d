"""Rows that carry most evidence of a trait are left out.

Control: as many rows, drawn at random.
"""

import numpy as np

from ...spec.defence_names import Defence
from .. import Changed, Given


def drop(given: Given) -> Changed:
    """Rows without the share that carries most evidence, or, of a control, without a share drawn at random."""
    rows = given.rows
    count = round(given.share * len(rows))
    if given.control or given.evidence is None:
        order = np.random.default_rng([given.seed, 3]).permutation(len(rows))
    else:
        order = np.argsort([-row.sum() for row in given.evidence()], kind="stable")
    left = set(order[:count].tolist())
    return Changed.between(rows, [row for i, row in enumerate(rows) if i not in left])


DROP = Defence(
    "drop", "without the share of rows with most evidence", 20, drop, percents=(25,), evidence=True
)
