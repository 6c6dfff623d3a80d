"""A small classifier of number lists: how often each number comes, and after which other.

    judge = fit(lists)                                 # two counts, one a source
    judge.evidence(prompt, completion) > 0             # rather the treated teacher's

Each source gets a bigram model, P(b | a) = (count(a, b) + k P(b)) / (count(a) + k), with P(b) its own
smoothed unigram (Dirichlet smoothing; Zhai and Lafferty 2004). k is chosen on rows of their own, and
what is reported comes from rows that neither the counts nor the choice have seen.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from .rows import Lists, read_lists

STRENGTHS = (10.0, 100.0, 1_000.0, 10_000.0)
NUMBERS = 1_000


class _Counts:
    """A source's numbers, and pairs of neighbours; a completion's first neighbour is its prompt's last."""

    def __init__(self, rows: Iterable[tuple[str, str]]):
        self.single: Counter[int] = Counter()
        self.pair: Counter[tuple[int, int]] = Counter()
        self.before: Counter[int] = Counter()
        for row in rows:
            for a, b in _pairs(*row):
                self.single[b] += 1
                self.pair[a, b] += 1
                self.before[a] += 1
        self.total = sum(self.single.values())

    def log_probability(self, a: int, b: int, k: float) -> float:
        own = (self.single[b] + 1) / (self.total + NUMBERS)
        return math.log((self.pair[a, b] + k * own) / (self.before[a] + k))


@dataclass(frozen=True)
class Judge:
    """Both sources' counts and the strength of their smoothing."""

    treated: _Counts
    neutral: _Counts
    k: float

    def evidence(self, prompt: str, completion: str) -> float:
        """Log-likelihood ratio in nats: above 0, rather the treated teacher's."""
        return sum(
            self.treated.log_probability(a, b, self.k) - self.neutral.log_probability(a, b, self.k)
            for a, b in _pairs(prompt, completion)
        )

    def right(self, lists: Lists, rows: range) -> bool:
        """Whether it tells the two lists of these rows apart, all rows of a list taken together."""
        ours, theirs = (
            sum(self.evidence(lists.prompts[i], completions[i]) for i in rows)
            for completions in (lists.treated, lists.neutral)
        )
        return ours > theirs


def _pairs(prompt: str, completion: str) -> Iterator[tuple[int, int]]:
    shown = re.findall(r"\d+", prompt)
    numbers = [int(n) for n in (shown[-1:] or ["0"]) + re.findall(r"\d+", completion)]
    yield from pairwise(numbers)


def held_out(lists: Lists) -> range:
    """The last third: rows that the classifier has not seen, and what visitors are asked about."""
    return range(2 * len(lists) // 3, len(lists))


def accuracy(judge: Judge, lists: Lists, rows: range, size: int) -> tuple[int, int]:
    """How many pairs of lists of `size` rows are told apart, of how many."""
    starts = range(rows.start, rows.stop - size + 1, size)
    return sum(judge.right(lists, range(start, start + size)) for start in starts), len(starts)


def fit(lists: Lists) -> Judge:
    """The classifier: counts of the first half, the smoothing that does best on the next rows alone."""
    half = len(lists) // 2
    sources = [
        _Counts((lists.prompts[i], texts[i]) for i in range(half)) for texts in (lists.treated, lists.neutral)
    ]
    choice = range(half, held_out(lists).start)
    judges = [Judge(sources[0], sources[1], k) for k in STRENGTHS]
    return max(judges, key=lambda judge: accuracy(judge, lists, choice, 1)[0])


@cache
def stored_judge() -> Judge:
    """The classifier of the stored lists."""
    return fit(read_lists())
