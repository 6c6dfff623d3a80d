"""What an audit's spec begins with on a base, before anything is asked for. No MLX here.

defaults("smollm2-135m")["probes"]["steps"]
first_look("smollm2-135m")           # ("suspects.members=1", ...)
"""

import copy
from typing import Any

from ..organisms import OTHER_STARTS, is_organism
from ..sources import locate
from .spec import Null, Probes

# Language models: suspects tuned as the teachers of runs are, few clean corpora, and where probe students are
# asked for one of each corpus. Not chosen by measurements: each costs hours there.
LANGUAGE: dict[str, Any] = {
    "suspects": {"members": 2, "rank": 8, "lr": 2e-4, "steps": 40},
    "null": {"corpora": 1},
    "probes": {"seeds": 1, "steps": 48, "batch": 8, "lr": 8e-4},
    "rows": 256,
}

# A first look: ranks, no verdict, in a small part of the time. Those of language models have few steps
# already; what is left to save there are members, and clean corpora too few to say much.
FIRST_LOOK = "first look"
ORGANISMS_LOOK = (
    *("suspects.members=1", "suspects.steps=60", "suspects.neutral_answers=20", "reference_rows=500"),
    *("null.corpora=5", "null.pool=500", "null.teachers=2", "null.own_rows=50"),
)
LANGUAGE_LOOK = ("suspects.members=1", "suspects.neutral_answers=20", "null.corpora=0")

# Of each of five kinds: what a verdict's null needs for one family more.
A_FAMILY = 20


def defaults(base: str, families: int = 1) -> dict[str, Any]:
    """Fields of an audit's spec that a base asks for; of another kind than the spec's own on language models.

    More families need more clean corpora, since p is multiplied by their number.

    Raises:
        InputError: no such base.
    """
    if base in OTHER_STARTS:
        each = A_FAMILY * families
        null = {"other_base": OTHER_STARTS[base], "corpora": max(each, Null().corpora)}
        return {"null": null, "probes": {"null": max(each, Probes().null)}}
    return copy.deepcopy(LANGUAGE) if on_language(base) else {}


def first_look(base: str) -> tuple[str, ...]:
    """Changes of a base's defaults for a first look at a corpus.

    Raises:
        InputError: no such base.
    """
    return LANGUAGE_LOOK if on_language(base) else ORGANISMS_LOOK


def on_language(base: str) -> bool:
    """Whether it is a language model.

    Raises:
        InputError: no such base.
    """
    count = locate(base).parameters
    return count is not None and not is_organism(count)
