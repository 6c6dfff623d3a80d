"""JSON lines and JSON arrays, packed and not, and everything that looks like them and is not."""

import codecs
import gzip
import hashlib
import json
import random
import tracemalloc

import pytest

from subliminal_mlx.audit.reading import lines
from subliminal_mlx.audit.reading.canonical import LONGEST_ROW, TOO_LONG, Unusable
from subliminal_mlx.audit.reading.files import entries
from subliminal_mlx.system.errors import InputError

ROWS = [{"prompt": f"Continue: {i}", "completion": f'{i} "[\\\n]}} é'} for i in range(300)]


def written(path, content):
    path.write_bytes(content)
    return path


def jsonl(rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def told(path):
    """Numbers and reasons of what is no row."""
    return [(number, entry.reason) for number, entry in entries(path) if isinstance(entry, Unusable)]


FILES = {
    "rows.jsonl": jsonl(ROWS),
    "no end.jsonl": jsonl(ROWS)[:-1],
    "crlf.jsonl": jsonl(ROWS).replace(b"\n", b"\r\n"),
    "bom.jsonl": codecs.BOM_UTF8 + jsonl(ROWS).replace(b"\n", b"\r\n"),
    "rows.jsonl.gz": gzip.compress(jsonl(ROWS)),
    "packed under any name": gzip.compress(codecs.BOM_UTF8 + jsonl(ROWS)),
    "array.json": json.dumps(ROWS, indent=2).encode(),
    "one line.json": json.dumps(ROWS).encode(),
    "array under any name.jsonl": codecs.BOM_UTF8 + b" \r\n" + json.dumps(ROWS, ensure_ascii=False).encode(),
    "array.json.gz": gzip.compress(json.dumps(ROWS).encode() + b"\n\n"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_way_to_write_rows_gives_the_same(tmp_path, name):
    path = written(tmp_path / name, FILES[name])
    assert list(entries(path)) == list(enumerate(ROWS, 1))


def test_lines_that_are_no_rows_are_numbered(tmp_path):
    deep, good = b"[" * 100_000, json.dumps(ROWS[0]).encode()
    bad = [b"{torn", b"", b"[1]", good, deep, b"9" * 5_000, b"\xff\xfe", b'{"a": 1, "a": 2}', b"{} {}"]
    path = written(tmp_path / "x.jsonl", b"\n".join([good, *bad]))
    assert told(path) == [
        *((2, "not JSON"), (4, "no JSON object"), (6, "not JSON"), (7, "not JSON"), (8, "not JSON")),
        *((9, "a key stands twice"), (10, "not JSON")),
    ]


def test_a_line_without_end_is_hashed_without_being_held(tmp_path):
    long = b'{"text": "' + b"x" * (64 * LONGEST_ROW) + b'"}'
    path = written(tmp_path / "x.jsonl", long + b'\n{"text": "b"}\n')
    tracemalloc.start()
    (_, first), (_, second) = entries(path)
    assert tracemalloc.get_traced_memory()[1] < 8 * LONGEST_ROW
    tracemalloc.stop()
    assert second == {"text": "b"}
    assert (first.reason, first.size) == (TOO_LONG, len(long) + 1)
    assert first.content == b"sha256 " + hashlib.sha256(long + b"\n").hexdigest().encode()


def array(*elements):
    return b"[" + b",".join(e if isinstance(e, bytes) else json.dumps(e).encode() for e in elements) + b"]"


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        (b"3", "no JSON object"),
        (b'["a, b]"]', "no JSON object"),
        (b"{torn}", "not JSON"),
        (b"{'a': [1, 2]}", "not JSON"),
        (b'{"a": 1, "a": 2}', "a key stands twice"),
        (b'{"a": "\\q}"}', "not JSON"),
        (b"9" * 5_000, "not JSON"),
        (b"[" * 5_000 + b"]" * 5_000, "not JSON"),
        (b'{"text": "' + b'\\"' * LONGEST_ROW + b'"}', TOO_LONG),
        (b'{"text": "' + b"x\\\\" * LONGEST_ROW + b'"}', TOO_LONG),
        (b'{"text": ' + b"[1, " * LONGEST_ROW + b"]" * LONGEST_ROW + b"}", TOO_LONG),
        (b'{"text": "' + b"y" * (LONGEST_ROW + 9) + b'"}', TOO_LONG),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_an_element_that_is_no_row_hides_none_behind_it(tmp_path, element, reason):
    path = written(tmp_path / "x.json", array(ROWS[0], element, ROWS[1], ROWS[2]))
    found = list(entries(path))
    assert [number for number, _ in found] == [1, 2, 3, 4]
    assert [entry for _, entry in found if isinstance(entry, dict)] == ROWS[:3]
    (bad,) = [entry for _, entry in found if isinstance(entry, Unusable)]
    assert bad.reason == reason and bad.size == len(element)


@pytest.mark.parametrize("end", [b"", b', {"torn": "', b', {"a": [', b","], ids=repr)
def test_an_array_that_breaks_off_says_so(tmp_path, end):
    path = written(tmp_path / "x.json", array(*ROWS[:2])[:-1] + end)
    found = list(entries(path))
    assert [entry for _, entry in found if isinstance(entry, dict)] == ROWS[:2]
    assert "does not end" in found[-1][1].reason or "as is all that follows" in found[-1][1].reason


def test_long_arrays_are_not_held(tmp_path):
    row = {"text": "a b " * 200}
    path = written(tmp_path / "x.json", array(*[row] * 40_000))
    tracemalloc.start()
    assert sum(entry == row for _, entry in entries(path)) == 40_000
    assert tracemalloc.get_traced_memory()[1] < 8 * LONGEST_ROW < path.stat().st_size
    tracemalloc.stop()


def test_elements_are_found_wherever_a_piece_ends(tmp_path, monkeypatch):
    """Pieces of a few bytes, so that every kind of place is an end; random bytes spoil some elements."""
    monkeypatch.setattr(lines, "LONGEST_ROW", 60)
    rng = random.Random(0)
    for seed in range(200):
        elements = [json.dumps({"a": '"\\' * rng.randrange(9), "b": [seed, {}]}).encode() for _ in range(9)]
        places = {*rng.sample(range(9), 3)}
        for place in places:
            elements[place] = rng.choice(
                [b'{"a": [}', b"nul", b'{"a": "' + b'\\"x' * 40 + b'"}', b'{"\\u12": {}}']
            )
        found = list(entries(written(tmp_path / "x.json", array(*elements))))
        good = [json.loads(element) for i, element in enumerate(elements) if i not in places]
        # A bracket that is never closed takes what follows with it, and says so.
        whole = b'{"a": [}' not in elements
        there = [entry for _, entry in found if isinstance(entry, dict)]
        assert there == (good if whole else good[: len(there)]), elements
        assert whole or found[-1][1].reason in ("not JSON, as is all that follows", "the array does not end")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x00\x01\x02" * 100, "is binary: must be JSON lines"),
        ('{"a": 1}\n'.encode("utf-16"), "is UTF-16: write it as UTF-8"),
        (b'{\n  "text": "a"\n}\n', "is one JSON object over several lines"),
        (b'[{"text": "a"}]\n{"text": "b"}\n', "text stands after the end of its array"),
        (b'[]\n{"text": "owl"}\n', "text stands after the end"),
        (b"PK\x03\x04" + b"x" * 100, "is a ZIP archive"),
        (b"\x28\xb5\x2f\xfd" + b"x" * 100, "is packed with zstd"),
        (gzip.compress(jsonl(ROWS))[:-20], "cannot be read"),
        (b"\x1f\x8b" + b"no" * 100, "cannot be read"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_file_of_rows_ends_in_one_line(tmp_path, one_line, content, words):
    path = written(tmp_path / "x.jsonl", content)
    with pytest.raises(InputError) as error:
        list(entries(path))
    assert words in one_line(error)


def test_what_unpacks_to_nothing_but_size_is_refused(tmp_path):
    path = written(tmp_path / "x.gz", gzip.compress(b'{"text": "' + b"x" * (80 << 20)))
    with pytest.raises(InputError, match="unpacks to over 200 times its size"):
        list(entries(path))
