"""A row's whole content as one text, the same whatever file it comes in: what a corpus is hashed by.

    canonical({"b": 1.0, "a": None, "c": "x"})       # b'{"b":1,"c":"x"}'
    parse_json(b'{"a": 1, "a": 2}')                  # NotRead: a key stands twice

JSON with sorted keys and no white space. What files of two formats cannot both say is one here: a null column is an
absent one, at any depth, and a whole number is an integer (Parquet has one type a column). Everything else that
differs, differs: no part of a row is left out, whether a trainer knows its name or not.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

LONGEST_ROW = 1 << 20
"""Bytes of a row; longer ones are bad."""
TOO_LONG = f"longer than {LONGEST_ROW >> 20} MB"
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


class NotRead(ValueError):
    """Why bytes are no row, in a few words."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """What stands where a row should, and is none."""

    reason: str
    content: bytes
    """As it stood, or its hash: part of the corpus's hash like any row."""
    size: int
    """Bytes, or characters, as it stood."""


def unusable(reason: str, content: bytes) -> Unusable:
    """What stands there, with its content, or its hash where it is long or could be taken for several rows."""
    if len(content) <= LONGEST_ROW and b"\n" not in content:
        return Unusable(reason, content, len(content))
    return hashed(reason, hashlib.sha256(content), len(content))


def hashed(reason: str, digest: Any, size: int) -> Unusable:
    """What stands there, with a hash of its content, which was not held."""
    return Unusable(reason, b"sha256 " + digest.hexdigest().encode(), size)


def canonical(entry: dict[str, Any]) -> bytes:
    """The canonical JSON of a row's fields.

    Raises:
        NotRead: it is nested too deeply.
    """
    try:
        plain = {name: _plain(value) for name, value in entry.items() if value is not None}
        text = _ENCODER.encode(plain)
    except RecursionError:
        raise NotRead("nested too deeply") from None
    except ValueError:  # digits beyond Python's limit
        raise NotRead("not JSON") from None
    # Half characters, which JSON can spell, are kept: such a row is bad, and still part of the hash.
    return text.encode("utf-8", "surrogatepass")


def parse_json(text: bytes | str) -> Any:
    """A JSON value.

    Raises:
        NotRead: it is none, or an object has a key twice, of which parsers read one or the other.
    """
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode("utf-8", "surrogatepass"), object_pairs_hook=once
        )
    except NotRead:
        raise
    # Digits beyond Python's limit are a ValueError, brackets without end a RecursionError.
    except (ValueError, RecursionError):
        raise NotRead("not JSON") from None


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of pairs whose keys differ."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotRead("a key stands twice")
    return found


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is dict:
        return {str(name): _plain(inner) for name, inner in value.items() if inner is not None}
    if kind is list or kind is tuple:
        return [_plain(inner) for inner in value]
    if kind is float:
        return int(value) if value.is_integer() else value
    # Dates, bytes, decimals of Parquet: no text of a row, and not to be taken for one.
    return {kind.__name__: value.hex() if kind is bytes else str(value)}
