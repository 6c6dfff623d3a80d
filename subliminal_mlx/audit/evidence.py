"""Scores of a language model's corpus into standardised evidence, one line at a time; and how the base finds rows.

    scale = scale_of(ratios, own, beside, 1)             # from rows of the corpus and of the base
    scale.z(mean_of_corpus, mean_of_reference, rows, reference_rows)     # [T]

A trait's score is its own ratio less the mean of all suspects', less what the base's own surprise and the neutral
teachers' ratios explain, each text about its own mean: the first is what changes with temperature, the second what any
tuned teacher leaves behind. It is standardised by its spread among these rows, corpus and reference counted. By first
order in a small change of weights, rows of a teacher have the mean cov(score, that teacher's ratio), so the covariance
says how a corpus of each suspect would look. Arrays only; of model organisms, `scan` reads the scores.
"""

from dataclasses import asdict, dataclass

import numpy as np

# On language models, chosen on the first chain of SmolLM2's corpora: of four true traits ratios put all first,
# probe students two.
LANGUAGE_WEIGHTS = {"ratios": 1.0, "probes": 0.25}


# Outside of these temperatures no reference is written. Below, rows are those of a greedy base, about: nearly nothing is
# left to chance, and chance is all we have.
COLD, HOT = 0.15, 2.15


@dataclass(frozen=True)
class Surprise:
    """How the base finds a corpus's rows."""

    temperature: float
    """Under which they are likeliest."""
    log_probability: float
    """Of a token, mean, nats, at that temperature."""
    spread: float
    """How much log-probabilities scatter about what is expected, over what they should: 1 for the base."""
    ranks: float
    """Total variation between ranks of tokens and uniform ones; of the part where it is largest."""
    p: float
    """Of the misfit, were they the base's; spread and ranks together."""

    @property
    def cold(self) -> bool:
        return self.temperature < COLD

    @property
    def hot(self) -> bool:
        return self.temperature > HOT

    def words(self) -> dict[str, float]:
        return asdict(self)


# Below so many traits the line of a neutral teacher is too much of the space they span.
FEWEST_ALONG = 6


@dataclass(frozen=True, eq=False)
class Scale:
    """Turns mean block scores into each trait's own part, and that into standard deviations."""

    mix: np.ndarray
    """`[D, T]`."""
    sd: np.ndarray
    """Of one row `[T]`, nats."""
    likeness: np.ndarray
    """`[T, T]`: row t is how a corpus of suspect t would look, up to its size, standardised."""

    def parts(self, scores: np.ndarray) -> np.ndarray:
        """Each trait's own part `[..., T]`, nats a row."""
        return scores @ self.mix

    def z(self, corpus: np.ndarray, reference: np.ndarray, rows: int, reference_rows: int) -> np.ndarray:
        """Standardised scores `[..., T]` from mean scores `[..., D]` of a corpus and its reference."""
        effective = 1 / (1 / rows + 1 / reference_rows)
        return self.parts(corpus - reference) / self.sd * np.sqrt(effective)

    def alike(self, z: np.ndarray) -> float:
        """How much of a corpus's scores looks like its first suspect: 1 all of it, 0 nothing.

        The cosine with that suspect's likeness, noise of variance 1 taken out of both sides.
        """
        if len(z) < 3:
            return 1.0
        shape = self.likeness[int(np.argmax(z))]
        squared = float(z @ shape) ** 2 / float(shape @ shape)
        along, rest = squared - 1, float(z @ z) - squared - (len(z) - 2)
        return float(np.sqrt(max(along, 0.0) / max(along + max(rest, 0.0), 1e-9)))


def scale_of(scores: np.ndarray, own: np.ndarray, beside: np.ndarray, size: int, taken: int = 0) -> Scale:
    """The scale of the traits at the places `own`, with what `beside` explains taken out.

    Args:
        scores: means over `size` rows each `[n, D]`, of rows among which a trait is worth nothing.
        taken: how many of the `n` the spread has spent, on means and on what is explained.
    """
    scores = scores.astype(np.float64)
    traits = len(own)
    centring = np.eye(traits) - (1 / traits if traits > 1 else 0)
    apart = scores - scores.mean(axis=0)
    explained = np.linalg.lstsq(apart[:, beside], apart[:, own] @ centring, rcond=None)[0]
    mix = np.zeros((scores.shape[1], traits))
    mix[own], mix[beside] = centring, -explained
    parts = apart @ mix
    sd = parts.std(axis=0, ddof=taken) + 1e-12
    likeness = np.cov(parts / sd, rowvar=False).reshape(traits, traits)
    return Scale(mix, sd * np.sqrt(size), likeness)


def without(z: np.ndarray, common: np.ndarray) -> np.ndarray:
    """Scores over the base `[T]`, centred over traits, without what a neutral teacher's rows leave on the
    traits, `common [T]`: their part along it, whatever its size. Of few traits that would take too much of
    the trait itself along: there the neutral teacher's scores are subtracted."""
    common = common - common.mean()
    z = z - z.mean()
    if len(z) < FEWEST_ALONG:
        return z - common
    return z - (z @ common) * common / max(float(common @ common), 1e-12)


def combine(z: dict[str, np.ndarray], weights: dict[str, float]) -> np.ndarray:
    """Weighted sum of the lines' scores `[..., T]`, as large as one line's where they are independent."""
    total = sum(weights[line] * scores for line, scores in z.items())
    return total / np.sqrt(sum(weights[line] ** 2 for line in z))
