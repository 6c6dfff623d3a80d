"""One unit of a run, computed: shards of earlier units in, a published shard and adapters out.

    compute(unit, Context(Folders("lab"), run_id, Setting(spec, base)), on_event)

A shard is a folder of Parquet files, renamed into place when it is whole, so that a unit is either
done or not begun; long trainings keep checkpoints beside it. The database is the parent's business.
"""

import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..experiment.readouts import Given, Readout, readouts
from ..experiment.readouts.candidates import CANDIDATES
from ..experiment.remakes import remake_rows
from ..experiment.setting import Setting
from ..experiment.students import equally_spaced, recipe_of, sample_corpora, shape_of, train_on_rows
from ..experiment.teachers import tune_chain
from ..lab.identity import own_fingerprints
from ..model import adapters
from ..model.adapters import Stack
from ..model.organisms import decode_width
from ..model.rows import Rows
from ..spec.arms import ARMS, ORIGINS
from ..spec.plan import BASE, Slot, Unit, neutral
from ..spec.seeds import seed_of
from ..system.errors import InputError
from ..system.events import Listener, ignore, part
from ..system.files import publish
from .corpora import (
    Context,
    corpus,
    kept_tokens,
    row_of,
    shard_folder,
    teacher_stack,
    told,
    training_block,
)
from .defended import costs, defended_block, start_of

__all__ = ["Context", "compute", "shard_folder"]

Tables = dict[str, list[dict[str, Any]]]
MOST_POINTS = 200  # of a loss curve


def compute(unit: Unit, context: Context, on_event: Listener = ignore) -> None:
    """Do one unit and publish its shard; a shard that stands already is left as it is.

    Raises:
        InputError: no row of a source passed the filter, or a user's file of code is another than the run's.
    """
    shard = context.shard(unit.name)
    if shard.exists():
        return
    context.checkpoint(unit.name).mkdir(parents=True, exist_ok=True)
    tables = _STAGES[unit.stage](unit, context, on_event)
    _check_own_files(context)

    def write(folder: Path) -> None:
        folder.mkdir()
        for name, rows in tables.items():
            if rows:
                pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")

    publish(shard, write)
    shutil.rmtree(context.checkpoint(unit.name), ignore_errors=True)


def _check_own_files(context: Context) -> None:
    """Nothing is published that another file has made than the one which the run's id names."""
    found = own_fingerprints(context.setting.spec) if context.own_files else {}
    if changed := next((name for name in found if found[name] != context.own_files[name]), None):
        path = changed.partition("/")[2]
        raise InputError(
            f"{path} changed while run {context.run_id} went on: put back what it was and `resume`, or `run` its "
            "spec anew, which is another run"
        )


# --- stages ---------------------------------------------------------------------------------------


def _untrained(unit: Unit, context: Context, on_event: Listener) -> Tables:
    return _read(Given(context.setting, unit.slots))


def _teachers(unit: Unit, context: Context, on_event: Listener) -> Tables:
    arm = unit.slots[0].arm
    stack, losses = tune_chain(
        context.tuning(arm),
        unit.chain,
        [slot.trait or "" for slot in unit.slots],
        checkpoint=context.checkpoint(unit.name) / "state.safetensors",
        on_event=on_event,
    )
    _publish_adapters(unit, context, stack)
    setting = context.setting_of(arm)
    tables = _read(Given(setting, unit.slots, stack, setting.spec.teacher.all_steps))
    return {"metrics": _loss_curves(unit.slots, losses), **tables}


def _prompted(unit: Unit, context: Context, on_event: Listener) -> Tables:
    """Prompted teachers need no training: each is read with its own persona."""
    setting = context.setting_of(unit.slots[0].arm)
    return _joined(_read(Given(setting, (slot,), system=told(setting, slot))) for slot in unit.slots)


def _corpora(unit: Unit, context: Context, on_event: Listener) -> Tables:
    first, chain = unit.slots[0], unit.chain
    setting, stream = context.writing(first), "" if first.arm in ORIGINS else first.arm
    batch = decode_width(setting.base.parameters)
    teachers = None if first.source == BASE else teacher_stack(context, unit.slots)
    if teachers or first.source == BASE:
        completions = sample_corpora(setting, chain, teachers, batch, on_event, stream=stream)
    else:
        # Each reads prompts of its own length, so they share no stack.
        completions = []
        for i, slot in enumerate(unit.slots):
            listen = part(on_event, i, len(unit.slots))
            system = told(setting, slot)
            completions += sample_corpora(setting, chain, None, batch, listen, system, stream)
    prompts = setting.prompts(chain)
    rows = []
    for slot, drawn in zip(unit.slots, completions, strict=True):
        for row, ((_, rendered, prompt), ids) in enumerate(zip(prompts, drawn, strict=True)):
            rows.append(row_of(setting, slot, row, rendered, prompt, setting.base.decode(ids).strip(), ids))
    return {"rows": rows}


def _derived(unit: Unit, context: Context, on_event: Listener) -> Tables:
    """Corpora of arms whose rows are remade, in the shape of the rows they are made from."""
    setting, rows = context.setting, []
    for slot in unit.slots:
        arm, own = ARMS[slot.arm], slot.trait or BASE
        sources = (own, neutral(own.rpartition("/")[0])) if arm.beside else (own,)
        kept = [[row for row in corpus(context, unit.chain, source) if row["kept"]] for source in sources]
        seed = seed_of(setting.spec.seed, slot.source, unit.chain)
        for row, text, ids in remake_rows(arm, kept, seed, setting.base, setting.spec.corpus):
            rows.append(row_of(setting, slot, row["row"], row["prompt"], tuple(row["prompt_ids"]), text, ids))
    return {"rows": rows}


