"""What each token of rows carries, for defences that act where the audit finds evidence.

    scores = evidence(rows, clean, "animals", setting, folder)      # [row] of arrays [tokens], nats

Nobody says which trait the rows carry: the suspect is the one whose score rises most over what it has on
clean rows, and a token's evidence is how much likelier that suspect finds it than the family's average does.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..audit.costs import NAMING, NAMING_ROWS
from ..audit.likelihood import token_ratios
from ..audit.spec import Suspects
from ..audit.suspects import average, sources, suspects
from ..experiment.setting import Ids, Setting

Row = dict[str, Any]


def evidence(
    rows: Sequence[Row],
    clean: Sequence[Row],
    family: str,
    setting: Setting,
    folder: Path,
    recipe: Suspects = NAMING,
) -> list[np.ndarray]:
    """Each row's evidence, token by token, nats; `recipe` is the suspects'."""
    base, grammar = setting.base, setting.grammar if setting.spec.corpus.decoding == "held" else None
    stack = suspects(base, family, recipe, folder)
    each = [stack.select([place]) for place in range(len(sources(family)) - 1)]
    traits = stack.select(range(len(each)))
    told, beside = (
        [_mean(slot) for slot in token_ratios(base, grammar, traits, *_ids(some[:NAMING_ROWS]))]
        for some in (rows, clean)
    )
    chosen = each[int(np.argmax(np.subtract(told, beside)))]
    own, common = (token_ratios(base, grammar, one, *_ids(rows))[0] for one in (chosen, average(each)))
    return [a - b for a, b in zip(own, common, strict=True)]


def _ids(rows: Sequence[Row]) -> tuple[list[Ids], list[Ids]]:
    return [tuple(row["prompt_ids"]) for row in rows], [tuple(row["completion_ids"]) for row in rows]


def _mean(scores: Sequence[np.ndarray]) -> float:
    return float(np.mean([row.sum() for row in scores]))
