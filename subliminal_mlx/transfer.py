"""What a run found: every arm's transfer on every trait, with intervals, p-values and controls.

    summary = summarise(lab.readouts(run), lab.answers(run), families, spec)
    to_json(summary)                                # the shape of `--json`

A replicate is a chain: every number is a mean over held-out questions first, then an estimate over
chains. Only students read after their last step count, so a run that was cancelled is summarised by
what it finished. No MLX and no SQL here.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from .arms import ARMS, KINDS, Comparison, View, compare, comparisons, is_reference
from .families import NEUTRAL, PREFIXED, Family
from .personas import persona
from .readouts import Reading, count_answers, margin, match_answer, probability, read
from .spec import Spec
from .statistics import binomial_interval, estimate, holm, permutation_p

__all__ = ["ARMS", "margin", "match_answer", "probability", "summarise", "to_json"]

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
        prefixed: only where readout.prefixed, the traits again, read after a list of numbers; no answers.
        personas: only where teachers are prompted, the system prompt of each source.

    Raises:
        InputError: readouts that are not finite, or that do not fit `families`.
    """
    readings = read(readouts, families)
    after = read(readouts, {name + PREFIXED: family for name, family in families.items()})
    family_of = {t: name for t in spec.traits if (name := t.rpartition("/")[0]) in readings}
    views = [View.of(trait, readings[name], spec.traits) for trait, name in family_of.items()]
    again = [
        View.of(trait, after[name + PREFIXED], spec.traits)
        for trait, name in family_of.items()
        if name + PREFIXED in after
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
        "matrix": [row for kind, step in last.items() for view in views for row in _matrix(view, kind, step)],
        "curves": [row for kind in last for view in views for row in _curves(view, kind)],
        "distributions": [
            row for name, reading in readings.items() for row in _distributions(name, reading, last)
        ],
    }


def _again(views: list[View], last: dict[str, int]) -> dict:
    """The traits once more, read after a list of numbers."""
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


# --- one trait ------------------------------------------------------------------------------------


def _trait(view: View, kind: str, step: int, counts: Counts) -> dict | None:
    """The trait's entry; None where no chain has finished its treated and its neutral student."""
    arms = comparisons(view, kind, step)
    if "treated" not in arms:
        return None
    treated, family = arms["treated"], view.reading.family
    lifts = _lifts(arms)
    headline = "lift" if lifts and len(family.traits) >= SMALLEST_FAMILY_FOR_LIFT else "transfer"
    values = list(lifts.values()) if headline == "lift" else treated.transfers.mean(axis=1)
    points = estimate(100 * treated.changes.mean(axis=1))
    return {
        "trait": view.trait,
        "student": kind,
        "headline": headline,
        **_span("estimate", estimate(values)),
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
        for arm in ("treated", "other-trait")
    )
    return {chain: float(own[chain] - others[chain]) for chain in own if chain in others}


def _p(view: View, arms: dict[str, Comparison]) -> float | None:
    """Whether the trait's own students stand above the family's others, in the chains that have both."""
    if "other-trait" not in arms:
        return None
    others = dict(zip(arms["other-trait"].chains, arms["other-trait"].rows, strict=True))
    values = [
        view.margins[own + others[chain]].mean(axis=1)
        for chain, own in zip(arms["treated"].chains, arms["treated"].rows, strict=True)
        if chain in others
    ]
    return permutation_p(values, [0] * len(values))


def _arm(view: View, arm: str, comparison: Comparison, counts: Counts) -> dict:
    reference = is_reference(arm)
    transfer = (None, None, None) if reference else estimate(comparison.transfers.mean(axis=1))
    return {
        "chains": len(comparison.chains),
        "probability": float(comparison.probabilities.mean()),
        "margin": float(comparison.margins.mean()),
        **_span("transfer", transfer),
        "answers": _answers(view, comparison, counts),
        "distance": None if reference else _distance(view, comparison),
    }


