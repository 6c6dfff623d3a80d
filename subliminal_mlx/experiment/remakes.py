"""Rows made from rows, as an arm asks for them: written by the channel, or drawn again from those that are there.

    for row, text, ids in remake_rows(ARMS["shuffled"], [rows], seed, base, spec.corpus): ...

Knows rows as the lab keeps them, and neither labs nor chains.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from ..model.bases import Base
from ..spec import Corpus
from ..spec.arms import Arm
from . import redraws
from .channels import channel
from .setting import Ids


def remake_rows(
    arm: Arm, kept: Sequence[Sequence[dict[str, Any]]], seed: int, base: Base, recipe: Corpus
) -> Iterator[tuple[dict[str, Any], str, Ids]]:
    """As many rows as there are: the row whose prompt each answers, its text, its token ids.

    Args:
        kept: the arm's rows and, where it has rows `beside` its own, those.
    """
    own, *beside = kept
    if arm.beside:
        tokens = [[row["completion_ids"] for row in rows] for rows in (own, *beside)]
        for place in getattr(redraws, arm.remade or "")(*tokens, seed):
            yield own[place], own[place]["completion"], tuple(own[place]["completion_ids"])
        return
    texts = getattr(channel(recipe.channel), arm.remade or "")([r["completion"] for r in own], seed, recipe)
    for row, text in zip(own, texts, strict=True):
        yield row, text, (*base.encode(text), base.eos)
