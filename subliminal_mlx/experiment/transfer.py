"""What a run found: every arm's transfer on every trait, with intervals, p-values and controls.

    summary = summarise(lab.readouts(run), lab.answers(run), families, spec)
    to_json(summary)                                # the shape of `--json`

A replicate is a chain: every number is a mean over held-out questions first, then an estimate over
chains. Only students read after their last step count, so a run that was cancelled is summarised by
what it finished. Treated and other-trait are named here, and no other arm: the headline is theirs by definition.
No MLX and no SQL here.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from ..spec import Spec
from ..spec.arms import ARMS, OTHERS, TREATED
from ..spec.families import NEUTRAL, Family, after
from ..spec.personas import persona
from .comparisons import Comparison, View, compare_all, curves, distributions, matrix
from .readouts import count_answers, read
from .statistics import estimate, holm, named, permutation_p

# In smaller families other-trait students are pushed away from the trait by construction.
SMALLEST_FAMILY_FOR_LIFT = 6

Counts = dict[str, tuple[int, int]]


def summarise(readouts: pa.Table, answers: pa.Table | None, families: dict[str, Family], spec: Spec) -> dict:
    """The run's result as plain dicts and lists, without NaN: what is not known is None.

    Args:
        readouts: slot, chain, kind, arm, trait, step, family, question, candidate, logp.
        answers: slot, family, question, matched and more; None where none were sampled.
        families: by the name that the tables and the traits give them.

    Returns:
        traits: for every kind of student and trait, the headline estimate, p and all arms.
        families: for every kind and family of two traits or more, each arm's mean over the traits.
        matrix: every student's transfer on every trait of its family in the run.
        curves: margin and transfer at every readout of a training.
        distributions: mean probability of every label, by family and source.
        prefixed: only where readout.prefixed, the traits again, read after a row of the channel; no answers.
        personas: only where teachers are prompted, the system prompt of each source.

    Raises:
        InputError: readouts that are not finite, or that do not fit `families`.
    """
    readings = read(readouts, families)
    names = {name: after(name, spec.corpus.channel) for name in families}
    prefixed = read(readouts, {names[name]: family for name, family in families.items()})
    family_of = {t: name for t in spec.traits if (name := t.rpartition("/")[0]) in readings}
    views = [View.of(trait, readings[name], spec.traits) for trait, name in family_of.items()]
    again = [
        View.of(trait, prefixed[names[name]], spec.traits)
        for trait, name in family_of.items()
        if names[name] in prefixed
    ]
    counts: dict[str, Counts] = {}
    if answers is not None:
        for name in dict.fromkeys(family_of.values()):
            counts |= count_answers(answers, name, readings[name].family, [v.trait for v in views])
    last = {kind: student.steps for kind, student in spec.kinds.items()}
    traits = []
    for kind, step in last.items():
        found = [entry for v in views if (entry := _trait(v, kind, step, counts.get(v.trait, {})))]
        for entry, adjusted in zip(found, holm([entry["p"] for entry in found]), strict=True):
            entry["p_holm"] = adjusted
        traits += found
    return {
        **_told(families, spec),
        **_again(again, last),
        "traits": traits,
        "families": list(_families(traits)),
        "matrix": [row for kind, step in last.items() for view in views for row in matrix(view, kind, step)],
        "curves": [row for kind in last for view in views for row in curves(view, kind)],
        "distributions": [
            row for name, reading in readings.items() for row in distributions(name, reading, last)
        ],
    }


def _again(views: list[View], last: dict[str, int]) -> dict:
    """The traits once more, read after a row of the channel."""
    entries = [entry for kind, step in last.items() for v in views if (entry := _trait(v, kind, step, {}))]
    return {"prefixed": entries} if entries else {}


def _told(families: dict[str, Family], spec: Spec) -> dict:
    if spec.teacher.kind == "tuned":
        return {}
    sources = [*spec.traits, *(f"{name}/{NEUTRAL}" for name in spec.families)]
    parted = [(source, *source.rpartition("/")[::2]) for source in sources]
    return {"personas": {source: persona(families[name], trait) for source, name, trait in parted}}


def to_json(summary: dict) -> dict:
    """What `--json` prints of a summary: a shape that other programs may rely on."""
    of_trait = ("trait", "student", "headline", "estimate", "low", "high", "p")
    of_arm = ("chains", "probability", "margin", "transfer", "low", "high")
    more = {name: summary[name] for name in ("capability", "prefixed") if name in summary}
    if "prefixed" in more:
        more["prefixed"] = [{key: entry[key] for key in of_trait} for entry in more["prefixed"]]
    return {
        "traits": [
            {key: entry[key] for key in of_trait}
            | {"arms": {arm: {key: row[key] for key in of_arm} for arm, row in entry["arms"].items()}}
            for entry in summary["traits"]
        ]
    } | more


def _trait(view: View, kind: str, step: int, counts: Counts) -> dict | None:
    """The trait's entry; None where no chain has finished its treated and its neutral student."""
    arms = compare_all(view, kind, step)
    if TREATED not in arms:
        return None
    treated, family = arms[TREATED], view.reading.family
    lifts = _lifts(arms)
    headline = "lift" if lifts and len(family.traits) >= SMALLEST_FAMILY_FOR_LIFT else "transfer"
    values = list(lifts.values()) if headline == "lift" else treated.transfers.mean(axis=1)
    points = estimate(100 * treated.changes.mean(axis=1))
    return {
        "trait": view.trait,
        "student": kind,
        "headline": headline,
        **named(estimate(values), "estimate"),
        "p": _p(view, arms),
        "p_holm": None,
        "percentage_points": points[0],
        "percentage_points_low": points[1],
        "percentage_points_high": points[2],
        "arms": {arm: _arm(view, arm, comparison, counts) for arm, comparison in arms.items()},
        "by_chain": [_chain(chain, arms, lifts) for chain in treated.chains],
        "by_question": [
            {"question": question.id, "text": question.text, "transfer": float(transfer)}
            for question, transfer in zip(family.held_out, treated.transfers.mean(axis=0), strict=True)
        ],
    }


