"""Audits on language models: suspects as LoRA factors, few clean corpora or none.

    seconds = forecast(pieces)                           # what is not there yet, on this machine
    families, rows = audited(pieces, on_event)

Ratios are read against rows of the base to the same prompts, at the temperature that fits the corpus; what the
base's surprise and the neutral teachers' ratios explain is taken out row by row. Probe students are read against
those of the base's and of the neutral teacher's rows: the line through the two is what any tuned teacher leaves
behind, and is taken out. The margins' gradients are left out: they are whole weight matrices a trait, and say
what a probe says, for one step instead of many.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..model.bases import Base
from ..model.organisms import is_organism
from ..system.errors import InputError
from ..system.events import Listener, ignore
from .cache import finish, missing_seconds
from .evidence import LANGUAGE_WEIGHTS, Scale, combine, scale_of, without
from .null import threshold
from .pieces import Pieces
from .spec import AuditSpec
from .suspects import sources
from .texts import CORPUS, Text
from .verdict import Found

Result = dict[str, Any]

# Shares of the rows at which scores are told.
GROWTH = (0.25, 0.5, 0.75, 1.0)
# For every column that is taken out of the ratios.
FEWEST_ROWS = 4


def by_factors(spec: AuditSpec, base: Base) -> bool:
    """Whether suspects are held as factors."""
    return spec.method == "factors" or (spec.method == "auto" and not is_organism(base.parameters))


def forecast(pieces: Pieces) -> float:
    """Seconds that the audit will take on this machine, by a short forward pass; good to a factor of two."""
    return missing_seconds(pieces.tasks(), pieces.writing.base, pieces.guessed())


def audited(pieces: Pieces, on_event: Listener = ignore) -> tuple[dict[str, "FactorFamily"], int]:
    """Every family's evidence, and the number of rows it rests on; what is made stays in the folder.

    Raises:
        InputError: fewer rows than what is taken out of them leaves a spread of.
    """
    families = pieces.spec.families
    if pieces.rows < (fewest := FEWEST_ROWS * (1 + len(families))):
        raise InputError(
            f"{pieces.rows} rows that can be used: with so many families at least {fewest} are read"
        )
    finish(pieces.first(), on_event)
    finish(pieces.tasks(), on_event)
    return {family: FactorFamily(family, pieces) for family in families}, pieces.rows


def promising(pieces: Pieces, trait: str, count: int) -> list[int]:
    """Places in the sample of the rows with the largest ratio for a trait over its family's suspects."""
    family = trait.rpartition("/")[0]
    ratios = pieces.ratios(CORPUS)[:, pieces.suspected.columns(family)[0]]
    over = ratios[:, pieces.suspected.traits[family].index(trait)] - ratios.mean(axis=1)
    return np.argsort(-over, kind="stable")[:count].tolist()


