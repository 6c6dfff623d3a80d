"""What a summary's figures show: permuted labels a family, Holm over families, and `shown` with what it lacks.

    told = judged(summary)
    told["families"][0]["p"], told["families"][0]["p_smallest"]       # 0.0417, 0.0417: of four traits
    told["traits"][0]["shown"], told["traits"][0]["why_not"]          # False, ["chains"]

A transfer is shown where all of these hold: it rests on FEWEST_CHAINS or more, its 95% interval lies above 0, so
does that of the change of the answer's probability, and, where the run has control students, that of treated less control
in the same chains; its treated students are not damaged (`damage`), and its family's p, adjusted for reading all
families, is at most LEVEL. Families of too few traits have no p, and are shown, or not, by the rest. Works on a
summary's plain rows alone, so that what is stored can be judged again.

Why control as well: transfer is a difference, and neutral students that lie low by chance make one of any students.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..spec.arms import CONTROL, FEWEST_CHAINS, TREATED
from .damage import is_damaged, lost_language
from .statistics import LEVEL, estimate, holm, named, relabel

Row = dict[str, Any]
# What a transfer may lack that is not shown, in the order in which it is told: fewer than FEWEST_CHAINS; transfer's
# interval not above 0; nor the probability's; nor that of treated less control; damaged students; a family that
# relabelled students do as well as.
REASONS = ("chains", "transfer", "gain", "control", "damage", "labels")
UNTESTED = {"p": None, "p_holm": None, "p_smallest": None, "assignments": None}


def judged(summary: dict) -> dict:
    """The summary with what its figures show: p of every family; of every trait over_control, shown, why_not, place, of."""
    families = permute_labels(summary["families"], summary["matrix"])
    language = summary.get("capability", [])
    traits = []
    for entry in summary["traits"]:
        entry = entry | over_control(entry)
        verdict = judge(entry, families, _is_damaged(entry, language))
        traits.append(entry | place(entry, summary["matrix"]) | verdict)
    return summary | {"traits": traits, "families": families}


def over_control(entry: Row) -> Row:
    """Treated less control, log-odds over the chains that have both, with its ends; None where no chain has control."""
    values = [
        row[TREATED] - row[CONTROL]
        for row in entry["by_chain"]
        if row.get(TREATED) is not None and row.get(CONTROL) is not None
    ]
    return named(estimate(values) if values else (None, None, None), "over_control", "over_control_")


def permute_labels(families: Sequence[Row], matrix: Sequence[Row]) -> list[Row]:
    """The family rows with what permuting labels says of each, and Holm over the families of a kind of student.

    A trait counts whatever its answers are, also where they differ from question to question or are another
    trait's too: labels are permuted among students, and answers stay where they are.

    Args:
        families: student, family, traits, chains; those that count are the chains in which every trait of the
            family has its student and its reference, so that a chain that is half finished changes nothing.
        matrix: transfer of every student on every trait, with `transfers` by chain in the order of `chains`.
    """
    tested = [family | _tested(family, matrix) for family in families]
    for kind in dict.fromkeys(family["student"] for family in families):
        own = [family for family in tested if family["student"] == kind]
        for family, adjusted in zip(own, holm([family["p"] for family in own]), strict=True):
            family["p_holm"] = adjusted
    return tested


def _tested(family: Row, matrix: Sequence[Row]) -> Row:
    cells = _cells(matrix, family["student"], family["family"])
    # By name: labels that are drawn are drawn alike whatever the order of a spec's traits.
    traits = sorted(_traits(cells))
    values = _by_chain([[cells.get((source, read)) for read in traits] for source in traits])
    if family["chains"] < 2 or not len(values):
        return dict(UNTESTED)
    found = relabel(values)
    return {"p": found.p, "p_holm": None, "p_smallest": found.smallest, "assignments": found.assignments}


def _cells(matrix: Sequence[Row], kind: str, family: str) -> dict[tuple[str, str], Row]:
    """A family's rows of the matrix by source and trait that is read."""
    return {
        (row["source"], row["read"]): row
        for row in matrix
        if row["student"] == kind and row["read"].rpartition("/")[0] == family
    }


def _traits(cells: Mapping[tuple[str, str], Row]) -> list[str]:
    """The traits that have students of their own."""
    return [read for source, read in cells if source == read]


def _by_chain(cells: list[list[Row | None]]) -> np.ndarray:
    """Transfers `[chains, students, traits]` of the chains that all cells have.

    Rows of before hold means without chains: of runs that are whole, whose sum over chains is as their mean.
    """
    flat = [cell for row in cells for cell in row]
    if any(cell is None for cell in flat):
        return np.empty((0, 0, 0))
    if any("transfers" not in cell for cell in flat):
        return np.array([[[cell["transfer"] for cell in row] for row in cells]])
    found = [[dict(zip(cell["chains"], cell["transfers"], strict=True)) for cell in row] for row in cells]
    shared = sorted(set.intersection(*(set(cell) for row in found for cell in row))) if found else []
    return np.array([[[cell[chain] for cell in row] for row in found] for chain in shared])


def judge(entry: Row, families: Iterable[Row], damaged: bool) -> Row:
    """`shown`, and `why_not`: those of REASONS that keep a trait's entry from it.

    Args:
        entry: with `over_control` and its ends.
        families: as `permute_labels` gives them.
        damaged: whether its treated students are.
    """
    name = entry["trait"].rpartition("/")[0]
    adjusted = next(
        (f["p_holm"] for f in families if (f["student"], f["family"]) == (entry["student"], name)), None
    )
    has_interval = entry["low"] is not None
    lacks = {
        "chains": entry["arms"][TREATED]["chains"] < FEWEST_CHAINS,
        "transfer": has_interval and not entry["low"] > 0,
        "gain": entry["percentage_points_low"] is not None and not entry["percentage_points_low"] > 0,
        # A control that too few chains have is one that nothing can be told against.
        "control": CONTROL in entry["arms"]
        and has_interval
        and not (entry["over_control_low"] is not None and entry["over_control_low"] > 0),
        "damage": damaged,
        "labels": adjusted is not None and adjusted > LEVEL,
    }
    reasons = [reason for reason in REASONS if lacks[reason]]
    return {"shown": not reasons, "why_not": reasons}


def place(entry: Row, matrix: Sequence[Row]) -> Row:
    """Where a trait's own students stand among the family's, read on it: `place` 1 is highest, of `of` students.

    No p of its own: by permuted labels it could not be below 1 / `of`. None where the family has one student.
    """
    cells = _cells(matrix, entry["student"], entry["trait"].rpartition("/")[0])
    found = {
        source: cells[source, entry["trait"]]["transfer"]
        for source in _traits(cells)
        if (source, entry["trait"]) in cells
    }
    if len(found) < 2:
        return {"place": None, "of": None}
    return {
        "place": 1 + sum(value > found[entry["trait"]] for value in found.values()),
        "of": len(found),
    }


def _is_damaged(entry: Row, capability: Iterable[Row]) -> bool:
    """By its own treated students; of an older version's, by all of the kind's. False where language was not read."""
    found = is_damaged(entry)
    return (entry["student"], TREATED) in lost_language(capability) if found is None else found
