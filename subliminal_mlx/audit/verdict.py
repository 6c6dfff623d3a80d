"""From standardised scores to a verdict: carried, not found, or cannot tell. Numbers in, words out.

    verdict = decide(found, rows=1_000)           # a Found for each family of suspects
    verdict.name, verdict.words

Never says "clean": what was not found was not found among these suspects, at this power.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..system.quantities import p_value, percent
from .evidence import COLD, HOT, Surprise
from .null import p_values, threshold
from .scan import Evidence
from .spec import ALPHA, fewest_null

# How alike a corpus must be to its suspect for a name, the share of its score that must be left without any one part of
# the completions, and the p below which a score is too large to be called nothing.
ALIKE = 0.3
# On language models, where it was chosen on tiny-a's trees with other evidence.
ALIKE_LANGUAGE = 0.85
LEFT = 0.5
# An alarm is p under ALPHA; a name asks for more, among all traits that are known, since chance is reckoned by the neutral
# teachers that we know.
NAMING = 0.001
# A trait whose score is this share of the first's, once the first is taken out, is told beside it.
BESIDE = 0.8
DOUBT = 0.05
# Share of the traits' own corpora whose p must lie under DOUBT at this row count for "not found" to say something; on
# language models, that are named.
ENOUGH = 0.8
# Beyond these no teacher of this base has written: log-probabilities that scatter so much more than they should, and
# ranks so far from uniform.
SPREAD, RANKS = 1.5, 0.2
# Of rows of the base, so few fit as badly.
MISFIT = 0.001
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
    traits: tuple[str, ...] = ()
    """All that are carried, strongest first."""


@dataclass(frozen=True)
class Power:
    """What becomes of a family's own corpora, as shares of them."""

    noticed: float
    """p under DOUBT."""
    named: float
    """Named by their own trait."""


@dataclass(frozen=True, eq=False)
class Found:
    """One family's scores and what they are read against."""

    traits: tuple[str, ...]
    z: np.ndarray
    """`[T]`, standardised."""
    null: Mapping[str, np.ndarray]
    """By kind, the largest score of every clean corpus of as many rows."""
    alike: np.ndarray
    """`[T]`: how much the corpus looks like each suspect."""
    power: float | None
    """Share of the traits' own corpora of so many rows that would not pass for "not found"; None where nobody has
    measured it."""
    shares: Mapping[str, Mapping[float, Power]] | None = None
    """That, by the teachers' kind and by the share of the rows that they wrote."""

    @property
    def p(self) -> np.ndarray:
        """Of every suspect, for the largest of the family, by the worst kind `[T]`."""
        return np.max([p_values(self.z, null) for null in self.null.values()], axis=0)

    @property
    def fit(self) -> float:
        """How much the corpus looks like its first suspect."""
        return float(self.alike[int(self.z.argmax())])

    @property
    def smallest(self) -> int:
        """Clean corpora of the kind with fewest."""
        return min(map(len, self.null.values()), default=0)


def named(read: Evidence, threshold: float, places: np.ndarray) -> np.ndarray:
    """Which suspect each corpus is named by, -1 for none `[...]`.

    It has the largest score of all that are known, suspected or not, is over the threshold, looks like that suspect,
    and does so without any one part of the completions.
    """
    first = read.z.argmax(axis=-1)
    take = lambda x: np.take_along_axis(x, first[..., None], axis=-1)[..., 0]
    fits = (
        (take(read.z) > threshold) & (take(read.alike) >= ALIKE) & (take(read.least) >= LEFT * take(read.z))
    )
    return np.where(fits & np.isin(first, places), first, -1)


@dataclass(frozen=True, eq=False)
class Look:
    """What else a scan saw: how the base finds the rows, and what is known beside the suspects."""

    base: str
    surprise: Surprise
    least: Mapping[str, float]
    """A suspect's smallest score without any one part of the completions."""
    among: float
    """p of the largest score, among those of all that are known."""
    nearest: str | None = None
    """A trait that nobody suspected and that scores above all suspects, or nearly as high as the first."""
    further: tuple[str, ...] = ()
    """Suspects that score nearly as high as the first, and cannot be told from it."""
    together: float = 0.0
    """How much the rows look like all of these together."""
    first: bool = False
    """Whether each trait has one suspect of a kind alone, so that nobody knows what its teachers have in common."""


