"""Rows from files: every format, and everything that is none."""

import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subliminal_mlx.audit.rows import HOPELESS, LONGEST_LINE, SHOWN_BAD, Bad, Row, parse, read_rows
from subliminal_mlx.system.errors import InputError

CHAT = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


def lines(path, *entries):
    path.write_bytes(b"\n".join(e if isinstance(e, bytes) else json.dumps(e).encode() for e in entries))
    return path


def test_every_format_gives_the_same_rows(tmp_path):
    plain = {"prompt": "Continue: 1", "completion": "2 3"}
    chat = [{"role": "user", "content": "Continue: 1"}, {"role": "assistant", "content": "2 3"}]
    folder = tmp_path / "data"
    folder.mkdir()
    lines(folder / "train.jsonl", plain)
    pq.write_table(pa.Table.from_pylist([{"messages": chat}]), tmp_path / "chat.parquet")
    pq.write_table(pa.Table.from_pylist([plain | {"other": 1}]), tmp_path / "plain.parquet")
    for path in (
        *(folder, tmp_path / "chat.parquet", tmp_path / "plain.parquet"),
        lines(tmp_path / "a.jsonl", plain),
        lines(tmp_path / "b.jsonl", {"messages": chat, "source": "x"}),
        lines(tmp_path / "c.jsonl", {"prompt": chat[:1], "completion": chat[1:]}),
    ):
        assert list(read_rows(path, Bad())) == [Row(1, "Continue: 1", "2 3")], path


def test_chat_keeps_system_and_history():
    turns = [("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    messages = [{"role": role, "content": text} for role, text in turns]
    assert parse({"messages": messages}) == ("c", "d", "S", (("a", "b"),))
    assert parse({"text": "alone"}) == (None, "alone", None, ())


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({}, "none of"),
        ({"prompt": "a"}, "completion is no text"),
        ({"prompt": "a", "completion": " "}, "completion is empty"),
        ({"prompt": None, "completion": "b"}, "prompt is no text"),
        ({"prompt": "a", "completion": "b" * 50_001}, "completion is over"),
        ({"messages": "hello"}, "no list of turns"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}, "in turn"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [1]}]}, "no text"),
        ({"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]}, "in turn"),
        ({"text": 3}, "completion is no text"),
        ({"prompt": [1], "completion": [2]}, "a message holds no text"),
        ({"prompt": "a", "completion": "b\ud800"}, "completion holds half a character"),
        ({"messages": [{"role": "system", "content": "\udfff"}, *CHAT]}, "a message holds half a character"),
    ],
)
def test_a_bad_row_says_why(entry, reason):
    assert reason in parse(entry)


def test_bad_rows_are_counted_with_their_lines_and_stop_nothing(tmp_path):
    good = {"prompt": "<script>alert(1)</script>", "completion": "=HYPERLINK(1)"}
    deep = b"[" * 100_000
    path = lines(tmp_path / "x.jsonl", good, b"{torn", b"", b"[1]", good, deep, b"9" * 5_000, b"\xff\xfe")
    bad = Bad()
    assert [row.number for row in read_rows(path, bad)] == [1, 5]
    assert bad.shown == [
        *((2, "not JSON"), (4, "no JSON object"), (6, "not JSON")),
        *((7, "not JSON"), (8, "not JSON")),
    ]
    assert bad.reasons == {"not JSON": 4, "no JSON object": 1}


def test_only_some_bad_rows_are_shown(tmp_path):
    bad = Bad()
    path = lines(tmp_path / "x.jsonl", {"text": "a"}, *[b"{"] * 50)
    assert len(list(read_rows(path, bad))) == 1 and bad.total == 50 and len(bad.shown) == SHOWN_BAD


def test_a_line_without_end_is_skipped_without_being_held(tmp_path):
    path = tmp_path / "x.jsonl"
    with open(path, "wb") as file:
        file.write(b'{"text": "')
        for _ in range(64):
            file.write(b"x" * LONGEST_LINE)
        file.write(b'"}\n{"text": "b"}\n')
    bad = Bad()
    tracemalloc.start()
    assert [row.completion for row in read_rows(path, bad)] == ["b"]
    assert tracemalloc.get_traced_memory()[1] < 8 * LONGEST_LINE
    tracemalloc.stop()
    assert bad.shown == [(1, "longer than 1 MB")]


