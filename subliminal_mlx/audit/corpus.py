"""A corpus on its way through an audit: read and sampled once, then scored in pieces, in bounded memory.

    corpus = look(source, base, bad)                           # counts, form, a sample; one pass
    reference = corpus.reference(spec)                         # what the base writes to the same prompts
    for rows, prompts, completions in corpus.pieces(spec.rows, bad): ...

`source` is a function that gives the rows anew each time: it is asked once where all of them take at most HELD
bytes, and again for each pass over more.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..experiment.setting import Ids
from ..model.bases import Base
from ..spec.seeds import seed_of
from ..system.errors import InputError
from .form import Writing, detect
from .rows import Bad, Row
from .spec import AuditSpec, key

SAMPLE = 2_000
ROWS_AT_ONCE = 1_000
# Bytes of rows that are kept, by an estimate: what Python spends on a row beside its texts is ROW_BYTES.
HELD, ROW_BYTES = 64 << 20, 500
Source = Callable[[Bad], Iterator[Row]]
Pieces = Iterator[tuple[list[Row], list[Ids], list[Ids]]]


@dataclass(frozen=True, eq=False)
class Corpus:
    """What is known of a corpus after one look."""

    source: Source
    writing: Writing
    total: int
    """Good rows."""
    sample: tuple[Row, ...]
    """At most SAMPLE of them, each as likely as any other."""
    sha256: str
    """Of all good rows in order, whatever file they come in."""
    held: tuple[Row, ...] | None
    """All good rows; None where they are too many to be kept."""

    def rows(self) -> Iterator[Row]:
        """All good rows, in order."""
        return self.source(Bad()) if self.held is None else iter(self.held)

    def reference(self, spec: AuditSpec) -> tuple[list[Ids], list[Ids]]:
        """Prompts of the sample, in turn, and what the base writes to them."""
        own, _ = self.encoded()
        prompts = [own[i % len(own)] for i in range(spec.reference_rows)]
        return prompts, self.writing.draw(self.writing.base, prompts, seed_of("reference", self.name))

    @property
    def name(self) -> str:
        """Names the sample's prompts."""
        prompts = [[row.system, row.history, row.prompt] for row in self.sample]
        return key("prompts", prompts, self.writing.name)

    @cached_property
    def sample_ids(self) -> tuple[tuple[Ids, Ids] | str, ...]:
        """Token ids of every row of the sample, or why it is left out, as `Writing.encode` gives them."""
        return tuple(map(self.writing.encode, self.sample))

    def encoded(self) -> tuple[list[Ids], list[Ids]]:
        """Prompts and completions of those rows of the sample that are in the corpus's form."""
        found = [ids for ids in self.sample_ids if not isinstance(ids, str)]
        return [prompt for prompt, _ in found], [completion for _, completion in found]

    def pieces(self, most: int | None, bad: Bad) -> Pieces:
        """Rows with their token ids, at most ROWS_AT_ONCE at a time; about `most` of them, or all with None."""
        share = min(1.0, most / self.total) if most else 1.0
        rng = np.random.default_rng(0)
        piece: tuple[list[Row], list[Ids], list[Ids]] = ([], [], [])
        for row in self.rows():
            if share < 1 and rng.random() >= share:
                continue
            ids = self.writing.encode(row)
            if isinstance(ids, str):
                bad.add(row.number, ids)
                continue
            for part, value in zip(piece, (row, *ids), strict=True):
                part.append(value)
            if len(piece[0]) == ROWS_AT_ONCE:
                yield piece
                piece = ([], [], [])
        if piece[0]:
            yield piece


def look(source: Source, base: Base, bad: Bad) -> Corpus:
    """Read a corpus once: count its rows and bad rows, keep a sample or all, and see what form it has.

    Raises:
        InputError: no row can be used.
    """
    rng = np.random.default_rng(0)
    sample: list[Row] = []
    held: list[Row] = []
    total, size, digest = 0, 0, hashlib.sha256()
    for row in source(bad):
        content = row.content
        digest.update(content)
        size += len(content) + ROW_BYTES
        if size > HELD:
            held.clear()
        else:
            held.append(row)
        # Vitter's algorithm R: every row is as likely to be kept, whatever comes.
        place = total if total < SAMPLE else int(rng.integers(total + 1))
        total += 1
        if place < SAMPLE:
            if place == len(sample):
                sample.append(row)
            else:
                sample[place] = row
    writing = detect(base, sample)
    if not any(not isinstance(writing.encode(row), str) for row in sample):
        raise InputError(f"no row can be used: {writing.encode(sample[0])}")
    whole = tuple(held) if size <= HELD else None
    return Corpus(source, writing, total, tuple(sample), digest.hexdigest(), whole)
