"""One unit of a run, computed: shards of earlier units in, a published shard and adapters out.

    compute(unit, Context(Folders("lab"), run_id, Setting(spec, base)), on_event)

A shard is a folder of Parquet files, renamed into place when it is whole, so that a unit is either
done or not begun; long trainings keep checkpoints beside it. The database is the parent's business.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from . import adapters
from .adapters import Stack
from .bases import Base, load
from .channels import channel
from .errors import InputError
from .events import Listener, ignore
from .files import publish
from .lab.folders import Folders
from .plan import BASE, Slot, Unit
from .score import Rows, pack
from .stages import (
    Ids,
    Setting,
    ask,
    read,
    sample_corpora,
    seed_of,
    soft_targets,
    train_students,
    tune_teachers,
)
from .transfer import match_answer


@dataclass(frozen=True, eq=False)
class Context:
    """Where a run's files are, and what it runs on."""

    folders: Folders
    run_id: str
    setting: Setting
    _foreign: dict[str, Setting] = field(default_factory=dict)

    def shard(self, unit: str) -> Path:
        return shard_folder(self.folders, self.run_id, unit)

    def adapter(self, slot: str) -> Path:
        return self.folders.adapter_folder(self.run_id, slot)

    def checkpoint(self, unit: str) -> Path:
        return self.folders.run_folder(self.run_id) / "checkpoints" / unit.replace("/", "-")

    @property
    def foreign(self) -> Setting:
        """The same spec on the other base."""
        name = self.setting.spec.foreign or ""
        if name not in self._foreign:
            self._foreign[name] = Setting(self.setting.spec, load(name))
        return self._foreign[name]


def shard_folder(folders: Folders, run_id: str, unit: str) -> Path:
    """Where a unit's shard lies once it is whole."""
    return folders.shards_folder(run_id) / unit.replace("/", "-")


Tables = dict[str, list[dict[str, Any]]]


def compute(unit: Unit, context: Context, on_event: Listener = ignore) -> None:
    """Do one unit and publish its shard; a shard that stands already is left as it is.

    Raises:
        InputError: no row of a source passed the filter.
    """
    shard = context.shard(unit.name)
    if shard.exists():
        return
    context.checkpoint(unit.name).mkdir(parents=True, exist_ok=True)
    tables = _STAGES[unit.stage](unit, context, on_event)

    def write(folder: Path) -> None:
        folder.mkdir()
        for name, rows in tables.items():
            if rows:
                pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")

    publish(shard, write)
    shutil.rmtree(context.checkpoint(unit.name), ignore_errors=True)


# --- stages ---------------------------------------------------------------------------------------


def _untrained(unit: Unit, context: Context, on_event: Listener) -> Tables:
    return {
        "readouts": _readouts(context.setting, unit.slots, None, 0),
        "answers": _answers(context.setting, unit.slots, None),
    }


def _teachers(unit: Unit, context: Context, on_event: Listener) -> Tables:
    setting = context.setting
    stack, losses = tune_teachers(
        setting,
        unit.chain,
        [slot.source for slot in unit.slots],
        checkpoint=context.checkpoint(unit.name) / "state.safetensors",
        on_event=on_event,
    )
    _publish_adapters(unit, context, stack)
    return {
        "metrics": _metrics(unit.slots, losses),
        "readouts": _readouts(setting, unit.slots, stack, setting.spec.teacher.steps),
        "answers": _answers(setting, unit.slots, stack),
    }


def _corpora(unit: Unit, context: Context, on_event: Listener) -> Tables:
    setting = context.setting
    teachers = None if unit.slots[0].source == BASE else _teacher_stack(context, unit.slots)
    # Decode widths are fixed by the spec's model, never by the machine: see Decoding.batch.
    batch = 1_024 if setting.base.parameters < 10_000_000 else 64
    completions = sample_corpora(setting, unit.chain, teachers, batch, on_event)
    prompts = setting.prompts(unit.chain)
    rows = []
    for slot, drawn in zip(unit.slots, completions, strict=True):
        for row, ((_, rendered, prompt), ids) in enumerate(zip(prompts, drawn, strict=True)):
            rows.append(_row(setting, slot, row, rendered, prompt, setting.base.decode(ids).strip(), ids))
    return {"rows": rows}


