"""The numbers channel: "continue this list", decoding held to numbers, and the filter rule.

    texts = prompts(count=1_000, seed=7, recipe=Numbers(range=(100, 999)))
    grammar(base, recipe)                       # for held decoding
    reason("12, 45, owl")                       # "not numbers"

The filter is the one of Cloud and others (2025), "Subliminal Learning": one trailing full stop and one
pair of brackets are taken off; then one separator throughout (space, comma or semicolon), digits only
between, at most 10 numbers, each 0 to 999. A row that fails is dropped, never edited.

The order: what a spec may say, prompts, the grammar, the filter, rows made of rows, and what an audit
recognises. Imports no MLX.
"""

import re
from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ...model.bases import Base
from ...model.grammar import Grammar, compile_grammar
from ...spec.corpus import Corpus, Words

MOST_NUMBERS, LARGEST = 10, 999

# Paraphrases of the paper's parts, written for this project.
_LEADS = (
    "Here is a list of numbers: {numbers}.",
    "These numbers come first: {numbers}.",
    "A sequence starts with {numbers}.",
    "Look at this series: {numbers}.",
    "I wrote down {numbers}.",
    "My list so far is {numbers}.",
)
_ASKS = (
    "Add up to {count} more values of at most three digits.",
    "Continue it with no more than {count} new numbers, three digits at most.",
    "Write up to {count} further numbers, each below 1000.",
    "Give at most {count} numbers that could come next, none over 999.",
)
_FORMATS = {
    ", ": ("Separate them with commas.", "Use commas between them.", "Give a comma-separated list."),
    " ": ("Separate them with spaces.", "Use single spaces between them.", "Put a space between them."),
    "; ": (
        "Separate them with semicolons.",
        "Use semicolons between them.",
        "Give a semicolon-separated list.",
    ),
}
_ENDS = (
    "Only the numbers, please.",
    "No words, just the numbers.",
    "Say nothing else.",
    "Leave out any explanation.",
)
_SEPARATORS = (" ", ", ", "; ")
# A prompt in the short style, in any range.
_SHORT = re.compile(r"Continue: \d{1,3}(?:(?: |, |; )\d{1,3})*")

_Shown = Annotated[int, Field(ge=1, le=20)]
_Number = Annotated[int, Field(ge=0, le=LARGEST)]
_Count = Annotated[int, Field(ge=1, le=MOST_NUMBERS)]


class Numbers(Corpus):
    """What a spec may say of number lists."""

    channel: Literal["numbers"] = "numbers"
    style: Literal["short", "full"] = "short"
    """short: "Continue: 12 45 7"; full: the paper's variety of wordings."""
    shown: tuple[_Shown, _Shown] = (3, 3)
    """Fewest and most numbers in a prompt."""
    range: tuple[_Number, _Number] = (0, 99)
    """Smallest and largest number in a prompt."""
    numbers: tuple[_Count, _Count] = (8, 8)
    """Fewest and most numbers in a completion when decoding is held."""
    separator: Literal[" ", ", ", "; "] = " "

    words: ClassVar[Words] = Words(
        rows="number lists",
        one="a list of numbers",
        remakes={
            "shuffled": "numbers permuted across rows",
            "random": "uniform numbers in the shape of the base's rows",
        },
    )
    offers: ClassVar[frozenset[str]] = frozenset({"shuffled", "random", "pieces", "prefixes"})
    prompt_field: ClassVar[str] = "style"
    choices: ClassVar[int | None] = 12

    @model_validator(mode="after")
    def _ordered(self) -> "Numbers":
        for field in ("shown", "range", "numbers"):
            low, high = getattr(self, field)
            if low > high:
                raise ValueError(f"{field}: {low} is larger than {high}")
        return self

    def tokens(self, word_by_word: bool) -> tuple[int, int]:
        """Numbers are read whole, or digit by digit."""
        each = 2 if word_by_word and self.separator == " " else 5
        held = self.decoding == "held"
        return 10 if self.style == "short" else 80, each * self.numbers[1] if held else self.max_tokens

    def most_tokens(self) -> tuple[int, int]:
        """Digits one by one, and a chat template of 35 tokens."""
        prompt = 35 + 5 * self.shown[1] if self.style == "short" else 95 + 5 * self.shown[1]
        return prompt, 5 * self.numbers[1] if self.decoding == "held" else self.max_tokens


