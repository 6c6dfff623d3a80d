"""Errors that end a command in one line, each with its exit code.

    raise InputError("spec field 'rank' is 0: must be 1 to 256")

Codes: 1 the machine failed, resumable; 2 wrong use or wrong input; 75 busy; 130 interrupted.
"""


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
