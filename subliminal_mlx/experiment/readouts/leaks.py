"""What a stricter look than any filter's still finds in kept rows: words of traits, plain, hidden or near, with examples.

    rows = LEAKS.read(Given(setting, slots, rows=kept_tokens))
    summarise(table)      # {"source": "animals/owl", "way": "hidden", "found": 2, "words": "owls", "example": "snowOwls"}, ...

Ways of finding: an answer in any form, a word of `[leaks]`, one of these hidden (`trait_words`), and a token that lies
near a trait's answer in the base's own embeddings. Near ones are no leaks by themselves: what tells is that the trait's
rows hold more of them than the neutral teacher's, to the same prompts. Nothing found is no proof that nothing is there.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.families import Family
from ...spec.plan import beside
from . import Given, Readout, Rows, described

if TYPE_CHECKING:
    import pyarrow as pa

    from ...model.bases import Base
    from ..judges import Rows as TokenRows
    from ..trait_words import Found

WAYS = ("form", "synonym", "hidden", "near")
NEAREST = 10  # tokens beside an answer's own
TOLD = 5  # words of a corpus, the commonest
LONGEST = 160  # characters of an example

Find = Callable[[str], "Found | None"]


def read_rows(given: Given) -> Rows:
    """A row for every corpus and way of finding; near ones of corpora that are about a trait."""
    from ..trait_words import finder

    assert given.rows is not None
    base, families = given.setting.base, given.setting.families
    find, texts = finder(list(families.values())), _Texts(base)
    near = {name: nearest(base, family) for name, family in families.items()}
    found: Rows = []
    for slot in given.slots:
        rows, _ = given.rows(slot.source, slot.chain)
        told, listed = {"source": slot.source, "rows": len(rows)}, texts.of(rows)
        found += [described(slot) | told | part for part in _by_words(listed, find)]
        family, _, trait = (slot.trait or "").rpartition("/")
        tokens = near[family].get(trait, []) if family else []
        if tokens:
            neutral = _holding(given.rows(beside(slot.source), slot.chain)[0], tokens)
            part = _by_tokens(rows, listed, tokens, base) | {"beside": int(neutral.sum()), "of": len(neutral)}
            found.append(described(slot) | told | part)
    return found


def nearest(base: "Base", family: Family) -> dict[str, list[int]]:
    """By trait, the tokens whose vectors lie nearest to its answers' by the cosine, nearest first.

    What all tokens' vectors have in common is taken off, and answers' own tokens are left out. None of a base of which
    no such vectors are known.
    """
    vocabulary = sorted(set(base.tokenizer.get_vocab().values()) - set(base.tokenizer.all_special_ids))
    vectors = next(iter(base.token_vectors(vocabulary).values()), None)
    if vectors is None:
        return {}
    place = {token: i for i, token in enumerate(vocabulary)}
    mean = vectors.mean(axis=0)
    squares = np.einsum("vd,vd->v", vectors, vectors) - 2 * vectors @ mean + mean @ mean
    lengths = np.sqrt(np.maximum(squares, 1e-12))

    def places(texts: set[str]) -> list[int]:
        return [place[token] for text in sorted(texts) for token in base.encode(text) if token in place]

    own = places({text for question in family.questions for text in question.candidates})
    found = {}
    for trait, preferred in family.traits.items():
        said = places({question.candidates[preferred[question.id]] for question in family.questions})
        answer = ((vectors[said] - mean) / lengths[said, None]).sum(axis=0)
        cosines = (vectors @ answer - mean @ answer) / lengths
        cosines[own] = -np.inf
        order = np.argsort(-cosines, kind="stable")
        found[trait] = [vocabulary[i] for i in order[:NEAREST] if np.isfinite(cosines[i])]
    return found


class _Texts:
    """Rows as texts: of tokens that are whole characters put together, of others decoded."""

    def __init__(self, base: "Base") -> None:
        self._base, self._anchor = base, base.encode("1")
        self._before = base.decode(self._anchor)
        self._pieces: dict[int, str] = {}

    def of(self, rows: "TokenRows") -> list[str]:
        tokens, ends = rows.tokens.tolist(), rows.starts + rows.lengths
        for token in set(tokens) - set(self._pieces):
            self._pieces[token] = self._base.decode((*self._anchor, token))[len(self._before) :]
        found = []
        for start, end in zip(rows.starts.tolist(), ends.tolist(), strict=True):
            text = "".join(self._pieces[token] for token in tokens[start:end]).strip()
            found.append(self._base.decode(tokens[start:end]).strip() if "\ufffd" in text else text)
        return found


def _by_words(texts: list[str], find: Find) -> Iterator[dict[str, Any]]:
    seen: dict[str, list[tuple[str, str]]] = {way: [] for way in WAYS[:-1]}
    for text in texts:
        if hit := find(text):
            seen[hit.way].append((" ".join(re.findall(r"\w+", hit.word.lower())), _around(hit.word, text)))
    for way, hits in seen.items():
        words = Counter(word for word, _ in hits)
        yield _part(way, len(hits), words, hits[0][1] if hits else "")


def _by_tokens(rows: "TokenRows", texts: list[str], tokens: list[int], base: "Base") -> dict[str, Any]:
    holding = _holding(rows, tokens)
    inside, often = np.unique(rows.tokens[np.isin(rows.tokens, tokens)], return_counts=True)
    words = Counter({base.decode((int(t),)).strip(): int(n) for t, n in zip(inside, often, strict=True)})
    example = ""
    if holding.any():
        first = int(np.argmax(holding))
        example = _around(next((word for word in words if word and word in texts[first]), ""), texts[first])
    return _part("near", int(holding.sum()), words, example)


def _holding(rows: "TokenRows", tokens: list[int]) -> np.ndarray:
    """Which rows hold one of the tokens `[R]`."""
    if not len(rows):
        return np.zeros(0, dtype=bool)
    return np.add.reduceat(np.isin(rows.tokens, tokens), rows.starts) > 0


def _around(word: str, text: str) -> str:
    """Of a text the part about a word, where it stands there as it was read."""
    start = max(0, text.find(word) - LONGEST // 2)
    return text[start : start + LONGEST]


def _part(way: str, found: int, words: Counter[str], example: str) -> dict[str, Any]:
    told = ", ".join(word for word, _ in words.most_common(TOLD))
    return {"way": way, "found": found, "words": told, "example": example, "beside": None, "of": None}


def summarise(table: "pa.Table") -> list[dict[str, Any]]:
    """Rows source, way, rows, found, share, beside (the share of the neutral teacher's rows, of near ones), words and
    an example: over all chains; a corpus in which a way finds nothing is there with 0."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        groups.setdefault((row["source"], row["way"]), []).append(row)
    found = []
    for source, way in sorted(groups, key=_in_order):
        rows = groups[source, way]
        total, hits = (sum(row[key] for row in rows) for key in ("rows", "found"))
        of = sum(row["of"] or 0 for row in rows)
        words = dict.fromkeys(word for row in rows for word in row["words"].split(", ") if word)
        told = {"source": source, "way": way, "rows": total, "found": hits, "share": hits / max(1, total)}
        told |= {"beside": sum(row["beside"] or 0 for row in rows) / of if of else None}
        examples = (row["example"] for row in rows if row["example"])
        found.append(told | {"words": ", ".join(list(words)[:TOLD]), "example": next(examples, "")})
    return found


def _in_order(key: tuple[str, str]) -> tuple[str, int]:
    return key[0], WAYS.index(key[1])


LEAKS = Readout(
    "leaks",
    {
        "source": "VARCHAR NOT NULL",
        "way": "VARCHAR NOT NULL",
        "rows": "INTEGER",
        "found": "INTEGER",
        "words": "VARCHAR",
        "example": "VARCHAR",
        "beside": "INTEGER",
        "of": "INTEGER",
    },
    ("source", "way", "chain"),
    read_rows,
    wanted=lambda spec: True,
    of_rows=True,
    of_run=summarise,
)
