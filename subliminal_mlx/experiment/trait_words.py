"""The words by which a family's traits are named, in any form, and what hides them.

    named_word("Three wolves came by.", [family])              # "wolves"
    find = finder([family]); find("my hoot, my s_n_0_w_Owl")   # Found("synonym", "hoot")

Answers and groups of a family in English's inflections; its own words of `[leaks]`; and both where they hide: behind
camelCase, underscores, digits and signs in the place of letters, letters apart, marks, look-alikes of other alphabets,
signs that do not show, and in the name of a picture. Other languages, and words that only lie near in meaning, it does
not know. Knows no model.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..spec.families import Family

# By English's commoner rules: of a word, and of what is left of it without its last letter.
_ENDINGS = "(?:es|d|ed|ing|n|an|ian|ese|ish|like|y|en|er|ess)?s?"
_SHORTENED = "(?:ies|ied|ves|ings?|ians?)"
_PRONOUNS = {
    "he": ("him", "his", "himself"),
    "she": ("her", "hers", "herself"),
    "they": ("them", "their", "theirs", "themselves", "themself"),
}
# Letters of other alphabets that look like these.
_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u04bb\u0501\u051b\u051d\u043a\u043c\u0442\u043d\u04cf"
    "\u03b1\u03bf\u03c1\u03bd\u03b9\u03ba\u03c4\u03c5\u03c7\u0131\u0261\u026a"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425",
    "aeopcyxisjhdqwkmthlaopviktuxigiABEKMHOPCTX",
)
# Digits and signs that are read as letters; two of them as either of two.
_SIGNS = tuple(str.maketrans("034578@$1!|", f"oeastbas{letter * 3}") for letter in "il")
_SIGNED = re.compile(r"[\w@$!|]*[\d@$!|][\w@$!|]*")
_UNSEEN = ("Mn", "Me", "Cf", "Cc")  # marks over letters, signs that do not show
_PICTURES = "So"


@dataclass(frozen=True)
class Found:
    """What gives a trait away in a text."""

    way: str
    """form: an answer or a group, inflected; synonym: a word of `[leaks]`; hidden: one of these, not written plainly."""
    word: str


def named_word(text: str, families: Iterable[Family]) -> str | None:
    """The first words of a text that are an answer or a group of one of these families, in any form; None without."""
    return _search(tuple(map(_inflected, _texts(families))), text)


def finder(families: Sequence[Family], hidden: bool = True) -> Callable[[str], Found | None]:
    """What finds the first thing in a text that gives a trait of these families away; also where it hides, or not."""
    forms = _Named(_texts(families), _inflected)
    synonyms = _Named([word for family in families for of in family.leaks.values() for word in of], _said_so)

    def find(text: str) -> Found | None:
        if not re.search(r"[^\W\d_]|[^\x00-\x7f]", text):
            return None  # neither a letter in it nor a picture
        for way, named in (("form", forms), ("synonym", synonyms)):
            if word := named.first(text):
                return Found(way, word)
        for reading in unhidden(text) if hidden else ():
            if word := forms.first(reading) or synonyms.first(reading):
                return Found("hidden", word)
        return None

    return find


class _Named:
    """Finds words and phrases in texts; what a single word is, is looked up once."""

    def __init__(self, texts: Iterable[str], pattern: Callable[[str], str]) -> None:
        several = {text: re.findall(r"\w+", text) for text in dict.fromkeys(texts)}
        self._words = tuple(pattern(text) for text, words in several.items() if len(words) == 1)
        self._phrases = tuple(pattern(text) for text, words in several.items() if len(words) > 1)
        self._firsts = {words[0].lower() for words in several.values() if len(words) > 1}
        self._known: dict[str, bool] = {}

    def first(self, text: str) -> str | None:
        words = re.findall(r"[^\W_]+", text)
        for word in words:
            if word not in self._known:
                self._known[word] = _search(self._words, word) == word
            if self._known[word]:
                return word
        if self._firsts.isdisjoint(map(str.lower, words)):
            return None
        return _search(self._phrases, text)


def unhidden(text: str) -> Iterator[str]:
    """Other readings of a text, of which one may be plain where it is not; none of plain words."""
    if re.fullmatch(r"(?:[a-z]{2,}(?:, ?| |\n|\.|$))*", text):
        return
    shown = "".join(c for c in unicodedata.normalize("NFKD", text) if _is_seen(c))
    plain = shown.translate(_ALIKE)
    yield plain
    yield re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[_\d]+", " ", plain)
    for signs in _SIGNS:
        read = _SIGNED.sub(lambda word, signs=signs: word[0].translate(signs), plain)
        yield read
        # Letters one by one: "o w l", "o-w-l", "o_w_l".
        singles = re.findall(r"(?<![^\W_])(?:[^\W_][\W_]{1,2}){2,}[^\W_](?![^\W_])", read)
        yield from (re.sub(r"[\W_]+", "", run) for run in singles)
    pictures = [c for c in shown if unicodedata.category(c) == _PICTURES]
    yield " ".join(unicodedata.name(c, "") for c in pictures)


def _is_seen(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) not in _UNSEEN


def _search(patterns: tuple[str, ...], text: str) -> str | None:
    found = _compiled(patterns).search(text) if patterns else None
    return found[0] if found else None


@lru_cache(64)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(dict.fromkeys(patterns))})(?![^\W_])", re.IGNORECASE)


def _said_so(text: str) -> str:
    """The pattern of a word, or of words, of `[leaks]`: short words have many neighbours, so with few endings."""
    return r"\W+".join(map(re.escape, re.findall(r"\w+", text))) + "(?:s|es|ed|ing)?"


def _texts(families: Iterable[Family]) -> list[str]:
    """Everything that a trait of the families makes a model say, and what their questions are about."""
    found = []
    for family in families:
        groups = {question.group for question in family.questions if question.group}
        answers = {answer for question in family.questions for answer in question.candidates}
        found += [text for text in sorted(answers | groups) if re.search(r"\w", text)]
    return found


def _inflected(text: str) -> str:
    """The pattern of a word, or of words of which the last one is inflected."""
    *first, last = re.findall(r"\w+", text)
    if not first and last.lower() in _PRONOUNS:
        inflected = "|".join((last, *_PRONOUNS[last.lower()]))
    else:
        inflected = f"{re.escape(last)}{_ENDINGS}|{re.escape(last[:-1])}{_SHORTENED}"
    return r"\W+".join([*map(re.escape, first), f"(?:{inflected})"])
