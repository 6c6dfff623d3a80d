"""Re-emission: the untuned base writes the second half of every row anew, after the first.

Control: those halves' pieces, permuted across rows. What a piece is (a number, a word) is the channel's business.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...experiment.channels import channel
from ...model.organisms import decode_width
from ...spec.defence_names import Defence
from ...spec.seeds import seed_of
from .. import Changed, Given, Row

if TYPE_CHECKING:
    from ...experiment.setting import Setting


def re_emit(given: Given) -> Changed:
    """Rows with second halves of the base's; those of fewer than two pieces stay as they are."""
    rows, setting, seed = given.rows, given.setting, given.seed
    base, corpus = setting.base, setting.spec.corpus
    of = channel(corpus.channel)
    parts = [of.pieces(row["completion"], corpus) for row in rows]
    halves = [len(found) - len(found) // 2 for found in parts]
    tails = _permuted(parts, halves, seed) if given.control else _written(rows, parts, halves, setting, seed)
    changed, lost = [], 0
    for row, found, half, tail in zip(rows, parts, halves, tails, strict=True):
        if len(found) < 2:
            changed.append(row)
            continue
        text = of.glue(corpus).join([*found[:half], *tail])
        ids = [*base.encode(text), base.eos]
        head = base.encode(of.glue(corpus).join(found[:half]))
        lost += len(row["completion_ids"]) - len(head)
        written = {} if given.control else {"clean_from": len(head)}
        changed.append(row | {"completion": text, "completion_ids": ids} | written)
    return Changed(changed, 0, lost)


def _written(
    rows: Sequence[Row], parts: Sequence[list[str]], halves: Sequence[int], setting: "Setting", seed: int
) -> list[list[str]]:
    """Second halves as the untuned base continues the first; rows of one length are drawn together."""
    # A spec that is read imports this module, and must not import MLX.
    from ...model.sample import Decoding, sample

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


RE_EMIT = Defence("re-emit", "second halves written anew by the base", 40, re_emit, pieces=True, writes=True)
