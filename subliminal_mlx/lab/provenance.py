"""A small file beside adapters and rows that says what stands behind them, and proves they are unchanged.

    write_record(folder / "provenance.json", Record(...), [folder / "adapters.safetensors"])
    record = record_beside(Path("out/adapters/hard-treated"))      # read and verified; None where there is none

The file holds a tree of what came from what, a hash of every file that it speaks of, and a seal over
itself. That shows a change by accident or by a careless hand; it is no signature: who writes a new file
may claim anything. Knows nothing about labs, runs or models.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..model.model_folder import ADAPTER_FILES
from ..model.sources import HUB_NAME, locate
from ..system import files
from ..system.errors import InputError, SubliminalError, first_problem

NAME, SUFFIX = "provenance.json", ".provenance.json"
# What a folder's record must speak of, where it is there.
WEIGHTS = (*ADAPTER_FILES, "model*.safetensors")
FORMAT = 1
LARGEST_FILE, DEEPEST, MOST_NODES = 1 << 20, 12, 1_000

_Text = Annotated[str, Field(max_length=500)]
What = Literal["base", "family", "teacher", "corpus", "student", "model", "run", "audit"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Node(_Strict):
    """One thing in a lineage: `parents` is what it was made from."""

    what: What
    name: _Text
    facts: dict[_Text, str | int | float | bool | None] = {}
    parents: tuple["Node", ...] = ()

    def walk(self, depth: int = 0) -> Iterator[tuple[int, "Node"]]:
        """This node and all behind it, with their distance."""
        yield depth, self
        for parent in self.parents:
            yield from parent.walk(depth + 1)


class BaseNamed(_Strict):
    """A base and the hash of its files, where that is known."""

    name: _Text
    sha256: Annotated[str, Field(max_length=64)] | None = None


class Record(_Strict):
    """What a provenance file holds."""

    format: Literal[1] = FORMAT
    base: BaseNamed
    lineage: Node
    files: dict[
        Annotated[str, Field(pattern=r"^[\w][\w.+-]*$", max_length=200)],
        Annotated[str, Field(pattern="^[0-9a-f]{64}$")],
    ] = {}
    seal: str = ""


def write_record(path: Path, record: Record, beside: Iterable[Path]) -> None:
    """Write a record with the hashes of the files in `beside`, which lie in its folder, and its seal."""
    hashed = record.model_copy(update={"files": {file.name: files.sha256(file) for file in beside}})
    sealed = hashed.model_copy(update={"seal": _seal(hashed)})
    files.write_atomic(path, sealed.model_dump_json(indent=1) + "\n")


def read_record(path: Path) -> Record:
    """A record from its file, every file that it names checked against its hash, and its base too.

    Raises:
        InputError: it cannot be read, was edited, or a file or base is not the one that it speaks of.
    """
    try:
        record = Record.model_validate(files.read_object(path, LARGEST_FILE))
    except ValidationError as error:
        raise InputError(f"{path}: no provenance file: {first_problem(error, values=False)}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no provenance file: {error}") from None
    if (
        sum(1 for _ in record.lineage.walk()) > MOST_NODES
        or max(d for d, _ in record.lineage.walk()) > DEEPEST
    ):
        raise InputError(f"{path}: no provenance file of ours: over {MOST_NODES} nodes or {DEEPEST} levels")
    if record.seal != _seal(record):
        raise InputError(f"{path}: it was edited since it was written: its seal does not fit what it says")
    for name, digest in record.files.items():
        file = path.parent / name
        if not file.is_file():
            raise InputError(f"{path}: {name}, which it speaks of, is not there")
        if (found := files.sha256(file)) != digest:
            raise InputError(
                f"{file}: not what was exported: its hash is {found[:12]}, {path.name} says {digest[:12]}"
            )
    _check_base(path, record.base)
    return record


def record_beside(path: Path) -> Record | None:
    """The verified record of a model's folder or of a file of rows; None where none lies beside it.

    Raises:
        InputError: as `read`; or the record does not speak of this file, or of this folder's weights.
    """
    if path.is_dir():
        found = path / NAME
        if not found.is_file() or "lineage" not in _fields(found):
            return None
        proven = sorted(file.name for pattern in WEIGHTS for file in path.glob(pattern))
    else:
        found, proven = path.with_name(path.name.partition(".")[0] + SUFFIX), [path.name]
        if not found.is_file():
            return None
    record = read_record(found)
    if silent := [name for name in proven if name not in record.files]:
        raise InputError(f"{found}: it does not speak of {silent[0]}")
    return record


def _check_base(path: Path, base: BaseNamed) -> None:
    if base.sha256 is None or (HUB_NAME.fullmatch(base.name) and not os.path.exists(base.name)):
        return  # nothing is downloaded to read a few lines
    try:
        here = locate(base.name).sha256
    except SubliminalError:
        return  # a base that is not here proves nothing
    if here != base.sha256:
        raise InputError(
            f"{path}: made from another {base.name} ({base.sha256[:12]}) than the one here ({here[:12]})"
        )


def _seal(record: Record) -> str:
    content: dict[str, Any] = record.model_dump(mode="json", exclude={"seal"})
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _fields(path: Path) -> dict[str, Any]:
    """A JSON object's fields; a file that is broken counts as a record, so that `read` says what is wrong."""
    try:
        return files.read_object(path, LARGEST_FILE)
    except (OSError, ValueError):
        return {"lineage": None}
