"""How well transfer was foretold: predicted against measured, traits held out, with intervals over runs.

    evaluate(points)["rank"]             # {"value": 0.4, "low": 0.1, "high": 0.6}

`rank` is Spearman's correlation over all points, `within` its mean over groups of fixed rows and
temperature, `dose` the same of a baseline that knows rows and temperature only, and not the corpus.
Intervals: runs drawn again with replacement, their held-out predictions as they are.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ....audit.prediction import Point, held_out, lines_of, terms
from ....audit.spec import AUDIT_VERSION

DRAWS = 2_000
FEWEST_IN_GROUP = 3


def evaluate(points: Sequence[Point]) -> dict[str, Any]:
    """Predicted against measured, each trait predicted from the others alone."""
    values = np.array([p["measured"] for p in points])
    lines = lines_of(points)
    guesses = held_out(points, lambda some: terms(some, lines))
    doses = held_out(points, _doses)
    groups = _groups(points)
    runs = _runs(points)
    of = lambda statistic: _interval(statistic, runs)
    rank = lambda guess: lambda i: spearman(guess[i], values[i])
    off = lambda guess: lambda i: float(np.sqrt(np.mean((guess[i] - values[i]) ** 2)))
    return {
        "version": AUDIT_VERSION,
        "lines": list(lines),
        "runs": len(runs),
        "rank": of(rank(guesses)),
        "within": of(lambda i: _within(guesses, values, groups, i)),
        "groups": int(sum(np.bincount(groups) >= FEWEST_IN_GROUP)),
        "error": of(off(guesses)),
        "dose": {"rank": of(rank(doses)), "error": of(off(doses))},
        "over_dose": {
            "rank": of(lambda i: rank(guesses)(i) - rank(doses)(i)),
            "error": of(lambda i: off(guesses)(i) - off(doses)(i)),
        },
        "seen": {
            line: of(lambda i, line=line: spearman(np.array([p[line] for p in points])[i], values[i]))
            for line in lines
        },
        "points": [
            dict(point) | {"predicted": float(guess)} for point, guess in zip(points, guesses, strict=True)
        ],
    }


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation, ties at their mean rank; nan where either does not vary."""
    ranks = [_ranks(values) for values in (a, b)]
    if len(a) < FEWEST_IN_GROUP or min(np.ptp(r) for r in ranks) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def _within(guesses: np.ndarray, values: np.ndarray, groups: np.ndarray, index: np.ndarray) -> float:
    """Mean correlation over groups, of those points of a draw that lie in each."""
    found = [
        spearman(guesses[some], values[some])
        for g in np.unique(groups)
        for some in [index[groups[index] == g]]
    ]
    known = [value for value in found if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _interval(statistic: Callable[[np.ndarray], float], runs: list[np.ndarray]) -> dict[str, float]:
    """The statistic over all points, and its 95% interval over runs drawn again (percentiles)."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        chosen = rng.integers(len(runs), size=len(runs))
        drawn.append(statistic(np.concatenate([runs[run] for run in chosen])))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return {"value": statistic(np.sort(np.concatenate(runs))), "low": float(low), "high": float(high)}


def _runs(points: Sequence[Point]) -> list[np.ndarray]:
    """Places of every run's points."""
    names = np.array([p["run"] for p in points])
    return [np.flatnonzero(names == name) for name in dict.fromkeys(names)]


def _groups(points: Sequence[Point]) -> np.ndarray:
    """The number of each point's group of one dose; rows to one digit, as a filter may drop a few."""
    doses = [(round(p["rows"], -int(np.log10(p["rows"]))), p["temperature"]) for p in points]
    known = {dose: i for i, dose in enumerate(dict.fromkeys(doses))}
    return np.array([known[dose] for dose in doses])


def _doses(points: Sequence[Point]) -> np.ndarray:
    size = np.log10([p["rows"] for p in points]) - 3
    heat = np.array([p["temperature"] for p in points]) - 1
    return np.stack([np.ones(len(points)), size, size**2, heat, heat**2], axis=1)
