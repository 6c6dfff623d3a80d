"""Named changes to a student's rows that are meant to stop transfer, each with its random control.

    changed = defend("mix-25", rows, clean, setting, seed)             # a quarter of the rows is clean
    changed = defend("mix-25", rows, clean, setting, seed, control=True)
    changed = defend("drop-25", rows, clean, setting, seed, evidence=lambda: scores)

A control touches as many rows and tokens as its defence, at the same places, without what the defence
rests on: whatever it stops is the price of touching rows, not the defence's merit. Rows are dicts as the
lab keeps them (row, prompt, prompt_ids, completion, completion_ids); `counted`, where present, says which
tokens of the completion are learned from; `clean_from` is the first token that the untuned base wrote in
the source's place: from there on a soft student learns the base's distributions. Another initialisation
of the student changes no rows: the training's start is the caller's business.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..experiment.channels import channel
from ..experiment.setting import Setting
from ..model.organisms import decode_width
from ..model.sample import Decoding, sample
from ..spec.seeds import seed_of
from ..system.errors import InputError
from .evidence import drop, mask
from .own import own

Row = dict[str, Any]


@dataclass(frozen=True)
class Changed:
    """Rows after a defence, and what they lost: rows and completion tokens of the source that are gone."""

    rows: list[Row]
    rows_lost: int
    tokens_lost: int


def defend(
    name: str,
    rows: Sequence[Row],
    clean: Sequence[Row],
    setting: Setting,
    seed: int,
    control: bool = False,
    evidence: Callable[[], list[np.ndarray]] | None = None,
) -> Changed:
    """Apply a defence, or its random control, to one source's rows.

    Args:
        name: as in the spec's `defences`.
        rows: what the student would train on.
        clean: rows of the untuned base that mixing may take.
        seed: names the draws; a defence and its control choose the same places.
        evidence: what each row's tokens carry; asked for by drop and mask alone, and not by their controls.

    Raises:
        InputError: too few clean rows, or a user's function that does not do as it should.
    """
    if name == "other-init":
        return Changed(list(rows), 0, 0)
    if name == "re-emit":
        return _re_emit(rows, setting, seed, control)
    if name.endswith(".py"):
        return _counted(rows, own(name, rows, setting, seed, control))
    kind, _, percent = name.partition("-")
    share = int(percent) / 100
    if kind == "mix":
        return _mix(rows, clean, share, seed, control)
    scores = None if control or evidence is None else evidence()
    return _counted(rows, {"drop": drop, "mask": mask}[kind](rows, scores, share, seed))


def _mix(rows: Sequence[Row], clean: Sequence[Row], share: float, seed: int, control: bool) -> Changed:
    """Clean rows in the place of a share of the rows; control: other rows of the same source once more."""
    rng = np.random.default_rng([seed, 0])
    count = round(share * len(rows))
    order = rng.permutation(len(rows))
    places, others = order[:count], order[count:]
    if not control and count > len(clean):
        raise InputError(
            f"mixing {share:.0%} needs {count} clean rows, there are {len(clean)}: lower the share"
        )
    if control and not len(others):
        raise InputError(f"mixing {share:.0%} of {len(rows)} rows leaves none to repeat: lower the share")
    # Other prompts than those that leave: a clean row has its own.
    taken = rng.choice(others, count) if control else rng.choice(len(clean), count, replace=False)
    mixed = list(rows)
    for place, index in zip(places, taken, strict=True):
        mixed[place] = rows[index] if control else clean[index] | {"clean_from": 0}
    return Changed(mixed, count, sum(len(rows[p]["completion_ids"]) for p in places))


def _re_emit(rows: Sequence[Row], setting: Setting, seed: int, control: bool) -> Changed:
    """The base writes the second half of every row's pieces anew, after the first; control: those pieces permuted
    across rows. Rows of fewer than two pieces stay as they are."""
    base, corpus = setting.base, setting.spec.corpus
    of = channel(corpus.channel)
    parts = [of.pieces(row["completion"], corpus) for row in rows]
    halves = [len(found) - len(found) // 2 for found in parts]
    tails = _permuted(parts, halves, seed) if control else _written(rows, parts, halves, setting, seed)
    changed, lost = [], 0
    for row, found, half, tail in zip(rows, parts, halves, tails, strict=True):
        if len(found) < 2:
            changed.append(row)
            continue
        text = of.glue(corpus).join([*found[:half], *tail])
        ids = [*base.encode(text), base.eos]
        head = base.encode(of.glue(corpus).join(found[:half]))
        lost += len(row["completion_ids"]) - len(head)
        written = {} if control else {"clean_from": len(head)}
        changed.append(row | {"completion": text, "completion_ids": ids} | written)
    return Changed(changed, 0, lost)


def _written(
    rows: Sequence[Row], parts: Sequence[list[str]], halves: Sequence[int], setting: Setting, seed: int
) -> list[list[str]]:
    """Second halves as the untuned base continues the first; rows of one length are drawn together."""
    base, corpus = setting.base, setting.spec.corpus
    of = channel(corpus.channel)
    tails: list[list[str]] = [[] for _ in rows]
    by_count: dict[int, list[int]] = {}
    for i, (found, half) in enumerate(zip(parts, halves, strict=True)):
        if len(found) >= 2:
            by_count.setdefault(len(found) - half, []).append(i)
    batch = decode_width(base.parameters)
    for count, index in by_count.items():
        decoding = Decoding(1.0, of.grammar(base, corpus, pieces=count), corpus.max_tokens, batch)
        heads = [of.glue(corpus).join(parts[i][: halves[i]]) + of.glue(corpus) for i in index]
        prompts = [(*rows[i]["prompt_ids"], *base.encode(head)) for i, head in zip(index, heads, strict=True)]
        drawn = sample(base, prompts, seed_of(seed, "re-emit", count), decoding)[0]
        for i, ids in zip(index, drawn, strict=True):
            tails[i] = of.pieces(base.decode(ids), corpus)
    return tails


def _permuted(parts: Sequence[list[str]], halves: Sequence[int], seed: int) -> list[list[str]]:
    """Second halves of as many pieces, permuted across all rows."""
    tails = [found[half:] if len(found) >= 2 else [] for found, half in zip(parts, halves, strict=True)]
    pool = [piece for tail in tails for piece in tail]
    # Places are permuted, so that the draws do not depend on what the pieces are.
    order = np.random.default_rng([seed, 1]).permutation(len(pool))
    ends = np.cumsum([len(tail) for tail in tails])
    return [[pool[i] for i in order[end - len(tail) : end]] for tail, end in zip(tails, ends, strict=True)]


def _counted(before: Sequence[Row], after: list[Row]) -> Changed:
    """What a user's function took away: rows, and tokens of rows that it took, rewrote or left uncounted."""
    kept = {row["row"]: row for row in after}
    lost = 0
    for row in before:
        found = kept.get(row["row"])
        if found is None or found["completion_ids"] != row["completion_ids"]:
            lost += len(row["completion_ids"])
        elif "counted" in found:
            lost += found["counted"].count(False)
    return Changed(after, len(before) - len(kept), lost)
