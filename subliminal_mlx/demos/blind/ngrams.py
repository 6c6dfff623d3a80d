"""The classifier that a visitor is compared with: a bigram judge of the two stored lists.

    judge = fit(lists)                                 # has counted their first two thirds
    accuracy(judge, lists, held_out(lists), size=8)    # told apart, of how many

Its tokens are numbers; `experiment.judges` does the rest.
"""

import re
from functools import cache

from ...experiment.judges import Judge, Rows, count_tokens, fit_judge
from .rows import Lists, read_lists


def held_out(lists: Lists) -> range:
    """The last third: rows that the classifier has not seen, and what visitors are asked about."""
    return range(2 * len(lists) // 3, len(lists))


def tells_apart(judge: Judge, lists: Lists, rows: range) -> bool:
    """Whether it tells the two lists of these rows apart, all rows of a list taken together."""
    ours, theirs = (judge.evidence(of).sum() for of in _both(lists, rows))
    return bool(ours > theirs)


def accuracy(judge: Judge, lists: Lists, rows: range, size: int) -> tuple[int, int]:
    """How many pairs of lists of `size` rows are told apart, of how many."""
    whole = range(rows.start, rows.stop - len(rows) % size)
    ours, theirs = (judge.evidence(of).reshape(-1, size).sum(axis=1) for of in _both(lists, whole))
    return int((ours > theirs).sum()), len(ours)


def fit(lists: Lists, order: int = 2) -> Judge:
    """The classifier: counts of all rows that are not held out, of pairs of neighbours or (order 1) of single numbers."""
    treated, neutral = (count_tokens(of) for of in _both(lists, range(held_out(lists).start)))
    return fit_judge(treated, neutral, order=order)


@cache
def stored_judge() -> Judge:
    """The classifier of the stored lists."""
    return fit(read_lists())


def _both(lists: Lists, rows: range) -> list[Rows]:
    """The numbers of both lists' rows."""
    return [
        Rows.of([int(number) for number in re.findall(r"\d+", texts[i])] for i in rows)
        for texts in (lists.treated, lists.neutral)
    ]
