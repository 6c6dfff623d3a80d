"""The defence bench: a run's chains trained again undefended, defended, and with random controls.

    spec = bench_spec(parse_spec(run["spec_toml"]), ["mix-25", "re-emit"])
    outcome = pipeline.run(spec, lab)                     # a run of its own, resumable like any other
    for row in report(lab, outcome.run_id): row["arm"], row["share"], row["clean_loss"]

Teachers, rows and undefended students come out as they were, to the bit: the spec is the same, and so are
its seeds. A defended student is read against the student of neutral rows under the same defence.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..experiment.readings import Reading, read
from ..experiment.statistics import estimate, named, ratio
from ..lab import Lab
from ..model.organisms import OTHER_STARTS
from ..spec import Spec, parse_spec, validate
from ..spec.corpus import Unloaded
from ..spec.defence_names import defended_arm, find, shipped
from ..spec.families import load_family
from ..spec.plan import neutral
from ..system.errors import InputError

Row = dict[str, Any]
# By kind, arm, chain and trait of a student: its row of the lab's costs.
Costs = dict[tuple[str, str, int, str | None], Row]


def bench_spec(spec: Spec, defences: Sequence[str] = (), kinds: Sequence[str] = ()) -> Spec:
    """The spec of a run's defence bench: the same chains, without ablations, each student defended too.

    Raises:
        InputError: no such defence or kind, or no other initialisation of the base is known.
    """
    defences = tuple(dict.fromkeys(defences or shipped()))
    if unknown := set(kinds) - set(spec.kinds):
        raise InputError(f"student kind {sorted(unknown)[0]!r}: the run has {', '.join(spec.kinds)}")
    fields = spec.model_dump(mode="json", exclude_none=True)
    fields |= {"ablations": [], "ablation_traits": [], "defences": defences}
    fields["arms"] = ["treated", "neutral", "control"]
    fields["title"] = f"Defences: {spec.title}"[:200] if spec.title else "Defences"
    for kind in spec.kinds:
        if kinds and kind not in kinds:
            del fields[kind]
    elsewhere = [name for name in defences if (found := find(name)) and found.foreign]
    if elsewhere:
        fields["foreign"] = spec.foreign or _other(spec.base, elsewhere[0])
    elif "foreign" in fields:
        del fields["foreign"]
    return validate(fields, "bench", own_code=not isinstance(spec.corpus, Unloaded))


def _other(base: str, defence: str) -> str:
    """The shipped base of the same data and another initialisation."""
    if base not in OTHER_STARTS:
        raise InputError(
            f"{defence}: no other initialisation of {base} is known: leave it out, or set `foreign`"
        )
    return OTHER_STARTS[base]


def report(lab: Lab, run_id: str) -> list[Row]:
    """What each defence left and what it cost, undefended first.

    Returns:
        Dicts with student, arm, defence, control, chains; transfer with low and high, log-odds, mean over
        the traits, and by_chain each chain's; share of the undefended transfer that is left, with share_low and share_high; specificity
        (the own-trait lift) and specificity_share likewise, where a family has several traits in the run; rows_lost
        and tokens_lost, shares of the source's; clean_loss, nats a token on rows of the base that nobody trained on, and
        clean_added, its rise over the undefended students' with ends; traits: each one's transfer and share.

    Raises:
        InputError: the run has no defences, or nothing of it is finished.
    """
    run = lab.run(run_id)
    if run is None:
        raise InputError(f"no run {run_id} in {lab.path}: `runs` lists those there are")
    spec = parse_spec(run["spec_toml"], where=f"run {run_id}")
    if not spec.defences:
        raise InputError(f"run {run_id} has no defences: `defend {run_id}` trains them")
    families = {name: load_family(name) for name in spec.families}
    readings = read(lab.readouts(run_id), families)
    rows = lab.costs(run_id).to_pylist()
    costs = {(row["kind"], row["arm"], row["chain"], row["trait"]): row for row in rows}
    totals = _totals(lab, run_id, spec)
    found = [row for kind in spec.kinds for row in _of_kind(spec, kind, readings, costs, totals)]
    if not found:
        raise InputError(f"run {run_id}: no chain is finished yet: `resume {run_id}` goes on with it")
    return found


def _of_kind(
    spec: Spec, kind: str, readings: dict[str, Reading], costs: Costs, totals: dict[int, tuple]
) -> Iterator[Row]:
    arms = [("treated", "none", False)]
    arms += [(defended_arm(d, c), d, c) for d in spec.defences for c in (False, True)]
    moved = {arm: _transfers(spec, kind, arm, readings) for arm, _, _ in arms}
    if not moved["treated"]:
        return
    # Of a bench under way some arms have chains that others lack: all are shown over the same ones.
    chains = sorted(set.intersection(*(set(of) for of in moved.values() if of)))
    losses: list[float] = []
    for arm, defence, control in arms:
        if not moved[arm] or not chains:
            continue
        here, there = (np.array([moved[a][c] for c in chains]) for a in (arm, "treated"))
        cost = {
            name: [_cost(spec, kind, arm, c, name, costs) for c in chains]
            for name in ("rows_lost", "tokens_lost", "clean_loss")
        }
        losses = losses or cost["clean_loss"]
        row: Row = {
            "student": kind,
            "arm": arm,
            "defence": defence,
            "control": control,
            "chains": len(chains),
        }
        row |= named(estimate(here.mean(axis=1)), "transfer")
        row |= named(_ratio(here.mean(axis=1), there.mean(axis=1)), "share", "share_")
        row["by_chain"] = [
            {"chain": chain, "transfer": float(value)}
            for chain, value in zip(chains, here.mean(axis=1), strict=True)
        ]
        specific = [_specificities(spec, kind, a, readings) for a in (arm, "treated")]
        if all(c in of for of in specific for c in chains):
            own, undefended = (np.array([of[c].mean() for c in chains]) for of in specific)
            row |= named(estimate(own), "specificity", "specificity_")
            row |= named(_ratio(own, undefended), "specificity_share", "specificity_share_")
        for name, place in (("rows_lost", 0), ("tokens_lost", 1)):
            row[name] = float(
                np.mean([x / totals[c][place] for x, c in zip(cost[name], chains, strict=True)])
            )
        row["clean_loss"] = float(np.mean(cost["clean_loss"]))
        added = [x - y for x, y in zip(cost["clean_loss"], losses, strict=True)]
        row |= named(estimate(added), "clean_added", "clean_added_")
        row["traits"] = [
            {"trait": trait}
            | named(estimate(here[:, t]), "transfer")
            | named(_ratio(here[:, t], there[:, t]), "share", "share_")
            for t, trait in enumerate(spec.traits)
        ]
        yield row


def _transfers(spec: Spec, kind: str, arm: str, readings: dict[str, Reading]) -> dict[int, np.ndarray]:
    """By chain: transfer of every trait `[traits]`, mean over questions, where all of them are read."""
    step = spec.kinds[kind].steps
    found: dict[int, list[float]] = {}
    for trait in spec.traits:
        family = trait.rpartition("/")[0]
        if family not in readings:
            return {}
        reading = readings[family]
        margins = reading.margins(trait).mean(axis=1)
        own = reading.rows(kind, arm, trait, step)
        beside = reading.rows(kind, "neutral" if arm == "treated" else arm, neutral(family), step)
        for chain in own.keys() & beside.keys():
            found.setdefault(chain, []).append(float(margins[own[chain]] - margins[beside[chain]]))
    return {chain: np.array(row) for chain, row in found.items() if len(row) == len(spec.traits)}


def _specificities(spec: Spec, kind: str, arm: str, readings: dict[str, Reading]) -> dict[int, np.ndarray]:
    """By chain: specificity of every trait whose family has others in the run `[traits]`."""
    step = spec.kinds[kind].steps
    found: dict[int, list[float]] = {}
    for trait in spec.traits:
        family = trait.rpartition("/")[0]
        others = [t for t in spec.traits if t != trait and t.rpartition("/")[0] == family]
        if not others or family not in readings:
            continue
        margins = readings[family].margins(trait).mean(axis=1)
        own, *beside = (readings[family].rows(kind, arm, t, step) for t in (trait, *others))
        for chain in set.intersection(*(set(rows) for rows in (own, *beside))):
            above = margins[own[chain]] - np.mean([margins[rows[chain]] for rows in beside])
            found.setdefault(chain, []).append(float(above))
    return {chain: np.array(row) for chain, row in found.items()}


def _cost(spec: Spec, kind: str, arm: str, chain: int, name: str, costs: Costs) -> float:
    """Mean over the traits' students of one chain."""
    students = [(kind, arm, chain, trait) for trait in spec.traits]
    return float(np.mean([costs[student][name] if student in costs else np.nan for student in students]))


def _totals(lab: Lab, run_id: str, spec: Spec) -> dict[int, tuple[int, float]]:
    """By chain: rows that every student had, and completion tokens of one trait's, mean over the traits."""
    kept: dict[int, dict[str, int]] = {}
    for row in lab.yields(run_id).to_pylist():
        if row["kept"]:
            kept.setdefault(row["chain"], {})[row["source"]] = row["rows"]
    found = {}
    for chain, sources in kept.items():
        rows, tokens = min(sources.values()), []
        for trait in spec.traits:
            ids = lab.rows(run_id, source=trait, chain=chain, kept=True, limit=rows)["completion_ids"]
            tokens.append(sum(map(len, ids.to_pylist())))
        found[chain] = (rows, float(np.mean(tokens)))
    return found


def _ratio(values: np.ndarray, reference: np.ndarray) -> tuple[float | None, float | None, float | None]:
    return ratio(values, reference) if reference.mean() else (None, None, None)
