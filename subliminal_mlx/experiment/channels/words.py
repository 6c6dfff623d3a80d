"""The words channel: "add to this list of unrelated words", decoding held to words, and the filter rule.

    texts = prompts(count=1_000, seed=7, recipe=WordLists())        # "List: kettle comet rope"
    grammar(base, recipe)                       # for held decoding
    reason("cup; fog, nail", recipe)            # "mixed separators"

Two styles. Short: the prompts and the hundred words (data/words.toml) that the tiny bases have learned lists of, and
nothing but those is written or kept. Full: for language models, a sentence that shows some of them and asks for more;
any lower-case words are written and kept. One trailing full stop is taken off; then one separator throughout (space or
comma), 2 to 10 words, none more than three times. A row that fails is dropped, never edited.

In the order of numbers.py. Imports no MLX. The hundred words name no shipped trait; the rule trait-words, which its
filter always has, keeps those of other families out, and of the full style's words any.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Hashable, Sequence
from functools import cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ...model.bases import Base
from ...model.grammar import Grammar, compile_grammar
from ...spec.corpus import Corpus, Words
from ...system.files import DATA

FEWEST_WORDS, MOST_WORDS = 2, 10
SHORTEST, LONGEST = 2, 12  # letters of a word
MOST_TIMES = 3  # that one word may stand in a row: topics are small, and a loop is no list

_LEADS = (
    "Here are some unrelated words: {words}.",
    "These words have nothing in common: {words}.",
)
_ASKS = (
    "Add {count} more.",
    "Continue it with {count} further words.",
    "Give {count} more words that have nothing to do with these.",
)
_FORMATS = {
    ", ": ("Separate them with commas.", "Use commas between them.", "Give a comma-separated list."),
    " ": ("Separate them with spaces.", "Use single spaces between them.", "Put a space between them."),
}
_ENDS = (
    "Only single words in lower case, please.",
    "Say nothing else, and write everything in lower case.",
)
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WORD = re.compile(rf"[a-z]{{{SHORTEST},{LONGEST}}}")
_SHORT = re.compile(r"List: [a-z]+(?:(?: |, )[a-z]+)*")

_Shown = Annotated[int, Field(ge=1, le=20)]
_Length = Annotated[int, Field(ge=FEWEST_WORDS, le=MOST_WORDS)]


class WordLists(Corpus):
    """What a spec may say of lists of words."""

    channel: Literal["words"] = "words"
    style: Literal["short", "full"] = "short"
    """short: "List: kettle comet rope", and words of the list alone; full: a sentence, and any words."""
    shown: tuple[_Shown, _Shown] = (3, 3)
    """Fewest and most words in a prompt."""
    length: tuple[_Length, _Length] = (8, 8)
    """Fewest and most words in a completion when decoding is held."""
    separator: Literal[" ", ", "] = " "

    words: ClassVar[Words] = Words(
        rows="word lists",
        one="a list of words",
        remakes={
            "shuffled": "words permuted across rows",
            "random": "words drawn evenly from the hundred of the prompts, as many as in the base's rows",
        },
    )
    offers: ClassVar[frozenset[str]] = frozenset({"shuffled", "random", "pieces", "prefixes"})
    rules: ClassVar[tuple[str, ...]] = ("trait-words",)
    files: ClassVar[tuple[str, ...]] = ("words.toml",)
    prompt_field: ClassVar[str] = "style"
    # Of a language model's tokenizer, those of lower-case letters; asked only of language models.
    choices: ClassVar[int | None] = 25_000

    @model_validator(mode="after")
    def _ordered(self) -> "WordLists":
        for field in ("shown", "length"):
            low, high = getattr(self, field)
            if low > high:
                raise ValueError(f"{field}: {low} is larger than {high}")
        return self

    def tokens(self, word_by_word: bool) -> tuple[int, int]:
        """Words are read whole, or in a token or two with what separates them."""
        each = 2 if word_by_word and self.separator == " " else 3
        held = self.decoding == "held"
        return 10 if self.style == "short" else 60, each * self.length[1] if held else self.max_tokens

    def most_tokens(self) -> tuple[int, int]:
        """Words letter by letter in a completion, as a grammar bounds them, and a chat template of 35 tokens."""
        widest = (LONGEST + len(self.separator)) * self.length[1]
        prompt = (35 if self.style == "short" else 85) + 3 * self.shown[1]
        return prompt, widest if self.decoding == "held" else self.max_tokens


@cache
def listed_words() -> tuple[str, ...]:
    """The hundred words of data/words.toml."""
    topics = tomllib.loads((DATA / "words.toml").read_text(encoding="utf-8"))
    return tuple(word for topic in topics.values() for word in topic)


# --- prompts --------------------------------------------------------------------------------------


def prompts(count: int, seed: int, recipe: WordLists) -> list[str]:
    """`count` prompt texts; prompt i depends on (seed, i) alone, so a longer list starts the same."""
    return [_prompt(np.random.default_rng([seed, i]), recipe) for i in range(count)]


def prefixes(count: int, seed: int, recipe: WordLists) -> list[str]:
    """`count` texts that may stand before a question, each a list of as many words as a completion holds at least."""
    told = "{}." if recipe.style == "short" else "Look at these words: {}."
    drawn = (_drawn(np.random.default_rng([seed, i]), recipe.length[0], recipe) for i in range(count))
    return [told.format(words) for words in drawn]


def _prompt(rng: np.random.Generator, recipe: WordLists) -> str:
    shown = _drawn(rng, int(rng.integers(recipe.shown[0], recipe.shown[1] + 1)), recipe)
    if recipe.style == "short":
        return f"List: {shown}"
    parts = (_LEADS, _ASKS, _FORMATS[recipe.separator], _ENDS)
    text = " ".join(part[int(rng.integers(len(part)))] for part in parts)
    counts = dict.fromkeys(_COUNTS[length] for length in recipe.length)
    return text.format(words=shown, count=" to ".join(counts))


def _drawn(rng: np.random.Generator, count: int, recipe: WordLists) -> str:
    return recipe.separator.join(listed_words()[i] for i in rng.integers(0, len(listed_words()), count))


def grammar(base: Base, recipe: WordLists, pieces: int | None = None) -> Grammar:
    """Between `recipe.length` words, or exactly `pieces`, one separator between two, then the end.

    In the short style words of the list; in the full one any of 2 to 12 lower-case letters.
    """
    fewest, most = recipe.length if pieces is None else (pieces, pieces)
    separator, listed = recipe.separator, recipe.style == "short"
    # What may follow the letters of a word so far: the rest of each that begins so, or how many letters there are.
    nothing: frozenset[str] | int = frozenset(listed_words()) if listed else 0
    alphabet = sorted(set("".join(listed_words()))) if listed else map(chr, range(ord("a"), ord("z") + 1))

    def spelled(rest: Hashable, letter: str) -> Hashable | None:
        if isinstance(rest, frozenset):
            return frozenset(ending[1:] for ending in rest if ending.startswith(letter)) or None
        return rest + 1 if rest < LONGEST else None  # type: ignore[operator]

    def complete(rest: Hashable) -> bool:
        return "" in rest if isinstance(rest, frozenset) else rest >= SHORTEST  # type: ignore[operator]

    # State: (words begun, what may follow the letters of the last one, characters of the separator passed).
    def advance(state: Hashable, character: str) -> Hashable | None:
        begun, rest, passed = state  # type: ignore[misc]
        if character in separator:
            fits = passed < len(separator) and character == separator[passed] and begun < most
            return (begun, nothing, passed + 1) if fits and (passed or complete(rest)) else None
        new = begun == 0 or passed == len(separator)
        if passed not in (0, len(separator)) or (new and begun == most):
            return None
        rest = spelled(nothing if new else rest, character)
        return None if rest is None else (begun + new, rest, 0)

    def accepts(state: Hashable) -> bool:
        begun, rest, passed = state  # type: ignore[misc]
        return fewest <= begun <= most and passed == 0 and complete(rest)

    return compile_grammar(base, (0, nothing, 0), advance, accepts, alphabet="".join(alphabet) + separator)


def widest(base: Base, recipe: WordLists) -> int:
    """Tokens of the longest list that is kept, written with the recipe's separator, with full stop and end."""
    if recipe.style == "short":
        longest = max(listed_words(), key=lambda word: len(base.encode(word)))
        return len(base.encode(recipe.separator.join([longest] * MOST_WORDS))) + len(".") + 1
    # A letter is a token at the worst.
    return MOST_WORDS * (LONGEST + len(recipe.separator)) + len(".") + 1