def _rows(unit: Unit, context: Context, on_event: Listener) -> Tables:
    """What is read of rows, before any student has learned from them."""
    return _read(Given(context.setting, unit.slots, rows=partial(kept_tokens, context)))


def _students(unit: Unit, context: Context, on_event: Listener) -> Tables:
    tables, stack = _train(unit, context, context.setting, on_event)
    if context.setting.spec.defences:
        # What a defence costs is read against its undefended student.
        undefended = [None] * len(unit.slots)
        tables["costs"] = costs(context, context.setting, unit.slots, stack, undefended)
    return tables


def _foreign(unit: Unit, context: Context, on_event: Listener) -> Tables:
    return _train(unit, context, context.foreign, on_event)[0]


def _defended(unit: Unit, context: Context, on_event: Listener) -> Tables:
    setting, kind = context.setting_of(unit.slots[0].arm), unit.slots[0].kind
    made = [defended_block(context, setting, slot, kind) for slot in unit.slots]
    tables, stack = _train(unit, context, setting, on_event, [block for block, _ in made], start_of(unit))
    tables["costs"] = costs(context, setting, unit.slots, stack, [changed for _, changed in made])
    return tables


def _train(
    unit: Unit,
    context: Context,
    setting: Setting,
    on_event: Listener,
    blocks: Sequence[Rows] = (),
    start: str = "",
) -> tuple[Tables, Stack]:
    """Students of one kind and chain: same start, same order of the data.

    `start` names other starting weights of the adapters than the chain's own, on the same base.
    """
    spec, kind, folder = setting.spec, unit.slots[0].kind, context.checkpoint(unit.name)
    blocks = blocks or [training_block(context, setting, slot, kind) for slot in unit.slots]

    def on_point(step: int, stack: Stack) -> None:
        for name, rows in _read(
            Given(setting, unit.slots, stack, step), lambda readout: readout.at_points
        ).items():
            table = pa.Table.from_pylist(rows)
            publish(folder / f"{_point(name)}-{step}.parquet", lambda path, t=table: pq.write_table(t, path))

    student, seed = spec.kinds[kind], seed_of(spec.seed, "student", unit.chain)
    first = seed_of(spec.seed, "student", unit.chain, start) if start else seed
    stack, losses = train_on_rows(
        setting.base,
        blocks,
        shape_of(student),
        recipe_of(spec, student),
        [seed] * len(blocks),
        starts=[first] * len(blocks),
        checkpoint=folder / "state.safetensors",
        points=equally_spaced(student.steps, spec.readout.points),
        on_point=on_point,
        on_event=on_event,
    )
    _publish_adapters(unit, context, stack)
    tables = {"metrics": _loss_curves(unit.slots, losses)}
    for name in readouts():
        points = sorted(folder.glob(f"{_point(name)}-*.parquet"))
        tables[name] = [row for path in points for row in pq.read_table(path).to_pylist()]
    return tables | _read(
        Given(setting, unit.slots, stack, student.steps), lambda readout: not readout.at_points
    ), stack


def _point(readout: str) -> str:
    """How the files of a readout's points begin; those of candidates had no name before there were others."""
    return "point" if readout == CANDIDATES.name else f"{readout}-point"


def _in_context(unit: Unit, context: Context, on_event: Listener) -> Tables:
    """The base reads some rows before each question, and is not trained."""
    setting, tables = context.setting, []
    texts = [text for text, _, _ in setting.prompts(unit.chain)]
    for slot in unit.slots:
        kept = [row for row in corpus(context, unit.chain, slot.source) if row["kept"]]
        shown = kept[: setting.spec.readout.shown_rows]
        history = [(texts[row["row"]], row["completion"]) for row in shown]
        tables.append(_read(Given(setting, (slot,), history=history), lambda readout: readout.in_context))
    return _joined(tables)


def _read(given: Given, which: Callable[[Readout], bool] = lambda readout: True) -> Tables:
    """Rows of those readouts that the spec asks for."""
    of_rows = given.rows is not None
    wanted = (
        r for r in readouts().values() if r.of_rows == of_rows and which(r) and r.wanted(given.setting.spec)
    )
    return {readout.name: readout.read(given) for readout in wanted}


def _loss_curves(slots: Sequence[Slot], losses: np.ndarray) -> list[dict[str, Any]]:
    """Loss curves of at most MOST_POINTS points a slot; each is the mean of the steps up to it."""
    stride = -(-len(losses) // MOST_POINTS)
    rows = []
    for first in range(0, len(losses), stride):
        piece = losses[first : first + stride]
        for k, slot in enumerate(slots):
            rows.append({"slot": slot.name, "step": first + len(piece), "loss": float(piece[:, k].mean())})
    return rows


def _joined(parts: Iterable[Tables]) -> Tables:
    """The rows of several models' tables, one table after the other."""
    tables: Tables = {}
    for of_model in parts:
        for name, rows in of_model.items():
            tables[name] = tables.get(name, []) + rows
    return tables


def _publish_adapters(unit: Unit, context: Context, stack: Stack) -> None:
    for i, slot in enumerate(unit.slots):
        publish(context.adapter(slot.name), lambda folder, i=i: adapters.save_adapter(folder, stack, i))


_STAGES = {
    "untrained": _untrained,
    "teachers": _teachers,
    "prompted": _prompted,
    "corpora": _corpora,
    "derived": _derived,
    "rows": _rows,
    "students": _students,
    "foreign": _foreign,
    "defended": _defended,
    "in-context": _in_context,
}
