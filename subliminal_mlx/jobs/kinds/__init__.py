"""The kinds of jobs, one module each: what may be asked, its limits, what it takes, and what computes it.

    asked = checked("audit", {"base": "tiny-a", "families": ["animals"]}, Sender(lab, owner, upload))
    asked.compute(work)

A module holds one subclass of `jobs.request.Request` and names it KIND. A package that is installed beside this one
adds kinds by entry points of the group GROUP, each leading to such a class.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from ...system.errors import InputError, first_problem
from ..limits import LIMITS, check_hours
from ..request import Request, Sender, Upload, stored_name

NAMES = ("run", "defend", "audit", "measure", "drift", "gate")
GROUP = "subliminal_mlx.jobs"


def names() -> list[str]:
    """Names of all kinds."""
    return [*NAMES, *(entry.name for entry in entry_points(group=GROUP) if entry.name not in NAMES)]


@cache
def kind_of(name: str) -> type[Request]:
    """The form of a kind. Its module is imported now: the others, and what they need, are not.

    Raises:
        InputError: no such kind.
    """
    if name in NAMES:
        return import_module(f".{name}", __name__).KIND
    if name not in names():
        raise InputError(f"job {name!r:.20}: there are {', '.join(names())}")
    return next(iter(entry_points(group=GROUP, name=name))).load()


def checked(kind: str, values: Mapping[str, Any], sender: Sender) -> Request:
    """The request, once every value of it is seen to be allowed.

    Raises:
        InputError: in one line without paths, the first value that is not.
    """
    form = kind_of(kind)
    try:
        asked = form.model_validate(dict(values))
    except ValidationError as error:
        raise InputError(f"{kind}: {first_problem(error, values=False)}") from None
    if sender.upload is not None:
        _check_file(form, sender.upload)
    asked.check(sender)
    check_hours(kind, asked.seconds(sender), asked.smaller)
    return asked


def _check_file(form: type[Request], upload: Upload) -> None:
    if not form.takes_file:
        raise InputError(f"{form.kind}: takes no file")
    if len(upload.content) > LIMITS.upload:
        raise InputError(
            f"{upload.name!r:.80}: over {LIMITS.upload >> 20} MB: the command `{form.kind}` takes any size"
        )
    if not upload.content:
        raise InputError(f"{upload.name!r:.80}: it is empty")
    stored_name(upload.name)
