"""What a run found: every arm's transfer on every trait, with intervals, controls and what they show.

    summary = summarise(tables, families, spec)     # tables of a run's readouts by name
    to_json(summary)                                # the shape of `--json`

A replicate is a chain: every number is a mean over held-out questions first, then an estimate over
chains. Only students read after their last step count, so a run that was cancelled is summarised by
what it finished. Treated and other-trait are named here, and no other arm: transfer, treated less neutral, is the
headline, and specificity, treated less other-trait (the own-trait lift), stands beside it, since that also grows with
what students of other traits are pushed down by.
No MLX and no SQL here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ..spec import Spec
from ..spec.arms import ARMS, OTHERS, TREATED
from ..spec.families import NEUTRAL, Family, after
from ..spec.personas import persona
from .comparisons import Comparison, View, compare_all, curves, distributions, matrix
from .readings import read
from .readouts import IN_COMMON, readouts
from .readouts.candidates import CANDIDATES
from .statistics import estimate, named
from .verdicts import judged

# What every readout that tells of arms has gathered from its table, by its name.
Gathered = dict[str, Any]


def summarise(tables: Mapping[str, pa.Table], families: dict[str, Family], spec: Spec) -> dict:
    """The run's result as plain dicts and lists, without NaN: what is not known is None.

    Args:
        tables: by the readout's name, those that were read; of candidates in any case.
        families: by the name that the tables and the traits give them.

    Returns:
        traits: for every kind of student and trait, transfer, specificity, treated less control, whether it is shown,
            and all arms.
        families: for every kind and family of two traits or more, each arm's mean over the traits, and p.
        matrix: every student's transfer on every trait of its family in the run, by chain.
        curves: margin and transfer at every readout of a training.
        distributions: mean probability of every label, by family and source.
        prefixed: only where readout.prefixed, the traits again, read after a row of the channel; no answers.
        what readouts tell of a whole run, under their names.
        personas: only where teachers are prompted, the system prompt of each source.

    Raises:
        InputError: readouts that are not finite, or that do not fit `families`.
    """
    logp = tables[CANDIDATES.name]
    readings = read(logp, families)
    names = {name: after(name, spec.corpus.channel) for name in families}
    prefixed = read(logp, {names[name]: family for name, family in families.items()})
    family_of = {t: name for t in spec.traits if (name := t.rpartition("/")[0]) in readings}
    views = [View.of(trait, readings[name], spec.traits) for trait, name in family_of.items()]
    again = [
        View.of(trait, prefixed[names[name]], spec.traits)
        for trait, name in family_of.items()
        if names[name] in prefixed
    ]
    known = readouts()
    gathered = {
        name: r.gather(tables[name], views) for name, r in known.items() if r.gather and name in tables
    }
    last = {kind: student.steps for kind, student in spec.kinds.items()}
    traits = [
        entry for kind, step in last.items() for v in views if (entry := _trait(v, kind, step, gathered))
    ]
    summary = {
        **_told(families, spec),
        **_again(again, last),
        "traits": traits,
        "families": list(_families(traits)),
        "matrix": [row for kind, step in last.items() for view in views for row in matrix(view, kind, step)],
        "curves": [row for kind in last for view in views for row in curves(view, kind)],
        "distributions": [
            row for name, reading in readings.items() for row in distributions(name, reading, last)
        ],
        **{name: r.of_run(tables[name]) for name, r in known.items() if r.of_run and name in tables},
    }
    return judged(summary)


def _again(views: list[View], last: dict[str, int]) -> dict:
    """The traits once more, read after a row of the channel: a second look at the same students, and not judged."""
    entries = [entry for kind, step in last.items() for v in views if (entry := _trait(v, kind, step, {}))]
    return {"prefixed": entries} if entries else {}


def _told(families: dict[str, Family], spec: Spec) -> dict:
    if spec.teacher.kind == "tuned":
        return {}
    sources = [*spec.traits, *(f"{name}/{NEUTRAL}" for name in spec.families)]
    parted = [(source, *source.rpartition("/")[::2]) for source in sources]
    return {"personas": {source: persona(families[name], trait) for source, name, trait in parted}}


def _of_runs() -> list[str]:
    """Names of the readouts that tell of a whole run."""
    return [name for name, readout in readouts().items() if readout.of_run]


def to_json(summary: dict) -> dict:
    """What `--json` prints of a summary: a shape that other programs may rely on."""
    spans = (("transfer", ""), ("specificity", "specificity_"), ("percentage_points", "percentage_points_"))
    figures = [key for name, prefix in spans for key in (name, f"{prefix}low", f"{prefix}high")]
    of_trait = ("trait", "student", *figures)
    verdict = ("over_control", "over_control_low", "over_control_high", "place", "of", "shown", "why_not")
    of_arm = ("chains", "probability", "margin", "transfer", "low", "high", "damage", "displacement")
    more = {name: summary[name] for name in (*_of_runs(), IN_COMMON, "prefixed") if name in summary}
    if "prefixed" in more:
        more["prefixed"] = [{key: entry[key] for key in of_trait} for entry in more["prefixed"]]
    return {
        "traits": [
            {key: entry[key] for key in (*of_trait, *verdict)}
            | {"arms": {arm: {key: row.get(key) for key in of_arm} for arm, row in entry["arms"].items()}}
            for entry in summary["traits"]
        ],
        "families": summary["families"],
    } | more


def _trait(view: View, kind: str, step: int, gathered: Gathered) -> dict | None:
    """The trait's entry; None where no chain has finished its treated and its neutral student."""
    arms = compare_all(view, kind, step)
    if TREATED not in arms:
        return None
    treated, specific = arms[TREATED], _specificities(arms)
    points = estimate(100 * treated.changes.mean(axis=1))
    specificity = estimate(list(specific.values())) if specific else (None, None, None)
    return {
        "trait": view.trait,
        "student": kind,
        **named(estimate(treated.transfers.mean(axis=1)), "transfer"),
        **named(specificity, "specificity", "specificity_"),
        **named(points, "percentage_points", "percentage_points_"),
        "arms": {arm: _arm(view, comparison, gathered) for arm, comparison in arms.items()},
        "by_chain": [_chain(chain, arms, specific) for chain in treated.chains],
        "by_question": [
            {"question": question.id, "text": question.text, "transfer": float(transfer)}
            for question, transfer in zip(
                view.reading.family.held_out, treated.transfers.mean(axis=0), strict=True
            )
        ],
    }


