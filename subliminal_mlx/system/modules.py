"""The modules of a folder of the package, imported without a list of them: a new file is found by being there.

    import_folder("experiment.channels")

Rooms whose parts make themselves known ask for them so; imports nothing twice.
"""

import pkgutil
from functools import cache
from importlib import import_module
from types import ModuleType

PACKAGE = __package__.partition(".")[0]


@cache
def import_folder(folder: str) -> tuple[ModuleType, ...]:
    """Every module right in that folder, by name in order.

    Args:
        folder: dotted, from the package's root.
    """
    name = f"{PACKAGE}.{folder}"
    found = pkgutil.iter_modules(import_module(name).__path__)
    return tuple(import_module(f"{name}.{module.name}") for module in sorted(found, key=str))
