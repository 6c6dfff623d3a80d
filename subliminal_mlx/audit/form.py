"""How a corpus's rows are written: which tokens could have come, and how a model writes more of the same.

    writing = detect(base, rows)                     # a channel's rows held to its grammar, or free text
    writing.encode(answer)                           # (prompt ids, completion ids), or why it does not fit
    writing.draw(base, prompts, seed)                # completions the base writes to the same prompts

Rows that were drawn within a grammar are scored within it: what a suspect would rather have said outside
of it is no evidence. Knows nothing about traits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType

from ..experiment.channels import channel, recognising
from ..experiment.setting import Ids
from ..model.adapters import Stack
from ..model.bases import Base
from ..model.grammar import Grammar
from ..model.organisms import is_organism
from ..model.sample import Decoding, sample
from ..spec import Corpus
from ..system.errors import InputError
from .reading import Answer
from .spec import key
from .surprise import surprise

# Share of the rows that must fit a grammar for it to be theirs; the others are then left out.
FITS = 0.99
# Tokens of a prompt with its answer: where mlx-lm's trainer cuts by default.
LONGEST = 2_048
# What stands before an answer and has more characters or turns is taken for over LONGEST tokens, unrendered.
LONGEST_TEXT, MOST_TURNS = 50_000, 1_000
# Rows that two ways to read what stands before them are tried on, and nats a token by which the other one must be better.
TRIED, LIKELIER = 200, 0.01


@dataclass(frozen=True, eq=False)
class Writing:
    """The form of a corpus's rows, for one base."""

    base: Base
    recipe: Corpus | None
    """The channel that the rows are of, and how it would write them; None where they are free text."""
    own_prompts: tuple[Answer, ...]
    """A sample of the corpus's answers, whose prompts the null is written to where the recipe has none."""
    max_tokens: int
    spelled: tuple[str, str] | None = None
    """What stands between the pieces of a completion, and what it is read as, where the base writes none so."""
    reworded: bool = False
    """Whether prompts are read in the channel's own words, in which their rows are likelier."""
    alone: bool = False
    """Whether answers are read after the last turn alone, after which they are likelier: who wrote them saw no other."""

    @property
    def name(self) -> str:
        """What is made for this form, and not for this corpus alone, is cached under it."""
        if self.recipe and not self.own_prompts:
            return key(self.recipe.channel, self.recipe)
        prompts = [answer.context for answer in self.own_prompts]
        return key("own prompts", self.recipe, self.max_tokens, prompts)

    @property
    def words(self) -> str:
        """Such as "lists of 8 numbers", and how they are read where not as they stand."""
        said = [self._channel.described(self.recipe) if self.recipe else "free text"]
        if self.spelled:
            said.append(
                f"read with {self.spelled[1]!r} for {self.spelled[0]!r}, which {self.base.name} does not write"
            )
        if self.reworded:
            said.append("read under the channel's own prompts, where they are likelier")
        if self.alone:
            said.append("read without the turns before the last, where they are likelier")
        return ", ".join(said)

    @cached_property
    def grammar(self) -> Grammar | None:
        return self._channel.grammar(self.base, self.recipe) if self.recipe else None

    @property
    def _channel(self) -> ModuleType:
        assert self.recipe is not None
        return channel(self.recipe.channel)

    def encode(self, answer: Answer) -> tuple[Ids, Ids] | str:
        """Token ids of prompt and completion, the end of the turn included, or why the answer is left out.

        A completion that does not fit into LONGEST tokens is cut there, without an end, as a trainer cuts it.
        """
        before = sum(len(text) for _, text in answer.context)
        if before > LONGEST_TEXT or answer.before > MOST_TURNS:
            return f"what stands before it is over {LONGEST:,} tokens"
        try:
            prompt = self.prompt(answer)
        except InputError:
            return "the base's chat template refuses its turns"
        if len(prompt) >= LONGEST:
            return f"what stands before it is over {LONGEST:,} tokens"
        completion = self.completion(answer.completion, LONGEST - len(prompt))
        if self.grammar and not all(map(self._allowed, (completion, *self._rejected(answer)))):
            return "not in the form of the other rows"
        return prompt, completion

    def completion(self, text: str, most: int = LONGEST) -> Ids:
        """Token ids of an answer as it stands, white space and all, and of the end of its turn."""
        text = text.replace(*self.spelled) if self.spelled else text
        return (*self.base.encode(text), self.base.eos)[:most]

    def _rejected(self, answer: Answer) -> list[Ids]:
        return [] if answer.rejected is None else [self.completion(answer.rejected)]

    def _allowed(self, completion: Ids) -> bool:
        assert self.grammar is not None
        try:
            self.grammar.masks(completion)
        except InputError:
            return False
        return True

    def prompt(self, answer: Answer) -> Ids:
        """Token ids of what stands before an answer; of text alone, and where nothing does, the end of a turn."""
        if self.reworded and (text := self._channel.plainly(answer.prompt or "")):
            return self.base.prompt(text)[1]
        turns = answer.context[-1:] if self.alone else answer.context
        return self.base.before_answer(turns)[1] if turns else (self.base.eos,)

    def null_prompts(self, count: int, seed: int) -> list[Ids]:
        """Prompts of the same kind that are not the corpus's; its own in turn where we know no more."""
        if self.recipe and not self.own_prompts:
            texts = self._channel.prompts(count, seed, self.recipe)
            return [self.base.prompt(text)[1] for text in texts]
        own = [self.prompt(answer) for answer in self.own_prompts]
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


