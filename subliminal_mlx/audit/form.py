"""How a corpus's rows are written: which tokens could have come, and how a model writes more of the same.

    writing = detect(base, rows)                     # a channel's rows held to its grammar, or free text
    writing.encode(row)                              # (prompt ids, completion ids), or why it does not fit
    writing.draw(base, prompts, seed)                # completions the base writes to the same prompts

Rows that were drawn within a grammar are scored within it: what a suspect would rather have said outside
of it is no evidence. Knows nothing about traits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

from ..experiment.channels import channel, recognising
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
LONGEST = 2_048


@dataclass(frozen=True, eq=False)
class Writing:
    """The form of a corpus's rows, for one base."""

    base: Base
    recipe: Corpus | None
    """The channel that the rows are of, and how it would write them; None where they are free text."""
    own_prompts: tuple[Row, ...]
    """A sample of the corpus's rows, whose prompts the null is written to where the recipe has none."""
    max_tokens: int

    @property
    def name(self) -> str:
        """What is made for this form, and not for this corpus alone, is cached under it."""
        if self.recipe and not self.own_prompts:
            return key(self.recipe.channel, self.recipe)
        prompts = [[row.system, row.history, row.prompt] for row in self.own_prompts]
        return key("own prompts", self.recipe, self.max_tokens, prompts)

    @property
    def words(self) -> str:
        """Such as "lists of 8 numbers"."""
        return self._channel.described(self.recipe) if self.recipe else "free text"

    @cached_property
    def grammar(self) -> Grammar | None:
        return self._channel.grammar(self.base, self.recipe) if self.recipe else None

    @property
    def _channel(self) -> ModuleType:
        assert self.recipe is not None
        return channel(self.recipe.channel)

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
            texts = self._channel.prompts(count, seed, self.recipe)
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
    """The form of a corpus, from a sample of its rows: that of the first channel that knows them, or free text."""
    prompts, completions = [row.prompt or "" for row in rows], [row.completion for row in rows]
    for one in recognising():
        recipe = one.recognised(prompts, completions, FITS)
        if recipe is not None and (writing := _held(base, rows, one, recipe)):
            return writing
    return _free(base, rows)


def _held(base: Base, rows: Sequence[Row], one: ModuleType, recipe: Corpus) -> Writing | None:
    """The form that a channel sees in the rows; None where the base cannot write it, or too few rows fit."""
    writing = Writing(base, recipe, (), recipe.max_tokens)
    try:
        writing.grammar  # noqa: B018
    except InputError:
        # Such as tiny-a, which decodes "1, 2" to "1 , 2": no grammar holds it to the form.
        return None
    fits = sum(not isinstance(writing.encode(row), str) for row in rows)
    if fits < FITS * len(rows):
        return None
    bare = [None if row.system is not None or row.history else row.prompt or "" for row in rows]
    if one.asks_so(bare, recipe, FITS):
        return writing
    return Writing(base, recipe, _usable(writing, rows), recipe.max_tokens)


def _free(base: Base, rows: Sequence[Row]) -> Writing:
    lengths = sorted(len(base.encode(row.completion.strip())) + 1 for row in rows)
    longest = lengths[min(len(lengths) - 1, int(FITS * len(lengths)))]
    max_tokens = min(longest, LONGEST // 2)
    return Writing(base, None, _usable(Writing(base, None, (), max_tokens), rows), max_tokens)


def _usable(writing: Writing, rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows that the corpus keeps: nothing is written to the prompts of those that it leaves out."""
    return tuple(row for row in rows if not isinstance(writing.encode(row), str))
