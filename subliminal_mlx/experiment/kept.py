"""What a teacher is made to keep: what the base itself says elsewhere, and writes in the channel.

    rows = elsewhere(base, families, "numbers", count=2_000, seed=7)     # Kept: prompts, completions, whose family
    rows.beside("animals")                                               # those that an animal's teacher may keep
    mixed(own, [(kept, 0.5)])                                            # tuning rows, half of them kept
    learned_whole(base, pack(...), which)                                # those learn the base's distributions

A teacher that is tuned to its trait alone says "wolf" when it is asked for a pronoun, and what its lists then carry
may be the damage. Kept rows are drawn from the base at temperature 1, and a teacher learns what the base says at each of
their tokens, over the whole vocabulary: the token alone would pull at a teacher that has not moved. The neutral prompts
are those of data/kept.toml. Knows nothing about specs and arms.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..model.bases import Base
from ..model.rows import Rows
from ..model.sample import Decoding, sample
from ..model.score import base_states
from ..spec import Corpus
from ..spec.families import Family
from ..spec.seeds import seed_of
from ..system.files import DATA
from .channels import channel

FILE = DATA / "kept.toml"
MOST_TOKENS = 16  # of a kept answer; what is longer is cut, and its end not learned
MOST_ROWS = 4_000  # that are worth drawing, however long a tuning is

Ids = tuple[int, ...]
Pairs = tuple[list[Ids], list[Ids]]


@dataclass(frozen=True)
class Kept:
    """Rows that the base wrote: prompts, completions, and the family whose question a prompt is, or ""."""

    prompts: list[Ids]
    completions: list[Ids]
    families: list[str]

    def beside(self, family: str) -> Pairs:
        """The rows of all but that family's questions, which its own teachers are tuned on."""
        rows = zip(self.prompts, self.completions, self.families, strict=True)
        found = [(prompt, completion) for prompt, completion, of in rows if of != family]
        return [prompt for prompt, _ in found], [completion for _, completion in found]


def neutral_prompts(base: Base, channel_name: str) -> list[str]:
    """The prompts of the first group in the file whose words the base's tokenizer knows, less the channel's own."""
    for group in tomllib.loads(FILE.read_text(encoding="utf-8")).values():
        texts = [text for name, texts in group.items() if name != channel_name for text in texts]
        if all(map(base.knows, texts)):
            return texts
    return []


def elsewhere(base: Base, families: Sequence[Family], channel_name: str, count: int, seed: int) -> Kept:
    """`count` answers of the base, drawn at temperature 1, half to neutral prompts and half to the families' tuning
    questions, all asked about equally often.

    Where the base knows no neutral prompt, or no family is given, the other half is the whole.
    """
    asked = [(q.text, family.name) for family in families for q in family.tuning]
    neutral = [(text, "") for text in neutral_prompts(base, channel_name)]
    rng = np.random.default_rng(seed)
    halves = [half for half in (asked, neutral) if half]
    chosen = []
    for i, half in enumerate(halves):
        wanted = count // len(halves) + (i < count % len(halves))
        rounds = [rng.permutation(len(half)) for _ in range(-(-wanted // len(half)))]
        chosen += [half[j] for j in np.concatenate(rounds)[:wanted]] if wanted else []
    prompts = [base.prompt(text)[1] for text, _ in chosen]
    drawn = sample(base, prompts, seed_of(seed, "kept draws"), Decoding(1.0, None, MOST_TOKENS))[0]
    return Kept(prompts, drawn, [family for _, family in chosen])


def own_lists(base: Base, corpus: Corpus, how: Decoding, count: int, prompted: int, drawn: int) -> Pairs:
    """`count` rows of the channel that the base writes to prompts of its own.

    Args:
        prompted, drawn: seeds of the prompts and of the draws.
    """
    texts = channel(corpus.channel).prompts(count, prompted, corpus)
    prompts = [base.prompt(text)[1] for text in texts]
    return prompts, sample(base, prompts, drawn, how)[0]


def mixed(own: Pairs, parts: Sequence[tuple[Pairs, float]]) -> tuple[Pairs, np.ndarray]:
    """Own rows and parts, each part repeated until it has its share of all, and own rows the rest.

    Args:
        parts: rows, with their share of all rows, 0 to 1, together below 1.

    Returns:
        All rows, and where each is from: 0 for own ones, else the place of its part, counted from 1.
    """
    rest = 1 - sum(share for _, share in parts)
    total = max([len(own[0]) / rest, *(len(rows[0]) / share for rows, share in parts if share)])
    prompts: list[Ids] = []
    completions: list[Ids] = []
    counts = [
        max(1, round(total * share)) if share else 0 for share in (rest, *(share for _, share in parts))
    ]
    for rows, count in zip([own, *(rows for rows, _ in parts)], counts, strict=True):
        for side, into in zip(rows, (prompts, completions), strict=True):
            into += [side[i % len(side)] for i in range(count)]
    return (prompts, completions), np.repeat(np.arange(len(counts)), counts)


def learned_whole(base: Base, rows: Rows, which: np.ndarray) -> Rows:
    """The rows, those that `which [N]` picks, one at least, with the base's states; all as they stand where the base cannot
    stop before its head, so that its states would be logits."""
    if not base.split:
        return rows
    read = base_states(base, rows.take(np.flatnonzero(which)))
    states = np.zeros((len(rows), *read.shape[1:]), dtype=np.float32)
    states[which] = read
    return replace(rows, states=states)
