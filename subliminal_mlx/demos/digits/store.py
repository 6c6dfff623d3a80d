"""Results in a lab: what `run_digits` and `run_theorem` found, as rows and back. No MLX here.

    save_result(result, Lab("lab"))
    read_result(Lab("lab"), result_id(spec, data.sha256))      # the same, or None where it was never run

What comes back equals what was kept, to the last bit. To a result belong `id`, `spec`, `data`,
`environment`, `seconds` and `peak_memory_bytes`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...lab import Lab
from .spec import CLASSES, RESULT_VERSION
from .summary import OneStep

Result = dict[str, Any]
FOLDER, TEACHER = "digits", "teacher"
MEASURES = ("accuracy", "loss", "agreement")
OF_DRAWS = ("inner_product", "cosine", "change", "teacher_change")
_ABOUT = ("id", "spec", "data", "environment", "seconds", "peak_memory_bytes")


def folder(lab: Lab, result_id: str) -> Path:
    """Where the charts of a result lie."""
    return lab.path / FOLDER / result_id


def save_result(result: Result, lab: Lab) -> None:
    """Keep a result of `run_digits`: a row an arm, epoch and replica, and the student's answers."""
    last = {"accuracy": [result["teacher"]["accuracy"]], "movement": [result["teacher"]["movement"]]}
    readouts = [_readouts(TEACHER, result["spec"]["teacher_epochs"], last)]
    readouts += [_readouts(arm, 0, record) for arm, record in result["arms"].items()]
    images = np.array(result["confusion"], dtype=np.int64)
    place = zip(("epoch", "digit", "answer"), np.indices(images.shape), strict=True)
    answers = {name: axis.ravel() for name, axis in place} | {"images": images.ravel()}
    tables = {
        "digits_readouts": pa.concat_tables(readouts, promote_options="default"),
        "digits_answers": pa.table(answers),
    }
    lab.save_digits(_about("digits", result), tables)


def read_result(lab: Lab, result_id: str) -> Result | None:
    """A result that was kept, or None."""
    if not (found := lab.digits(result_id)):
        return None
    about = {name: found[0][name] for name in _ABOUT}
    rows = lab.digits_table(result_id, "digits_readouts")
    arms = {arm: _record(rows, arm, about["spec"]["replicas"]) for arm in (TEACHER, *about["spec"]["arms"])}
    teacher = arms.pop(TEACHER)
    images = lab.digits_table(result_id, "digits_answers")["images"].to_numpy()
    return about | {
        "teacher": {"accuracy": teacher["accuracy"][0], "movement": teacher["movement"][0]},
        "arms": arms,
        "confusion": images.reshape(-1, CLASSES, CLASSES).tolist(),
    }


def save_steps(result: Result, lab: Lab) -> None:
    """Keep a result whose `steps` are of `theorem.one_steps`: a row a draw."""
    parts = []
    for one in result["steps"]:
        draws = len(one.cosine)
        columns = {"step": np.full(draws, one.step), "distance": np.full(draws, one.distance)}
        columns |= {"draw": np.arange(draws)} | {name: getattr(one, name) for name in OF_DRAWS}
        parts.append(pa.table(columns))
    lab.save_digits(_about("theorem", result), {"digits_steps": pa.concat_tables(parts)})


def read_steps(lab: Lab, result_id: str) -> Result | None:
    """A result that was kept, with its `steps` in the order of the spec, or None."""
    if not (found := lab.digits(result_id)):
        return None
    about = {name: found[0][name] for name in _ABOUT}
    spec, rows = about["spec"], lab.digits_table(result_id, "digits_steps")
    # They come in the order of step, distance and draw.
    places = [(step, distance) for step in sorted(spec["steps"]) for distance in sorted(spec["distances"])]
    columns = {name: rows[name].to_numpy().reshape(len(places), -1) for name in OF_DRAWS}
    steps = {p: OneStep(*p, **{n: c[i] for n, c in columns.items()}) for i, p in enumerate(places)}
    return about | {"steps": [steps[s, d] for s in spec["steps"] for d in spec["distances"]]}


def _about(kind: str, result: Result) -> Result:
    return {name: result[name] for name in _ABOUT} | {"kind": kind, "version": RESULT_VERSION}


def _readouts(arm: str, first_epoch: int, record: Result) -> pa.Table:
    measures = {name: record[name] for name in MEASURES if name in record}
    for layer in record["movement"][0]:
        measures[f"moved_{layer.replace(' ', '_')}"] = [lengths[layer] for lengths in record["movement"]]
    epochs, replicas = np.shape(measures["accuracy"])
    columns = {
        "arm": pa.array([arm] * (epochs * replicas)),
        "epoch": np.repeat(np.arange(first_epoch, first_epoch + epochs), replicas),
        "replica": np.tile(np.arange(replicas), epochs),
    }
    flat = {name: [v for epoch in values for v in epoch] for name, values in measures.items()}
    return pa.table(columns | {name: pa.array(values, pa.float64()) for name, values in flat.items()})


def _record(rows: pa.Table, arm: str, replicas: int) -> Result:
    own = rows.filter(pc.equal(rows["arm"], arm))

    def epochs(name: str) -> list[list[float | None]]:
        values = own[name].to_pylist()
        return [values[i : i + replicas] for i in range(0, len(values), replicas)]

    moved = {n: epochs(n) for n in own.column_names if n.startswith("moved_")}
    layers = {name.removeprefix("moved_").replace("_", " "): values for name, values in moved.items()}
    movement = [
        {layer: values[epoch] for layer, values in layers.items()} for epoch in range(len(epochs("arm")))
    ]
    return {name: epochs(name) for name in MEASURES} | {"movement": movement}
