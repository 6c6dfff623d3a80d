"""A user's own defence: a function of rows in a Python file.

    # mine.py
    def defend(rows, seed):
        return [row for row in rows if "13" not in row["completion"]]

`rows` are dicts with row (its number), prompt and completion (texts). It returns those to keep, in any
order; a completion may be rewritten, and `skip`, a list of (first, last) characters of the completion,
names parts that are not learned from. It must be a pure function of its arguments. The file is the user's
own code and runs as such. The random control drops as many rows, permutes as many completions among rows,
and skips as many tokens, at random places.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.defence_names import Defence
from ...spec.own_code import failures, function_of
from ...system.errors import InputError
from .. import Changed, Given, Row

if TYPE_CHECKING:
    from ...experiment.setting import Setting


def own(given: Given) -> Changed:
    """Rows after the function in the file, or after a control that touches as many.

    Raises:
        InputError: the file or its function fails, or returns what it should not.
    """
    path, rows, setting = given.name, given.rows, given.setting
    changed = _applied(path, rows, _called(path, rows, given.seed), setting)
    if given.control:
        changed = _control(rows, changed, given.seed)
    return Changed.between(rows, changed)


def _called(path: str, rows: Sequence[Row], seed: int) -> list[Any]:
    given = [{key: row[key] for key in ("row", "prompt", "completion")} for row in rows]
    defend = function_of("defence", path, "defend", "rows, seed")
    with failures("defence", path):
        returned = defend(given, seed)
    if not isinstance(returned, list) or not returned:
        raise InputError(f"defence {path}: `defend` must return a list of at least one row")
    return returned


def _applied(path: str, rows: Sequence[Row], kept: list[Any], setting: "Setting") -> list[Row]:
    base, by_number = setting.base, {row["row"]: row for row in rows}
    changed: list[Row] = []
    seen = set()
    for found in kept:
        number = found.get("row") if isinstance(found, dict) else None
        if number not in by_number or number in seen:
            raise InputError(
                f"defence {path}: it returned {found!r:.60}, which is none of the rows, or twice"
            )
        seen.add(number)
        row, text = by_number[number], found.get("completion")
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"defence {path}: row {number} has no completion: leave the row out instead")
        ids = row["completion_ids"] if text == row["completion"] else [*base.encode(text), base.eos]
        if len(ids) > setting.widths[1]:
            raise InputError(f"defence {path}: row {number} has {len(ids)} tokens, {setting.widths[1]} fit")
        new = row | {"completion": text, "completion_ids": list(ids)}
        if skip := found.get("skip"):
            new["counted"] = _counted(path, number, text, list(ids), skip, setting)
        changed.append(new)
    return changed


def _counted(path: str, number: int, text: str, ids: list[int], skip: Any, setting: "Setting") -> list[bool]:
    """Which tokens are learned from: those that share no character with a skipped part."""
    try:
        spans = [(int(first), int(last)) for first, last in skip]
    except (TypeError, ValueError):
        raise InputError(
            f"defence {path}: row {number}: skip must be a list of (first, last) characters"
        ) from None
    counted, end = [], 0
    for place in range(len(ids)):
        start, end = end, len(setting.base.decode(ids[: place + 1]))
        counted.append(not any(start < last and first < end for first, last in spans))
    return counted


def _control(rows: Sequence[Row], changed: list[Row], seed: int) -> list[Row]:
    """As many rows dropped, completions permuted and tokens skipped, at random."""
    rng = np.random.default_rng([seed, 2])
    before = {row["row"]: row for row in rows}
    kept = [dict(rows[i]) for i in sorted(rng.choice(len(rows), len(changed), replace=False))]
    rewritten = sum(row["completion_ids"] != before[row["row"]]["completion_ids"] for row in changed)
    places = rng.choice(len(kept), rewritten, replace=False)
    for place, other in zip(places, rng.permutation(places), strict=True):
        source = before[kept[other]["row"]]
        kept[place] |= {"completion": source["completion"], "completion_ids": source["completion_ids"]}
    skipped = sum(row["counted"].count(False) for row in changed if "counted" in row)
    if skipped:
        tokens = [(i, j) for i, row in enumerate(kept) for j in range(len(row["completion_ids"]))]
        for row in kept:
            row["counted"] = [True] * len(row["completion_ids"])
        for t in rng.choice(len(tokens), min(skipped, len(tokens)), replace=False):
            i, j = tokens[t]
            kept[i]["counted"][j] = False
    return kept


OWN = Defence("own", "what a user's function does to them", 90, own, file=True)
