"""Files that exist whole or not at all, hashes that say which they are, and JSON that may be anybody's.

    write_atomic(path, "text")      # temporary name, sync, rename, sync of the folder
    sha256(folder)                  # of every file under it, names included
    read_object(path)               # OSError or ValueError, whatever the file holds

Every file the project writes goes through here, so that a kill at any moment leaves either the
old file or the new one.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent.parent
# Bases, families, specs and results that ship: beside the package in a checkout, inside it in a wheel.
DATA = next(folder for folder in (PACKAGE / "data", PACKAGE.parent / "data") if folder.is_dir())

LARGEST_JSON = 16 << 20


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write `content` to `path`; a reader sees the old file or the whole new one, never a part."""
    data = content.encode() if isinstance(content, str) else content
    publish(path, lambda temporary: temporary.write_bytes(data))


def publish(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file or folder under a temporary name, sync it, and rename it to `path`.

    A folder that already stands at `path` is replaced; between its removal and the rename a kill
    leaves none, which counts as never written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: some writers (mx.save_safetensors) choose or append by it.
    holder = Path(tempfile.mkdtemp(prefix=".part-", dir=path.parent))
    temporary = holder / path.name
    try:
        write(temporary)
        sync(temporary)
        if temporary.is_dir() and path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
        _sync_one(path.parent)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left behind under `folder`."""
    for part in Path(folder).rglob(".part-*"):
        shutil.rmtree(part, ignore_errors=True)


def sync(path: Path) -> None:
    """Flush a file, or every file of a folder, to the disk."""
    if path.is_dir():
        for child in path.iterdir():
            sync(child)
    _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Hex digest of a file, or of a folder's files with their relative names, in sorted order."""
    path = Path(path)
    digest = hashlib.sha256()
    if path.is_dir():
        hidden = lambda p: any(part.startswith(".") for part in p.relative_to(path).parts)
        for child in sorted(p for p in path.rglob("*") if p.is_file() and not hidden(p)):
            digest.update(str(child.relative_to(path)).encode() + b"\0" + bytes.fromhex(sha256(child)))
        return digest.hexdigest()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_object(path: Path, largest: int = LARGEST_JSON) -> dict[str, Any]:
    """The JSON object in a file that somebody else may have written.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has more than `largest` bytes, or as `json_object`.
    """
    with open(path, "rb") as file:
        data = file.read(largest + 1)  # its size is not asked for: a device's is 0
    if len(data) > largest:
        raise ValueError(f"over {largest >> 20} MB")
    return json_object(data)


def json_object(data: bytes) -> dict[str, Any]:
    """A JSON object from its UTF-8 text.

    Raises:
        ValueError: it is not UTF-8, not JSON, nested too deeply, or another thing than an object.
    """
    try:
        content = json.loads(data.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    return content


def cache_folder() -> Path:
    """$SUBLIMINAL_CACHE, or the project's folder in the user's cache; it need not exist yet."""
    if chosen := os.environ.get("SUBLIMINAL_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "subliminal-mlx"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "subliminal-mlx"