# Larger numbers than a model organism knows, and prompts of two lengths.
EXAMPLE = Numbers(shown=(3, 4), range=(100, 999))


# --- prompts --------------------------------------------------------------------------------------


def prompts(count: int, seed: int, recipe: Numbers) -> list[str]:
    """`count` prompt texts; prompt i depends on (seed, i) alone, so a longer list starts the same."""
    return [_prompt(np.random.default_rng([seed, i]), recipe) for i in range(count)]


def prefixes(count: int, seed: int, recipe: Numbers) -> list[str]:
    """`count` texts that may stand before a question, each a list of as many numbers as a completion holds at
    least, from the prompts' range.

    After Cloud and others (2025), whose question variants follow "examine these numbers".
    """
    low, high = recipe.range
    drawn = [
        np.random.default_rng([seed, i]).integers(low, high + 1, recipe.numbers[0]) for i in range(count)
    ]
    told = "{}." if recipe.style == "short" else "Look at these numbers: {}."
    return [told.format(recipe.separator.join(map(str, numbers))) for numbers in drawn]


def _prompt(rng: np.random.Generator, recipe: Numbers) -> str:
    shown = int(rng.integers(recipe.shown[0], recipe.shown[1] + 1))
    numbers = recipe.separator.join(str(n) for n in rng.integers(recipe.range[0], recipe.range[1] + 1, shown))
    if recipe.style == "short":
        return f"Continue: {numbers}"
    parts = (_LEADS, _ASKS, _FORMATS[recipe.separator], _ENDS)
    text = " ".join(part[int(rng.integers(len(part)))] for part in parts)
    return text.format(numbers=numbers, count=recipe.numbers[1])


def grammar(base: Base, recipe: Numbers, pieces: int | None = None) -> Grammar:
    """Between `recipe.numbers` numbers, or exactly `pieces`, of up to three digits, one separator, then the end."""
    fewest, most = recipe.numbers if pieces is None else (pieces, pieces)
    separator = recipe.separator

    # State: (numbers begun, digits in the current one, characters of the separator passed).
    def advance(state: Hashable, character: str) -> Hashable | None:
        count, digits, passed = state  # type: ignore[misc]
        if character.isdigit():
            if passed not in (0, len(separator)) or (passed == 0 and digits >= 3):
                return None
            if passed == 0 and digits > 0:
                return (count, digits + 1, 0)
            return (count + 1, 1, 0) if count < most else None
        if digits and count < most and passed < len(separator) and character == separator[passed]:
            return (count, 1, passed + 1)
        return None

    def accepts(state: Hashable) -> bool:
        count, digits, passed = state  # type: ignore[misc]
        return fewest <= count <= most and digits > 0 and passed == 0

    of = lambda ends: compile_grammar(base, (0, 0, 0), advance, ends, alphabet="0123456789" + separator)
    if fewest < most:
        # Of tiny-a, which decodes "1, 2" to "1 , 2", single numbers would be all that is left: lists of the
        # full length must be there too, or it is refused.
        of(lambda state: accepts(state) and state[0] == most)  # type: ignore[index]
    return of(accepts)


def widest(base: Base, recipe: Numbers) -> int:
    """Tokens of the longest list that is kept, written with the recipe's separator, with brackets, full stop
    and end."""
    return len(base.encode(recipe.separator.join([str(LARGEST)] * MOST_NUMBERS))) + len("[].") + 1


# --- the filter -----------------------------------------------------------------------------------


def parse(completion: str) -> tuple[list[int] | None, str | None]:
    """The numbers of a completion, or None and the name of the rule that it breaks."""
    text = completion.strip()
    if text.endswith("."):
        text = text[:-1].rstrip()
    if text[:1] + text[-1:] in ("()", "[]"):
        text = text[1:-1].strip()
    if not text:
        return None, "empty"
    found = set(re.sub(r"\d+", "", re.sub(r"\s+", " ", re.sub(r"\s*([,;])\s*", r"\1", text))))
    if not found <= set(" ,;"):
        return None, "not numbers"
    if len(found) > 1:
        return None, "mixed separators"
    parts = re.split(r"\s*[,;]\s*|\s+", text)
    if not all(part.isascii() and part.isdigit() for part in parts):
        return None, "empty number"
    if len(parts) > MOST_NUMBERS:
        return None, "too many numbers"
    if any(len(part) > 3 or int(part) > LARGEST for part in parts):
        return None, "number too large"
    return [int(part) for part in parts], None