def _answers(view: View, comparison: Comparison, counts: Counts) -> dict | None:
    slots = {view.reading.slots[row] for rows in comparison.rows for row in rows}
    matched = sum(counts[slot][0] for slot in slots if slot in counts)
    sampled = sum(counts[slot][1] for slot in slots if slot in counts)
    if not sampled:
        return None
    low, high = binomial_interval(matched, sampled)
    return {"matched": matched, "sampled": sampled, "low": low, "high": high}


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
    return _span("estimate", estimate(values))


def _variation(p: np.ndarray, q: np.ndarray) -> float:
    """Total variation between `p [..., Q, C]` and `q [Q, C]`, mean over all but the candidates."""
    return float(np.abs(p - q).sum(axis=-1).mean() / 2)


def _chain(chain: int, arms: dict[str, Comparison], lifts: dict[int, float]) -> dict:
    transfers = {
        arm: float(c.transfers[c.chains.index(chain)].mean())
        for arm, c in arms.items()
        if chain in c.chains and not is_reference(arm)
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
                arms[arm] = _span("transfer", estimate(np.array(values, dtype=float).mean(axis=1)))
        yield {"student": kind, "family": family, "traits": len(members), "chains": len(shared), "arms": arms}


def _span(name: str, span: tuple) -> dict:
    return dict(zip((name, "low", "high"), span, strict=True))


# --- all models -----------------------------------------------------------------------------------


def _matrix(view: View, kind: str, step: int) -> Iterator[dict]:
    """Transfer of every student of the family on this trait; the neutral one's is zero by definition."""
    reading = view.reading
    neutral = reading.rows(kind, "neutral", view.neutral, step)
    sources = [("treated", trait) for trait in view.siblings]
    for arm, source in [*sources, ("neutral", view.neutral), ("control", None)]:
        rows = reading.rows(kind, arm, source, step)
        if chains := sorted(rows.keys() & neutral.keys()):
            at, beside = [rows[chain] for chain in chains], [neutral[chain] for chain in chains]
            transfer = estimate((view.margins[at] - view.margins[beside]).mean(axis=1))
            span = (0.0, None, None) if arm == "neutral" else transfer
            yield {"student": kind, "source": source or arm, "read": view.trait, **_span("transfer", span)}


def _curves(view: View, kind: str) -> Iterator[dict]:
    """Margin and transfer of every arm of students at every step that they were read at."""
    steps = view.reading.steps(kind, "neutral", view.neutral)
    for arm in (arm for arm in ARMS if arm not in KINDS):
        for step in steps:
            if comparison := compare(view, kind, arm, step):
                transfers = comparison.transfers.mean(axis=1)
                span = (None, None, None) if is_reference(arm) else estimate(transfers)
                margins = float(comparison.margins.mean())
                row = {"student": kind, "trait": view.trait, "arm": arm, "step": step, "margin": margins}
                yield row | _span("transfer", span)


def _distributions(name: str, reading: Reading, last: dict[str, int]) -> Iterator[dict]:
    """Probability of every label, mean over questions and chains, for every model after its last step.

    A label is what traits call a candidate; where questions have candidates of their own, theirs agree.
    """
    questions = reading.family.held_out
    labels = list(dict.fromkeys(label for question in questions for label in question.labels))
    place = np.zeros(reading.logp.shape[1:], dtype=int)  # past a question's candidates p is 0
    for q, question in enumerate(questions):
        place[q, : len(question.labels)] = [labels.index(label) for label in question.labels]
    for kind, arm, source in reading.index:
        if rows := list(reading.rows(kind, arm, source, last.get(kind)).values()):
            p = reading.distributions[rows].mean(axis=0)
            means = np.bincount(place.ravel(), p.ravel(), len(labels)) / len(questions)
            model = {"student": kind, "arm": arm, "source": source, "family": name}
            yield from (
                model | {"candidate": label, "probability": float(mean)}
                for label, mean in zip(labels, means, strict=True)
            )
