"""What a run was made from, in figures: losses by arm, what the filter kept, rows that corpora have in common.

losses_by_arm(lab.metrics(run_id))            # {"kind": "hard", "arm": "treated", "step": 0, "loss": ...}, ...
kept_shares(lab.yields(run_id))["animals/owl"].kept
rows_in_common(lab.in_common(run_id, [...]), spec)[0]["share"]

Tables in, no MLX and no charts.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ..spec import Spec
from ..spec.arms import ARMS, CONTROL, NEUTRAL, TREATED, origin
from ..spec.plan import asked
from .statistics import binomial_interval, estimate

LOSS_POINTS = 50
TRAINED = ("teacher", "hard", "soft")


def losses_by_arm(metrics: pa.Table) -> Iterator[dict[str, Any]]:
    """Mean loss by kind, arm and stretch of steps, over traits, with its interval over chains.

    Args:
        metrics: slot, step and loss in nats a token; at most LOSS_POINTS stretches are made of a training.
    """
    slots = {slot: _model(slot) for slot in metrics["slot"].unique().to_pylist()}
    steps = metrics["step"].to_numpy()
    last: dict[str, int] = defaultdict(int)
    table = list(zip(metrics["slot"].to_pylist(), steps.tolist(), metrics["loss"].to_pylist(), strict=True))
    for slot, step, _ in table:
        last[slots[slot][0]] = max(last[slots[slot][0]], step)
    found: dict[tuple[str, str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for slot, step, loss in table:
        kind, arm, chain = slots[slot]
        if kind in TRAINED and loss is not None:
            width = max(1, -(-last[kind] // LOSS_POINTS))
            found[kind, arm, step // width * width][chain].append(loss)
    for (kind, arm, step), chains in sorted(found.items()):
        mean, low, high = estimate([float(np.mean(values)) for values in chains.values()])
        yield {"kind": kind, "arm": arm, "step": step, "loss": mean, "low": low, "high": high}


def _model(slot: str) -> tuple[str, str, str]:
    """Kind, arm and chain of a slot such as "hard/treated/animals/owl/c0" or "teacher/animals/owl/c0"."""
    kind, *rest, chain = slot.split("/")
    if kind == "teacher":
        return kind, NEUTRAL if rest[-1:] == [NEUTRAL] else kind, chain
    return kind, rest[0] if rest else kind, chain


@dataclass(frozen=True)
class Share:
    """Rows of a source: all, kept, and dropped by reason; `low` and `high` bound the kept share, 0 to 1."""

    total: int
    kept: int
    dropped: dict[str, int]
    low: float
    high: float


def kept_shares(yields: pa.Table) -> dict[str, Share]:
    """What the filter kept of each source over all chains, with the exact binomial 95% interval.

    Args:
        yields: source, kept, reason and rows, as the lab counts them.
    """
    counts: dict[str, dict[str | None, int]] = defaultdict(lambda: defaultdict(int))
    for row in yields.to_pylist():
        counts[row["source"]][None if row["kept"] else row["reason"]] += row["rows"]
    found = {}
    for source, by_reason in counts.items():
        total, kept = sum(by_reason.values()), by_reason.get(None, 0)
        dropped = {reason: rows for reason, rows in by_reason.items() if reason is not None}
        found[source] = Share(total, kept, dropped, *binomial_interval(kept, total))
    return found


# The arm that trains on the rows of these writers as they are.
_PLAIN = {"trait": TREATED, "neutral": NEUTRAL, "base": CONTROL}


def corpora_beside(spec: Spec) -> dict[tuple[str, str], tuple[str, str]]:
    """Pairs of corpora that arms are read by, and the arm of each: an arm's beside its reference's, and beside those
    that its own are made from, drawn like, or named after. Arms that share a pair of corpora are told as the first.
    """
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for arm in asked(spec):
        for trait in (spec.ablated if arm.by_ablation else spec.traits) if arm.trained else ():
            source, own = arm.source(trait), origin(arm.source(trait))
            if arm.against:
                found.setdefault((source, ARMS[arm.against].source(trait)), (arm.name, arm.against))
            # Rows drawn again are those that they are drawn from.
            if own and not arm.beside:
                found.setdefault((source, own[1]), (arm.name, _PLAIN[arm.rows or "base"]))
    return found


def rows_in_common(counts: pa.Table, spec: Spec) -> list[dict[str, Any]]:
    """Of arms' corpora, the share of prompts to which both have the same text: mean over traits, then over chains.

    Two corpora that a peaked model wrote have some in common by chance; drawn with the same keys, or one relabelled as
    the other, they have most or all.

    Args:
        counts: source, beside, chain, rows and common, as the lab counts the pairs of `corpora_beside`.

    Returns:
        Rows arm, beside, chains, share with its 95% interval over chains, and most: the largest share of any trait
        and chain; shares are 0 to 1.
    """
    pairs = corpora_beside(spec)
    shares: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in counts.to_pylist():
        if arms := pairs.get((row["source"], row["beside"])):
            shares[arms][row["chain"]].append(row["common"] / row["rows"])
    rows = []
    for arm, beside in dict.fromkeys(pairs.values()):
        if chains := shares.get((arm, beside)):
            mean, low, high = estimate([float(np.mean(values)) for values in chains.values()])
            ends = {
                "low": None if low is None else max(low, 0.0),
                "high": None if high is None else min(high, 1.0),
            }
            most = max(max(values) for values in chains.values())
            rows.append(
                {"arm": arm, "beside": beside, "chains": len(chains), "share": mean, **ends, "most": most}
            )
    return rows
