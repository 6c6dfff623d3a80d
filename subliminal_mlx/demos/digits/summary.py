"""Results over replicas: means with 95% intervals, small enough to store, as rows for tables and charts.

    summary = summarise(result)
    curves(at(summary, epochs=3))           # rows of arm, epoch, accuracy, low, high
    sentences(summary)                      # what it shows, in words

A replicate is a network with its own initialisation; intervals are t over replicas. Shares of right
answers are 0 to 1 here and percent in words and charts. No MLX here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...experiment.statistics import binomial_interval, estimate
from ...spec.arms import FEWEST_CHAINS
from ...system.quantities import percent, percent_interval
from .spec import CLASSES, NULLS

Row = dict[str, Any]
Summary = dict[str, Any]
CHANCE = 1 / CLASSES
MEASURES = ("accuracy", "agreement")
DIGITS = 4


def summarise(result: Row) -> Summary:
    """Means and ends by arm and epoch of a result of `run_digits`; single replicas only at the end."""
    arms = {}
    for arm, record in result["arms"].items():
        arms[arm] = {measure: [_interval(values) for values in record[measure]] for measure in MEASURES}
        arms[arm]["movement"] = [_means(lengths) for lengths in record["movement"]]
        arms[arm]["loss"] = [None if v[0] is None else float(f"{np.mean(v):.3g}") for v in record["loss"]]
        arms[arm]["replicas"] = _rounded(record["accuracy"][-1])
    return {
        **{key: result[key] for key in ("id", "spec", "data", "seconds", "confusion")},
        "teacher": {
            "accuracy": _interval(result["teacher"]["accuracy"]),
            "replicas": _rounded(result["teacher"]["accuracy"]),
            "movement": _means(result["teacher"]["movement"]),
        },
        "arms": arms,
    }


def _means(lengths: dict[str, list[float]]) -> dict[str, float]:
    return {layer: round(float(np.mean(values)), DIGITS) for layer, values in lengths.items()}


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(value, DIGITS) for value in values]


def _interval(values: list[float | None]) -> list[float | None]:
    """Mean, low and high of what is there; all None where nothing is."""
    found = [value for value in values if value is not None]
    if not found:
        return [None, None, None]
    return [None if end is None else round(end, DIGITS) for end in estimate(found)]


def at(summary: Summary, epochs: int) -> Summary:
    """The same run as it stood after fewer epochs; its learning rate is constant, so it is that run.

    Raises:
        ValueError: it has fewer epochs, or none.
    """
    if not 1 <= epochs <= summary["spec"]["epochs"]:
        raise ValueError(f"epochs: 1 to {summary['spec']['epochs']}, not {epochs}")
    if epochs == summary["spec"]["epochs"]:
        return summary
    keep = slice(epochs + 1)
    # Single replicas are of the last epoch, which is not this one.
    arms = {
        arm: {key: value[keep] for key, value in record.items() if key != "replicas"}
        for arm, record in summary["arms"].items()
    }
    return summary | {
        "spec": summary["spec"] | {"epochs": epochs},
        "arms": arms,
        "confusion": summary["confusion"][keep],
    }


def curves(summary: Summary, measure: str = "accuracy") -> list[Row]:
    """A row an arm and epoch: `measure` with low and high."""
    return [
        {"arm": arm, "epoch": epoch, measure: mean, "low": low, "high": high}
        for arm, record in summary["arms"].items()
        for epoch, (mean, low, high) in enumerate(record[measure])
        if mean is not None
    ]


def finals(summary: Summary) -> list[Row]:
    """A row for the teacher and each arm: accuracy in the end with low, high, spread and what is expected."""
    entries = {"teacher": (summary["teacher"]["accuracy"], summary["teacher"].get("replicas"))}
    entries |= {a: (r["accuracy"][-1], r.get("replicas")) for a, r in summary["arms"].items()}
    rows = []
    for arm, ((mean, low, high), values) in entries.items():
        row = {"arm": arm, "accuracy": mean, "low": low, "high": high, "null": arm in NULLS}
        row["replicas"] = summary["spec"]["replicas"]
        row["sd"] = float(np.std(values, ddof=1)) if values and len(values) > 1 else None
        row["values"] = values or []
        agreement = summary["arms"][arm]["agreement"][-1][0] if arm in summary["arms"] else None
        rows.append(row | {"agreement": agreement})
    return rows


def confusion(summary: Summary) -> list[Row]:
    """A row a digit and answer of the student's replicas: the share of that digit's images."""
    rows = []
    for digit, counts in enumerate(summary["confusion"][-1]):
        total = sum(counts) or 1
        rows += [{"digit": digit, "answer": a, "share": n / total} for a, n in enumerate(counts)]
    return rows


def movement(summary: Summary) -> list[Row]:
    """A row an arm and layer: the mean length of what it moved by."""
    moved = {"teacher": summary["teacher"]["movement"]}
    moved |= {arm: record["movement"][-1] for arm, record in summary["arms"].items()}
    return [
        {"arm": arm, "layer": layer, "length": length}
        for arm, layers in moved.items()
        for layer, length in layers.items()
        if layer != "trunk"
    ]


def sentences(summary: Summary) -> list[str]:
    """What a result shows; transfer is claimed only where the student's interval lies above the nulls'."""
    rows = {row["arm"]: row for row in finals(summary)}
    student, number = rows["student"], summary["spec"]["replicas"]
    m, seen = summary["spec"]["auxiliary"], summary["spec"]["noise"]
    nulls = [rows[arm] for arm in NULLS if arm in rows]
    said = [
        f"Students that saw {seen:,} noise images and {m} meaningless output{'s' if m > 1 else ''} of a "
        f"{percent(rows['teacher']['accuracy'])} teacher read {percent(student['accuracy'])} of unseen digits right ({_sure(student)}, "
        f"{number} replica{'s' if number > 1 else ''})."
    ]
    if nulls:
        names = ", ".join(f"{row['arm']} {percent(row['accuracy'])}" for row in nulls)
        said.append(f"Chance is 10%; controls that should stay there: {names}.")
        if student["low"] is None:
            said.append("One replica has no interval, so nothing is shown.")
        elif number < FEWEST_CHAINS:
            said.append("Two replicas are too few to rest on, so nothing is shown.")
        elif student["low"] > max(row["high"] for row in nulls):
            said.append("The student's interval lies above all of theirs: the digits came through.")
        else:
            said.append("The student's interval does not lie above all of theirs: no transfer is shown.")
    return said


def _sure(row: Row) -> str:
    if row["low"] is None:
        return "no interval"
    return f"95% interval {percent_interval(row['low'], row['high'])}"


@dataclass(frozen=True)
class OneStep:
    """All draws of the one-step theorem for one size of the teacher's step and one distance between starts."""

    step: float
    distance: float
    inner_product: np.ndarray
    """Inner product `[R]` of the student's gradient step with what the teacher moved by."""
    cosine: np.ndarray
    """The same, over both lengths; 0 where nothing moved."""
    change: np.ndarray
    """Of the teacher's loss at the student's weights, nats `[R]`, when the student takes a step as long
    as the teacher's."""
    teacher_change: np.ndarray
    """Of the teacher's loss by the teacher's own step, nats `[R]`."""


def theorem_rows(found: Iterable[OneStep]) -> list[Row]:
    """A row for each: shares of draws that went against the theorem, with intervals."""
    rows = []
    for one in found:
        draws = len(one.inner_product)
        against, raised = int((one.inner_product < 0).sum()), int((one.change > 0).sum())
        row: Row = {"step": one.step, "distance": one.distance, "draws": draws}
        for name, count in (("against", against), ("raised", raised)):
            low, high = binomial_interval(count, draws)
            row |= {name: count / draws, f"{name}_low": low, f"{name}_high": high, f"{name}_count": count}
        for name in ("cosine", "change", "teacher_change"):
            mean, low, high = estimate(getattr(one, name))
            row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return rows