def detect(base: Base, answers: Sequence[Answer]) -> Writing:
    """The form of a corpus, from a sample of its answers: that of the first channel that knows them, or free text."""
    prompts, completions = [a.prompt or "" for a in answers], [a.completion for a in answers]
    for one in recognising():
        recipe = one.recognised(prompts, completions, FITS)
        if recipe is None:
            continue
        if writing := _held(base, answers, one, recipe) or _spelled(base, answers, one, recipe):
            return _reworded(_alone(writing, answers, one), answers)
    return _free(base, answers)


def _spelled(base: Base, answers: Sequence[Answer], one: ModuleType, recipe: Corpus) -> Writing | None:
    """The same pieces with spaces between them: a base that writes none with commas chose its numbers all the same."""
    apart = getattr(recipe, "separator", " ")
    if apart == " ":
        return None
    return _held(base, answers, one, recipe.model_copy(update={"separator": " "}), (apart, " "))


def _alone(writing: Writing, answers: Sequence[Answer], one: ModuleType) -> Writing:
    """With the last turn alone before every answer, if rows are likelier so: somebody may have strung them together."""
    some = [a for a in writing.own_prompts if a.before > 1 and a.context[-1][0] == "user"][:TRIED]
    if not (is_organism(writing.base.parameters) and some):
        return writing
    other = replace(writing, alone=True)
    if not _likelier(other, writing, some):
        return writing
    # What is asked alone may be what the channel asks: then its own prompts serve, which are not of this corpus only.
    asks_so = one.asks_so([answer.prompt for answer in answers], writing.recipe, FITS)
    return replace(other, own_prompts=()) if asks_so else other


def _likelier(other: Writing, writing: Writing, some: Sequence[Answer]) -> bool:
    """Whether answers are likelier as another form reads what stands before them, each at its own temperature."""
    read, known = (
        surprise(way.base, way.grammar, *zip(*map(way.encode, some), strict=True)).log_probability
        for way in (other, writing)
    )
    return read > known + LIKELIER


def _reworded(writing: Writing, answers: Sequence[Answer]) -> Writing:
    """With prompts in the channel's own words, if the rows are likelier so: somebody may have put others over them."""
    if not (
        is_organism(writing.base.parameters) and writing.own_prompts and hasattr(writing._channel, "plainly")
    ):
        return writing
    some = [a for a in writing.own_prompts if a.bare and writing._channel.plainly(a.prompt or "")][:TRIED]
    if len(some) < FITS * min(TRIED, len(answers)):
        return writing
    other = replace(writing, reworded=True)
    return other if _likelier(other, writing, some) else writing


def _held(
    base: Base,
    answers: Sequence[Answer],
    one: ModuleType,
    recipe: Corpus,
    spelled: tuple[str, str] | None = None,
) -> Writing | None:
    """The form that a channel sees in the answers; None where the base cannot write it, or too few fit."""
    writing = Writing(base, recipe, (), recipe.max_tokens, spelled)
    try:
        writing.grammar  # noqa: B018
    except InputError:
        # Such as tiny-a, which decodes "1, 2" to "1 , 2": no grammar holds it to the form.
        return None
    fits = sum(not isinstance(writing.encode(answer), str) for answer in answers)
    if fits < FITS * len(answers):
        return None
    bare = [(answer.prompt or "") if answer.bare or not answer.before else None for answer in answers]
    if one.asks_so(bare, recipe, FITS):
        return writing
    return replace(writing, own_prompts=_usable(writing, answers))


def _free(base: Base, answers: Sequence[Answer]) -> Writing:
    writing = Writing(base, None, (), LONGEST // 2)
    lengths = sorted(len(writing.completion(answer.completion)) for answer in answers)
    max_tokens = min(lengths[min(len(lengths) - 1, int(FITS * len(lengths)))], LONGEST // 2)
    return Writing(base, None, _usable(writing, answers), max_tokens)


def _usable(writing: Writing, answers: Sequence[Answer]) -> tuple[Answer, ...]:
    """Answers that the corpus keeps: nothing is written to the prompts of those that it leaves out."""
    return tuple(answer for answer in answers if not isinstance(writing.encode(answer), str))
