"""Several checkpoints of one training, as they are or as they come.

    for step, file in checkpoints(Path("adapters")): ...
    for found in follow(Path("adapters"), idle_seconds=600): ... # new ones, once they are whole

mlx-lm writes its checkpoints in place: a file counts once its header and its length agree and it has
stopped growing. Knows nothing about what is measured.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..model.model_folder import ADAPTER_CONFIG, NUMBERED, tensors_end
from ..system.errors import InputError

POLL_SECONDS = 1.0


def checkpoints(folder: Path) -> list[tuple[int, str]]:
    """Step and file name of every whole numbered checkpoint, by step."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = NUMBERED.fullmatch(path.name)
        if match and is_whole(path):
            found.append((int(match[1]), path.name))
    return sorted(found)


def is_whole(path: Path) -> bool:
    """Whether a safetensors file has all the bytes that its header promises."""
    try:
        return path.stat().st_size == tensors_end(path)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def follow(
    folder: Path,
    idle_seconds: float,
    poll_seconds: float = POLL_SECONDS,
    on_wait: Callable[[str], None] = lambda why: None,
) -> Iterator[list[tuple[int, str]]]:
    """New checkpoints of a folder that another process fills, as they become whole.

    Ends once nothing new came for `idle_seconds`. A folder, or its adapter_config.json, that is not there
    yet is waited for likewise; a checkpoint that is written anew counts again.

    Raises:
        InputError: `folder` is a file, or nothing whole ever came.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: --watch follows an adapter folder")
    seen: dict[str, tuple[int, int]] = {}
    waiting_since, told = time.monotonic(), ""
    while True:
        fresh = []
        if (folder / ADAPTER_CONFIG).exists():
            for step, name in checkpoints(folder):
                stamp = _stamp(folder / name)
                if stamp and seen.get(name) != stamp:
                    seen[name] = stamp
                    fresh.append((step, name))
        if fresh:
            waiting_since = time.monotonic()
            yield fresh
            continue
        why = _why(folder, bool(seen))
        if why != told:
            told = why
            on_wait(why)
        if time.monotonic() - waiting_since > idle_seconds:
            if not seen:
                raise InputError(f"{folder}: no whole checkpoint came in {idle_seconds:.0f} s: {why}")
            return
        time.sleep(poll_seconds)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _why(folder: Path, any_seen: bool) -> str:
    if not folder.is_dir():
        return f"waiting for {folder}"
    if not (folder / ADAPTER_CONFIG).exists():
        return f"waiting for {folder / ADAPTER_CONFIG}"
    return "waiting for the next checkpoint" if any_seen else "waiting for the first checkpoint"