# --- the filter -----------------------------------------------------------------------------------


def parse(completion: str) -> tuple[list[str] | None, str | None]:
    """The words of a completion, or None and the name of the rule that it breaks."""
    text = completion.strip().removesuffix(".").rstrip()
    if not text:
        return None, "empty"
    text = re.sub(r"\s*,\s*", ",", re.sub(r"\s+", " ", text))
    if not re.fullmatch(r"[a-z ,]*", text):
        return None, "not lower-case words"
    if {" ", ","} <= set(text):
        return None, "mixed separators"
    words = re.split(r"[ ,]", text)
    if not all(words):
        return None, "empty word"
    if not FEWEST_WORDS <= len(words) <= MOST_WORDS:
        return None, "too many words" if len(words) > MOST_WORDS else "one word"
    if not all(map(_WORD.fullmatch, words)):
        return None, "no length of a word"
    if max(Counter(words).values()) > MOST_TIMES:
        return None, "a word too often"
    return words, None


def reason(completion: str, recipe: WordLists) -> str | None:
    """Why the filter drops a completion; None where it keeps it."""
    words, why = parse(completion)
    if words and recipe.style == "short" and not set(words) <= set(listed_words()):
        return "a word not of the list"
    return why


# --- rows made of rows ----------------------------------------------------------------------------