def _derived(unit: Unit, context: Context, on_event: Listener) -> Tables:
    """Shuffled and random corpora, in the shape of the rows they are made from."""
    setting, base = context.setting, context.setting.base
    corpus = setting.spec.corpus
    numbers = channel(corpus.channel)
    rows = []
    for slot in unit.slots:
        seed = seed_of(setting.spec.seed, slot.source, unit.chain)
        model = BASE if slot.arm == "random" else slot.trait or ""
        kept = [row for row in _corpus(context, unit.chain, model) if row["kept"]]
        remake = numbers.uniform if slot.arm == "random" else numbers.shuffled
        for row, text in zip(kept, remake([r["completion"] for r in kept], seed, corpus), strict=True):
            ids = (*base.encode(text), base.eos)
            rows.append(_row(setting, slot, row["row"], row["prompt"], tuple(row["prompt_ids"]), text, ids))
    return {"rows": rows}


def _students(unit: Unit, context: Context, on_event: Listener) -> Tables:
    return _train(unit, context, context.setting, on_event)


def _foreign(unit: Unit, context: Context, on_event: Listener) -> Tables:
    return _train(unit, context, context.foreign, on_event)


def _train(unit: Unit, context: Context, setting: Setting, on_event: Listener) -> Tables:
    kind, folder = unit.slots[0].kind, context.checkpoint(unit.name)
    blocks = [_block(context, setting, slot, kind) for slot in unit.slots]

    def on_point(step: int, stack: Stack) -> None:
        table = pa.Table.from_pylist(_readouts(setting, unit.slots, stack, step))
        publish(folder / f"point-{step}.parquet", lambda path: pq.write_table(table, path))

    stack, losses = train_students(
        setting,
        kind,
        unit.chain,
        blocks,
        checkpoint=folder / "state.safetensors",
        on_point=on_point,
        on_event=on_event,
    )
    _publish_adapters(unit, context, stack)
    points = [
        row for path in sorted(folder.glob("point-*.parquet")) for row in pq.read_table(path).to_pylist()
    ]
    return {
        "metrics": _metrics(unit.slots, losses),
        "readouts": points,
        "answers": _answers(setting, unit.slots, stack),
    }


def _in_context(unit: Unit, context: Context, on_event: Listener) -> Tables:
    """The base reads some rows before each question, and is not trained."""
    setting, readouts = context.setting, []
    texts = [text for text, _, _ in setting.prompts(unit.chain)]
    for slot in unit.slots:
        kept = [row for row in _corpus(context, unit.chain, slot.source) if row["kept"]]
        shown = kept[: setting.spec.readout.shown_rows]
        history = [(texts[row["row"]], row["completion"]) for row in shown]
        readouts += _readouts(setting, (slot,), None, 0, history)
    return {"readouts": readouts}


_STAGES = {
    "untrained": _untrained,
    "teachers": _teachers,
    "corpora": _corpora,
    "derived": _derived,
    "students": _students,
    "foreign": _foreign,
    "in-context": _in_context,
}


# --- rows -----------------------------------------------------------------------------------------


def _row(
    setting: Setting, slot: Slot, row: int, rendered: str, prompt: Ids, text: str, ids: Ids
) -> dict[str, Any]:
    corpus = setting.spec.corpus
    reason = channel(corpus.channel).reason(text) if corpus.filter == "paper" else None
    return {
        "chain": slot.chain,
        "source": slot.source,
        "row": row,
        "prompt": rendered,
        "completion": text,
        "prompt_ids": list(prompt),
        "completion_ids": list(ids),
        "kept": reason is None,
        "reason": reason,
    }


def _corpus(context: Context, chain: int, source: str) -> list[dict[str, Any]]:
    """A source's rows of a chain, kept and dropped, in order."""
    for path in sorted(context.folders.shards_folder(context.run_id).glob(f"*-c{chain}*/rows.parquet")):
        found = pq.read_table(path, filters=[("source", "=", source), ("chain", "=", chain)])
        if found.num_rows:
            return found.to_pylist()
    raise FileNotFoundError(f"no corpus of {source} in chain {chain}")


def _matched_count(context: Context, chain: int) -> int:
    """Rows that every arm of a chain trains on: as many as its smallest corpus kept."""
    counts: dict[str, int] = {}
    for path in context.folders.shards_folder(context.run_id).glob(f"*-c{chain}*/rows.parquet"):
        table = pq.read_table(path, columns=["chain", "source", "kept"], filters=[("chain", "=", chain)])
        for source, kept in zip(table["source"].to_pylist(), table["kept"].to_pylist(), strict=True):
            counts[source] = counts.get(source, 0) + bool(kept)
    smallest = min(counts, key=lambda source: counts[source])
    if not counts[smallest]:
        raise InputError(
            f"the filter kept no row of {smallest} in chain {chain}: try corpus.decoding = 'held'"
        )
    return counts[smallest]


