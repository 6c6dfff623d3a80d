"""Files of users' own code that a spec may name, by paths that end in .py.

    is_file("mine.py"), is_file("mix-25")                         # True, False
    fingerprints("defence", "defences", ["mix-25", "mine.py"])    # {"defence/mine.py": sha256}
    function_of("defence", "mine.py", "defend", "rows, seed")     # runs the file
    label("a folder/mine.py")                                     # "mine"

Such a file is its owner's code, and runs as such: only where whoever names it sits at the terminal. No spec that a
browser sends may name one (`jobs.kinds.run`). Its hash is part of what a spec means.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from ..system import files
from ..system.errors import InputError


def is_file(name: str) -> bool:
    """Whether a name is the path of a Python file."""
    return re.fullmatch(r"[^\x00-\x1f]*[^\x00-\x1f/]\.py", name) is not None


def label(name: str) -> str:
    """What such a file is called in names and tables: without folder and ending; any other name is itself."""
    return Path(name).stem if is_file(name) else name


def fingerprints(what: str, field: str, names: Sequence[str]) -> dict[str, str]:
    """Hashes of the files among these names.

    Raises:
        InputError: one is not there.
    """
    found = {}
    for name in filter(is_file, names):
        if not Path(name).is_file():
            raise InputError(f"{field}: no file {name}")
        found[f"{what}/{name}"] = files.sha256(Path(name))
    return found


def function_of(what: str, path: str, name: str, arguments: str) -> Callable[..., Any]:
    """The function of that name that a file defines; runs the file.

    Raises:
        InputError: no such file, it fails, or it defines none.
    """
    function = getattr(module_of(what, path), name, None)
    if not callable(function):
        raise InputError(f"{what} {path}: it defines no function `{name}({arguments})`")
    return function


def module_of(what: str, path: str) -> ModuleType:
    """What a file defines; runs the file, once for each of its contents.

    Raises:
        InputError: no such file, or it fails.
    """
    [digest] = fingerprints(what, what, [path]).values()
    name = f"own_{what}_{digest[:16]}"
    if name not in sys.modules:
        about = spec_from_file_location(name, path)
        assert about is not None and about.loader is not None
        # Classes look their annotations up in their module by its name, while it runs and later.
        sys.modules[name] = module = module_from_spec(about)
        try:
            with failures(what, path):
                about.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


@contextmanager
def failures(what: str, path: str) -> Iterator[None]:
    """Turns whatever a user's code raises into one line that names its file.

    Raises:
        InputError: in the place of any other error.
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{what} {path}: it failed: {told:.300}") from error
