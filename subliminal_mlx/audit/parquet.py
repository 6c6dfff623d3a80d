"""Rows of a Parquet file, of which no more than a page and one row's texts are held at a time.

    for number, fields in entries_of(path): ...         # {"prompt": ..., "completion": ...}, or why it is none

A few bytes can stand for gigabytes there: one value for any number of rows, and pages packed a thousandfold.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..system.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

FORMATS = "prompt and completion, chat messages, or text"
LONGEST_LINE = 1 << 20
BATCH = 256
# Pages are unpacked whole. Text is packed to a tenth, perhaps; what goes beyond both is no text.
LARGEST_PAGES, TIGHTEST = 64 << 20, 200


def entries_of(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Number and fields of every row, or why it is none.

    Raises:
        InputError: it is no Parquet file, has no column of FORMATS, or is packed as no text is.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        wanted = [n for n in ("messages", "prompt", "completion", "text") if n in file.schema_arrow.names]
        if not wanted:
            raise InputError(f"{path} has no column of {FORMATS}")
        if _packed_too_tightly(file, wanted):
            raise InputError(f"{path} unpacks to over {TIGHTEST} times its size: no rows of text do")
        # One value may stand for any number of rows: it is read once, and looked at before it is written out.
        file = pq.ParquetFile(path, read_dictionary=_texts_of(file, wanted))
        number = 0
        for batch in file.iter_batches(batch_size=BATCH, columns=wanted):
            for entry in _entries(batch):
                number += 1
                yield number, entry
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is no Parquet file: {str(error).splitlines()[0]:.200}") from None


def _texts_of(file: "pq.ParquetFile", names: list[str]) -> list[str]:
    """Paths of a file's columns that hold the texts of those names, in lists and messages too."""
    columns = [file.schema.column(i) for i in range(len(file.schema))]
    return [c.path for c in columns if c.physical_type == "BYTE_ARRAY" and c.path.split(".")[0] in names]


def _packed_too_tightly(file: "pq.ParquetFile", names: list[str]) -> bool:
    """Whether a column's pages, as the file itself says, are far larger than in the file."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    columns = [group.column(i) for group in groups for i in range(group.num_columns)]
    return any(
        c.total_uncompressed_size > max(LARGEST_PAGES, TIGHTEST * c.total_compressed_size)
        for c in columns
        if c.path_in_schema.split(".")[0] in names
    )


def _write_out_texts(batch: "pa.RecordBatch") -> "pa.RecordBatch":
    """The same rows, with every text of a column written out, which is read many times as fast."""
    import pyarrow as pa

    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _entries(batch: "pa.RecordBatch") -> Iterator[dict[str, Any] | str]:
    """Rows of a batch; where they are long, or a text in it is no UTF-8, one by one."""
    bad = f"longer than {LONGEST_LINE >> 20} MB"
    if (fits := sum(map(_bytes, batch.columns)) <= LONGEST_LINE) or batch.num_rows == 0:
        try:
            entries = _write_out_texts(batch).to_pylist()
        except UnicodeDecodeError:
            fits, bad = False, "not UTF-8"
    if not fits:
        if batch.num_rows == 1:
            yield bad
        else:
            yield from (entry for i in range(batch.num_rows) for entry in _entries(batch.slice(i, 1)))
        return
    yield from ({name: value for name, value in entry.items() if value is not None} for entry in entries)


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
