"""Results of the digits experiment in a lab's folder: LAB/digits/ID.json, whole or not at all. No MLX here.

save(result, Path("lab"))
read(Path("lab"), result_id(spec, data.sha256))      # None where it was never run
"""

import json
from pathlib import Path
from typing import Any

from .. import files
from ..errors import InputError, MachineError

FOLDER = "digits"
LARGEST_FILE = 64 << 20


def folder(lab: Path, result_id: str) -> Path:
    """Where the charts of a result lie."""
    return lab / FOLDER / result_id


def save(result: dict[str, Any], lab: Path) -> Path:
    """Write a result, replacing an earlier one; MachineError where the disk does not take it."""
    path = lab / FOLDER / f"{result['id']}.json"
    try:
        files.write_atomic(path, json.dumps(result))
    except OSError as error:
        raise MachineError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def read(lab: Path, result_id: str) -> dict[str, Any] | None:
    """A stored result, or None; InputError where the file is there and is no result."""
    path = lab / FOLDER / f"{result_id}.json"
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path} is over {LARGEST_FILE >> 20} MB: remove it and run again")
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["id"] != result_id or not {"arms", "environment", "peak_memory_bytes"} <= set(result):
            raise ValueError("other contents")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{path} is no result of this experiment: remove it and run again") from None
    return result