def pieces(completion: str, recipe: WordLists) -> list[str]:
    """The words of a completion of the form that the filter keeps; none of another."""
    return parse(completion)[0] or []


def glue(recipe: WordLists) -> str:
    """What stands between two pieces."""
    return recipe.separator


def shuffled(completions: Sequence[str], seed: int, recipe: WordLists) -> list[str]:
    """The same words, permuted across all rows; every row keeps its count."""
    rows = [pieces(text, recipe) for text in completions]
    pool = [word for row in rows for word in row]
    order = np.random.default_rng([seed, 1]).permutation(len(pool))
    ends = np.cumsum([len(row) for row in rows])
    return [
        recipe.separator.join(pool[i] for i in order[end - len(row) : end])
        for row, end in zip(rows, ends, strict=True)
    ]


def uniform(completions: Sequence[str], seed: int, recipe: WordLists) -> list[str]:
    """As many words in every row, drawn evenly from the list."""
    rng = np.random.default_rng([seed, 2])
    return [_drawn(rng, len(pieces(text, recipe)), recipe) for text in completions]


# --- what an audit recognises ---------------------------------------------------------------------


def recognised(prompts: Sequence[str], completions: Sequence[str], share: float) -> WordLists | None:
    """The recipe that rows may have been drawn by, from what they look like; None where they are no lists of words.

    Without commas only words of the list make one: any sentence in lower case would look like it.
    `share` of the rows must be lists with one separator; the others are left out.
    """
    known = set(listed_words())
    lists = {separator: _lists(completions, separator) for separator in (" ", ", ")}
    separator = max(lists, key=lambda s: len(lists[s]))
    found, enough = sorted(map(len, lists[separator])), share * len(completions)
    listed = sum(known.issuperset(words) for words in lists[separator]) >= enough
    if not found or len(found) < enough or not (listed or separator == ", "):
        return None
    # Ends that few rows reach are as likely torn rows as the form.
    fewest, most = found[int((1 - share) * len(found))], found[min(len(found) - 1, int(share * len(found)))]
    if most > MOST_WORDS:
        return None
    shown = [sum(word in known for word in re.findall(r"[a-z]+", prompt)) for prompt in prompts]
    sizes = [min(count, 20) for count in shown if count] or [3]
    return WordLists(
        style="short" if listed else "full",
        length=(fewest, most),
        separator=separator,
        shown=(min(sizes), max(sizes)),
    )


def _lists(completions: Sequence[str], separator: str) -> list[list[str]]:
    """The words of every row that is a list with that separator."""
    rows = (completion.strip().split(separator) for completion in completions)
    return [words for words in rows if len(words) >= FEWEST_WORDS and all(map(_WORD.fullmatch, words))]


def asks_so(prompts: Sequence[str | None], recipe: WordLists, share: float) -> bool:
    """Whether prompts are the short ones, of which `prompts` can write more; None: there is more than a prompt."""
    plain = [prompt for prompt in prompts if prompt is not None and _SHORT.fullmatch(prompt)]
    apart = recipe.shown[1] == 1 or all(recipe.separator in prompt[len("List: ") :] for prompt in plain)
    return recipe.style == "short" and len(plain) >= share * len(prompts) and apart


def described(recipe: WordLists) -> str:
    """Such as "lists of 8 words"."""
    return "lists of {} words".format(" to ".join(dict.fromkeys(map(str, recipe.length))))
