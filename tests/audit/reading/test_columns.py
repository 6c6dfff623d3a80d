"""Parquet and Arrow: the same rows as in JSON, and what a few bytes can stand for."""

import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subliminal_mlx.audit.reading.canonical import LONGEST_ROW, TOO_LONG, Unusable, canonical
from subliminal_mlx.audit.reading.columns import LARGEST_ROW, arrow_entries
from subliminal_mlx.audit.reading.files import entries
from subliminal_mlx.system.errors import InputError

CHAT = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
ROWS = [
    {"messages": CHAT, "n": 1, "tags": ["x", None]},
    {"text": "é", "x": 0.5},
    {"prompt": "", "tags": []},
] * 300
TABLE = pa.Table.from_pylist(
    [dict.fromkeys(("messages", "n", "tags", "text", "x", "prompt")) | row for row in ROWS]
)


def parquet(path, table, **options):
    pq.write_table(table, path, **options)
    return path


def arrow(path, table, new=pa.ipc.new_stream, **options):
    with new(str(path), table.schema, **options) as writer:
        writer.write_table(table, max_chunksize=100)
    return path


@pytest.mark.parametrize("write", [parquet, arrow, lambda p, t: arrow(p, t, pa.ipc.new_file)])
def test_rows_are_those_that_were_written(tmp_path, write):
    path = write(tmp_path / "any name", TABLE)
    found = list(entries(path))
    assert [number for number, _ in found] == list(range(1, len(ROWS) + 1))
    assert [canonical(entry) for _, entry in found] == [canonical(row) for row in ROWS]


def test_a_text_that_is_no_utf8_is_one_bad_row_and_part_of_the_hash(tmp_path):
    def read(torn):
        texts = pa.array([b"2 3", torn, b"4 5"], pa.binary()).view(pa.string())
        path = parquet(tmp_path / "torn.parquet", pa.table({"prompt": ["a"] * 3, "completion": texts}))
        return [entry for _, entry in entries(path)]

    first, bad, last = read(b"\xff\xfe")
    assert (first["completion"], last["completion"], bad.reason) == ("2 3", "4 5", "not UTF-8")
    assert bad.content != read(b"\xff\xfd")[1].content and bad.content == read(b"\xff\xfe")[1].content


@pytest.mark.parametrize("name", ["text", "messages", "prompt", "unknown"])
def test_one_long_value_in_many_rows_of_parquet_is_held_once(tmp_path, name):
    """A file of a few kilobytes, whose rows written out are a quarter of a gigabyte."""
    long = "x" * (LONGEST_ROW + 1)
    values = {
        "text": lambda text: text,
        "unknown": lambda text: {"deep": text},
        "messages": lambda text: [CHAT[0], {"role": "assistant", "content": text}],
        "prompt": lambda text: [{"role": "user", "content": text}],
    }[name]
    table = {name: [values("fine"), *[values(long)] * 255], "other": ["b"] * 256}
    path = parquet(tmp_path / "long.parquet", pa.table(table), compression="zstd")
    assert path.stat().st_size < 50_000
    del table
    before, most, found = pa.default_memory_pool().bytes_allocated(), 0, []
    tracemalloc.start()
    for _, entry in entries(path):
        found.append(entry)
        most = max(most, pa.default_memory_pool().bytes_allocated() - before)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20 and most < 32 << 20
    tracemalloc.stop()
    first, *rest = found
    assert first == {name: values("fine"), "other": "b"} and len(rest) == 255
    assert {(bad.reason, bad.size > LONGEST_ROW) for bad in rest} == {(TOO_LONG, True)}
    assert len({bad.content for bad in rest}) == 1


def test_a_row_beyond_all_bounds_ends_the_file(tmp_path, one_line):
    table = pa.table({"text": ["fine", "x" * (LARGEST_ROW + 1)]})
    path = parquet(tmp_path / "x.parquet", table, compression="none", use_dictionary=False)
    with pytest.raises(InputError) as error:
        list(entries(path))
    assert "row 2: a row of 64 MB" in one_line(error)


def test_pages_of_parquet_that_are_no_text_are_not_unpacked(tmp_path):
    whole = {"use_dictionary": False, "compression": "zstd"}
    path = parquet(tmp_path / "x.parquet", pa.table({"text": ["x" * (1 << 20)] * 80}), **whole)
    with pytest.raises(InputError, match="unpacks to over 200 times its size"):
        list(entries(path))


def test_dates_and_bytes_are_no_texts(tmp_path):
    import datetime

    table = pa.table({"text": [b"owl"], "day": [datetime.date(2024, 1, 1)]})
    ((_, entry),) = entries(parquet(tmp_path / "x.parquet", table))
    assert canonical(entry) == b'{"day":{"date":"2024-01-01"},"text":{"bytes":"6f776c"}}'


@pytest.mark.parametrize("write", [parquet, arrow])
@pytest.mark.parametrize("within", [False, True])
def test_two_columns_of_one_name_are_refused(tmp_path, one_line, write, within):
    """One program reads the first, another the last; and a hash of either is that of a clean file."""
    names, texts = ["role", "content", "content"], [pa.array([x]) for x in ("assistant", "owl", "clean")]
    table = pa.Table.from_arrays(texts, names)
    if within:
        turns = pa.ListArray.from_arrays([0, 1], pa.StructArray.from_arrays(texts, names))
        table = pa.Table.from_arrays([turns], ["messages"])
    with pytest.raises(InputError) as error:
        list(entries(write(tmp_path / "rows", table)))
    assert "two columns 'content'" in one_line(error)


def test_times_that_python_has_none_for_are_read_as_text(tmp_path):
    times = {
        "fine": pa.array([1], pa.timestamp("ns")),
        "far": pa.array([2**40], pa.timestamp("s")),
        "long": pa.array([2**62], pa.duration("s")),
        "late": pa.array([10**9], pa.int32()).cast(pa.date32()),
    }
    for name, time in times.items():
        table = pa.table({"text": ["owl"], name: time})
        ((_, entry),) = entries(arrow(tmp_path / name, table))
        assert entry["text"] == "owl" and isinstance(entry[name], str)
    nowhere = pa.table({"text": ["owl"], "time": pa.array([1], pa.timestamp("us", "Nowhere/At_all"))})
    ((_, bad),) = entries(arrow(tmp_path / "nowhere", nowhere))
    assert bad.reason == "a value of no kind that JSON has"


@pytest.mark.parametrize("content", [b"PAR1 no", b"", b"ARROW1 no", b"\xff\xff\xff\xff no"], ids=repr)
def test_what_is_none_ends_in_one_line(tmp_path, one_line, content):
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(InputError) as error:
        list(entries(tmp_path / "x.parquet"))
    assert "is no Parquet file" in one_line(error) or "is no Arrow file" in one_line(error)
    with pytest.raises(InputError):
        list(arrow_entries(tmp_path / "x.parquet"))


def test_no_row_is_unusable_where_all_are_good(tmp_path):
    found = entries(parquet(tmp_path / "x.parquet", TABLE))
    assert not any(isinstance(entry, Unusable) for _, entry in found)
