"""A user's own rule: a function of a row in a Python file.

    # mine.py
    def drop(row):
        return "a colour" if "red" in row["completion"] else None

`row` is a dict with row (its number), prompt and completion (texts). The function returns None to keep the row, or in a
few words why it is dropped. It must be a pure function of its argument. The file is the user's own code and runs as such.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ...spec.families import Family
from ...spec.own_code import failures, function_of
from ...spec.rule_names import Check, Rule
from ...system.errors import InputError

LONGEST = 60


def prepared(path: str, families: Sequence[Family]) -> Check:
    """The function in the file, its answers checked.

    Raises:
        InputError: the file or its function fails, or returns what it should not.
    """
    drop = function_of("rule", path, "drop", "row")

    def check(row: Mapping[str, Any]) -> str | None:
        with failures("rule", path):
            why = drop({key: row[key] for key in ("row", "prompt", "completion")})
        if why is not None and not (isinstance(why, str) and 0 < len(why) <= LONGEST and why.isprintable()):
            raise InputError(
                f"rule {path}: `drop` must return None, or why in 1 to {LONGEST} characters, not {why!r:.60}"
            )
        return why

    return check


OWN = Rule("own", "what a user's function says", prepared, file=True)
