"""From standardised scores to a verdict: carried, not found, or cannot tell. Numbers in, words out.

    verdict = decide(found, rows=1_000)           # a Found for each family of suspects
    verdict.name, verdict.words

Never says "clean": what was not found was not found among these suspects, at this power.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..system.quantities import p_value, percent
from .null import p_values, threshold
from .spec import ALPHA, fewest_null

# Both chosen on trees: how alike a corpus must be to its suspect for a name, and the p below which a
# score is too large to be called nothing.
ALIKE = 0.85
DOUBT = 0.1
# Share of the traits' own corpora that must be found at this row count for "not found" to say something.
ENOUGH = 0.8
NAMES = ("carried", "not found", "cannot tell")


@dataclass(frozen=True)
class Verdict:
    """One of NAMES, the trait where one is carried, and a sentence."""

    name: str
    trait: str | None
    words: str
    p: float | None
    """Of the largest score, over all families; None where the null is too small."""
    wanted_rows: int | None = None
    """Rows that would tell, where more would."""


@dataclass(frozen=True, eq=False)
class Found:
    """One family's scores and what they are read against."""

    traits: tuple[str, ...]
    z: np.ndarray
    """`[T]`, standardised."""
    null: np.ndarray
    """The largest score of every clean corpus of as many rows."""
    fit: float
    power: float | None
    """Share of the traits' own corpora of so many rows that are found; None where nobody has measured it."""

    @property
    def p(self) -> np.ndarray:
        """Of every suspect, for the largest of the family `[T]`."""
        return p_values(self.z, self.null)


def decide(found: Sequence[Found], rows: int, told_at: int | None = None) -> Verdict:
    """The verdict over all families; p-values are multiplied by their number (Bonferroni).

    Args:
        rows: that were scored.
        told_at: the fewest rows at which ENOUGH of the traits' own corpora are found, if any are.
    """
    first = min(found, key=lambda f: (float(f.p.min()), -float(f.z.max())))
    place = int(first.z.argmax())
    trait, count = first.traits[place], sum(len(f.traits) for f in found)
    smallest, needed = min(len(f.null) for f in found), fewest_null(len(found))
    if smallest < needed:
        over = f" over {len(found)} families" if len(found) > 1 else ""
        words = f"uncalibrated: {smallest} clean corpora are no null{over} ({needed} are needed); {trait} scores first"
        return Verdict("cannot tell", None, words, None)
    p = min(1.0, float(first.p.min()) * len(found))
    if p < ALPHA and first.fit >= ALIKE:
        words = f"carried: {trait}, first of {count} suspects (p {p_value(p)})"
        return Verdict("carried", trait, words, p)
    if p < ALPHA:
        words = (
            f"cannot tell: these rows are no base's, neutral teacher's or other base's rows (p {p_value(p)}), "
            f"but look like none of the {count} suspects; {trait} is nearest ({percent(first.fit, 0)} alike): a "
            "trait outside these families, or text of another kind"
        )
        return Verdict("cannot tell", None, words, p)
    power = least([f.power for f in found])
    if p >= DOUBT and power is not None and power >= ENOUGH:
        words = (
            f"not found among these {count} at this power: of the traits' own corpora of {rows:,} rows "
            f"{percent(power, 0)} are found (p {p_value(p)})"
        )
        return Verdict("not found", None, words, p)
    if p < DOUBT:
        # The signal grows with rows, its noise with their root.
        bar = min(threshold(first.null, len(found)), float(first.null.max()))
        wanted = int(np.ceil(rows * (1.1 * bar / max(float(first.z.max()), 0.1)) ** 2 / 50) * 50)
    else:
        wanted = told_at
    more = f"; about {wanted:,} rows would tell" if wanted and wanted > rows else ""
    near = f"{trait} scores first (p {p_value(p)})"
    share = "it is not known how many" if power is None else percent(power, 0)
    words = (
        f"cannot tell from {rows:,} rows: {near}, at which {share} of the traits' own corpora are found{more}"
    )
    return Verdict("cannot tell", None, words, p, wanted if more else None)


def least(powers: Sequence[float | None]) -> float | None:
    """The power over all families; None where one family's is not known."""
    known = [power for power in powers if power is not None]
    return min(known) if len(known) == len(powers) else None
