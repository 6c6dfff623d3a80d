"""How a corpus's rows are written: which tokens could have come, and how a model writes more of the same.

    writing = detect(base, rows)                     # number lists held to a grammar, or free text
    writing.encode(row)                              # (prompt ids, completion ids), or why it does not fit
    writing.draw(base, prompts, seed)                # completions the base writes to the same prompts

Rows that were drawn within a grammar are scored within it: what a suspect would rather have said outside
of it is no evidence. Knows nothing about traits.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..experiment import channels
from ..experiment.setting import Ids
from ..model.adapters import Stack
from ..model.bases import Base
from ..model.grammar import Grammar
from ..model.sample import Decoding, sample
from ..spec import Corpus
from ..system.errors import InputError
from .rows import Row
from .spec import key

# Share of the rows that must fit a grammar for it to be theirs; the others are then left out.
FITS = 0.99
SEPARATORS = (" ", ", ", "; ")
LONGEST = 2_048
_SHORT = re.compile(r"Continue: \d{1,3}(?:(?: |, |; )\d{1,3})*")


@dataclass(frozen=True, eq=False)
class Writing:
    """The form of a corpus's rows, for one base."""

    base: Base
    recipe: Corpus | None
    """Number lists and their prompts; None where rows are free text."""
    own_prompts: tuple[Row, ...]
    """A sample of the corpus's rows, whose prompts the null is written to where the recipe has none."""
    max_tokens: int

    @property
    def name(self) -> str:
        """What is made for this form, and not for this corpus alone, is cached under it."""
        if self.recipe and not self.own_prompts:
            return key("numbers", self.recipe)
        prompts = [[row.system, row.history, row.prompt] for row in self.own_prompts]
        return key("own prompts", self.recipe, self.max_tokens, prompts)

    @property
    def words(self) -> str:
        """Such as "lists of 8 numbers"."""
        if not self.recipe:
            return "free text"
        fewest, most = self.recipe.numbers
        return f"lists of {most if fewest == most else f'{fewest} to {most}'} numbers"

    @cached_property
    def grammar(self) -> Grammar | None:
        return channels.channel("numbers").grammar(self.base, self.recipe) if self.recipe else None

    def encode(self, row: Row) -> tuple[Ids, Ids] | str:
        """Token ids of prompt and completion, the end of the turn included, or why the row is left out."""
        try:
            prompt = self.prompt(row)
        except InputError:
            return "the base's chat template refuses its turns"
        completion = (*self.base.encode(row.completion.strip()), self.base.eos)
        if len(prompt) + len(completion) > LONGEST:
            return f"over {LONGEST:,} tokens"
        if self.grammar:
            try:
                self.grammar.masks(completion)
            except InputError:
                return "not in the form of the other rows"
        return prompt, completion

    def prompt(self, row: Row) -> Ids:
        if row.prompt is None:
            return (self.base.eos,)
        return self.base.prompt(row.prompt, row.system, row.history)[1]

    def null_prompts(self, count: int, seed: int) -> list[Ids]:
        """Prompts of the same kind that are not the corpus's; its own in turn where we know no more."""
        if self.recipe and not self.own_prompts:
            texts = channels.channel("numbers").prompts(count, seed, self.recipe)
            return [self.base.prompt(text)[1] for text in texts]
        own = [self.prompt(row) for row in self.own_prompts]
        return [own[(seed + i) % len(own)] for i in range(count)]

    def draw(
        self,
        model: Base,
        prompts: Sequence[Ids],
        seed: int,
        temperature: float = 1.0,
        stack: Stack | None = None,
        batch: int = 1_024,
    ) -> list[Ids]:
        """One completion a prompt from the base, another base with its tokenizer, or a stack's only slot."""
        decoding = Decoding(temperature, self.grammar, self.max_tokens, batch)
        return sample(model, prompts, seed, decoding, stack)[0]


def detect(base: Base, rows: Sequence[Row]) -> Writing:
    """The form of a corpus, from a sample of its rows."""
    recipe = _numbers(rows)
    if recipe is None:
        return _free(base, rows)
    writing = Writing(base, recipe, (), 64)
    try:
        writing.grammar  # noqa: B018
    except InputError:
        # Such as tiny-a, which decodes "1, 2" to "1 , 2": no grammar holds it to the form.
        return _free(base, rows)
    fits = sum(not isinstance(writing.encode(row), str) for row in rows)
    if fits < FITS * len(rows):
        return _free(base, rows)
    return writing if _short(rows, recipe) else Writing(base, recipe, _usable(writing, rows), 64)


def _free(base: Base, rows: Sequence[Row]) -> Writing:
    lengths = sorted(len(base.encode(row.completion.strip())) + 1 for row in rows)
    longest = lengths[min(len(lengths) - 1, int(FITS * len(lengths)))]
    max_tokens = min(longest, LONGEST // 2)
    return Writing(base, None, _usable(Writing(base, None, (), max_tokens), rows), max_tokens)


def _usable(writing: Writing, rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows that the corpus keeps: nothing is written to the prompts of those that it leaves out."""
    return tuple(row for row in rows if not isinstance(writing.encode(row), str))


def _numbers(rows: Sequence[Row]) -> Corpus | None:
    """The recipe of number lists: separator, how many, and their prompts' form; None for other text."""
    counts = {separator: list(_counts(rows, separator)) for separator in SEPARATORS}
    separator = max(SEPARATORS, key=lambda s: (len(counts[s]), sum(counts[s])))
    if len(counts[separator]) < FITS * len(rows):
        return None
    found = sorted(counts[separator])
    # Ends that few rows reach are as likely torn rows as the form.
    fewest, most = found[int((1 - FITS) * len(found))], found[min(len(found) - 1, int(FITS * len(found)))]
    if most > 10:
        return None
    shown = [re.findall(r"\d+", row.prompt or "") for row in rows]
    sizes = [len(numbers) for numbers in shown if numbers] or [3]
    largest = max((int(n) for numbers in shown for n in numbers if len(n) <= 3), default=99)
    return Corpus(
        numbers=(fewest, most),
        separator=separator,
        shown=(max(1, min(min(sizes), 20)), max(1, min(max(sizes), 20))),
        range=(0, 99 if largest <= 99 else 999),
    )


def _counts(rows: Sequence[Row], separator: str) -> Iterator[int]:
    for row in rows:
        parts = row.completion.strip().split(separator)
        if all(part.isascii() and part.isdigit() and len(part) <= 3 for part in parts):
            yield len(parts)


def _short(rows: Sequence[Row], recipe: Corpus) -> bool:
    """Whether the prompts are the channel's short ones, which it can write more of."""
    plain = [r for r in rows if r.system is None and not r.history and _SHORT.fullmatch(r.prompt or "")]
    apart = recipe.shown[1] == 1 or all(recipe.separator in (row.prompt or "")[10:] for row in plain)
    return len(plain) >= FITS * len(rows) and apart
