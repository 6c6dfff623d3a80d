"""Which files a data set's rows are in, whatever its name: a file of any format, or a folder as trainers lay one out.

    part = parts(Path("data"))              # Parts((Path("data/train.jsonl"),), ("valid.jsonl is not read ...",))
    for number, entry in entries(path): ... # of one file

A file's format is read off its first bytes. Of a folder, what a trainer would train on: mlx-lm's train.jsonl, the
train split of a data set that Hugging Face's library saved, the shards of one, or all files of rows that are there; of
these, those of a kind that is not read are unread rows. Where two trainers would take two files, it is refused.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ...system.errors import InputError
from .canonical import Unusable
from .columns import arrow_entries, parquet_entries
from .lines import json_entries, opened

SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".jsonl.gz", ".ndjson.gz", ".json.gz")
# Rows too, which some trainers read and this does not; and texts that are none.
UNREAD_SUFFIXES = (
    *(
        ".csv",
        ".tsv",
        ".txt",
        ".gz",
        ".zst",
        ".xz",
        ".bz2",
        ".lz4",
        ".zip",
        ".tar",
        ".tgz",
        ".7z",
        ".msgpack",
    ),
)
_NO_ROWS = re.compile(r"(readme|licen[cs]e|notice|citation|requirements|changelog).*", re.IGNORECASE)
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
# As Hugging Face's library tells splits: by a word anywhere in a name.
_TRAIN = re.compile(r"(?<![a-z])train(ing)?(?![a-z])", re.IGNORECASE)
_OTHER_SPLIT = re.compile(
    r"(?<![a-z])(valid(ation)?|val|test(ing)?|dev|eval(uation)?)(?![a-z])", re.IGNORECASE
)
# What lies beside rows and holds none: Hugging Face's, and our own.
_ABOUT = re.compile(
    r"(dataset_info|dataset_dict|dataset_infos|state|config|.*\.provenance|.*provenance)\.json"
)
MOST_FILES, MOST_TOLD, SEEN = 10_000, 8, 100


@dataclass(frozen=True)
class Parts:
    """A data set's files in order, and what is told of those that are not read."""

    files: tuple[Path, ...]
    told: tuple[str, ...] = ()
    unread: tuple[Path, ...] = ()
    """Of these, files that a trainer may train on."""


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
    saved = next((n for n in ("dataset_dict.json", "state.json") if (folder / n).is_file()), None)
    every = _files(folder)
    found = [path for path in every if path.name.endswith(SUFFIXES)]
    train = folder / "train.jsonl"
    if saved and train.is_file():
        raise InputError(
            f"{folder} holds {saved} and train.jsonl, of which one trainer takes this and another that: name a file"
        )
    if saved:
        return _saved(_train_split(folder) if saved == "dataset_dict.json" else folder, folder)
    if train.is_file():
        # As mlx-lm's trainer has it: no other file of the folder is trained on.
        return Parts((train,), _left_out(found, [train], folder))
    # A .json beside rows of another kind may be about them.
    rows = [path for path in found if path.suffix != ".json" or _holds_rows(path)] or found
    if not rows:
        raise InputError(f"{folder} holds no rows: no file in it ends in {', '.join(SUFFIXES)}")
    splits = [_split_of(path, folder) for path in rows]
    wanted = next((split for split in (_TRAIN, None) if split in splits), _OTHER_SPLIT)
    chosen = [path for path, split in zip(rows, splits, strict=True) if split is wanted]
    others = [path for path in every if path not in found and _split_of(path, folder) is wanted]
    return Parts(tuple(chosen), _left_out([*found, *others], chosen, folder), tuple(others))


def _files(folder: Path) -> list[Path]:
    """Files of rows anywhere in a folder, by name, those that are not read among them."""
    every, seen = [], set()
    for root, folders, names in os.walk(folder, followlinks=True):
        # A link may lead back to where it stands.
        if (place := os.path.realpath(root)) in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = [name for name in folders if not name.startswith(".")]
        every += [Path(root) / name for name in names if _may_hold_rows(name)]
        if len(every) > MOST_FILES:
            raise InputError(f"{folder} holds over {MOST_FILES:,} files: name the one that is meant")
    return sorted(path for path in every if path.is_file())


def _may_hold_rows(name: str) -> bool:
    if name.startswith(".") or _ABOUT.fullmatch(name):
        return False
    return name.endswith(SUFFIXES) or (
        name.lower().endswith((*SUFFIXES, *UNREAD_SUFFIXES)) and not _NO_ROWS.fullmatch(name)
    )


def _holds_rows(path: Path) -> bool:
    """Whether a file holds several objects."""
    try:
        first = [entry for _, entry in islice(entries(path), SEEN)]
    except InputError:
        return False
    return sum(isinstance(entry, dict) for entry in first) > 1


def _split_of(path: Path, folder: Path) -> re.Pattern[str] | None:
    """Which split a file's name, or its folder's, says that it is of; None where none does."""
    for part in reversed(path.relative_to(folder).parts):
        for split in (_TRAIN, _OTHER_SPLIT):
            if split.search(part):
                return split
    return None


def _left_out(found: list[Path], chosen: list[Path], folder: Path) -> tuple[str, ...]:
    left = [str(path.relative_to(folder)) for path in found if path not in chosen]
    more = f"{len(left) - MOST_TOLD:,} more files are not read"
    told = [f"{name} is not read" for name in left[:MOST_TOLD]]
    return (*told, *([more] if len(left) > MOST_TOLD else []))


def _train_split(folder: Path) -> Path:
    names = [path.name for path in sorted(folder.iterdir()) if (path / "state.json").is_file()]
    named = [name for name in names if _TRAIN.match(name)] or names
    train = "train" if "train" in named else named[0] if len(named) == 1 else None
    if train is None:
        raise InputError(f"{folder} has no one train split: name one of its folders, {', '.join(names)}")
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
