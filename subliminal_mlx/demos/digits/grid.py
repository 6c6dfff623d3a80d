"""The sweeps that ship with the project: each point is a whole experiment, kept as its summary.

    make_grid(Lab("lab"), on_event=print)       # resumable: every finished point is in the lab
    read_grid()["points"]                       # what is stored

Points differ from the default in one field; the default itself belongs to every sweep. All run for
EPOCHS epochs, so each also answers for fewer. With them: the theorem's map of steps and distances.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from ...lab import Lab
from ...system import files
from ...system.errors import InputError, MachineError
from ...system.events import Listener, ignore
from .spec import Digits, Theorem, make, result_id
from .summary import Row, Summary, at, finals, summarise, theorem_rows

STORED = files.DATA / "results" / "digits" / "grid.json"
COMMAND = "python -m subliminal_mlx digits --grid"
EPOCHS = 6
DRAWS = 500
SWEEPS: dict[str, tuple[float, ...]] = {
    "width": (8, 16, 32, 64, 128, 256),
    "auxiliary": (1, 2, 3, 5, 10, 20),
    "noise": (500, 1_000, 2_500, 5_000, 10_000, 20_000),
    "distance": (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0),
}
# Wide networks are slow: only what shows the effect and its null.
SLOW_WIDTH, FEW = 128, ("student", "other initialisation")


def points() -> Iterator[tuple[str, float, Digits]]:
    """Name of the field, its value, and the experiment, for every point; the default comes first."""
    yield "default", 0, _spec()
    for field, values in SWEEPS.items():
        for value in values:
            if value != getattr(_spec(), field):
                yield field, value, _spec(field, value)


def _spec(field: str | None = None, value: float = 0) -> Digits:
    changes: dict[str, Any] = {"epochs": EPOCHS}
    if field:
        changes[field] = value
    if field == "width" and value > SLOW_WIDTH:
        changes["arms"] = FEW
    elif field == "distance":
        # No other arm knows of it.
        changes["arms"] = ("student",)
    return make("digits", changes)


def make_grid(lab: Lab, on_event: Listener = ignore, target: Path = STORED) -> dict[str, Any]:
    """Run what is not in the lab yet, then write all summaries and the theorem's map to `target`."""
    from ...system.machine import environment
    from . import store
    from .data import load_images
    from .parallel import run_on_cores
    from .theorem import one_steps

    data, kept = load_images(), []
    for field, value, spec in points():
        result = store.read_result(lab, result_id(spec, data.sha256))
        if result is None:
            result = run_on_cores(spec, data, on_event=on_event) | {"environment": environment()}
            store.save_result(result, lab)
        summary = summarise(result)
        del summary["data"]
        kept.append({"field": field, "value": value, "summary": summary})
    theorem = Theorem(draws=DRAWS)
    grid = {
        **{"command": COMMAND, "environment": environment()},
        "data": data.about,
        "points": kept,
        "theorem": {
            "spec": theorem.model_dump(mode="json"),
            "rows": _shortened(theorem_rows(one_steps(theorem, data, on_event))),
        },
    }
    try:
        files.write_atomic(target, json.dumps(grid))
    except OSError as error:
        raise MachineError(f"{target} cannot be written: {error.strerror or error}") from None
    return grid


def _shortened(rows: list[Row]) -> list[Row]:
    return [{k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()} for row in rows]


@cache
def read_grid() -> dict[str, Any]:
    """The stored grid; InputError where it is missing or damaged."""
    try:
        return json.loads(STORED.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "damaged"
        raise InputError(f"data/results/digits/{STORED.name}: {reason}; `{COMMAND}` makes it") from None


def stored(spec: Digits) -> Summary | None:
    """The stored summary of that experiment, of a longer one as it stood then, or None."""
    grid = read_grid()
    # Arms are part of a spec and not of what the others do.
    asked = spec.model_dump(mode="json", exclude={"epochs", "arms", "replicas"})
    for point in grid["points"]:
        summary = {"data": grid["data"]} | point["summary"]
        found = {k: v for k, v in summary["spec"].items() if k not in ("epochs", "arms", "replicas")}
        if found == asked and spec.epochs <= summary["spec"]["epochs"]:
            return at(_completed(summary, grid), spec.epochs)
    return None


def _completed(summary: Summary, grid: dict[str, Any]) -> Summary:
    """With the controls of the default, where the point differs from it in the student's start only."""
    default = grid["points"][0]["summary"]
    same = all(v == default["spec"][k] for k, v in summary["spec"].items() if k not in ("distance", "arms"))
    return summary | {"arms": default["arms"] | summary["arms"]} if same else summary


def sweep(field: str, epochs: int = EPOCHS) -> list[Row]:
    """A row a value of the field and arm: accuracy with low and high, and the teacher's."""
    rows = []
    for value in SWEEPS[field]:
        spec = _spec(field, value).model_copy(update={"epochs": epochs})
        summary = stored(spec)
        if summary is not None:
            rows += [{"field": field, "value": value} | _plain_row(row) for row in finals(summary)]
    return rows


def _plain_row(row: Row) -> Row:
    return {key: row[key] for key in ("arm", "accuracy", "low", "high", "null", "replicas")}
