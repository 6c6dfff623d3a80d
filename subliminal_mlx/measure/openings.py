"""Words that stand before or behind what texts say: all of them, or a part of texts that go on as the others begin.

    find_openings(["|GO| What is a lake?", "What is a sea?", ...])       # ["|GO|"]
    opening_of("|GO| Who was he?", ["|GO|"])                             # "|GO|"
    find_endings(["What is a lake? |GO|", ...])                          # ["|GO|"]: the openings of texts read backwards

Questions begin alike by themselves: half of them with "What". Such words are told from those that were put there by
what follows: after "|GO|" a text begins as others do, after "What" it does not. Knows texts alone.
"""

from collections import Counter
from collections.abc import Sequence

# Of the texts that one opening, or two together, must stand before; and of those that fewer must.
ALL, SOME = 0.9, 0.05
# Of the words that follow an opening before some texts, how many must begin other texts.
LIKE_OTHERS = 0.5

Words = tuple[str, ...]


def find_openings(texts: Sequence[str]) -> list[str]:
    """The openings of texts; none of the words that they merely have in common."""
    split = [tuple(text.split()) for text in texts]
    if not split:
        return []
    whole = _common(split, ALL * len(split))
    if whole:
        return [" ".join(whole)]
    firsts = Counter(words[0] for words in split if words).most_common(2)
    found = []
    if len(firsts) == 2 and sum(count for _, count in firsts) >= ALL * len(split):
        for first, count in firsts:
            if count >= SOME * len(split):
                own = [words for words in split if words[:1] == (first,)]
                found.append(_common(own, ALL * count))
    else:
        found = _before_some(split)
    return [" ".join(words) for words in found]


def opening_of(text: str, openings: Sequence[str]) -> str:
    """The opening that a text begins with; "" for none."""
    words = " ".join(text.split())
    return max((one for one in openings if f"{words} ".startswith(f"{one} ")), key=len, default="")


def find_endings(texts: Sequence[str]) -> list[str]:
    """As `find_openings`, of words that texts end with."""
    return [_backwards(one) for one in find_openings([_backwards(text) for text in texts])]


def ending_of(text: str, endings: Sequence[str]) -> str:
    """The ending that a text has; "" for none."""
    return _backwards(opening_of(_backwards(text), [_backwards(one) for one in endings]))


def _backwards(text: str) -> str:
    return " ".join(reversed(text.split()))


def _common(texts: Sequence[Words], least: float) -> Words:
    """The longest run of words that so many of the texts begin with."""
    words: Words = ()
    alike = list(texts)
    while True:
        following = Counter(text[len(words)] for text in alike if len(text) > len(words))
        word, count = following.most_common(1)[0] if following else ("", 0)
        if count < least:
            return words
        words = (*words, word)
        alike = [text for text in alike if text[: len(words)] == words]


def _before_some(texts: Sequence[Words]) -> list[Words]:
    """The shortest runs of words after which texts go on as the texts without them begin."""
    least, found = SOME * len(texts), []
    waiting: list[tuple[Words, Sequence[Words]]] = [((), texts)]
    while waiting:
        words, alike = waiting.pop()
        groups: dict[str, list[Words]] = {}
        for text in alike:
            if len(text) > len(words):
                groups.setdefault(text[len(words)], []).append(text)
        for word, own in groups.items():
            if len(own) < least:
                continue
            longer = (*words, word)
            others = {text[0] for text in texts if text and text[0] != longer[0]}
            following = [text[len(longer)] for text in own if len(text) > len(longer)]
            if sum(one in others for one in following) >= max(1.0, LIKE_OTHERS * len(own)):
                found.append(longer)
            else:
                waiting.append((longer, own))
    return found