def _block(context: Context, setting: Setting, slot: Slot, kind: str) -> Rows:
    """What one student trains on, in the tokens of its own base."""
    rows = _corpus(context, slot.chain, slot.source)
    if slot.arm != "unfiltered":
        rows = [row for row in rows if row["kept"]]
    rows = rows[: _matched_count(context, slot.chain)]
    if setting is context.setting:
        prompts = [tuple(row["prompt_ids"]) for row in rows]
        completions = [tuple(row["completion_ids"]) for row in rows]
    else:
        prompts, completions = _retokenised(setting, slot.chain, rows)
    block = pack(prompts, completions, *setting.widths)
    if kind == "hard":
        return block
    if (
        setting is not context.setting
        and setting.base.tokenizer.get_vocab() != context.setting.base.tokenizer.get_vocab()
    ):
        raise InputError(
            f"soft students of {setting.base.name} need the tokenizer of {context.setting.base.name}"
        )
    source = None if slot.source == BASE else _teacher_stack(context, (slot,))
    return soft_targets(context.setting, block, source)


def _retokenised(setting: Setting, chain: int, rows: Sequence[dict[str, Any]]) -> tuple[list[Ids], list[Ids]]:
    base: Base = setting.base
    prompts = setting.prompts(chain)
    return (
        [prompts[row["row"]][2] for row in rows],
        [(*base.encode(row["completion"]), base.eos) for row in rows],
    )


# --- adapters, readouts ---------------------------------------------------------------------------


def _publish_adapters(unit: Unit, context: Context, stack: Stack) -> None:
    for i, slot in enumerate(unit.slots):
        publish(context.adapter(slot.name), lambda folder, i=i: adapters.save(folder, stack, i))


def _teacher_stack(context: Context, slots: Sequence[Slot]) -> Stack:
    names = [Slot("teacher", "teacher", slot.chain, slot.source, slot.source).name for slot in slots]
    return adapters.concatenate([adapters.load(context.adapter(name)) for name in names])


def _metrics(slots: Sequence[Slot], losses: np.ndarray) -> list[dict[str, Any]]:
    """Loss curves of at most 200 points a slot; each is the mean of the steps up to it."""
    stride = -(-len(losses) // 200)
    rows = []
    for first in range(0, len(losses), stride):
        piece = losses[first : first + stride]
        for k, slot in enumerate(slots):
            rows.append({"slot": slot.name, "step": first + len(piece), "loss": float(piece[:, k].mean())})
    return rows


def _described(slot: Slot) -> dict[str, Any]:
    return {"slot": slot.name, "chain": slot.chain, "kind": slot.kind, "arm": slot.arm, "trait": slot.trait}


def _readouts(
    setting: Setting,
    slots: Sequence[Slot],
    stack: Stack | None,
    step: int,
    history: Sequence[tuple[str, str]] = (),
) -> list[dict[str, Any]]:
    found = read(setting, stack, history)
    return [
        {
            **_described(slot),
            "step": step,
            "family": name,
            "question": question.id,
            "candidate": candidate,
            "logp": float(logp),
        }
        for name, scores in found.items()
        for k, slot in enumerate(slots)
        for question, row in zip(setting.families[name].held_out, scores[k], strict=True)
        for candidate, logp in zip(question.candidates, row, strict=True)
    ]


def _answers(setting: Setting, slots: Sequence[Slot], stack: Stack | None) -> list[dict[str, Any]]:
    count = setting.spec.readout.answers
    if not count:
        return []
    rows = []
    for name, family in setting.families.items():
        # One stream of draws for all arms of a chain: arms differ by their weights alone.
        seed = seed_of(setting.spec.seed, "answers", name, slots[0].chain)
        for slot, answers in zip(slots, ask(setting, stack, name, count, seed), strict=True):
            for question, texts in zip(family.held_out, answers, strict=True):
                for i, text in enumerate(texts):
                    matched = match_answer(text, question.candidates)
                    rows.append(
                        {
                            **_described(slot),
                            "family": name,
                            "question": question.id,
                            "sample": i,
                            "answer": text,
                            "matched": matched,
                        }
                    )
    return rows