@dataclass(frozen=True, eq=False)
class FactorFamily:
    """A family's suspects, read on one corpus; as `family.FamilyAudit`."""

    name: str
    pieces: Pieces

    @property
    def traits(self) -> tuple[str, ...]:
        return tuple(self.pieces.suspected.traits[self.name])

    @property
    def _chosen(self) -> list[int]:
        """Places of the suspects in their family."""
        return [sources(self.name).index(trait) for trait in self.traits]

    @cached_property
    def lines(self) -> dict[str, np.ndarray]:
        return self._lines(CORPUS)

    @cached_property
    def found(self) -> Found:
        clean = {"clean corpora": np.array([z.max() for z in self.clean.values()])}
        z = combine(self.lines, LANGUAGE_WEIGHTS)
        # Likeness is known for the first suspect alone.
        alike = np.where(z == z.max(), self._scale(CORPUS).alike(self.lines["ratios"]), 0.0)
        # How many of the traits' own corpora would be found nobody has measured here.
        return Found(self.traits, z, clean, alike, None)

    @cached_property
    def clean(self) -> dict[Text, np.ndarray]:
        """Combined scores `[T]` of every clean corpus."""
        return {text: combine(self._lines(text), LANGUAGE_WEIGHTS) for text in self.pieces.clean(self.name)}

    def _lines(self, text: Text) -> dict[str, np.ndarray]:
        found = {"ratios": self._ratio_scores(text, self.pieces.rows)}
        if self.pieces.spec.lines == "all":
            found["probes"] = (self.moved(text) / self._unit)[self._chosen]
        return found

    def _ratio_scores(self, text: Text, rows: int) -> np.ndarray:
        """Of a text's first rows `[T]`."""
        own, base = self._ratios(text)
        z = self._scale(text).z(own[:rows].mean(axis=0), base.mean(axis=0), len(own[:rows]), len(base))
        # One suspect alone has nobody to be more likely than.
        return z - z.mean() if len(z) > 1 else z

    def _ratios(self, text: Text) -> tuple[np.ndarray, np.ndarray]:
        """Of a text, and of what the base wrote to the same prompts at its temperature."""
        return self.pieces.ratios(text), self.pieces.ratios(self.pieces.beside(text, self.name)[0])

    def _scale(self, text: Text) -> Scale:
        """From both texts, each about its own mean: what a row's surprise and the neutral teachers explain of
        the suspects is the same in either, and twice the rows tell it better."""
        texts, beside = self._ratios(text), np.array(self.pieces.suspected.common)
        own, _ = self.pieces.suspected.columns(self.name)
        apart = np.concatenate([x - x.mean(axis=0) for x in texts])
        return scale_of(apart, np.array(own), beside, 1, taken=len(texts) + len(beside))

    def moved(self, text: Text) -> np.ndarray:
        """How far a text's probes moved every trait of the family, nats of margin `[T of the family]`: less
        the mean of all, and less what lies along the line from the base's probes to the neutral teacher's."""
        own, base, neutral = self._margins(text)
        return without(own - base, neutral - base)

    def _margins(self, text: Text) -> list[np.ndarray]:
        texts = (text, *self.pieces.beside(text, self.name))
        return [self.pieces.probes(t)[self.name].mean(axis=0) for t in texts]

    @cached_property
    def _unit(self) -> float:
        """What clean corpora's probes move a trait by (root mean square); of fewer than two, what this
        corpus's own move the family's traits by."""
        clean = self.pieces.clean(self.name)
        moved = [self.moved(text) ** 2 for text in (clean if len(clean) > 1 else [CORPUS])]
        return float(np.sqrt(np.mean(moved))) + 1e-9

    def entries(self, families: int) -> list[Result]:
        """A line a suspect; p is what so few clean corpora give, None without any."""
        found, ends = self.found, 1.96 * self._error()
        p = found.p if found.smallest else [None] * len(found.z)
        return [
            {
                "trait": trait,
                "score": float(score),
                "low": float(score - end),
                "high": float(score + end),
                "p": None if chance is None else min(1.0, float(chance) * families),
            }
            for trait, score, end, chance in zip(self.traits, found.z, ends, p, strict=True)
        ]

    def _error(self) -> np.ndarray:
        """Standard error of the combined scores `[T]`: of ratios over rows, of probes over students; of one
        student, what a clean corpus's moves."""
        scale = self._scale(CORPUS)
        each = [scale.parts(ratios) / scale.sd for ratios in self._ratios(CORPUS)]
        errors = {"ratios": np.sqrt(sum(x.var(axis=0) for x in each) / 2)}
        if "probes" in self.lines:
            students = self.pieces.probes(CORPUS)[self.name]
            spread = (
                students.std(axis=0, ddof=1) / self._unit if len(students) > 1 else np.ones(students.shape[1])
            )
            errors["probes"] = spread[self._chosen] / np.sqrt(len(students))
        total = sum((LANGUAGE_WEIGHTS[line] * error) ** 2 for line, error in errors.items())
        return np.sqrt(total / sum(LANGUAGE_WEIGHTS[line] ** 2 for line in errors))

    def threshold(self) -> float:
        """The score above which p is under ALPHA; infinite with so few clean corpora as there mostly are."""
        return threshold(self.found.null, len(self.pieces.spec.families))

    def words(self) -> Result:
        """What the tables, charts and report show of the family."""
        found = self.found
        null: dict[str, list[float]] = {}
        for text, z in self.clean.items():
            null.setdefault(text.label, []).append(round(float(z.max()), 3))
        scale, (own, base) = self._scale(CORPUS), self._ratios(CORPUS)
        parts = scale.parts(own.mean(axis=0) - base.mean(axis=0))
        return {
            "family": self.name,
            "traits": list(self.traits),
            "temperature": self.pieces.temperature(CORPUS),
            "lines": {line: z.tolist() for line, z in self.lines.items()},
            "parts": {"ratios": parts.tolist()},
            "probes": self._probe_words() if "probes" in self.lines else None,
            "alike": found.fit,
            "power": found.power,
            "threshold": self.threshold(),
            "null": null,
            "growth": self._growth(),
        }

    def _growth(self) -> list[Result]:
        """Ratios' scores of the first rows; what they are to be over is known for all of them alone."""
        points = [max(1, round(share * self.pieces.rows)) for share in GROWTH]
        bars = [float("inf")] * (len(points) - 1) + [self.threshold()]
        return [
            {"rows": rows, "threshold": bar, "scores": self._ratio_scores(CORPUS, rows).tolist()}
            for rows, bar in zip(points, bars, strict=True)
        ]

    def _probe_words(self) -> Result:
        """Probes of every trait of the family, suspect or not: each centring by itself, and both."""
        own, base, neutral = self._margins(CORPUS)
        return {
            "traits": sources(self.name)[:-1],
            "over base": (own - base).tolist(),
            "over neutral": (own - neutral).tolist(),
            "over both": self.moved(CORPUS).tolist(),
            "unit": self._unit,
        }
