"""Errors that end a command in one line, each with its exit code.

    raise InputError("spec field 'rank' is 0: must be 1 to 256")

Codes: 1 the machine failed, resumable; 2 wrong use or wrong input; 75 busy; 130 interrupted.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class SubliminalError(Exception):
    """A failure told in one line; `code` is the process's exit code."""

    code = 1


class MachineError(SubliminalError):
    """Disk, memory or a worker failed; what was committed is kept and the run can be resumed."""

    code = 1


class InputError(SubliminalError, ValueError):
    """What the user gave is wrong: the message names the thing, the place and the remedy."""

    code = 2


class BusyError(SubliminalError):
    """Another process holds the lab, or the run, for longer than we wait."""

    code = 75


def first_problem(error: "ValidationError", values: bool = True) -> str:
    """The first field that a pydantic model refuses, and what is allowed: "rank: must be ..., not 0".

    Args:
        values: name the refused value too, where it says more than the message.
    """
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "no such field"
    elif values and first["type"] not in ("missing", "value_error"):
        message += f", not {first['input']!r:.60}"
    return f"{place}: {message}" if place else message
