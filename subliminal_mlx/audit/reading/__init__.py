"""The one reader of data sets: rows from any file or folder, as a trainer would take them, or from a run of the lab.

    for row in read_rows(Path("rows.jsonl"), Reading(answers="last")): ...
    row.answers, row.reason, row.content        # what is scored; or why nothing is; what the corpus is hashed by
    corpus_sha256(read_rows(Path("rows.parquet")))

Audit, gate and whoever takes rows in read through this, so that what one calls a row the others do. Every value is
hostile until checked; of a file no more than some megabytes are held at a time. Knows nothing about models.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...system.errors import InputError
from ...system.files import sha256
from .canonical import Unusable
from .choose import parse_row, row_of
from .files import entries, parts
from .formats import FORMATS
from .rows import READER_VERSION, Answer, Bad, Reading, Row, described, good, parse_reading

if TYPE_CHECKING:
    from ...lab import Lab

__all__ = [
    "FORMATS",
    "READER_VERSION",
    "Answer",
    "Bad",
    "Reading",
    "Row",
    "corpus_sha256",
    "described",
    "files_told",
    "good",
    "parse_reading",
    "parse_row",
    "read_rows",
    "read_run",
    "row_of",
]

# A file whose first rows are all bad is not of ours: no use in reading a gigabyte of it.
HOPELESS = 1_000


def read_rows(path: Path, how: Reading | None = None) -> Iterator[Row]:
    """Every row of a file or folder, good or bad, as they come.

    Raises:
        InputError: no such file, not one of these formats, or its first rows are all bad.
    """
    how, bad, some, before = how or Reading(), Bad(), False, 0
    found = parts(path)
    for file in found.files:
        last = 0
        for last, entry in entries(file):
            # A line of one file says where it is by itself.
            where = f"{file.relative_to(path)}, row {last:,}" if len(found.files) > 1 else ""
            row = _row(before + last, entry, how, where)
            some |= row.reason is None
            if row.reason is not None and not some:
                bad.add(row.number, row.reason)
                if bad.total >= HOPELESS:
                    raise InputError(f"{path}: its first {HOPELESS:,} rows are all bad ({bad.most})")
            yield row
        before += last
    for number, file in enumerate(found.unread, before + 1):
        yield _unread(number, file, path)
    if not some:
        why = f"all {bad.total:,} rows are bad ({bad.most})" if bad.total else "it is empty"
        raise InputError(f"{path} holds no row of {FORMATS}: {why}")


def files_told(path: Path) -> tuple[str, ...]:
    """Files of a folder that are not read."""
    return parts(path).told


def read_run(lab: "Lab", run_id: str, source: str, number: int) -> Iterator[Row]:
    """Kept rows of one source ("animals/owl", "animals/neutral", "base") of a lab's run, in the chain of that number.

    Raises:
        InputError: the run has no rows of that source in that chain.
    """
    from ...experiment.channels import prompt_texts
    from ...spec import parse_spec

    run = lab.run(run_id)
    assert run is not None
    texts = prompt_texts(parse_spec(run["spec_toml"]), number)
    offset = 0
    while rows := lab.rows(run_id, source, number, kept=True, limit=4_096, offset=offset).to_pylist():
        for row in rows:
            yield row_of(row["row"] + 1, {"prompt": texts[row["row"]], "completion": row["completion"]})
        offset += len(rows)
    if not offset:
        known = sorted(set(lab.yields(run_id)["source"].to_pylist()))
        raise InputError(
            f"run {run_id} has no rows of {source!r} in chain {number}: it has {', '.join(known)}"
        )


def corpus_sha256(rows: Iterable[Row]) -> str:
    """The hash of whole rows in order, good and bad: the same for the same rows, whatever file they come in."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.content + b"\n")
    return digest.hexdigest()


def _unread(number: int, file: Path, folder: Path) -> Row:
    """A file that a trainer may train on and this does not read, as one bad row."""
    name, size = str(file.relative_to(folder)), file.stat().st_size
    content = f"file {name} {sha256(file)}".encode("utf-8", "surrogateescape")
    return Row(number, content, reason="a file that is not read", size=size, where=name)


def _row(number: int, entry: object, how: Reading, where: str) -> Row:
    if isinstance(entry, Unusable):
        return Row(number, entry.content, reason=entry.reason, size=entry.size, where=where)
    return row_of(number, entry, how, where)