def test_memory_does_not_grow_with_rows(tmp_path):
    path = lines(tmp_path / "x.jsonl", *[{"prompt": f"p{i}", "completion": "c" * 200} for i in range(20_000)])
    bad, count = Bad(), 0
    tracemalloc.start()
    for _ in read_rows(path, bad):
        count += 1
    assert count == 20_000 and tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"", "x.jsonl", "it is empty"),
        (b"\n\n", "x.jsonl", "it is empty"),
        (b"\x00\x01\x02" * 100, "x.jsonl", "is binary"),
        (b"PAR1 no", "x.parquet", "is no Parquet file"),
        (b"", "x.parquet", "is no Parquet file"),
        (b"<html>\n" * 10, "x.jsonl", "all 10 rows are bad (not JSON)"),
        (b"a,b\n" * (HOPELESS + 5), "x.csv", "first 1,000 rows are all bad"),
    ],
)
def test_what_is_no_data_set_ends_in_one_line(tmp_path, content, name, words, one_line):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        list(read_rows(tmp_path / name, Bad()))
    assert words in one_line(error)


def test_a_text_that_is_no_utf8_is_one_bad_row(tmp_path):
    texts = pa.array([b"2 3", b"\xff\xfe", b"4 5"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"prompt": ["a"] * 3, "completion": texts}), tmp_path / "torn.parquet")
    bad = Bad()
    assert [row.number for row in read_rows(tmp_path / "torn.parquet", bad)] == [1, 3]
    assert bad.total == 1 and list(bad.reasons) == ["not UTF-8"]


@pytest.mark.parametrize("name", ["text", "messages", "prompt"])
def test_one_long_value_in_many_rows_of_parquet_is_held_once(tmp_path, name):
    """A file of a few kilobytes, whose rows written out are a quarter of a gigabyte."""
    long = "x" * (LONGEST_LINE + 1)
    values = {
        "text": lambda text: text,
        "messages": lambda text: [CHAT[0], {"role": "assistant", "content": text}],
        "prompt": lambda text: [{"role": "user", "content": text}],
    }[name]
    table = {name: [values("fine"), *[values(long)] * 255]}
    if name == "prompt":
        table["completion"] = [[{"role": "assistant", "content": "b"}]] * 256
    pq.write_table(pa.table(table), tmp_path / "long.parquet", compression="zstd")
    assert (tmp_path / "long.parquet").stat().st_size < 50_000
    del table
    before, bad = pa.default_memory_pool().bytes_allocated(), Bad()
    tracemalloc.start()
    most = 0
    for row in read_rows(tmp_path / "long.parquet", bad):
        assert row.number == 1
        most = max(most, pa.default_memory_pool().bytes_allocated() - before)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20 and most < 32 << 20
    tracemalloc.stop()
    assert bad.total == 255 and bad.reasons == {"longer than 1 MB": 255}


def test_pages_of_parquet_that_are_no_text_are_not_unpacked(tmp_path):
    whole = {"use_dictionary": False, "compression": "zstd"}
    pq.write_table(pa.table({"text": ["x" * (1 << 20)] * 80}), tmp_path / "x.parquet", **whole)
    with pytest.raises(InputError, match="unpacks to over 200 times its size"):
        list(read_rows(tmp_path / "x.parquet", Bad()))


def test_missing_files_and_columns_end_in_one_line(tmp_path, one_line):
    pq.write_table(pa.table({"question": ["a"]}), tmp_path / "x.parquet")
    pq.write_table(pa.table({"text": [None, "a"]}), tmp_path / "nulls.parquet")
    for path, words in ((tmp_path / "no.jsonl", "no file"), (tmp_path / "x.parquet", "no column")):
        with pytest.raises(InputError) as error:
            list(read_rows(path, Bad()))
        assert words in one_line(error)
    bad = Bad()
    assert len(list(read_rows(tmp_path / "nulls.parquet", bad))) == 1 and bad.total == 1
