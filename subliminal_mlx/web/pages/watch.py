"""A run while it goes on, from small files alone: nobody waits for the database, and a reload sees the same.

    seen = watch(lab, run_id)                        # state, progress, stages
    losses(lab, run_id, spec)                        # slot, step, loss: committed units and checkpoints
    margins(lab, run_id, spec)                       # rows for charts.margins
    curves(lab, run_id, spec)                        # both, drawn

Workers leave whole files below the run's folder: a shard for every unit that is done, and for one that is
under way its last checkpoint and its readouts so far.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ... import jobs
from ...experiment.readings import read
from ...lab import Lab
from ...pipeline.progress import STAGES, detail, rate, stage_of
from ...pipeline.run import stack_size
from ...report.public import without_folders
from ...spec import Spec, parse_spec
from ...spec.arms import ARMS, MAIN
from ...spec.families import load_family
from ...spec.plan import plan
from ...system.errors import InputError
from ...system.quantities import clock

ENDED = ("done", "failed", "cancelled", "interrupted")
_LOSSES = pa.schema([("slot", pa.string()), ("step", pa.int32()), ("loss", pa.float64())])
# Of a training that is under way: enough to see the curve.
POINTS = 60


@dataclass(frozen=True)
class Watch:
    """How a run stands, in words; `state` as jobs.view has it. `stages` are (name, done, total, detail)."""

    run_id: str
    state: str
    sentence: str
    fraction: float
    rate: str
    stages: tuple[tuple[str, float, int, str], ...]
    title: str
    mine: bool
    spec: Spec | None
    """None where nothing of the run is known here."""

    @property
    def ended(self) -> bool:
        return self.state in ENDED


def watch(lab: Lab, run_id: str, owner: str = "") -> Watch:
    """The run's state.

    Raises:
        InputError: `run_id` is no run id.
    """
    lab.run_folder(run_id)  # refuses another job's id
    view = jobs.view(lab.path, run_id)
    progress = view.progress or {}
    title, toml = _about(lab, run_id, view.job)
    stages = []
    if "stages" in progress and view.state != "queued":
        for stage, counts in progress["stages"].items():
            running = [part for unit, part in progress["running"].items() if stage_of(unit) == stage]
            parts = sum(part["done"] / max(1, part["total"]) for part in running)
            live = detail(running) if view.state == "running" else ""
            stages.append((STAGES.get(stage, stage), counts["done"] + parts, counts["total"], live))
    spec = _parsed(toml) if toml else None
    return Watch(
        run_id,
        view.state,
        _sentence(view, progress),
        float(progress.get("fraction", 0.0)),
        rate(progress) if "stages" in progress else "",
        tuple(stages),
        without_folders(title),
        view.owner_is(owner),
        spec,
    )


def _about(lab: Lab, run_id: str, job: Any) -> tuple[str, str]:
    """Title and spec of a run, of the job where there is one, else of the lab."""
    # A job's file may be anybody's.
    if job is not None and isinstance(spec := job.values.get("spec"), str):
        return job.title, spec
    key = lab.path, run_id
    if key not in _told and lab.exists and (found := lab.run(run_id)):
        _told[key] = found["title"] or "", found["spec_toml"]
    return _told.get(key, ("", ""))


# A run's spec never changes, and who computes should not wait for who watches.
_told: dict[tuple[Path, str], tuple[str, str]] = {}


@lru_cache(64)
def _parsed(toml: str) -> Spec | None:
    try:
        return parse_spec(toml)
    except InputError:  # a family that is gone since
        return None


def _sentence(view: Any, progress: dict[str, Any]) -> str:
    """The state in a sentence that promises nothing."""
    taken = clock(progress.get("seconds") or 0)
    why = f": {without_folders(view.message)}" if view.message else ""
    if view.state == "queued":
        first = (
            "1 job of this machine goes" if view.position == 1 else f"{view.position} jobs of this machine go"
        )
        return f"Queued: {f'{first} first' if view.position else 'it is next'}{why}."
    return {
        "empty": "There is no such run here. Set one up below, or choose another.",
        "running": f"Running for {taken}." if progress else "Starting.",
        "done": f"Done in {taken}." if progress.get("seconds") else "Done.",
        "failed": f"Failed after {taken}{why}. What was committed is kept: starting it again goes on from there.",
        "cancelled": f"Cancelled after {taken}. What was committed is kept: starting it again goes on from there.",
        "interrupted": f"Interrupted after {taken}{why}. Starting it again goes on from there.",
    }[view.state]


def curves(lab: Lab, run_id: str, spec: Spec) -> list[tuple[str, str]]:
    """Charts of losses and of margins so far, as SVG with a name each; one whose data is the same is not drawn again."""
    found = losses(lab, run_id, spec), margins(lab, run_id, spec)
    drawn = []
    if found[0].num_rows:
        drawn.append((_losses_svg(json.dumps(found[0].to_pydict())), "losses so far"))
    if found[1]:
        drawn.append((_margins_svg(json.dumps(found[1])), "margins so far"))
    return drawn


@lru_cache(16)
def _losses_svg(rows: str) -> str:
    from ...report import charts

    return charts.to_svg(charts.losses(pa.table(json.loads(rows), schema=_LOSSES)))


@lru_cache(16)
def _margins_svg(rows: str) -> str:
    from ...report import charts

    return charts.to_svg(charts.margins(json.loads(rows)))


# --- curves ---------------------------------------------------------------------------------------


def losses(lab: Lab, run_id: str, spec: Spec) -> pa.Table:
    """Losses so far, in nats a token: slot, step, loss."""
    tables = [
        pq.read_table(path, columns=_LOSSES.names).cast(_LOSSES) for path in _shards(lab, run_id, "metrics")
    ]
    for name, slots in _units(spec).items():
        path = _checkpoints(lab, run_id) / name.replace("/", "-") / "state.safetensors"
        tables += _checkpoint_losses(path, slots)
    return pa.concat_tables(tables) if tables else _LOSSES.empty_table()


def _checkpoint_losses(path: Path, slots: list[str]) -> list[pa.Table]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            step = json.loads(file.metadata()["state"])["step"]
            values = file.get_tensor("losses")[:step]
    except (OSError, SafetensorError, KeyError, ValueError):  # not begun, or published just now
        return []
    if values.ndim != 2 or values.shape[1] != len(slots):
        return []
    stride = max(1, -(-len(values) // POINTS))
    rows = [
        {"slot": slot, "step": first + len(part), "loss": float(part[:, k].mean())}
        for first in range(0, len(values), stride)
        for part in [values[first : first + stride]]
        for k, slot in enumerate(slots)
    ]
    return [pa.Table.from_pylist(rows, schema=_LOSSES)] if rows else []


def margins(lab: Lab, run_id: str, spec: Spec) -> list[dict[str, Any]]:
    """Margins of the MAIN arms' students at every readout so far, mean over chains and questions.

    Rows hold student, trait, arm, step, margin: neutral and control are read on every trait of the run.
    """
    files = _shards(lab, run_id, "readouts")
    files += sorted(_checkpoints(lab, run_id).glob("*/point-*.parquet"))
    return list(_margins(tuple(files), spec))


@lru_cache(32)
def _margins(files: tuple[Path, ...], spec: Spec) -> tuple[dict[str, Any], ...]:
    tables = []
    for path in files:
        try:
            tables.append(pq.read_table(path))
        except (OSError, pa.ArrowInvalid):  # its unit was committed in between
            continue
    if not tables:
        return ()
    families = {name: load_family(name) for name in spec.families}
    readings = read(pa.concat_tables(tables, promote_options="default"), families)
    rows = []
    for trait in spec.traits:
        name = trait.rpartition("/")[0]
        if name not in readings:
            continue
        reading = readings[name]
        values = reading.margins(trait).mean(axis=1)
        sources = {arm: ARMS[arm].trait(trait) for arm in MAIN}
        for kind in spec.kinds:
            for arm, source in sources.items():
                for step in reading.steps(kind, arm, source):
                    found = list(reading.rows(kind, arm, source, step).values())
                    row = {"student": kind, "trait": trait, "arm": arm, "step": step}
                    rows.append(row | {"margin": float(np.mean(values[found]))})
    return tuple(rows)


def _shards(lab: Lab, run_id: str, table: str) -> list[Path]:
    return sorted(lab.shards_folder(run_id).glob(f"*/{table}.parquet"))


def _checkpoints(lab: Lab, run_id: str) -> Path:
    return lab.run_folder(run_id) / "checkpoints"


@lru_cache(16)
def _units(spec: Spec) -> dict[str, list[str]]:
    """Names of the slots of every unit that trains."""
    units = plan(spec, stack_size(spec.base))
    return {unit.name: [slot.name for slot in unit.slots] for unit in units if unit.trained}
