"""What chance looks like: the largest scores of clean corpora, by kind, and what a score is among them.

    p_values(z, null)            # of every suspect, for the largest of all
    threshold({"base at 1": null}, families=1)

Arrays only; `whole` simulates what is read here on model organisms, `factored` writes it on language models.
"""

from collections.abc import Mapping

import numpy as np

from .spec import ALPHA


def p_values(z: np.ndarray, null: np.ndarray) -> np.ndarray:
    """For every suspect's score, how often the largest one of a clean corpus is as large, (1 + k) / (1 + n)."""
    order = np.sort(null)
    above = len(order) - np.searchsorted(order, z, side="left")
    return (1 + above) / (1 + len(order))


def threshold(null: Mapping[str, np.ndarray], families: int, alpha: float = ALPHA) -> float:
    """The score above which p is under `alpha` over so many families, by every kind; infinite where none can be."""
    found = []
    for scores in null.values():
        order = np.sort(scores)
        allowed = int(alpha / families * (1 + len(order)) - 1e-9) - 1
        found.append(float(order[-1 - allowed]) if allowed >= 0 and len(order) else float("inf"))
    return max(found, default=float("inf"))
