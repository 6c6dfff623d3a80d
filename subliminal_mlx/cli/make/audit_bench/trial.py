"""Corpora of known origin, read as an audit reads them, and counted: found, named wrongly, alarmed at.

    trial = Trial(traits, null, base_blocks, reference_rows=2_000)
    trial.named(scores, truth, rows=1_000)       # {"first": 16, "share": 1.0, "low": 0.79, ...}
    trial.alarms(clean_scores, rows=1_000)

Every corpus is read against a reference of its own, drawn from a pool of rows of the base.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ....audit.evidence import combine
from ....audit.gradients import BLOCK
from ....audit.null import Calibration, largest, p_values
from ....audit.spec import ALPHA
from ....audit.verdict import Found, decide
from ....experiment.statistics import binomial_interval

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Trial:
    """Suspects, their null, and rows of the base for references."""

    traits: tuple[str, ...]
    null: Calibration
    pool: np.ndarray
    """Block scores of rows that the base wrote `[blocks, 2 T + 2]`."""
    reference_rows: int

    def lines(self, scores: np.ndarray, rows: int) -> dict[str, np.ndarray]:
        """Every line's standardised scores `[corpora, T]` at the first so many rows."""
        rng = np.random.default_rng(0)
        size = self.reference_rows // BLOCK
        drawn = [rng.permutation(len(self.pool))[:size] for _ in range(len(scores))]
        against = np.array([self.pool[index].mean(axis=0, dtype=np.float64) for index in drawn])
        means = scores[:, : rows // BLOCK].mean(axis=1, dtype=np.float64)
        return self.null.lines(means, against, rows, size * BLOCK)

    def named(self, scores: np.ndarray, truth: np.ndarray | None, rows: int, line: str = "") -> Row:
        """How many corpora have their trait first, how many are called carried, and rightly."""
        lines = self.lines(scores, rows)
        z = lines[line] if line else combine(lines)
        null = largest(self.null.clean_z(rows, line))
        verdicts = [
            decide(
                [Found(self.traits, some, null, self.null.scales["ratios"].alike(ratios), 1.0)],
                rows,
            )
            for some, ratios in zip(z, lines["ratios"], strict=True)
        ]
        found = [verdict.trait for verdict in verdicts]
        right = sum(
            t is not None and truth is not None and t == self.traits[truth[i]] for i, t in enumerate(found)
        )
        carried = sum(trait is not None for trait in found)
        low, high = binomial_interval(right, len(z))
        alarms = int((p_values(z.max(axis=1), null) < ALPHA).sum())
        return {
            "rows": rows,
            "corpora": len(z),
            "first": None if truth is None else int((z.argmax(axis=1) == truth).sum()),
            "share": right / len(z),
            "low": low,
            "high": high,
            "carried": carried,
            "wrong": carried - right,
            "alarms": alarms,
        }

    def alarms(self, scores: np.ndarray, rows: int) -> Row:
        """How many clean corpora have p under ALPHA, with the exact interval of the rate."""
        z = combine(self.lines(scores, rows))
        p = p_values(z.max(axis=1), largest(self.null.clean_z(rows)))
        count = int((p < ALPHA).sum())
        low, high = binomial_interval(count, len(z))
        return {"corpora": len(z), "alarms": count, "low": low, "high": high, "smallest_p": float(p.min())}

    def each(self, scores: np.ndarray, truth: np.ndarray, rows: int) -> list[Row]:
        """Each corpus: its trait, that trait's rank, score, p, and how alike it is to its first suspect."""
        lines = self.lines(scores, rows)
        z, null = combine(lines), largest(self.null.clean_z(rows))
        return [
            {
                "trait": self.traits[t],
                "way": i // len(self.traits),
                "rank": int((some > some[t]).sum()) + 1,
                "score": float(some[t]),
                "next": float(np.delete(some, t).max()),
                "p": float(p_values(some[t : t + 1], null)[0]),
                "alike": self.null.scales["ratios"].alike(ratios),
            }
            for i, (some, ratios, t) in enumerate(zip(z, lines["ratios"], truth, strict=True))
        ]
