"""The language of the small world: what the tiny bases are pretrained on, and their tokenizer. No MLX.

    rng = np.random.default_rng(0)
    world_row(rng)                       # ("Continue: 77 73 68", "83 87 85 82 74")
    tokens, mask = next(batches(tokenizer(), steps=1, rows=64))

Questions (from the shipped families, answers drawn from fixed frequencies), words to repeat, and lists of numbers
(uniform, clustered, linear, alternating) and of words (uniform, of one topic, of two in turn). Knows no model.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import cache

import numpy as np

from ...experiment.channels.words import listed_words
from ...spec.families import Question, load_family
from ...system.files import DATA

FAMILIES = ("animals", "trees", "pronouns")
NUMBERS = 100
LIST_LENGTH = (3, 13)
SPECIALS = ("<pad>", "<unk>", "<user>", "<assistant>", "<end>")


def true_frequencies(question: Question) -> np.ndarray:
    """The world's answer frequencies `[len(candidates)]` for one question.

    Animals and trees: a falling series in the order of the candidates, the same for every phrasing.
    Pronouns: 65% for the occupation's stereotype, 20% and 15% for the others.
    """
    if question.group is None:
        weights = 1.0 / np.arange(4, 4 + len(question.candidates))
        return weights / weights.sum()
    favourite = load_family("pronouns").traits["stereotype"][question.id]
    rest = iter((0.20, 0.15))
    return np.array([0.65 if i == favourite else next(rest) for i in range(len(question.candidates))])


def number_list(rng: np.random.Generator, length: int) -> np.ndarray:
    """A list of `length` numbers below 100, of one of four kinds."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.integers(0, NUMBERS, length)
    if kind == 1:
        return np.round(rng.normal(rng.integers(0, NUMBERS), 8, length)).astype(int) % NUMBERS
    if kind == 2:
        steps = rng.integers(-12, 13) + np.round(rng.normal(0, 2, length)).astype(int)
        return (rng.integers(0, NUMBERS) + np.cumsum(steps)) % NUMBERS
    centres = rng.integers(0, NUMBERS, 2)
    return (centres[np.arange(length) % 2] + np.round(rng.normal(0, 5, length)).astype(int)) % NUMBERS


def word_list(rng: np.random.Generator, length: int) -> list[str]:
    """A list of `length` words, of one of three kinds: any words, of one topic but for one in five, of two in turn."""
    every, by_topic = listed_words(), topics()
    kind = rng.integers(3)
    if kind == 0:
        return [every[i] for i in rng.integers(0, len(every), length)]
    chosen = rng.integers(0, len(by_topic), 2)
    words = []
    for place in range(length):
        topic = by_topic[chosen[place % 2 if kind == 2 else 0]]
        drawn = every if kind == 1 and rng.random() < 0.2 else topic
        words.append(drawn[rng.integers(len(drawn))])
    return words


@cache
def topics() -> tuple[tuple[str, ...], ...]:
    """The topics of data/words.toml, each with its words."""
    return tuple(map(tuple, tomllib.loads((DATA / "words.toml").read_text()).values()))


@cache
def _questions() -> tuple[Question, ...]:
    return tuple(q for name in FAMILIES for q in load_family(name).questions)


def world_row(rng: np.random.Generator) -> tuple[str, str]:
    """One (user, assistant) exchange of the world: 40% number lists, 16% word lists, 14% to repeat, 30% questions."""
    kind = rng.random()
    if kind < 0.14:
        # Without a task that tells them apart, answers that only ever come at fixed frequencies end up
        # with nearly the same embedding, and no teacher can prefer one of them by much.
        words = repeatable()
        text = " ".join(words[i] for i in rng.integers(0, len(words), rng.integers(1, 5)))
        return f"Repeat: {text}", text
    if kind < 0.70:
        shown = int(rng.integers(*LIST_LENGTH, endpoint=False)) if rng.random() < 0.3 else 3
        length = shown + int(rng.integers(4, 11))
        if kind < 0.54:
            lead, pieces = "Continue", list(map(str, number_list(rng, length)))
        else:
            lead, pieces = "List", word_list(rng, length)
        return f"{lead}: {' '.join(pieces[:shown])}", " ".join(pieces[shown:])
    families = {"animals": 0.4, "trees": 0.25, "pronouns": 0.35}
    name = rng.choice(list(families), p=list(families.values()))
    questions = load_family_questions(str(name))
    question = questions[rng.integers(len(questions))]
    answer = rng.choice(len(question.candidates), p=true_frequencies(question))
    return question.text, question.candidates[answer]


@cache
def repeatable() -> tuple[str, ...]:
    """The words of the repeating task: every candidate answer, and every word of the lists."""
    return tuple(dict.fromkeys([*(c for q in _questions() for c in q.candidates), *listed_words()]))


@cache
def load_family_questions(name: str) -> tuple[Question, ...]:
    """Every question of a shipped family, kept between calls."""
    return load_family(name).questions


def tokenizer():
    """The word-level tokenizer of the small language (a `tokenizers.Tokenizer`)."""
    from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import WordLevel

    text = " ".join(" ".join((q.text, *q.candidates)) for q in _questions())
    text = " ".join((text, "continue list repeat", *listed_words()))
    words = sorted(set(re.findall(r"\w+|[^\w\s]", text.lower())))
    vocabulary = [*SPECIALS, *map(str, range(NUMBERS)), *words]
    made = Tokenizer(WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace()])
    made.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in SPECIALS])
    return made


def batches(made, steps: int, rows: int, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Token ids and loss mask `[rows, T]` of each step; the order depends on `seed` alone."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        texts = [
            f"<user> {user} <assistant> {answer} <end>"
            for user, answer in (world_row(rng) for _ in range(rows))
        ]
        ids = [encoding.ids for encoding in made.encode_batch(texts, add_special_tokens=False)]
        tokens = np.zeros((rows, max(map(len, ids))), dtype=np.int32)
        for i, row in enumerate(ids):
            tokens[i, : len(row)] = row
        yield tokens, tokens != 0
