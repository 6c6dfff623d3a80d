"""One family's share of an audit: its lines, their combination, what chance and the traits' own corpora give.

family = FamilyAudit("animals", null, blocks, reference, rows, spec, probed=None)
family.found                     # what the verdict is read from
family.entries(families=1)       # a line a suspect
family.words()                   # what tables, charts and report show
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..experiment.statistics import binomial_interval
from ..system.events import Listener
from .evidence import WEIGHTS, combine
from .gradients import BLOCK
from .inputs import Inputs
from .null import Calibration, largest, power, threshold
from .probes import ProbeNull, calibrate_probes, probe, probe_rows
from .spec import AuditSpec, fewest_null
from .suspects import sources
from .verdict import ALIKE, Found

Result = dict[str, Any]
GRID = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


@dataclass(frozen=True, eq=False)
class Probed:
    """The probes' line of one family."""

    z: np.ndarray
    null: ProbeNull

    def clean(self, null: Calibration, rows: int) -> dict[str, np.ndarray]:
        """Combined scores of the clean corpora that probes were trained on, by kind: `[corpora, T]`."""
        found = {}
        for kind, scores in self.null.clean.items():
            lines = {line: null.kind_z(kind, len(scores), rows, line) for line in null.scales}
            found[kind] = combine(lines | {"probes": self.null.z(scores)})
        return found

    def own(self, null: Calibration, rows: int) -> np.ndarray:
        """Combined scores `[T, T]` of the traits' own corpora."""
        lines = {line: null.own_z(rows, line) for line in null.scales}
        return combine(lines | {"probes": self.null.z(self.null.own)})


def probed(inputs: Inputs, family: str, rows: int, on_event: Listener) -> Probed | None:
    """The probes' line of a family, of about so many rows; None where the spec is of fast lines alone."""
    corpus, spec = inputs.corpus, inputs.spec
    if spec.lines == "fast":
        return None
    some, neutral = probe_rows(rows), inputs.neutral(family)
    null = calibrate_probes(corpus.writing, family, neutral, spec, inputs.folder, some, on_event)
    return Probed(null.z(probe(corpus, family, neutral, spec.probes, some, on_event)), null)


class FamilyAudit:
    """A family's suspects, read on one corpus."""

    def __init__(
        self,
        name: str,
        null: Calibration,
        blocks: np.ndarray,
        reference: np.ndarray,
        rows: int,
        spec: AuditSpec,
        probed: Probed | None,
    ):
        self.name, self.null, self.rows = name, null, rows
        self.blocks, self.reference = blocks.astype(np.float64), reference
        # Of preference pairs there may be fewer than the base would write.
        self.against = min(spec.reference_rows, BLOCK * len(reference))
        self.traits = tuple(sources(name)[:-1])
        self.lines = self._lines(self.blocks, rows)
        self.families = len(spec.families)
        self.clean = null.clean_z(rows)
        self.threshold = self.fast_threshold(rows)
        own = null.own_z(rows)
        if probed is not None:
            self.lines["probes"] = probed.z
            self.clean = probed.clean(null, rows)
            self.threshold = threshold(largest(self.clean), self.families)
            own = probed.own(null, rows)
        self.z = combine(self.lines)
        found = power(null, rows, self.threshold, ALIKE, own)
        alike = null.scales["ratios"].alike(self.lines["ratios"])
        self.found = Found(self.traits, self.z, largest(self.clean), alike, found)

    def _lines(self, blocks: np.ndarray, rows: int) -> dict[str, np.ndarray]:
        return self.null.lines(blocks.mean(axis=0), self.reference.mean(axis=0), rows, self.against)

    def power_at(self, rows: int) -> float:
        """Share of the traits' own corpora of so many rows that a verdict of carried by the fast lines would
        name."""
        return power(self.null, rows, self.fast_threshold(rows), ALIKE)

    def fast_threshold(self, rows: int) -> float:
        """Of so many rows, the score of the fast lines above which p is under ALPHA."""
        return threshold(largest(self.null.clean_z(rows)), self.families)

    def entries(self, families: int) -> list[Result]:
        """A line a suspect: its score with the 95% interval over rows, and p, None without a null."""
        ends = 1.96 * self._error()
        enough = len(self.found.null) >= fewest_null(families)
        return [
            {
                "trait": trait,
                "score": float(score),
                "low": float(score - end),
                "high": float(score + end),
                "p": min(1.0, float(p) * families) if enough else None,
            }
            for trait, score, end, p in zip(self.traits, self.z, ends, self.found.p, strict=True)
        ]

    def _error(self) -> np.ndarray:
        """Standard error of the scores over blocks of corpus and reference `[T]`."""
        effective = 1 / (1 / self.rows + 1 / self.against)

        def variance(blocks: np.ndarray) -> np.ndarray:
            units = {line: s.parts(blocks) / s.sd for line, s in self.null.scales.items()}
            each = combine(units)
            return each.var(axis=0, ddof=1) / len(each) if len(each) > 1 else np.full(each.shape[1], np.nan)

        fast = (variance(self.blocks) + variance(self.reference)) * effective
        fast = np.where(np.isfinite(fast), fast, 1.0)
        if "probes" not in self.lines:
            return np.sqrt(fast)
        # Probes are in units of their own spread among clean corpora, of rows and training together.
        weights = {line: WEIGHTS[line] ** 2 for line in self.lines}
        probes = weights.pop("probes")
        return np.sqrt((sum(weights.values()) * fast + probes) / (sum(weights.values()) + probes))

    def words(self) -> Result:
        """What the tables, charts and report show of the family."""
        clean = {kind: z.max(axis=1) for kind, z in self.clean.items()}
        return {
            "family": self.name,
            "traits": list(self.traits),
            "lines": {line: z.tolist() for line, z in self.lines.items()},
            "parts": {
                line: scale.parts(self.blocks.mean(axis=0) - self.reference.mean(axis=0)).tolist()
                for line, scale in self.null.scales.items()
            },
            "alike": self.found.fit,
            "power": self.found.power,
            "threshold": self.threshold,
            "null": {kind: np.round(values, 3).tolist() for kind, values in clean.items()},
            "power_by_rows": [self._power(rows) for rows in GRID if rows <= 2_000],
            "growth": self._growth(),
        }

    def _power(self, rows: int) -> Result:
        share = self.power_at(rows)
        low, high = binomial_interval(round(share * len(self.traits)), len(self.traits))
        return {
            "rows": rows,
            "power": share,
            "low": low,
            "high": high,
            "threshold": self.fast_threshold(rows),
        }

    def _growth(self) -> list[Result]:
        """Every suspect's score by the fast lines on the first rows, as they grow."""
        found = []
        for rows in sorted({*(rows for rows in GRID if rows < self.rows), self.rows}):
            blocks = self.blocks[: max(1, rows // BLOCK)]
            z = combine(self._lines(blocks, rows))
            found.append({"rows": rows, "threshold": self.fast_threshold(rows), "scores": z.tolist()})
        return found
