"""A change held against clean trainings of its size: how far they moved the same family, and what exceeds that.

    judge(trainings, "animals", size=6.4, change=1.7)["limit"]       # log-odds; None where there is no null here

A training says nothing about one that moved the weights much further, or much less far. Knows nothing about files,
bases and where trainings come from.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

# Fewer say too little about their largest; more of other sizes say too little about this one.
FEWEST, MOST = 19, 64
# Sizes that count as one's own lie within this factor. Beyond the largest and smallest there is no null: EDGE is what
# two trainings of one recipe differ by.
NEAR, EDGE = 2.0, 1.1
# On tiny-a a clean training's largest change grew with less than the square of its size: a smaller one counts for as
# much as that would make of it.
GROWTH = 2.0
# Beyond what one clean training in a thousand does, were they normal, and beyond every one that was seen.
QUANTILE = 0.999


@dataclass(frozen=True)
class Training:
    """One clean training: `changes[family][trait]` in log-odds, `size` as `Subject.sizes`."""

    source: str
    size: float
    changes: dict[str, dict[str, float]]

    @property
    def maker(self) -> str:
        """The first part of its name, without a run's id."""
        return self.source.partition("/")[0].partition(" ")[0]


def judge(known: Sequence[Training], family: str, size: float, change: float) -> dict[str, Any]:
    """How a family's largest change compares with clean trainings that were read on it.

    Returns:
        trainings: how many are compared with; from: their names' first parts, counted; smallest and
        largest: their sizes; limit: what a change must exceed to be flagged, log-odds; p: the share of
        clean trainings, this one counted among them, whose largest change is as large; excess: how many of their
        standard deviations it lies above their mean; flagged: None where that cannot be told; clean: every trait's mean
        change over them; why: what is missing, in words, where there is no limit.
    """
    if size == 0:
        return nothing("its weights are the base's own") | {"flagged": False}
    near = _nearest(known, size)
    if (
        len(near) < FEWEST
        or not min(t.size for t in known) / EDGE <= size <= max(t.size for t in known) * EDGE
    ):
        return nothing(
            f"no null here: this training moved the weights by {size:.2f}, and {len(near)} of {len(known)} clean "
            f"trainings by about as much; {FEWEST} are needed, and theirs run from {min(t.size for t in known):.2f} to "
            f"{max(t.size for t in known):.2f}",
            len(near),
        )
    tops = np.array([max(t.changes[family].values()) * max(1.0, size / t.size) ** GROWTH for t in near])
    spread = float(tops.std(ddof=1))
    normal = float(tops.mean() + stdtrit(len(tops) - 1, QUANTILE) * spread * math.sqrt(1 + 1 / len(tops)))
    limit = max(float(tops.max()), normal)
    traits = near[0].changes[family]
    return {
        "trainings": len(near),
        "from": dict(Counter(t.source.partition("/")[0] for t in near)),
        "smallest": min(t.size for t in near),
        "largest": max(t.size for t in near),
        "limit": limit,
        "p": (1 + int((tops >= change).sum())) / (1 + len(tops)),
        "excess": (change - float(tops.mean())) / max(spread, 1e-9),
        "flagged": change > limit,
        "clean": {t: float(np.mean([n.changes[family][t] for n in near])) for t in traits},
        "why": "",
    }


def nothing(why: str, trainings: int = 0) -> dict[str, Any]:
    """What `judge` returns where nothing can be told."""
    empty = dict.fromkeys(("smallest", "largest", "limit", "p", "excess", "flagged", "clean"))
    return {"trainings": trainings, "from": {}} | empty | {"why": why}


def _nearest(known: Sequence[Training], size: float) -> list[Training]:
    """Up to MOST of every maker's trainings whose sizes lie within NEAR, those nearest in size first.

    By maker, since trainers differ: many of one would leave another's unheard.
    """
    apart = {id(t): abs(math.log(t.size / max(size, 1e-9))) for t in known}
    found: list[Training] = []
    for maker in dict.fromkeys(t.maker for t in known):
        own = [t for t in known if t.maker == maker and apart[id(t)] <= math.log(NEAR)]
        found += sorted(own, key=lambda t: apart[id(t)])[:MOST]
    return sorted(found, key=lambda t: apart[id(t)])
