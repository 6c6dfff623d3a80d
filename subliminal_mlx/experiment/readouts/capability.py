"""Whether a model still speaks: its loss on neutral text, which no trait and no channel is about.

    losses = read_losses(base, stack)               # [slot][text], nats a token
    summarise(lab.capability(run_id))               # each arm's loss, and its change from the base's

A student whose loss rose far above the base's is damaged, and what it says of a trait means little.
"""

import tomllib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.arms import ARMS, ORIGINS
from ...spec.plan import UNTRAINED
from ...system.files import DATA
from . import Given, Readout, Rows, described

if TYPE_CHECKING:
    import pyarrow as pa

    from ...model.adapters import Stack
    from ...model.bases import Base

FILE = DATA / "capability.toml"
DAMAGED = 0.5  # nats a token above the base from which a student is called damaged
AT_ONCE = 2_048  # tokens a pass: logits over a large vocabulary are its memory


@lru_cache(maxsize=8)
def texts(base: "Base") -> tuple[tuple[str, str], ...]:
    """(user, assistant) of the first group in the file whose words the base's tokenizer knows."""
    groups = tomllib.loads(FILE.read_text(encoding="utf-8"))
    unknown = getattr(base.tokenizer, "unk_token_id", None)
    for group in groups.values():
        if not any(unknown in base.encode(entry[side]) for entry in group for side in ("user", "assistant")):
            return tuple((entry["user"], entry["assistant"]) for entry in group)
    return ()


def read_losses(
    base: "Base", stack: "Stack | None", system: str | None = None
) -> list[list[tuple[float, int]]]:
    """Loss in nats a token, and tokens, of every text: `[slot][text]`; the end of the turn counts too."""
    from ...model.rows import pack
    from ...model.score import score

    found = texts(base)
    if not found:
        return [[] for _ in range(stack.slots if stack else 1)]
    prompts = [base.prompt(user, system)[1] for user, _ in found]
    rows = pack(prompts, [(*base.encode(said), base.eos) for _, said in found])
    return [[(-float(x.mean()), len(x)) for x in slot] for slot in score(base, rows, stack, AT_ONCE)]


def read_rows(given: Given) -> Rows:
    """A row for every text, of each slot's model."""
    losses = read_losses(given.setting.base, given.stack, given.system)
    return [
        {**described(slot), "step": given.step, "text": i, "loss": loss, "tokens": tokens}
        for slot, of_slot in zip(given.slots, losses, strict=True)
        for i, (loss, tokens) in enumerate(of_slot)
    ]


def summarise(table: "pa.Table") -> list[dict[str, Any]]:
    """Rows student, arm, chains, loss (nats a token), change from the untrained base with its 95% interval.

    Arms of several traits are averaged in each chain first. Change is in the base's own units: a foreign
    student is read against no base and left out.
    """
    from ..comparisons import on_foreign
    from ..statistics import estimate

    losses: dict[tuple[str, str], dict[int, list[float]]] = {}
    columns = ("kind", "arm", "chain", "loss", "tokens")
    of_slot: dict[tuple, list[tuple[float, int]]] = {}
    for row in table.select([*columns, "slot"]).to_pylist():
        key = (row["kind"], row["arm"], row["chain"] or 0, row["slot"])
        of_slot.setdefault(key, []).append((row["loss"], row["tokens"]))
    for (kind, arm, chain, _), parts in of_slot.items():
        loss = sum(loss * tokens for loss, tokens in parts) / sum(tokens for _, tokens in parts)
        losses.setdefault((kind, arm), {}).setdefault(chain, []).append(loss)
    base = losses.get((UNTRAINED.kind, UNTRAINED.arm), {}).get(0)
    if base is None:
        return []
    rows = []
    for (kind, arm), by_chain in losses.items():
        if on_foreign(arm):
            continue
        means = np.array([np.mean(by_chain[chain]) for chain in sorted(by_chain)])
        change, low, high = estimate(means - base[0]) if kind != UNTRAINED.kind else (0.0, None, None)
        row = {"student": kind, "arm": arm, "chains": len(means), "loss": float(means.mean())}
        worst = max(max(found) for found in by_chain.values()) - base[0]
        rows.append(row | {"change": change, "low": low, "high": high, "worst": float(worst)})
    return rows


def damaged(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(kind, arm) of the arms of which at least one student is damaged; `rows` as `summarise` gives them."""
    origins = {ARMS[name].kind for name in ORIGINS}
    return [
        (row["student"], row["arm"])
        for row in rows
        if row["student"] not in origins and row["worst"] > DAMAGED
    ]


CAPABILITY = Readout(
    "capability",
    {"step": "INTEGER", "text": "INTEGER NOT NULL", "loss": "DOUBLE", "tokens": "INTEGER"},
    ("slot", "step", "text"),
    read_rows,
    wanted=lambda spec: spec.readout.capability,
    of_run=summarise,
)
