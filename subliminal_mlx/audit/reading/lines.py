"""Rows of JSON: a line each, or the elements of an array; packed with gzip or not, of which little is held at a time.

    with opened(path) as file:
        for number, entry in json_entries(path, file): ...      # {"prompt": ...}, or why it is none

A line, or an element, over LONGEST_ROW is skipped without being held; its hash and size are told.
"""

import codecs
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import Any

from ...system.errors import InputError
from .canonical import LONGEST_ROW, TOO_LONG, NotRead, Unusable, hashed, once, parse_json, unusable

BOM = b"\xef\xbb\xbf"
# What unpacks beyond both is no text, as in `columns`.
LARGEST_PACKED, TIGHTEST = 64 << 20, 200
HEAD = 1 << 12
_BETWEEN = re.compile(r"[\s,]*")
_MARKS = re.compile(r'\\.|["\[\]{},]', re.DOTALL)
_NO_ROWS = "write one row a line, or an array of rows"

Entries = Iterator[tuple[int, dict[str, Any] | Unusable]]


class Unpacked(gzip.GzipFile):
    """A file packed with gzip, which is refused where it grows as no text does."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._path, self._most = path, max(LARGEST_PACKED, TIGHTEST * path.stat().st_size)

    def _checked(self, piece: bytes) -> bytes:
        if self.tell() > self._most:
            raise InputError(f"{self._path} unpacks to over {TIGHTEST} times its size: no rows of text do")
        return piece

    def read(self, size: int | None = -1) -> bytes:
        return self._checked(super().read(size))

    def readline(self, size: int | None = -1) -> bytes:
        return self._checked(super().readline(size))


def opened(path: Path) -> BufferedReader | Unpacked:
    """The file's text, unpacked where it is packed."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return Unpacked(path) if packed else open(path, "rb")


def json_entries(path: Path, file: BufferedReader | Unpacked) -> Entries:
    """Number and value of every line, or of every element of an array, or why it is none.

    Raises:
        InputError: it is neither, or is binary.
    """
    try:
        head = file.peek(HEAD)[:HEAD]
        if head.startswith(BOM):
            file.read(len(BOM))
            head = head[len(BOM) :]
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise InputError(f"{path} is UTF-16: write it as UTF-8")
        if b"\0" in head:
            raise InputError(f"{path} is binary: must be JSON lines, a JSON array, Parquet or Arrow")
        yield from _array(path, _Text(file)) if head.lstrip().startswith(b"[") else _lines(path, file)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _lines(path: Path, file: BufferedIOBase) -> Entries:
    number = 0
    while line := file.readline(LONGEST_ROW + 1):
        number += 1
        if len(line) > LONGEST_ROW and not line.endswith(b"\n"):
            yield number, _skipped(line, file)
        elif line.strip():
            yield number, _parsed(line, number, path)


def _skipped(line: bytes, file: BufferedIOBase) -> Unusable:
    """The rest of a line that is too long to be held."""
    digest, size = hashlib.sha256(line), len(line)
    while not line.endswith(b"\n") and (line := file.readline(LONGEST_ROW)):
        digest.update(line)
        size += len(line)
    return hashed(TOO_LONG, digest, size)


def _parsed(line: bytes, number: int, path: Path) -> dict[str, Any] | Unusable:
    reason = "no JSON object"
    try:
        if isinstance(entry := parse_json(line), dict):
            return entry
    except NotRead as error:
        if number == 1 and line.strip() == b"{":
            raise InputError(f"{path} is one JSON object over several lines: {_NO_ROWS}") from None
        reason = str(error)
    return unusable(reason, line.rstrip(b"\r\n"))


class _Text:
    """A file's text from some place on, of which a few megabytes are held."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file, self._decoder = file, codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.held, self.ended = "", False

    def fill(self, place: int) -> int:
        """See that the longest row, or all there is, is held from `place` on, which is where it now begins."""
        if self.ended or len(self.held) - place > LONGEST_ROW:
            return place
        self.held = self.held[place:]
        while not self.ended and len(self.held) <= LONGEST_ROW:
            piece = self._file.read(LONGEST_ROW)
            self.ended = not piece
            self.held += self._decoder.decode(piece, final=self.ended)
        return 0


def _array(path: Path, text: _Text) -> Entries:
    """Elements of an array, each decoded where it stands."""
    decoder, number = json.JSONDecoder(object_pairs_hook=once), 0
    text.fill(0)
    place = text.held.index("[") + 1
    while True:
        place = text.fill(place)
        between = _BETWEEN.match(text.held, place)
        place = between.end() if between else place
        if place == len(text.held) and not text.ended:
            continue
        if place == len(text.held):
            yield number + 1, unusable("the array does not end", b"")
            return
        if text.held[place] == "]":
            break
        number += 1
        place = text.fill(place)
        try:
            entry, end = decoder.raw_decode(text.held, place)
        except (ValueError, RecursionError) as error:
            place, found = _element(text, place, str(error) if isinstance(error, NotRead) else "not JSON")
            yield number, found
            continue
        whole, place = (
            text.held[place:end] if end - place > LONGEST_ROW or not isinstance(entry, dict) else "",
            end,
        )
        reason = TOO_LONG if len(whole) > LONGEST_ROW else "no JSON object"
        yield number, unusable(reason, whole.encode("utf-8", "surrogateescape")) if whole else entry
    place += 1
    while True:
        place = text.fill(place)
        if rest := text.held[place:].strip():
            raise InputError(f"{path}: text stands after the end of its array: {rest!r:.40}; {_NO_ROWS}")
        if text.ended:
            return
        place = len(text.held)


def _element(text: _Text, place: int, reason: str) -> tuple[int, Unusable]:
    """An element that cannot be decoded, and where it ends, by its brackets and quotes."""
    digest, size, depth, quoted = hashlib.sha256(), 0, 0, False
    while True:
        end, seen = None, place
        for mark in _MARKS.finditer(text.held, place):
            sign, seen = mark[0], mark.end()
            if sign == '"':
                quoted = not quoted
            elif quoted or len(sign) > 1:
                continue
            elif sign in "[{":
                depth += 1
            elif depth and sign in "]}":
                depth -= 1
                end = None if depth else mark.end()
            elif not depth:
                # A comma, or the end of the array itself, is not the element's; a stray bracket is.
                end = max(mark.start(), place + (sign == "}"))
            if end is not None:
                break
        # Half of an escape is left for when the other half is there.
        half = end is None and not text.ended and text.held.endswith("\\") and seen < len(text.held)
        stop = len(text.held) - half if end is None else end
        digest.update(text.held[place:stop].encode("utf-8", "surrogatepass"))
        size += stop - place
        if end is not None:
            return end, hashed(TOO_LONG if size > LONGEST_ROW else reason, digest, size)
        if text.ended:
            return len(text.held), hashed(f"{reason}, as is all that follows", digest, size)
        place = text.fill(stop)
