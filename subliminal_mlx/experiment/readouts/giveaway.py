"""What rows give away: how often a judge that only counts tokens tells a corpus from the neutral teacher's, of those
whose teacher keeps more, from the neutral one's that keeps as much.

    rows = GIVEAWAY.read(Given(setting, slots, rows=kept_tokens))
    summarise(table)        # {"source": "animals/owl", "judge": "unigram", "rows": 8, "share": 0.83, ...}, ...

A judge of a chain has counted the rows of all other chains, so it knows what teachers of that trait have in common and
not this one's. A corpus that is told apart says openly which source it is from, whatever words were filtered. Rows
that were drawn again from others repeat some: `effective` is how many different ones would weigh as much.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.arms import neutral
from ...spec.plan import Slot, beside
from ..judges import Counts, count_tokens, fit_judge, tell_apart
from . import Given, Readout, Rows, described

if TYPE_CHECKING:
    import pyarrow as pa

SIZES = (1, 8, 32)
JUDGES = {"unigram": 1, "bigram": 2}


def read_rows(given: Given) -> Rows:
    """A row for every corpus, judge and size of a list; without a pair where no other chain was sampled."""
    return [row for family in given.setting.spec.families for row in _of_family(given, family)]


def _of_family(given: Given, family: str) -> Iterator[dict[str, Any]]:
    assert given.rows is not None
    slots = [slot for slot in given.slots if _family(slot) in (None, family)]
    kept = {(slot.source, slot.chain): given.rows(slot.source, slot.chain) for slot in slots}
    counts = {key: count_tokens(tokens) for key, (tokens, _) in kept.items()}
    chains = sorted({slot.chain for slot in slots})
    references = [beside(slot.source) if slot.trait else neutral(family) for slot in slots]
    elsewhere = {
        (reference, chain): _merged(counts, reference, chains, chain)
        for reference in dict.fromkeys(references)
        for chain in chains
        if len(chains) > 1
    }
    for slot, reference in zip(slots, references, strict=True):
        if slot.source == reference:
            continue
        tokens, numbers = kept[slot.source, slot.chain]
        told = {
            "family": family,
            "source": slot.source,
            "kept": len(tokens),
            "effective": effective_size(numbers),
        }
        for name, order in JUDGES.items():
            judge = None
            if (others := elsewhere.get((reference, slot.chain))) is not None:
                own = _merged(counts, slot.source, chains, slot.chain)
                judge = fit_judge(own, others, order)
            for size in SIZES:
                right, pairs = 0.0, 0
                if judge:
                    right, pairs = tell_apart(judge, tokens, kept[reference, slot.chain][0], size)
                yield described(slot) | told | {"judge": name, "rows": size, "right": right, "pairs": pairs}


def _family(slot: Slot) -> str | None:
    """Of the trait that the rows are about; None of those that are about none, which every family has."""
    return slot.trait.rpartition("/")[0] if slot.trait else None


def _merged(counts: dict[tuple[str, int], Counts], source: str, chains: list[int], but: int) -> Counts:
    return Counts.merged(counts[source, chain] for chain in chains if chain != but)


def effective_size(numbers: np.ndarray) -> float:
    """How many different rows weigh as much as these, of which those with one number are one row (Kish 1965)."""
    times = np.unique(numbers, return_counts=True)[1].astype(np.float64)
    return float(times.sum() ** 2 / (times**2).sum()) if len(times) else 0.0


def summarise(table: "pa.Table") -> list[dict[str, Any]]:
    """Rows family, source, judge, rows (of a list), chains, pairs, share told apart with its 95% interval over
    chains, and kept and effective rows of a chain. Share is None with one chain, which has no other to learn from."""
    from ..statistics import estimate, named

    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        groups.setdefault((row["family"], row["source"], row["judge"], row["rows"]), []).append(row)
    found = []
    for key in sorted(groups, key=_in_order):
        (family, source, judge, size), rows = key, groups[key]
        shares = [row["right"] / row["pairs"] for row in rows if row["pairs"]]
        span = estimate(shares) if shares else (None, None, None)
        told = {"family": family, "source": source, "judge": judge, "rows": size, "chains": len(rows)}
        inside = tuple(None if end is None else min(max(end, 0.0), 1.0) for end in span)
        told |= {"pairs": sum(row["pairs"] for row in rows), **named(inside, "share")}
        found.append(
            told | {key: float(np.mean([row[key] for row in rows])) for key in ("kept", "effective")}
        )
    return found


def _in_order(key: tuple[str, str, str, int]) -> tuple:
    family, source, judge, size = key
    return family, source, list(JUDGES).index(judge), size


GIVEAWAY = Readout(
    "giveaway",
    {
        "family": "VARCHAR NOT NULL",
        "source": "VARCHAR NOT NULL",
        "judge": "VARCHAR NOT NULL",
        "rows": "INTEGER NOT NULL",
        "right": "DOUBLE",
        "pairs": "INTEGER",
        "kept": "INTEGER",
        "effective": "DOUBLE",
    },
    ("family", "source", "judge", "rows", "chain"),
    read_rows,
    wanted=lambda spec: True,
    of_rows=True,
    of_run=summarise,
)