def _specificities(arms: dict[str, Comparison]) -> dict[int, float]:
    """By chain, the treated student's margin less the mean of the other traits' students'."""
    own, others = (
        dict(zip(c.chains, c.margins.mean(axis=1), strict=True)) if (c := arms.get(arm)) else {}
        for arm in (TREATED, OTHERS)
    )
    return {chain: float(own[chain] - others[chain]) for chain in own if chain in others}


def _arm(view: View, comparison: Comparison, gathered: Gathered) -> dict:
    reference = comparison.arm.is_reference
    transfer = (None, None, None) if reference else estimate(comparison.transfers.mean(axis=1))
    figures = {
        "chains": len(comparison.chains),
        "probability": float(comparison.probabilities.mean()),
        "margin": float(comparison.margins.mean()),
        **named(transfer, "transfer"),
    }
    for name, readout in readouts().items():
        if readout.of_arm:
            figures |= readout.of_arm(gathered.get(name), view, comparison)
    return figures


def _chain(chain: int, arms: dict[str, Comparison], specific: dict[int, float]) -> dict:
    transfers = {
        arm: float(c.transfers[c.chains.index(chain)].mean())
        for arm, c in arms.items()
        if chain in c.chains and not ARMS[arm].is_reference
    }
    return {"chain": chain, "specificity": specific.get(chain), **transfers}


def _families(entries: list[dict]) -> Iterator[dict]:
    """Every arm's transfer, and the specificity, averaged over the family's traits in each chain first."""
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
