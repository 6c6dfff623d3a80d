"""Rows of a run's corpora: as they are handed in, and as a student trains on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..experiment.comparisons import on_foreign
from ..experiment.judges import Rows as TokenRows
from ..experiment.setting import Ids, Setting
from ..experiment.students import soft_targets
from ..experiment.teachers import system_of
from ..lab.folders import Folders
from ..model import adapters
from ..model.adapters import Stack
from ..model.bases import Base, load
from ..model.rows import Rows, pack
from ..spec.arms import ARMS
from ..spec.plan import BASE, Slot, teacher
from ..system.errors import InputError


@dataclass(frozen=True, eq=False)
class Context:
    """Where a run's files are, and what it runs on."""

    folders: Folders
    run_id: str
    setting: Setting
    own_files: Mapping[str, str] = field(default_factory=dict)
    """Hashes of users' files of code as the run's id has them."""
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

    def setting_of(self, arm: str) -> Setting:
        """What an arm's models start from."""
        return self.foreign if on_foreign(arm) else self.setting

    def tuning(self, arm: str) -> Setting:
        """What an arm's teachers are tuned by: some keep more than the spec's own. It is for nothing that they write."""
        setting, made = self.setting_of(arm), self.setting.spec.teacher_of(arm)
        if made == setting.spec.teacher:
            return setting
        return replace(setting, spec=setting.spec.model_copy(update={"teacher": made}))

    def writing(self, slot: Slot) -> Setting:
        """What the model is on that wrote the rows of a slot's source, in whose tokens they are kept."""
        return self.setting_of(teacher(slot.chain, slot.source).arm)


def shard_folder(folders: Folders, run_id: str, unit: str) -> Path:
    """Where a unit's shard lies once it is whole."""
    return folders.shards_folder(run_id) / unit.replace("/", "-")


def row_of(
    setting: Setting, slot: Slot, row: int, rendered: str, prompt: Ids, text: str, ids: Ids
) -> dict[str, Any]:
    """A row as the lab keeps it, dropped with the filter's reason."""
    reason = setting.filter({"row": row, "prompt": rendered, "completion": text})
    if reason is None and setting.spec.corpus.filter == "paper" and _hidden(setting, ids):
        reason = "special tokens"
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


def _hidden(setting: Setting, ids: Ids) -> bool:
    """Whether tokens that its text does not show stand in a completion, its end left aside."""
    inner = ids[:-1] if ids and ids[-1] == setting.base.eos else ids
    return not setting.special.isdisjoint(inner)


def corpus(context: Context, chain: int, source: str) -> list[dict[str, Any]]:
    """A source's rows of a chain, kept and dropped, in order."""
    return _stored(context, chain, source).to_pylist()


def kept_tokens(context: Context, source: str, chain: int) -> tuple[TokenRows, np.ndarray]:
    """Token ids of a source's kept rows of a chain, and the number of each one's prompt `[R]`."""
    found = _stored(context, chain, source, ["row", "completion_ids", "kept"])
    found = found.filter(found["kept"])
    return TokenRows.of(found["completion_ids"].to_numpy()), found["row"].to_numpy()


def _stored(context: Context, chain: int, source: str, columns: list[str] | None = None) -> pa.Table:
    """A source's rows of a chain, or these columns of them, from the shard that holds them."""
    wanted = [("source", "=", source), ("chain", "=", chain)]
    for path in sorted(context.folders.shards_folder(context.run_id).glob(f"*-c{chain}*/rows.parquet")):
        found = pq.read_table(path, columns=columns, filters=wanted)
        if found.num_rows:
            return found
    raise FileNotFoundError(f"no corpus of {source} in chain {chain}")


def matched_count(context: Context, chain: int) -> int:
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


def training_block(context: Context, setting: Setting, slot: Slot, kind: str) -> Rows:
    """What one student trains on, in the tokens of its own base."""
    rows = corpus(context, slot.chain, slot.source)
    if slot.arm not in ARMS or ARMS[slot.arm].kept:
        rows = [row for row in rows if row["kept"]]
    rows = rows[: matched_count(context, slot.chain)]
    writing = context.writing(slot)
    block = packed(writing, setting, slot.chain, rows)
    if kind == "hard":
        return block
    if setting is not writing and setting.base.tokenizer.get_vocab() != writing.base.tokenizer.get_vocab():
        raise InputError(f"soft students of {setting.base.name} need the tokenizer of {writing.base.name}")
    source = None if slot.source == BASE else teacher_stack(context, (slot,))
    return soft_targets(writing, block, source, as_the_source_read(writing, slot, rows, block.widest))


def told(setting: Setting, slot: Slot) -> str | None:
    """What the prompted teacher was told that wrote a slot's source; None of tuned ones and of the base."""
    return system_of(setting, teacher(slot.chain, slot.source).trait or "")


def as_the_source_read(
    writing: Setting, slot: Slot, rows: Sequence[dict[str, Any]], widest: int
) -> Rows | None:
    """The completions after the prompts that a prompted teacher read, its persona included."""
    system = told(writing, slot)
    if system is None:
        return None
    prompts = writing.prompts(slot.chain, system)
    completions = [tuple(row["completion_ids"]) for row in rows]
    return pack([prompts[row["row"]][2] for row in rows], completions, widest=widest)


def packed(writing: Setting, setting: Setting, chain: int, rows: Sequence[dict[str, Any]]) -> Rows:
    """Rows of one setting's models in the tokens of another's base, as wide as any row of the run."""
    if setting is not writing:
        return pack(*retokenised(setting, chain, rows), *setting.widths)
    prompts = [tuple(row["prompt_ids"]) for row in rows]
    return pack(prompts, [tuple(row["completion_ids"]) for row in rows], *setting.widths)


def retokenised(setting: Setting, chain: int, rows: Sequence[dict[str, Any]]) -> tuple[list[Ids], list[Ids]]:
    base: Base = setting.base
    prompts, widest = setting.prompts(chain), setting.widths[1]
    completions = [(*base.encode(row["completion"]), base.eos) for row in rows]
    if over := next((ids for ids in completions if len(ids) > widest), None):
        raise InputError(
            f"a row takes {len(over)} tokens of {base.name}, over corpus.max_tokens = {widest}: raise that"
        )
    return [prompts[row["row"]][2] for row in rows], completions


def teacher_stack(context: Context, slots: Sequence[Slot]) -> Stack | None:
    """The tuned teachers of the slots' sources, as one stack; None where teachers are prompted."""
    if context.setting.spec.teacher.kind == "prompted":
        return None
    names = [teacher(slot.chain, slot.source).name for slot in slots]
    return adapters.concatenate([adapters.load_adapter(context.adapter(name)) for name in names])
