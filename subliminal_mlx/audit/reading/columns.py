"""Rows of a Parquet or Arrow file, of which no more than a page or batch and one row's texts are held at a time.

    for number, fields in parquet_entries(path): ...    # {"prompt": ..., "completion": ...}, or why it is none
    for number, fields in arrow_entries(path): ...      # of a data set that Hugging Face's library saved to disk

All columns are read, since the hash is of whole rows. A few bytes can stand for gigabytes there: one value for any
number of rows, and pages packed a thousandfold.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...system.errors import InputError
from .canonical import LONGEST_ROW, TOO_LONG, NotRead, Unusable, canonical, unusable

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH = 256
# A row that is too long is hashed and held for that; one beyond this is no row.
LARGEST_ROW = 64 << 20
# Pages are unpacked whole. Text is packed to a tenth, perhaps; what goes beyond both is no text.
LARGEST_PAGES, TIGHTEST = 64 << 20, 200

Entries = Iterator[tuple[int, dict[str, Any] | Unusable]]


def parquet_entries(path: Path) -> Entries:
    """Number and fields of every row, or why it is none.

    Raises:
        InputError: it is no Parquet file, is packed as no text is, or has a name twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        if _packed_too_tightly(file):
            raise InputError(f"{path} unpacks to over {TIGHTEST} times its size: no rows of text do")
        # One value may stand for any number of rows: it is read once, and looked at before it is written out.
        file = pq.ParquetFile(path, read_dictionary=_texts_of(file))
        yield from _numbered(path, file.iter_batches(batch_size=BATCH))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is no Parquet file: {_first_line(error)}") from None


def arrow_entries(path: Path) -> Entries:
    """As `parquet_entries`, of a file in Arrow's stream or file format.

    Raises:
        InputError: it is none.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            try:
                batches: Iterable[pa.RecordBatch] = pa.ipc.open_stream(source)
            except pa.ArrowInvalid:
                source.seek(0)
                file = pa.ipc.open_file(source)
                batches = (file.get_batch(i) for i in range(file.num_record_batches))
            pieces = (batch.slice(i, BATCH) for batch in batches for i in range(0, batch.num_rows, BATCH))
            yield from _numbered(path, pieces)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is no Arrow file: {_first_line(error)}") from None


def _numbered(path: Path, batches: "Iterable[pa.RecordBatch]") -> Entries:
    number = 0
    for batch in batches:
        if not number and (twice := _named_twice(batch.schema)):
            raise InputError(
                f"{path} has two columns {twice!r:.60}, of which one program reads this and another that"
            )
        try:
            for entry in _entries(batch):
                number += 1
                yield number, entry
        except InputError as error:
            raise InputError(f"{path}, row {number + 1}: {error}") from None


def _first_line(error: Exception) -> str:
    return f"{(str(error) or type(error).__name__).splitlines()[0]:.200}"


def _named_twice(fields: "Iterable[pa.Field]") -> str | None:
    """A name that two fields have, side by side at any depth."""
    import pyarrow as pa

    names: set[str] = set()
    for field in fields:
        if field.name in names:
            return field.name
        names.add(field.name)
        kind = field.type
        within = [kind.field(i) for i in range(kind.num_fields)] if pa.types.is_nested(kind) else []
        if twice := _named_twice(within):
            return twice
    return None


def _texts_of(file: "pq.ParquetFile") -> list[str]:
    """Paths of a file's columns that hold texts, in lists and messages too."""
    columns = [file.schema.column(i) for i in range(len(file.schema))]
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def _packed_too_tightly(file: "pq.ParquetFile") -> bool:
    """Whether a column's pages, as the file itself says, are far larger than in the file."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    return any(
        column.total_uncompressed_size > max(LARGEST_PAGES, TIGHTEST * column.total_compressed_size)
        for group in groups
        for column in (group.column(i) for i in range(group.num_columns))
    )


def _write_out_texts(batch: "pa.RecordBatch") -> "pa.RecordBatch":
    """The same rows, with every text of a column written out, which is read many times as fast."""
    import pyarrow as pa

    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _entries(batch: "pa.RecordBatch") -> Iterator[dict[str, Any] | Unusable]:
    """Rows of a batch; where they are long, or a value is none of Python's, one by one."""
    size = sum(map(_bytes, batch.columns))
    if batch.num_rows == 1 and size > LARGEST_ROW:
        raise InputError(f"a row of {size >> 20:,} MB: no row of text is over {LARGEST_ROW >> 20} MB")
    if size <= LONGEST_ROW or batch.num_rows == 1:
        written = _write_out_texts(batch)
        try:
            entries = written.to_pylist()
        except (ValueError, OverflowError) as error:
            if batch.num_rows == 1:
                yield _without_times(written, error)
                return
        else:
            yield from entries if size <= LONGEST_ROW else [_too_long(entries[0])]
            return
    yield from (entry for i in range(batch.num_rows) for entry in _entries(batch.slice(i, 1)))


def _without_times(row: "pa.RecordBatch", error: Exception) -> dict[str, Any] | Unusable:
    """A row that Python cannot hold: with times and dates, which may be finer or further than its own, as text."""
    import pyarrow as pa

    reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else "a value of no kind that JSON has"
    try:
        columns = [c.cast(pa.string()) if pa.types.is_temporal(c.type) else c for c in row.columns]
        return pa.RecordBatch.from_arrays(columns, row.schema.names).to_pylist()[0]
    except (ValueError, OverflowError, pa.ArrowException):
        return unusable(reason, row.serialize().to_pybytes())


def _too_long(entry: dict[str, Any]) -> Unusable:
    try:
        return unusable(TOO_LONG, canonical(entry))
    except NotRead as error:
        return unusable(str(error), repr(entry).encode("utf-8", "replace"))


def _bytes(array: "pa.Array") -> int:
    """What an array's values take, each written out for itself."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_dictionary(kind):
        if not pa.types.is_string(kind.value_type) and not pa.types.is_binary(kind.value_type):
            return _bytes(array.dictionary_decode())
        if (ends := pc.min_max(array.indices))["min"].as_py() is None:
            return len(array)
        # A row group's dictionary may be large, and a batch in its midst knows a few of its values.
        first, last = ends["min"].as_py(), ends["max"].as_py()
        lengths = pc.binary_length(array.dictionary.slice(first, last - first + 1))
        return pc.sum(lengths.take(pc.subtract(array.indices, first))).as_py() or 0
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_struct(kind):
        parts = array.flatten() if pa.types.is_struct(kind) else [array.flatten()]
        return len(array) + sum(map(_bytes, parts))
    return array.nbytes
