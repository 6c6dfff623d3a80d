"""The modules of a folder of the package, imported without a list of them: a new file is found by being there.

    import_folder("experiment.channels")
    register(known, "numbers", Numbers, "channel")        # as each of them does when it is imported

Rooms whose parts make themselves known ask for them so; imports nothing twice.
"""

import pkgutil
import re
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from .errors import InputError

PACKAGE = __package__.partition(".")[0]


@cache
def import_folder(folder: str) -> tuple[ModuleType, ...]:
    """Every module right in that folder, by name in order.

    Args:
        folder: dotted, from the package's root.

    Raises:
        InputError: one of them cannot be imported; names it.
    """
    name = f"{PACKAGE}.{folder}"
    found = sorted(module.name for module in pkgutil.iter_modules(import_module(name).__path__))
    return tuple(_imported(f"{name}.{module}") for module in found)


def _imported(name: str) -> ModuleType:
    try:
        return import_module(name)
    except InputError:
        raise
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{name.replace('.', '/')}.py cannot be imported: {why}") from error


def register(known: dict[str, Any], name: str, part: Any, what: str) -> None:
    """Make a part known under its name.

    Raises:
        InputError: a name that tables and paths could not hold, or one that is taken: runs would keep their ids
            and mean another.
    """
    if not re.fullmatch(r"[a-z]+([-_][a-z]+)*", name):
        raise InputError(
            f"{what} {name!r:.40}: a name is words of lower-case letters, with - or _ between them"
        )
    if name in known:
        raise InputError(f"{what} {name!r}: two are called so")
    known[name] = part
