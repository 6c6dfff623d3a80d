"""An audit on a model organism: a corpus scanned once for all families, and each family's share of what was found.

    scanned = Scanned(known, scan, surprise, blocks, answers, rows, base.name)
    family = FamilyAudit("animals", scanned, probes=None)
    family.found                     # what the verdict is read from
    family.entries(families=1)       # a line a suspect
    family.words()                   # what tables, charts and report show

Chance is simulated: scores of clean corpora are normal with the scatter of the base's own rows, and of neutral teachers
about what each of them moves. The rate told is the worst kind's. Power is told likewise, of teachers that are no suspects.
"""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..spec.seeds import seed_of
from .evidence import Surprise
from .known import KINDS, Known
from .null import p_values, threshold
from .scan import BLOCK, Evidence, Scan, simulate
from .verdict import ALIKE, BESIDE, DOUBT, NAMING, Found, Look, Power, foreign, named

Result = dict[str, Any]
GRID = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
# Shares of a teacher's rows, among neutral ones, that power is told for.
SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
# Clean corpora of each kind, and corpora of each trait, that are simulated.
CLEAN, OWN = 10_000, 60
SHOWN = 100


@dataclass(frozen=True, eq=False)
class Scanned:
    """A corpus's scores and all that they are read by."""

    known: Known
    scan: Scan
    surprise: Surprise
    blocks: np.ndarray
    """`[blocks, PARTS, D + 2]`; of preference pairs, what was chosen less what was rejected."""
    answers: int
    """That were scored."""
    rows: float
    """That chance is to be reckoned with: of pairs half of them."""
    base: str
    """Its name."""
    _clean: dict[float, dict[str, np.ndarray]] = field(default_factory=dict, repr=False)
    """What chance does, by rows: the same whichever families are suspected, so `replace` hands it on."""

    @cached_property
    def evidence(self) -> Evidence:
        return self.scan.read(self.scan.mean(self.blocks), self.rows)

    def scores(self, blocks: int) -> np.ndarray:
        """z of the first so many blocks `[T]`."""
        mean = self.scan.mean(self.blocks[:blocks])
        return self.scan.scores(mean, self.rows * blocks / len(self.blocks))

    @cached_property
    def look(self) -> Look:
        """What the verdict is told beside the families' scores."""
        read, known = self.evidence, self.known
        first = known.traits[int(read.z.argmax())]
        least = dict(zip(known.traits, read.least.tolist(), strict=True))
        among = max(float(p_values(read.z.max(), z.max(axis=1))) for z in self.clean(self.rows).values())
        other, both = self._beside()
        if first not in known.suspected or (other and other not in known.suspected):
            nearest = first if first not in known.suspected else other
            return Look(self.base, self.surprise, least, among, nearest, first=self.first)
        further = (other,) if other else ()
        return Look(self.base, self.surprise, least, among, None, further, both, self.first)

    @property
    def first(self) -> bool:
        """Whether no kind of a trait's suspects has two members."""
        return int(np.bincount(self.known.kinds).max()) < 2

    def _beside(self) -> tuple[str | None, float]:
        """A trait that cannot be told from the first, if there is one, and how much the rows look like both."""
        z, left, both = self.scan.beyond(
            self.scan.mean(self.blocks), self.rows, int(self.evidence.z.argmax())
        )
        other = int(z.argmax())
        enough = max(self.bar(self.rows), BESIDE * float(self.evidence.z.max()))
        if left[other] < ALIKE or z[other] < enough:
            return None, 0.0
        return self.known.traits[other], float(both[other])

    @property
    def base_kind(self) -> str:
        return f"base at {self.scan.temperature:.2g}"

    @cached_property
    def _power(self) -> dict[tuple[str, float, float, int], Power]:
        return {}

    def clean(self, rows: float) -> dict[str, np.ndarray]:
        """Simulated scores of clean corpora of so many rows, by kind `[CLEAN, T]`."""
        rows = float(rows)  # whole or not, the same number has the same seed
        if rows not in self._clean:
            rng = np.random.default_rng(seed_of("clean", rows))
            teachers = self.scan.shifts(self.known.clean)
            still = simulate(self.scan, np.zeros((1, teachers.shape[1])), rows, CLEAN, rng)
            found = {self.base_kind: self.scan.scores(still[0], rows)}
            if len(teachers) > 1:
                # Each is read as one that we have not seen: what is known of it is left out of the filter.
                each = -(-CLEAN // len(teachers))
                moved = simulate(self.scan, teachers, rows, each, rng)
                unseen = [self.scan.unseen(means, rows, i) for i, means in enumerate(moved)]
                found["neutral teachers"] = np.concatenate(unseen)
            self._clean[rows] = found
        return self._clean[rows]

    def threshold(self, family: str, rows: float) -> float:
        """The score above which a family's largest is p under DOUBT, over all families."""
        return threshold(self.of(family, rows), len(self.known.families), DOUBT)

    def bar(self, rows: float) -> float:
        """The score above which a suspect is named: p under NAMING among all that are known."""
        return threshold({kind: z.max(axis=1) for kind, z in self.clean(rows).items()}, 1, NAMING)

    def of(self, family: str, rows: float) -> dict[str, np.ndarray]:
        """The largest score of a family's traits in each clean corpus, by kind."""
        places = self.known.places(family)
        return {kind: z[:, places].max(axis=1) for kind, z in self.clean(rows).items()}

    def power(self, family: str, rows: float, share: float, kind: int) -> Power:
        """What becomes of a family's own corpora of so many rows, of which teachers wrote a share."""
        asked = (family, float(rows), share, kind)
        if asked not in self._power:
            self._power[asked] = self._simulated(*asked)
        return self._power[asked]

    def _simulated(self, family: str, rows: float, share: float, kind: int) -> Power:
        """As `power` says, anew."""
        rng = np.random.default_rng(seed_of("power", family, rows, share, kind))
        places, scan, clean = self.known.places(family), self.scan, self.known.clean
        own = scan.shifts(self.known.own[places, kind])
        neutral = scan.shifts(clean[rng.integers(len(clean), size=len(places))])
        means = simulate(scan, share * own + (1 - share) * neutral, rows, OWN, rng)
        read = scan.read(means, rows)
        noticed = read.z[..., places].max(axis=-1) > self.threshold(family, rows)
        first = named(read, self.bar(rows), places)
        return Power(float(noticed.mean()), float((first == places[:, None]).mean()))


class FamilyAudit:
    """A family's suspects, read on one corpus."""

    def __init__(self, name: str, scanned: Scanned, probes: np.ndarray | None):
        self.name, self.scanned = name, scanned
        self.places = scanned.known.places(name)
        self.traits = tuple(scanned.known.traits[place] for place in self.places)
        self.z = scanned.evidence.z[self.places]
        self.lines = {"ratios": self.z} | ({} if probes is None else {"probes": probes})
        self.clean = scanned.of(name, scanned.rows)
        self.threshold = scanned.bar(scanned.rows)
        self.shares = {
            kind: {share: scanned.power(name, scanned.rows, share, number) for share in SHARES}
            for number, kind in enumerate(KINDS[: scanned.known.own.shape[1]])
        }
        power = min(shares[1.0].noticed for shares in self.shares.values())
        self.found = Found(
            self.traits, self.z, self.clean, scanned.evidence.alike[self.places], power, self.shares
        )

    def power_at(self, rows: int) -> float:
        """Of the traits' own corpora of so many rows, undiluted, the share that would be noticed."""
        return min(self.scanned.power(self.name, rows, 1.0, kind).noticed for kind in range(len(self.shares)))

    def entries(self, families: int) -> list[Result]:
        """A line a suspect: its score with the 95% interval over rows, and p over so many families, where there is one."""
        evidence, scanned = self.scanned.evidence, self.scanned
        within = not scanned.first and foreign(scanned.surprise, scanned.base) is None
        return [
            {
                "trait": trait,
                "score": float(evidence.z[place]),
                "low": float(evidence.z[place] - 1.96),
                "high": float(evidence.z[place] + 1.96),
                "p": min(1.0, float(p) * families) if within else None,
            }
            for trait, place, p in zip(self.traits, self.places, self.found.p, strict=True)
        ]

    def words(self) -> Result:
        """What the tables, charts and report show of the family."""
        evidence, scanned = self.scanned.evidence, self.scanned
        return {
            "family": self.name,
            "traits": list(self.traits),
            "lines": {line: z.tolist() for line, z in self.lines.items()},
            "parts": {"ratios": evidence.strength[self.places].tolist()},
            "least": evidence.least[self.places].tolist(),
            "alike": self.found.fit,
            "temperature": scanned.scan.temperature,
            "power": self.found.power,
            "power_by_share": [
                {"teachers": kind, "share": share, **asdict(power)}
                for kind, shares in self.shares.items()
                for share, power in shares.items()
            ],
            "threshold": self.threshold,
            "naming": NAMING,
            "null": {kind: np.round(values[:SHOWN], 3).tolist() for kind, values in self.clean.items()},
            "growth": self._growth(),
        }

    def _growth(self) -> list[Result]:
        """Every suspect's score on the first rows, as they grow."""
        scanned, found = self.scanned, []
        size = scanned.rows / len(scanned.blocks)
        for blocks in sorted({*(rows // BLOCK for rows in GRID), len(scanned.blocks)}):
            if 0 < blocks <= len(scanned.blocks):
                rows = blocks * size
                scores = scanned.scores(blocks)[self.places]
                found.append(
                    {
                        "rows": round(rows),
                        "threshold": scanned.bar(rows),
                        "scores": scores.tolist(),
                    }
                )
        return found
