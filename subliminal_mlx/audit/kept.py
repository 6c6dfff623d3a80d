"""Arrays that an audit makes once and then reads from the lab's audit folder.

scores = kept(folder / "reference-ab12.npy", make)
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from .. import files
from ..errors import MachineError


def kept(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array at `path`; made first, and published whole, where there is none.

    Raises:
        MachineError: the file is damaged.
    """
    if not path.exists():
        found = make()
        files.publish(path, lambda to: np.save(to, found))
    return stored(path)


def stored(path: Path) -> np.ndarray:
    """The array at `path`; MachineError where it cannot be read."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise MachineError(f"{path} cannot be read, remove it: {error}") from None
