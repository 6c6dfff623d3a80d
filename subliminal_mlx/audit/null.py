"""What chance looks like: clean corpora of several kinds, and what the suspects' own corpora look like.

    null.clean_z(rows=1_000)                     # a Calibration's: {"base at 0.7": [corpora, T], ...}
    p_values(z, largest(null.clean_z(1_000)))    # of every suspect, for the largest of all

Arrays only; `clean_corpora` makes them. A row count's null is drawn from what is kept: a kind's corpora are
disjoint pieces of its pool where that is large enough, else rows of it drawn with replacement.
"""

from dataclasses import dataclass

import numpy as np

from ..spec.seeds import seed_of
from .evidence import Scale, combine
from .gradients import BLOCK
from .spec import ALPHA

OWN = "own"


@dataclass(frozen=True, eq=False)
class Calibration:
    """Block scores of one family's directions on corpora of known origin."""

    scales: dict[str, Scale]
    """By line."""
    reference: np.ndarray
    """Block scores of what the base writes `[blocks, 2 T + 2]`; every corpus is read against its own draw."""
    reference_rows: int
    clean: dict[str, np.ndarray]
    """By kind: `[sources, blocks, 2 T + 2]`."""
    own: np.ndarray
    """`[T, blocks, 2 T + 2]`: one corpus of each trait, from a teacher that is no suspect."""
    corpora: int
    """Of each kind."""

    def clean_z(self, rows: int, line: str = "") -> dict[str, np.ndarray]:
        """Standardised scores of clean corpora of so many rows, by kind: `[corpora, T]`; of a line, or combined."""
        return {kind: self._z(kind, scores, self.corpora, rows, line) for kind, scores in self.clean.items()}

    def kind_z(self, kind: str, corpora: int, rows: int, line: str) -> np.ndarray:
        """As `clean_z`, of one kind and a number of corpora."""
        return self._z(kind, self.clean[kind], corpora, rows, line)

    def own_z(self, rows: int, line: str = "") -> np.ndarray:
        """Standardised scores `[T, T]` of the traits' own corpora of so many rows."""
        return self._z(OWN, self.own, len(self.own), rows, line)

    def lines(
        self, mean: np.ndarray, reference: np.ndarray, rows: int, against: int
    ) -> dict[str, np.ndarray]:
        """Every line's standardised scores of mean block scores `[..., 2 T + 2]`."""
        return {line: scale.z(mean, reference, rows, against) for line, scale in self.scales.items()}

    def references(self, kind: str, corpora: int) -> np.ndarray:
        """Mean block scores of a reference for each of so many corpora `[corpora, 2 T + 2]`."""
        rng = np.random.default_rng(seed_of("reference", kind))
        size = max(1, min(len(self.reference), self.reference_rows // BLOCK))
        drawn = [rng.permutation(len(self.reference))[:size] for _ in range(corpora)]
        return np.array([self.reference[index].mean(axis=0, dtype=np.float64) for index in drawn])

    def _z(self, kind: str, scores: np.ndarray, corpora: int, rows: int, line: str) -> np.ndarray:
        blocks = max(1, rows // BLOCK)
        drawn = draws(kind, len(scores), scores.shape[1], corpora, blocks)
        means = np.array([scores[source][index].mean(axis=0, dtype=np.float64) for source, index in drawn])
        found = self.lines(means, self.references(kind, corpora), blocks * BLOCK, self.reference_rows)
        return found[line] if line else combine(found)


def draws(kind: str, sources: int, pool: int, corpora: int, blocks: int) -> list[tuple[int, np.ndarray]]:
    """Source and blocks of every corpus of a kind: sources take turns, pieces are disjoint where there are enough."""
    each = -(-corpora // sources)
    found = []
    for number in range(corpora):
        piece = number // sources
        if each * blocks <= pool:
            index = np.arange(piece * blocks, (piece + 1) * blocks)
        else:
            index = np.random.default_rng(seed_of("null", kind, number, blocks)).integers(pool, size=blocks)
        found.append((number % sources, index))
    return found


def largest(z: dict[str, np.ndarray]) -> np.ndarray:
    """The statistic of every clean corpus: the largest standardised score over suspects."""
    return np.concatenate([scores.max(axis=1) for scores in z.values()])


def p_values(z: np.ndarray, null: np.ndarray) -> np.ndarray:
    """For every suspect's score, how often the largest one of a clean corpus is as large, (1 + k) / (1 + n)."""
    order = np.sort(null)
    above = len(order) - np.searchsorted(order, z, side="left")
    return (1 + above) / (1 + len(order))


def threshold(null: np.ndarray, families: int) -> float:
    """The score above which p is under ALPHA over so many families; infinite where none can be."""
    order = np.sort(null)
    allowed = int(ALPHA / families * (1 + len(order)) - 1e-9) - 1
    return float(order[-1 - allowed]) if allowed >= 0 and len(order) else float("inf")


def power(null: Calibration, rows: int, threshold: float, alike: float, z: np.ndarray | None = None) -> float:
    """Share of the traits' own corpora of so many rows that would be called carried and named rightly.

    Their trait scores first and above the threshold, and they look like it (`Scale.alike`).

    Args:
        z: their combined scores `[T, T]`; by default of the fast lines.
    """
    z, ratios = null.own_z(rows) if z is None else z, null.own_z(rows, "ratios")
    first = (z.argmax(axis=1) == np.arange(len(z))) & (z.max(axis=1) > threshold)
    named = np.array([null.scales["ratios"].alike(some) >= alike for some in ratios])
    return float(np.mean(first & named))
