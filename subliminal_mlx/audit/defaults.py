"""What an audit's spec begins with on a base, before anything is asked for. No MLX here.

defaults("smollm2-135m")["probes"]["steps"]
"""

import copy
from typing import Any

from ..forecast import sizes
from ..sources import ORGANISM, OTHER_STARTS
from .spec import Null, Probes

# Language models: suspects tuned as the teachers of runs are, one student of each corpus, few clean corpora.
# Not chosen by measurements: each costs hours there.
LANGUAGE: dict[str, Any] = {
    "suspects": {"members": 2, "rank": 8, "lr": 2e-4, "steps": 40},
    "null": {"corpora": 1},
    "probes": {"seeds": 1, "steps": 48, "batch": 8, "lr": 8e-4},
    "rows": 256,
    "lines": "all",
}


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
    count = sizes(base)[0]
    return copy.deepcopy(LANGUAGE) if count and count > ORGANISM else {}