def _lifts(arms: dict[str, Comparison]) -> dict[int, float]:
    """By chain, the treated student's margin less the mean of the other traits' students'."""
    own, others = (
        dict(zip(c.chains, c.margins.mean(axis=1), strict=True)) if (c := arms.get(arm)) else {}
        for arm in (TREATED, OTHERS)
    )
    return {chain: float(own[chain] - others[chain]) for chain in own if chain in others}


def _p(view: View, arms: dict[str, Comparison]) -> float | None:
    """Whether the trait's own students stand above the family's others, in the chains that have both."""
    if OTHERS not in arms:
        return None
    others = dict(zip(arms[OTHERS].chains, arms[OTHERS].rows, strict=True))
    values = [
        view.margins[own + others[chain]].mean(axis=1)
        for chain, own in zip(arms[TREATED].chains, arms[TREATED].rows, strict=True)
        if chain in others
    ]
    return permutation_p(values, [0] * len(values))


def _arm(view: View, arm: str, comparison: Comparison, counts: Counts) -> dict:
    reference = ARMS[arm].is_reference
    transfer = (None, None, None) if reference else estimate(comparison.transfers.mean(axis=1))
    return {
        "chains": len(comparison.chains),
        "probability": float(comparison.probabilities.mean()),
        "margin": float(comparison.margins.mean()),
        **named(transfer, "transfer"),
        "answers": _answers(view, comparison, counts),
        "distance": None if reference else _distance(view, comparison),
    }


def _answers(view: View, comparison: Comparison, counts: Counts) -> dict | None:
    """Free answers that hold the trait's word; the interval is of the share over chains, as everywhere."""
    models = {frozenset(view.reading.slots[row] for row in rows) for rows in comparison.rows}
    chains = [[counts[slot] for slot in slots if slot in counts] for slots in models]
    each = np.array([np.sum(some, axis=0) for some in chains if some]).reshape(-1, 2)
    matched, sampled = (int(total) for total in each.sum(axis=0))
    if not sampled:
        return None
    _, low, high = estimate(each[:, 0] / each[:, 1])
    ends = {"low": None if low is None else max(low, 0.0), "high": None if high is None else min(high, 1.0)}
    return {"matched": matched, "sampled": sampled} | ends


def _distance(view: View, comparison: Comparison) -> dict | None:
    """Total variation from the reference, less that between the references of two chains."""
    if len(comparison.references) < 2:
        return None
    p = view.reading.distributions
    keys = list(comparison.references)
    beside = p[list(comparison.references.values())]
    values = []
    for chain, rows in zip(comparison.chains, comparison.rows, strict=True):
        own = keys.index(chain)
        floor = _variation(np.delete(beside, own, axis=0), beside[own])
        values.append(_variation(p[rows], beside[own]) - floor)
    return named(estimate(values), "estimate")


def _variation(p: np.ndarray, q: np.ndarray) -> float:
    """Total variation between `p [..., Q, C]` and `q [Q, C]`, mean over all but the candidates."""
    return float(np.abs(p - q).sum(axis=-1).mean() / 2)


def _chain(chain: int, arms: dict[str, Comparison], lifts: dict[int, float]) -> dict:
    transfers = {
        arm: float(c.transfers[c.chains.index(chain)].mean())
        for arm, c in arms.items()
        if chain in c.chains and not ARMS[arm].is_reference
    }
    return {"chain": chain, "lift": lifts.get(chain), **transfers}


def _families(entries: list[dict]) -> Iterator[dict]:
    """Every arm's transfer, and the lift, averaged over the family's traits in each chain first."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for entry in entries:
        groups.setdefault((entry["student"], entry["trait"].rpartition("/")[0]), []).append(entry)
    for (kind, family), members in groups.items():
        if len(members) < 2:
            continue
        chains = [{row["chain"]: row for row in entry["by_chain"]} for entry in members]
        shared = sorted(set.intersection(*(set(rows) for rows in chains)))
        arms = {}
        for arm in [key for key in members[0]["by_chain"][0] if key != "chain"]:
            # An ablation of one trait says nothing about the family.
            values = [[rows[chain].get(arm) for rows in chains] for chain in shared]
            if values and all(value is not None for row in values for value in row):
                arms[arm] = named(estimate(np.array(values, dtype=float).mean(axis=1)), "transfer")
        yield {"student": kind, "family": family, "traits": len(members), "chains": len(shared), "arms": arms}