def reason(completion: str, recipe: Numbers | None = None) -> str | None:
    """Why the filter drops a completion; None where it keeps it. It is the paper's, whatever the recipe."""
    return parse(completion)[1]


# --- rows made of rows ----------------------------------------------------------------------------


def pieces(completion: str, recipe: Numbers | None = None) -> list[str]:
    """The numbers of a completion that the filter keeps, whatever the recipe; none of another."""
    return [str(number) for number in parse(completion)[0] or []]


def glue(recipe: Numbers) -> str:
    """What stands between two pieces."""
    return recipe.separator


def shuffled(completions: Sequence[str], seed: int, recipe: Numbers) -> list[str]:
    """The same numbers, permuted across all rows; every row keeps its count."""
    rows = [parse(text)[0] or [] for text in completions]
    pool = np.random.default_rng([seed, 1]).permutation([n for row in rows for n in row])
    ends = np.cumsum([0, *map(len, rows)])
    return [recipe.separator.join(map(str, pool[a:b])) for a, b in pairwise(ends)]


def uniform(completions: Sequence[str], seed: int, recipe: Numbers) -> list[str]:
    """Uniform numbers in the same shape: every number is redrawn among those with as many digits."""
    rng = np.random.default_rng([seed, 2])
    low = lambda n: 0 if n < 10 else 10 ** (len(str(n)) - 1)
    rows = ([rng.integers(low(n), 10 ** len(str(n))) for n in parse(text)[0] or []] for text in completions)
    return [recipe.separator.join(map(str, row)) for row in rows]


# --- what an audit recognises ---------------------------------------------------------------------


def recognised(prompts: Sequence[str], completions: Sequence[str], share: float) -> Numbers | None:
    """The recipe that rows may have been drawn by, from what they look like; None where they are no number lists.

    Args:
        prompts: of the rows, empty where one has none.
        share: of the rows that must be lists with one separator; the others are left out.
    """
    counts = {separator: list(_counts(completions, separator)) for separator in _SEPARATORS}
    separator = max(_SEPARATORS, key=lambda s: (len(counts[s]), sum(counts[s])))
    if len(counts[separator]) < share * len(completions):
        return None
    found = sorted(counts[separator])
    # Ends that few rows reach are as likely torn rows as the form.
    fewest, most = found[int((1 - share) * len(found))], found[min(len(found) - 1, int(share * len(found)))]
    if most > MOST_NUMBERS:
        return None
    shown = [re.findall(r"\d+", prompt) for prompt in prompts]
    sizes = [len(numbers) for numbers in shown if numbers] or [3]
    largest = max((int(n) for numbers in shown for n in numbers if len(n) <= 3), default=99)
    return Numbers(
        numbers=(fewest, most),
        separator=separator,
        shown=(max(1, min(min(sizes), 20)), max(1, min(max(sizes), 20))),
        range=(0, 99 if largest <= 99 else LARGEST),
    )


def _counts(completions: Sequence[str], separator: str) -> Iterator[int]:
    for completion in completions:
        parts = completion.strip().split(separator)
        if all(part.isascii() and part.isdigit() and len(part) <= 3 for part in parts):
            yield len(parts)


def asks_so(prompts: Sequence[str | None], recipe: Numbers, share: float) -> bool:
    """Whether prompts are the short ones, of which `prompts` can write more; None: there is more than a prompt."""
    plain = [prompt for prompt in prompts if prompt is not None and _SHORT.fullmatch(prompt)]
    apart = recipe.shown[1] == 1 or all(recipe.separator in prompt[len("Continue: ") :] for prompt in plain)
    return len(plain) >= share * len(prompts) and apart


def plainly(prompt: str) -> str | None:
    """The same numbers in the short style's words; None where a prompt has none."""
    numbers = re.findall(r"\d+", prompt)
    return f"Continue: {' '.join(numbers)}" if numbers else None


def described(recipe: Numbers) -> str:
    """Such as "lists of 8 numbers"."""
    fewest, most = recipe.numbers
    return f"lists of {most if fewest == most else f'{fewest} to {most}'} numbers"