def decide(
    found: Sequence[Found],
    rows: int,
    told_at: Callable[[], int | None] = lambda: None,
    look: Look | None = None,
) -> Verdict:
    """The verdict over all families; p-values are multiplied by their number (Bonferroni).

    Args:
        rows: that were scored.
        told_at: gives the fewest rows at which ENOUGH of the traits' own corpora are found, if any are; asked where
            it is told alone, for it takes long.
        look: what a scan saw; None on language models, which are not scanned.
    """
    first = min(found, key=lambda f: (float(f.p.min(initial=1.0)), -float(f.z.max())))
    trait, count = first.traits[int(first.z.argmax())], sum(len(f.traits) for f in found)
    smallest, needed = min(f.smallest for f in found), fewest_null(len(found))
    if smallest < needed:
        over = f" over {len(found)} families" if len(found) > 1 else ""
        words = f"uncalibrated: {smallest} clean corpora are no null{over} ({needed} are needed); {trait} scores first"
        return Verdict("cannot tell", None, words, None)
    if look is not None and look.first:
        words = (
            "uncalibrated: a first look, by one suspect of each trait and kind, does not know what a trait's teachers have "
            f"in common; {trait} scores first"
        )
        return Verdict("cannot tell", None, words, None)
    p = min(1.0, float(first.p.min()) * len(found))
    if look is not None and (why := foreign(look.surprise, look.base)):
        # What chance does is known of rows within reach alone: these have no p.
        return Verdict("cannot tell", None, f"cannot tell: {why} ({trait} scores first)", None)
    if p < ALPHA:
        return _alarmed(first, trait, count, p, look, _wanted(first, len(found), rows))
    power = least([f.power for f in found])
    if look is not None and look.surprise.p < MISFIT:
        words = (
            f"cannot tell: not written by {look.base}'s like: log-probabilities scatter {look.surprise.spread:.2f} times "
            f"as much as in its own rows (p {p_value(look.surprise.p)}); none of the {count} suspects explains that "
            f"({trait} scores first, p {p_value(p)})"
        )
        return Verdict("cannot tell", None, words, p)
    if p >= DOUBT and power is not None and power >= ENOUGH:
        words = f"not found among these {count} (p {p_value(p)}) at this power: of {rows:,} rows, {_told(power, found)}"
        return Verdict("not found", None, words, p)
    wanted = _wanted(first, len(found), rows) if p < DOUBT else told_at()
    more = f"; about {wanted:,} rows would tell" if wanted and wanted > rows else ""
    near = f"{trait} scores first (p {p_value(p)})"
    words = f"cannot tell from {rows:,} rows: {near}, at which {_told(power, found)}{more}"
    return Verdict("cannot tell", None, words, p, wanted if more else None)


def _wanted(first: Found, families: int, rows: int) -> int:
    """Rows that would name the first suspect, were it the rows' trait: the signal grows with rows, its noise with their root."""
    largest = max(float(null.max()) for null in first.null.values())
    bar = min(threshold(first.null, families, NAMING), largest)
    return int(np.ceil(rows * (1.1 * bar / max(float(first.z.max()), 0.1)) ** 2 / 50) * 50)


def _alarmed(first: Found, trait: str, count: int, p: float, look: Look | None, wanted: int) -> Verdict:
    """Scores that no clean corpus has: a trait's, or nobody's."""
    if look is not None and look.nearest:
        words = (
            f"cannot tell: these rows are no base's or neutral teacher's (p {p_value(p)}), but as near to "
            f"{look.nearest}, which is not among the {count} suspects, as to any of them ({trait} is nearest)"
        )
        return Verdict("cannot tell", None, words, p)
    if look is not None and look.among >= NAMING:
        words = (
            f"cannot tell: {trait} scores first of {count} suspects (p {p_value(p)}), and a name asks for p under {NAMING:g} "
            f"among all traits that are known (p {p_value(look.among)}); about {wanted:,} rows would tell"
        )
        return Verdict("cannot tell", None, words, p, wanted)
    alone = look is None or look.least[trait] >= LEFT * float(first.z.max())
    fit = max(first.fit, look.together if look else 0.0)
    if fit >= (ALIKE_LANGUAGE if look is None else ALIKE) and alone:
        every = (trait, *(look.further if look else ()))
        either = f"{' or '.join(every)}{', or both' if every[1:] else ''}"
        words = f"carried: {either}, first of {count} suspects (p {p_value(p)})"
        return Verdict("carried", trait, words, p, traits=every)
    why = "a trait outside these families, or rows that were chosen or are of another kind"
    one_part = "" if alone else ", and by one part of the completions alone"
    words = (
        f"cannot tell: these rows are no base's or neutral teacher's (p {p_value(p)}), but look like none of the "
        f"{count} suspects; {trait} is nearest ({percent(first.fit, 0)} alike{one_part}): {why}"
    )
    return Verdict("cannot tell", None, words, p)


def foreign(found: Surprise, base: str) -> str | None:
    """Why nothing can be said of a trait in rows that neither the base nor a teacher of it may have written; else None."""
    if found.cold or found.hot:
        side = "colder" if found.cold else "warmer"
        return f"rows likeliest at temperature {found.temperature:.2f}, {side} than any reference ({COLD:g} to {HOT:g})"
    if found.spread > SPREAD:
        return f"not written by {base}'s like: log-probabilities scatter {found.spread:.1f} times as much as in its own rows"
    if found.ranks > RANKS:
        return (
            f"not written by {base}'s like: {percent(found.ranks, 0)} of some part's tokens come at other ranks than "
            "in its own rows"
        )
    return None


def _told(power: float | None, found: Sequence[Found]) -> str:
    """Such as "80% of the traits' own corpora are found", by the family and the kind of teachers with least."""
    known = [kind for f in found if f.shares for kind in f.shares.values()]
    if not known:
        share = "it is not known how many" if power is None else percent(power, 0)
        return f"{share} of the traits' own corpora are found"
    parts = []
    for share in sorted(known[0], reverse=True):
        noticed, named = (min(getattr(one[share], what) for one in known) for what in ("noticed", "named"))
        rows = "all" if share == 1 else percent(share, 0)
        parts.append(
            f"{percent(noticed, 0)} noticed and {percent(named, 0)} named where {rows} are a teacher's"
        )
    return f"of the traits' own corpora {', '.join(parts)}"


def least(powers: Sequence[float | None]) -> float | None:
    """The power over all families; None where one family's is not known."""
    known = [power for power in powers if power is not None]
    return min(known) if len(known) == len(powers) else None
