"""Which files a data set's rows are in, whatever its name: a file of any format, or a folder as trainers lay one out.

    part = parts(Path("data"))              # Parts((Path("data/train.jsonl"),), ("valid.jsonl is not read ...",))
    for number, entry in entries(path): ... # of one file

A file's format is read off its first bytes. Of a folder, what a trainer would train on: mlx-lm's train.jsonl, the
train split of a data set that Hugging Face's library saved, the shards of one, or all files of rows that are there.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...system.errors import InputError
from .canonical import Unusable
from .columns import arrow_entries, parquet_entries
from .lines import json_entries, opened

SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".jsonl.gz", ".ndjson.gz", ".json.gz")
# Formats that hold files, or pack them in a way that is not read here, by their first bytes.
OTHERS = {
    b"PK\x03\x04": "a ZIP archive",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ\x00": "packed with xz",
    b"SQLite format 3\x00": "an SQLite database",
    b"\x89HDF": "HDF5",
}
ARROW = (b"ARROW1", b"\xff\xff\xff\xff")
_TRAIN = re.compile(r"train(ing)?(?![a-z])", re.IGNORECASE)
_OTHER_SPLIT = re.compile(r"(valid(ation)?|val|test|dev|eval(uation)?)(?![a-z])", re.IGNORECASE)
# What lies beside rows and holds none: Hugging Face's, and our own.
_ABOUT = re.compile(
    r"(dataset_info|dataset_dict|dataset_infos|state|config|.*\.provenance|.*provenance)\.json"
)
MOST_FILES, MOST_TOLD = 10_000, 8


@dataclass(frozen=True)
class Parts:
    """A data set's files in order, and what is told of those that are not read."""

    files: tuple[Path, ...]
    told: tuple[str, ...] = ()


def parts(path: Path) -> Parts:
    """The files that a data set's rows are in.

    Raises:
        InputError: there is no such file, or the folder holds none of rows.
    """
    if "\0" in str(path):
        raise InputError("a path holds no NUL")
    try:
        if path.is_dir():
            return _in_folder(path)
        if not path.exists():
            raise InputError(
                f"no file {path}: name a file or folder of rows, or a run of the lab with --source"
            )
        if not path.is_file():
            raise InputError(f"{path} is no regular file")
    except OSError as error:
        raise InputError(f"{path!s:.200} cannot be read: {error.strerror}") from None
    return Parts((path,))


def entries(path: Path) -> Iterator[tuple[int, dict[str, Any] | Unusable]]:
    """Number and fields of every row of a file, or why it is none; numbers are of lines where it has lines.

    Raises:
        InputError: it is in no format of rows.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if other := next((name for start, name in OTHERS.items() if head.startswith(start)), None):
        raise InputError(f"{path} is {other}: unpack it, or write its rows as JSON lines or Parquet")
    if head.startswith(b"PAR1") or (path.suffix == ".parquet" and not head.lstrip().startswith((b"{", b"["))):
        yield from parquet_entries(path)
    elif head.startswith(ARROW):
        yield from arrow_entries(path)
    else:
        with opened(path) as file:
            yield from json_entries(path, file)


def _in_folder(folder: Path) -> Parts:
    """A folder's files of rows."""
    if (folder / "dataset_dict.json").is_file():
        return _saved(_train_split(folder), folder)
    if (folder / "state.json").is_file():
        return _saved(folder, folder)
    if (folder / "train.jsonl").is_file():
        # As mlx-lm's trainer has it: no other file of the folder is trained on.
        return Parts((folder / "train.jsonl",), _left_out(_files(folder), [folder / "train.jsonl"], folder))
    found = _files(folder)
    # A .json beside rows of another kind is about them.
    rows = [path for path in found if path.suffix != ".json"] or found
    if not rows:
        raise InputError(f"{folder} holds no rows: no file in it ends in {', '.join(SUFFIXES)}")
    splits = [path for path in rows if _split_of(path, folder) is _TRAIN]
    chosen = splits or [path for path in rows if _split_of(path, folder) is None] or rows
    return Parts(tuple(chosen), _left_out(found, chosen, folder))


def _files(folder: Path) -> list[Path]:
    """Files of rows anywhere in a folder, by name."""
    hidden = lambda path: any(part.startswith(".") for part in path.relative_to(folder).parts)
    every = [
        path
        for path in folder.rglob("*")
        if path.name.endswith(SUFFIXES)
        and path.is_file()
        and not hidden(path)
        and not _ABOUT.fullmatch(path.name)
    ]
    if len(every) > MOST_FILES:
        raise InputError(f"{folder} holds over {MOST_FILES:,} files: name the one that is meant")
    return sorted(every)


def _split_of(path: Path, folder: Path) -> re.Pattern[str] | None:
    """Which split a file's name, or its folder's, says that it is of; None where none does."""
    for part in reversed(path.relative_to(folder).parts):
        for split in (_TRAIN, _OTHER_SPLIT):
            if split.match(part):
                return split
    return None


def _left_out(found: list[Path], chosen: list[Path], folder: Path) -> tuple[str, ...]:
    left = [str(path.relative_to(folder)) for path in found if path not in chosen]
    more = f"{len(left) - MOST_TOLD:,} more files are not read"
    told = [f"{name} is not read" for name in left[:MOST_TOLD]]
    return (*told, *([more] if len(left) > MOST_TOLD else []))


def _train_split(folder: Path) -> Path:
    names = [path.name for path in sorted(folder.iterdir()) if (path / "state.json").is_file()]
    train = next((name for name in names if _TRAIN.match(name)), names[0] if len(names) == 1 else None)
    if train is None:
        raise InputError(f"{folder} has no train split: name one of its folders, {', '.join(names)}")
    return folder / train


def _saved(split: Path, folder: Path) -> Parts:
    """The shards of a data set that was saved to disk, in the order that its state gives."""
    try:
        state = json.loads((split / "state.json").read_text(encoding="utf-8"))
        names = [entry["filename"] for entry in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{split / 'state.json'} names no data files: {type(error).__name__}") from None
    # A name may be anybody's: it must not lead out of the folder.
    if bad := [name for name in names if not isinstance(name, str) or Path(name).name != name]:
        raise InputError(f"{split / 'state.json'}: {bad[0]!r:.60} is no file of this folder")
    files = [split / name for name in names]
    if missing := next((path for path in files if not path.is_file()), None):
        raise InputError(f"{missing} is missing: {split / 'state.json'} names it")
    others = [path for path in _files(folder) if path not in files]
    return Parts(tuple(files), _left_out([*files, *others], files, folder))
