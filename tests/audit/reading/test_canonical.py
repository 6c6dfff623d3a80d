"""What a row is hashed by: whatever differs, differs, but for what files of two formats cannot both say."""

import json

import pytest

from subliminal_mlx.audit.reading.canonical import NotRead, canonical, parse_json


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": None}, {"a": 1.0}),
        ({"a": [{"b": None, "c": 2}]}, {"a": [{"c": 2.0}]}),
        ({"a": "x", "b": "y"}, {"b": "y", "a": "x"}),
        ({"a": (1, 2)}, {"a": [1, 2]}),
    ],
)
def test_what_two_formats_cannot_both_say_is_one(one, other):
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "x"}, {"a": "x "}),
        ({"a": "x"}, {"a": "X"}),
        ({"a": "x"}, {"a": "x", "unknown": "owl"}),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": 1.5}, {"a": 1.25}),
        ({"a": [1, None]}, {"a": [1]}),
        ({"a": []}, {}),
        ({"a": b"x"}, {"a": "x"}),
        ({"a": "\ud800"}, {"a": "\ud801"}),
    ],
)
def test_what_differs_differs(one, other):
    assert canonical(one) != canonical(other)


def test_it_is_json_that_reads_back_and_holds_no_line_break():
    entry = {"b": "a\nb\u2028é", "a": [{"c": 0.5}], "n": -0.0}
    assert json.loads(canonical(entry)) == {"a": [{"c": 0.5}], "b": "a\nb\u2028é", "n": 0}
    assert b"\n" not in canonical(entry) and canonical(parse_json(canonical(entry))) == canonical(entry)


@pytest.mark.parametrize("text", [b"{", b"", b"\xff\xfe", b"[" * 100_000, b"9" * 5_000, b'{"a": 1} x'])
def test_what_is_no_json_is_said_to_be_none(text):
    with pytest.raises(NotRead, match="not JSON"):
        parse_json(text)


def test_a_key_that_stands_twice_is_refused():
    """One parser trains on the first, another on the last."""
    with pytest.raises(NotRead, match="a key stands twice"):
        parse_json(b'{"prompt": "a", "completion": "owl", "completion": "clean"}')


def test_nesting_without_end_is_refused():
    entry = {}
    for _ in range(5_000):
        entry = {"a": entry}
    with pytest.raises(NotRead, match="nested too deeply"):
        canonical(entry)
