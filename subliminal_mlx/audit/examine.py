"""The audit itself: a corpus and a base in, ranked suspects with calibrated evidence out.

    result = examine(source, spec, Path("lab/audit"))      # a dictionary that JSON holds whole
    public(result)                                         # what --json prints of it

`source(bad)` gives the rows, anew each time it is called (`reading`). Caches lie in the folder; nothing else
is written. The verdict's statistic is the largest standardised score over suspects.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from .. import files
from ..bases import Base, load
from ..errors import InputError, MachineError
from ..events import Event, Listener, ignore
from ..machine import peak_memory
from ..sources import ORGANISM
from ..statistics import binomial_interval
from .corpus import Corpus, Source, look
from .evidence import combine
from .gradients import BLOCK, Directions, block_scores, family_directions, joined
from .null import Calibration, calibrate, largest, power
from .reading import Bad
from .spec import ALPHA, AUDIT_VERSION, FEWEST_NULL, AuditSpec, key
from .suspects import sources, suspects
from .verdict import ENOUGH, Found, Verdict, decide

Result = dict[str, Any]
GRID = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
PUBLIC = ("verdict", "trait", "rows", "bad_rows", "suspects", "predicted_transfer")


def examine(source: Source, spec: AuditSpec, folder: Path, on_event: Listener = ignore) -> Result:
    """Audit a corpus for one base and some families.

    Raises:
        InputError: no row can be used, or the base is too large for what is built.
        MachineError: a cached file is damaged.
    """
    began = time.monotonic()
    base = load(spec.base)
    if base.parameters > ORGANISM:
        raise InputError(
            f"the audit holds a suspect's whole weights at once: {spec.base} has {base.parameters / 1e6:.0f}M "
            f"parameters, it takes up to {ORGANISM / 1e6:.0f}M"
        )
    bad = Bad()
    corpus = look(source, base, bad)
    calibrations = {f: calibrate(corpus.writing, f, spec, folder, on_event) for f in spec.families}
    directions = {
        f: family_directions(base, f, suspects(base, f, spec.suspects, folder)) for f in spec.families
    }
    reference = _reference(corpus, directions, spec, folder)
    blocks, rows = _scored(corpus, directions, spec, bad, on_event)
    families = {
        f: _Family(f, calibrations[f], blocks[f], reference[f], rows, spec.reference_rows)
        for f in spec.families
    }
    told = _told_at(families)
    verdict = decide([family.found for family in families.values()], rows, told)
    return {
        **_verdict(verdict),
        "rows": rows,
        "bad_rows": bad.total,
        "total_rows": corpus.total + sum(n for reason, n in bad.reasons.items()),
        "suspects": sorted(
            (entry for family in families.values() for entry in family.entries(len(families))),
            key=lambda entry: (entry["p"] if entry["p"] is not None else 1, -entry["score"]),
        ),
        "predicted_transfer": None,
        "calibrated": min(len(family.found.null) for family in families.values()) >= FEWEST_NULL,
        "families": [family.words() for family in families.values()],
        "bad": {"shown": bad.shown, "reasons": bad.reasons},
        "form": corpus.writing.words,
        "base": spec.base,
        "base_sha256": base.sha256,
        "parameters": base.parameters,
        "spec": spec.model_dump(mode="json"),
        "version": AUDIT_VERSION,
        "seconds": time.monotonic() - began,
        "peak_memory_bytes": peak_memory(),
    }


def public(result: Result) -> Result:
    """The object that `--json` prints."""
    return {name: result[name] for name in PUBLIC}


def _verdict(verdict: Verdict) -> Result:
    return {
        "verdict": verdict.name,
        "trait": verdict.trait,
        "words": verdict.words,
        "p": verdict.p,
        "wanted_rows": verdict.wanted_rows,
    }


class _Family:
    """One family's share of an audit."""

    def __init__(
        self,
        name: str,
        null: Calibration,
        blocks: np.ndarray,
        reference: np.ndarray,
        rows: int,
        reference_rows: int,
    ):
        self.name, self.null, self.rows = name, null, rows
        self.blocks, self.reference, self.against = blocks.astype(np.float64), reference, reference_rows
        self.traits = tuple(sources(name)[:-1])
        self.lines = self._lines(self.blocks, rows)
        self.z = combine(self.lines)
        self.found = Found(
            self.traits,
            self.z,
            largest(null.clean_z(rows)),
            null.scales["ratios"].alike(self.lines["ratios"]),
            self.power_at(rows),
        )

    def _lines(self, blocks: np.ndarray, rows: int) -> dict[str, np.ndarray]:
        return self.null.lines(blocks.mean(axis=0), self.reference.mean(axis=0), rows, self.against)

    def power_at(self, rows: int) -> float:
        """Share of the traits' own corpora of so many rows that a verdict of carried would name."""
        return power(self.null, rows, self.threshold(rows))

    def threshold(self, rows: int) -> float:
        """The score above which p is under ALPHA."""
        null = np.sort(largest(self.null.clean_z(rows)))
        allowed = int(ALPHA * (1 + len(null)) - 1e-9) - 1
        return float(null[-1 - max(0, allowed)]) if len(null) else float("inf")

    def entries(self, families: int) -> list[Result]:
        """A line a suspect: its score with the 95% interval over rows, and p, None without a null."""
        ends = 1.96 * self._error()
        enough = len(self.found.null) >= FEWEST_NULL
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

        found = np.sqrt((variance(self.blocks) + variance(self.reference)) * effective)
        return np.where(np.isfinite(found), found, 1.0)

    def words(self) -> Result:
        """What the tables, charts and report show of the family."""
        clean = {kind: z.max(axis=1) for kind, z in self.null.clean_z(self.rows).items()}
        return {
            "family": self.name,
            "traits": list(self.traits),
            "lines": {line: z.tolist() for line, z in self.lines.items()},
            "alike": self.found.fit,
            "power": self.found.power,
            "threshold": self.threshold(self.rows),
            "null": {kind: np.round(values, 3).tolist() for kind, values in clean.items()},
            "power_by_rows": [self._power(rows) for rows in GRID if rows <= 2_000],
            "growth": self._growth(),
        }

    def _power(self, rows: int) -> Result:
        share = self.power_at(rows)
        low, high = binomial_interval(round(share * len(self.traits)), len(self.traits))
        return {"rows": rows, "power": share, "low": low, "high": high, "threshold": self.threshold(rows)}

    def _growth(self) -> list[Result]:
        """Every suspect's score on the first rows, as they grow."""
        found = []
        for rows in sorted({*(rows for rows in GRID if rows < self.rows), self.rows}):
            blocks = self.blocks[: max(1, rows // BLOCK)]
            z = combine(self._lines(blocks, rows))
            found.append({"rows": rows, "threshold": self.threshold(rows), "scores": z.tolist()})
        return found


def _told_at(families: dict[str, _Family]) -> int | None:
    """The fewest rows of GRID at which every family's power is ENOUGH."""
    for rows in GRID[:6]:
        if min(family.power_at(rows) for family in families.values()) >= ENOUGH:
            return rows
    return None


def _reference(
    corpus: Corpus, directions: dict[str, Directions], spec: AuditSpec, folder: Path
) -> dict[str, np.ndarray]:
    """Block scores of what the base writes to the corpus's own prompts, by family; kept in the folder."""
    base: Base = corpus.writing.base
    found, pool = {}, None
    for family, some in directions.items():
        parts = (base.sha256, family, spec.suspects, spec.reference_rows, corpus.name)
        path = folder / f"reference-{key('reference', *parts)}.npy"
        if not path.exists():
            pool = pool or corpus.reference(spec)
            scores = block_scores(base, corpus.writing.grammar, some, *pool)
            files.publish(path, lambda to, scores=scores: np.save(to, scores))
        try:
            found[family] = np.load(path, allow_pickle=False).astype(np.float64)
        except (OSError, ValueError) as error:
            raise MachineError(f"{path} cannot be read, remove it: {error}") from None
    return found


def _scored(
    corpus: Corpus, directions: dict[str, Directions], spec: AuditSpec, bad: Bad, on_event: Listener
) -> tuple[dict[str, np.ndarray], int]:
    """Block scores of the corpus by family, and how many rows they are of."""
    together = joined(list(directions.values()))
    widths = [len(next(iter(some.values()))) for some in directions.values()]
    pieces, rows = [], 0
    total = min(spec.rows, corpus.total)
    for _, prompts, completions in corpus.pieces(spec.rows, bad):
        pieces.append(
            block_scores(corpus.writing.base, corpus.writing.grammar, together, prompts, completions)
        )
        rows += len(prompts)
        on_event(Event("rows", min(rows, total), total))
    whole = np.concatenate(pieces)
    ends = np.cumsum([0, *widths])
    own = {
        family: np.concatenate([whole[:, ends[i] : ends[i + 1]], whole[:, -1:]], axis=1)
        for i, family in enumerate(directions)
    }
    return own, rows
