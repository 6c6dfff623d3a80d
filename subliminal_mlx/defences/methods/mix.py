"""Dilution: clean rows of the untuned base take the place of a share of the rows.

Control: other rows of the same source, once more, at the same places.
"""

import numpy as np

from ...spec.defence_names import Defence
from ...system.errors import InputError
from .. import Changed, Given


def mix(given: Given) -> Changed:
    """Rows of which a share is the base's.

    Raises:
        InputError: too few clean rows, or no row that could be repeated.
    """
    rows, clean, share = given.rows, given.clean, given.share
    rng = np.random.default_rng([given.seed, 0])
    count = round(share * len(rows))
    order = rng.permutation(len(rows))
    places, others = order[:count], order[count:]
    if not given.control and count > len(clean):
        raise InputError(
            f"mixing {share:.0%} needs {count} clean rows, there are {len(clean)}: lower the share"
        )
    if given.control and not len(others):
        raise InputError(f"mixing {share:.0%} of {len(rows)} rows leaves none to repeat: lower the share")
    # Other prompts than those that leave: a clean row has its own.
    taken = rng.choice(others, count) if given.control else rng.choice(len(clean), count, replace=False)
    mixed = list(rows)
    for place, index in zip(places, taken, strict=True):
        mixed[place] = rows[index] if given.control else clean[index] | {"clean_from": 0}
    return Changed(mixed, count, sum(len(rows[p]["completion_ids"]) for p in places))


MIX = Defence("mix", "clean rows in the place of a share of them", 10, mix, percents=(10, 25, 50))
