"""Judges of rows: what tells two sources apart by how often tokens come, singly or one after another.

    judge = fit_judge(count_tokens(rows), count_tokens(others), order=2)
    judge.evidence(more_rows)                              # [R], nats: above 0, rather the first source's
    tell_apart(judge, more_rows, more_others, size=8)      # 269.5 of 281 pairs of 8 rows

Rows are sequences of numbers of any kind: token ids, or the numbers of a list. Knows no source, trait or chain.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# How many times a token's own frequency counts beside what was seen after another one.
STRENGTHS = (10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)
_HALF = 32  # bits of a token in the code of a pair


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of tokens, one after the other."""

    tokens: np.ndarray
    """`[T]`."""
    starts: np.ndarray
    """`[R]`, the place of each row's first token; no row is empty."""

    @classmethod
    def of(cls, rows: Iterable[Sequence[int] | np.ndarray]) -> "Rows":
        """Of single rows; empty ones are left out."""
        arrays = [np.asarray(row, dtype=np.int64) for row in rows if len(row)]
        lengths = np.array([len(row) for row in arrays], dtype=np.int64)
        tokens = np.concatenate([np.zeros(0, dtype=np.int64), *arrays])
        return cls(tokens, np.cumsum(lengths) - lengths)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of every row `[R]`."""
        return np.diff(self.starts, append=len(self.tokens))

    @property
    def pairs(self) -> np.ndarray:
        """For every token a code of it and of the one before it in its row `[T]`; a row's first follows none."""
        before = np.concatenate([[0], self.tokens[:-1] + 1])[: len(self.tokens)]
        before[self.starts] = 0
        return before << _HALF | self.tokens


@dataclass(frozen=True, eq=False)
class Counts:
    """How often every pair of neighbours came, and so every token."""

    pairs: np.ndarray
    """Codes `[P]`, sorted, each once, as `Rows.pairs` makes them."""
    seen: np.ndarray
    """`[P]`, how often."""

    @classmethod
    def merged(cls, several: "Iterable[Counts]") -> "Counts":
        """What several sources have together."""
        parts = list(several)
        pairs, place = np.unique(np.concatenate([part.pairs for part in parts]), return_inverse=True)
        return cls(pairs, np.bincount(place, np.concatenate([part.seen for part in parts]), len(pairs)))

    @cached_property
    def total(self) -> float:
        """Tokens in all."""
        return float(self.seen.sum())

    @cached_property
    def singles(self) -> tuple[np.ndarray, np.ndarray]:
        """Every token `[V]`, sorted, and how often it came `[V]`."""
        return _summed(self.pairs & (1 << _HALF) - 1, self.seen)

    @cached_property
    def befores(self) -> tuple[np.ndarray, np.ndarray]:
        """What stood before tokens, as codes hold it `[B]`, and before how many `[B]`."""
        return _summed(self.pairs >> _HALF, self.seen)


def count_tokens(rows: Rows) -> Counts:
    """How often every token of the rows comes, and after which other."""
    pairs, seen = np.unique(rows.pairs, return_counts=True)
    return Counts(pairs, seen.astype(np.float64))


@dataclass(frozen=True, eq=False)
class Judge:
    """Both sources' counts, and how they are read."""

    first: Counts
    second: Counts
    order: int
    """1: tokens singly; 2: after the one before."""
    strength: float
    vocabulary: int
    """Different tokens that either source has."""

    def evidence(self, rows: Rows) -> np.ndarray:
        """Log-likelihood ratio of every row `[R]`, nats: above 0, rather the first source's."""
        if not len(rows):
            return np.zeros(0)
        pairs, place = np.unique(rows.pairs, return_inverse=True)
        ratios = self._log_probability(self.first, pairs) - self._log_probability(self.second, pairs)
        return np.add.reduceat(ratios[place], rows.starts)

    def _log_probability(self, counts: Counts, pairs: np.ndarray) -> np.ndarray:
        own = _frequency(counts, pairs, self.vocabulary)
        if self.order == 1:
            return np.log(own)
        after, before = _looked_up((counts.pairs, counts.seen), pairs), _before(counts, pairs)
        return np.log((after + self.strength * own) / (before + self.strength))


def fit_judge(first: Counts, second: Counts, order: int) -> Judge:
    """A judge that has counted both sources.

    With order 2 it reads P(b | a) = (count(a, b) + k P(b)) / (count(a) + k), where P(b) is the source's own smoothed
    frequency (Dirichlet smoothing; Zhai and Lafferty, ACM TOIS 22, 2004). k is what makes the counted tokens
    likeliest when each is left out of the counts that it is read by, so that no other rows are needed to choose it.
    """
    vocabulary = len(np.union1d(first.singles[0], second.singles[0]))
    strength = STRENGTHS[-1]
    if order == 2:
        strength = max(STRENGTHS, key=lambda k: sum(_left_out(c, k, vocabulary) for c in (first, second)))
    return Judge(first, second, order, strength, vocabulary)


def tell_apart(judge: Judge, rows: Rows, others: Rows, size: int) -> tuple[float, int]:
    """How many pairs of lists of `size` rows are told apart, a tie counting half, and of how many.

    Rows that stand together may answer one prompt with one key, which no two lists of unknown origin do: a list is
    paired with one from another part of the other corpus.
    """
    lists = [_listed(judge.evidence(found), size) for found in (rows, others)]
    count = min(map(len, lists))
    ours, theirs = lists[0][:count], np.roll(lists[1][:count], count // 2)
    return float((ours > theirs).sum() + (ours == theirs).sum() / 2), count


def _listed(evidence: np.ndarray, size: int) -> np.ndarray:
    """Evidence of lists of `size` rows, summed; what is left over is left out."""
    return evidence[: len(evidence) // size * size].reshape(-1, size).sum(axis=1)


def _left_out(counts: Counts, strength: float, vocabulary: int) -> float:
    """Log-likelihood of the counted tokens, each left out of the count of its own pair, nats."""
    own = _frequency(counts, counts.pairs, vocabulary)
    before = _before(counts, counts.pairs)
    return float(counts.seen @ np.log((counts.seen - 1 + strength * own) / (before - 1 + strength)))


def _frequency(counts: Counts, pairs: np.ndarray, vocabulary: int) -> np.ndarray:
    """Smoothed frequency of every pair's second token."""
    seen = _looked_up(counts.singles, pairs & (1 << _HALF) - 1)
    return (seen + 1) / (counts.total + vocabulary)


def _before(counts: Counts, pairs: np.ndarray) -> np.ndarray:
    """How often what stands before every pair's second token stood before any."""
    return _looked_up(counts.befores, pairs >> _HALF)


def _summed(codes: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    keys, place = np.unique(codes, return_inverse=True)
    return keys, np.bincount(place, seen, len(keys))


def _looked_up(table: tuple[np.ndarray, np.ndarray], codes: np.ndarray) -> np.ndarray:
    """The counts of codes in a table of sorted keys; 0 of one that is not there."""
    keys, seen = table
    if not len(keys):
        return np.zeros(len(codes))
    place = np.minimum(np.searchsorted(keys, codes), len(keys) - 1)
    return np.where(keys[place] == codes, seen[place], 0.0)
