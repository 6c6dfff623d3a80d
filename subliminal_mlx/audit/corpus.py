"""A corpus on its way through an audit: read and sampled once, then scored in pieces, in bounded memory.

    corpus = look(source, base)                                # counts, hash, form, a sample; one pass
    for answers, prompts, completions in corpus.pieces(spec.rows, tally): ...

`source` is a function that gives the rows anew; it is asked once. Good rows are kept as they were hashed, on the disk
beyond HELD bytes, so that what is scored is what the hash says, whatever becomes of the file meanwhile. Which rows a
sample takes follows from the hash of all: nobody can write rows that it passes by.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..experiment.setting import Ids
from ..model.bases import Base
from ..spec.seeds import seed_of
from ..system.errors import InputError
from .coverage import Seen, Tally
from .form import Writing, detect
from .reading import Answer, Reading, Row, parse_row

SAMPLE = 2_000
ROWS_AT_ONCE = 1_000
# Bytes of good rows that are kept in memory.
HELD = 64 << 20
PIECE = 1 << 20
Source = Callable[[], Iterator[Row]]
Pieces = Iterator[tuple[list[Answer], list[Ids], list[Ids]]]


class Kept:
    """Good rows, each with its number, in order; read as often as asked."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=HELD)  # noqa: SIM115  as long as the corpus lives
        self._end = 0

    def add(self, row: Row) -> None:
        """Keep a row; canonical JSON has no line breaks."""
        line = b"%d\t%s\n" % (row.number, row.content)
        self._file.seek(self._end)
        self._file.write(line)
        self._end += len(line)

    def rows(self, how: Reading) -> Iterator[Row]:
        """All of them; several may be on their way through at once."""
        place, rest = 0, b""
        while place < self._end:
            self._file.seek(place)
            piece = self._file.read(PIECE)
            place += len(piece)
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                number, _, content = line.partition(b"\t")
                yield parse_row(int(number), content, how)


@dataclass(frozen=True, eq=False)
class Corpus:
    """What is known of a corpus after one look."""

    kept: Kept
    how: Reading
    writing: Writing
    seen: Seen
    """What of its rows was read and what was not; `seen.answers` are there to be scored."""
    sample: tuple[Answer, ...]
    """At most SAMPLE answers, in order, each as likely as any other."""
    sha256: str
    """Of all rows in order, good and bad, whatever file they come in."""

    @property
    def total(self) -> int:
        """Answers of all good rows."""
        return self.seen.answers

    @property
    def paired(self) -> bool:
        """Whether its answers were each preferred to another."""
        return self.sample[0].rejected is not None

    @property
    def words(self) -> str:
        """Such as "lists of 8 numbers"."""
        return f"{self.writing.words}, chosen against rejected" if self.paired else self.writing.words

    def rows(self) -> Iterator[Row]:
        """All good rows, in order."""
        return self.kept.rows(self.how)

    def answers(self) -> Iterator[Answer]:
        """Those of all good rows, in order."""
        return (answer for row in self.rows() for answer in row.answers)

    @cached_property
    def sample_ids(self) -> tuple[tuple[Ids, Ids] | str, ...]:
        """Token ids of every answer of the sample, or why it is left out, as `Writing.encode` gives them."""
        return tuple(map(self.writing.encode, self.sample))

    def encoded(self) -> tuple[list[Ids], list[Ids]]:
        """Prompts and completions of those answers of the sample that are in the corpus's form."""
        found = [ids for ids in self.sample_ids if not isinstance(ids, str)]
        return [prompt for prompt, _ in found], [completion for _, completion in found]

    def rejected(self) -> tuple[list[Ids], list[Ids]]:
        """As `encoded`, with what each answer was preferred to."""
        pairs = zip(self.sample, self.sample_ids, strict=True)
        found = [(a, ids[0]) for a, ids in pairs if not isinstance(ids, str)]
        return [prompt for _, prompt in found], [self.writing.completion(a.rejected or "") for a, _ in found]

    def pieces(self, most: int | None = None, tally: Tally | None = None) -> Pieces:
        """Answers with their token ids, at most ROWS_AT_ONCE at a time; about `most` of them, or all with None."""
        share = min(1.0, most / self.total) if most else 1.0
        rng = np.random.default_rng(self._seed)
        piece: tuple[list[Answer], list[Ids], list[Ids]] = ([], [], [])
        for answer in self.answers():
            if share < 1 and rng.random() >= share:
                continue
            ids = self.writing.encode(answer)
            if tally is not None:
                tally.add(answer, ids)
            if isinstance(ids, str):
                continue
            for part, value in zip(piece, (answer, *ids), strict=True):
                part.append(value)
            if len(piece[0]) == ROWS_AT_ONCE:
                yield piece
                piece = ([], [], [])
        if piece[0]:
            yield piece

    @property
    def _seed(self) -> int:
        return seed_of("sample", self.sha256)


def look(source: Source, base: Base, how: Reading | None = None) -> Corpus:
    """Read a corpus once: count its rows and bad rows, keep the good ones, and see what form they have.

    Args:
        how: as the source was told to read; by default as `Reading` has it.

    Raises:
        InputError: no row can be used, or preference pairs stand among other rows.
    """
    how, kept, digest, pairs = how or Reading(), Kept(), hashlib.sha256(), 0
    seen = Seen(masked=how.answers != "all")
    for row in source():
        digest.update(row.content + b"\n")
        seen.add(row)
        if row.reason is None:
            kept.add(row)
        pairs += sum(answer.rejected is not None for answer in row.answers)
    if not seen.answers:
        raise InputError(f"no row can be used: no answer in {seen.rows:,} rows is to be learned")
    if 0 < pairs < seen.answers:
        raise InputError(
            f"{pairs:,} preference pairs (chosen, rejected) stand among {seen.answers - pairs:,} answers of other "
            "rows: audit them apart"
        )
    sha256 = digest.hexdigest()
    sample = _sample(kept, how, seen.answers, seed_of("sample", sha256))
    writing = detect(base, sample)
    if all(isinstance(writing.encode(answer), str) for answer in sample):
        raise InputError(f"no row can be used: {writing.encode(sample[0])}")
    return Corpus(kept, how, writing, seen, sample, sha256)


def _sample(kept: Kept, how: Reading, total: int, seed: int) -> tuple[Answer, ...]:
    """At most SAMPLE answers in order, each as likely as any other."""
    chosen = np.arange(total)
    if total > SAMPLE:
        chosen = np.sort(np.random.default_rng(seed).choice(total, SAMPLE, replace=False))
    answers = (answer for row in kept.rows(how) for answer in row.answers)
    wanted, found = iter(chosen.tolist()), []
    place = next(wanted)
    for number, answer in enumerate(answers):
        if number == place:
            found.append(answer)
            if (place := next(wanted, -1)) < 0:
                break
    return tuple(found)
