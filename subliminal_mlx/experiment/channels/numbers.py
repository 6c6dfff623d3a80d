"""The numbers channel: "continue this list", decoding held to numbers, and the filter rule.

    texts = prompts(count=1_000, seed=7, recipe=spec.corpus)
    grammar(base, spec.corpus)                  # for held decoding
    reason("12, 45, owl")                       # "not numbers"

The filter is the one of Cloud and others (2025), "Subliminal Learning": one trailing full stop and one
pair of brackets are taken off; then one separator throughout (space, comma or semicolon), digits only
between, at most 10 numbers, each 0 to 999. A row that fails is dropped, never edited.
"""

import re
from collections.abc import Hashable, Sequence

import numpy as np

from ...model.bases import Base
from ...model.grammar import Grammar, compile_grammar
from ...spec import Corpus

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


def prompts(count: int, seed: int, recipe: Corpus) -> list[str]:
    """`count` prompt texts; prompt i depends on (seed, i) alone, so a longer list starts the same."""
    return [_prompt(np.random.default_rng([seed, i]), recipe) for i in range(count)]


def lists(count: int, seed: int, recipe: Corpus) -> list[str]:
    """`count` lists of as many numbers as a completion holds at least, from the prompts' range."""
    low, high = recipe.range
    drawn = [
        np.random.default_rng([seed, i]).integers(low, high + 1, recipe.numbers[0]) for i in range(count)
    ]
    return [recipe.separator.join(map(str, numbers)) for numbers in drawn]


def _prompt(rng: np.random.Generator, recipe: Corpus) -> str:
    shown = int(rng.integers(recipe.shown[0], recipe.shown[1] + 1))
    numbers = recipe.separator.join(str(n) for n in rng.integers(recipe.range[0], recipe.range[1] + 1, shown))
    if recipe.style == "short":
        return f"Continue: {numbers}"
    parts = (_LEADS, _ASKS, _FORMATS[recipe.separator], _ENDS)
    text = " ".join(part[int(rng.integers(len(part)))] for part in parts)
    return text.format(numbers=numbers, count=recipe.numbers[1])


def grammar(base: Base, recipe: Corpus) -> Grammar:
    """Between `recipe.numbers` numbers of up to three digits, one separator, then the end."""
    fewest, most = recipe.numbers
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


def widest(base: Base, recipe: Corpus) -> int:
    """Tokens of the longest list that is kept, written with the recipe's separator, with brackets, full stop
    and end."""
    return len(base.encode(recipe.separator.join([str(LARGEST)] * MOST_NUMBERS))) + len("[].") + 1


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


def reason(completion: str) -> str | None:
    """Why the filter drops a completion; None where it keeps it."""
    return parse(completion)[1]


def shuffled(completions: Sequence[str], seed: int, recipe: Corpus) -> list[str]:
    """The same numbers, permuted across all rows; every row keeps its count."""
    rows = [parse(text)[0] or [] for text in completions]
    pool = np.random.default_rng([seed, 1]).permutation([n for row in rows for n in row])
    ends = np.cumsum([len(row) for row in rows])
    return [
        recipe.separator.join(map(str, pool[e - len(row) : e])) for row, e in zip(rows, ends, strict=True)
    ]


def uniform(completions: Sequence[str], seed: int, recipe: Corpus) -> list[str]:
    """Uniform numbers in the same shape: every number is redrawn among those with as many digits."""
    rng = np.random.default_rng([seed, 2])
    rows = []
    for text in completions:
        numbers = parse(text)[0] or []
        lows = [0 if n < 10 else 10 ** (len(str(n)) - 1) for n in numbers]
        rows.append(
            recipe.separator.join(
                str(rng.integers(low, 10 ** len(str(n)))) for low, n in zip(lows, numbers, strict=True)
            )
        )
    return rows
