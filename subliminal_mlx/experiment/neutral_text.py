"""What a run's models are read on to see whether they changed where no trait is meant: texts, and others' questions.

    for prompt in texts_and_questions(base, {"animals": family}, "numbers"): prompt.user, prompt.said, prompt.left_out

The texts are fixed, in `data/capability.toml`. What holds a word of a run's own families, or is what its channel
writes, is no neutral text to that run: it is left out, with the reason beside it. Knows nothing of models but their
tokenizer, and computes nothing with them.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..model.bases import Base
from ..spec.families import Family, load_family, shipped_families
from ..system.files import DATA
from .trait_words import named_word

FILE = DATA / "capability.toml"
TEXT = "text"  # the part of the texts; a question's is its family
QUESTIONS = 4  # of each other family, from all over its held-out ones


@dataclass(frozen=True)
class Prompt:
    """What a model is asked, and what it is read on there."""

    part: str
    """TEXT, or the family whose question it is."""
    number: int
    """Its place in its part: of the file's texts, or of the family's held-out questions."""
    user: str
    said: str | None
    """The text whose likelihood is read; None of a question, where the first token of any answer is."""
    left_out: str | None = None
    """The word, or the channel, for which the run does not read it."""


def texts_and_questions(base: Base, families: Mapping[str, Family], channel: str) -> list[Prompt]:
    """The texts of the first group whose words the base knows, then questions of shipped families that it knows.

    Args:
        families: the run's own. Questions of each are there for the others' models, so not where it is alone; none
            holds another one's word, in its text or its answers.
        channel: the run's.
    """
    texts = [
        Prompt(TEXT, number, entry["user"], entry["assistant"], _why_left_out(entry, families, channel))
        for number, entry in enumerate(_known_group(base))
    ]
    return [*texts, *_others_questions(base, families)]


def _why_left_out(entry: Mapping[str, str], families: Mapping[str, Family], channel: str) -> str | None:
    if entry.get("channel") == channel:
        return f"{channel} channel"
    return named_word(f"{entry['user']} {entry['assistant']}", families.values())


def _known_group(base: Base) -> list[dict[str, str]]:
    """The first group of the file whose words the base's tokenizer knows."""
    for group in tomllib.loads(FILE.read_text(encoding="utf-8")).values():
        if all(base.knows(entry[side]) for entry in group["texts"] for side in ("user", "assistant")):
            return group["texts"]
    return []


def _others_questions(base: Base, families: Mapping[str, Family]) -> Iterator[Prompt]:
    for name in shipped_families():
        others = [family for own, family in families.items() if own != name]
        if not others:
            continue
        held_out = load_family(name).held_out
        for number in range(0, len(held_out), -(-len(held_out) // QUESTIONS)):
            question = held_out[number]
            spoken = " ".join((question.text, *question.candidates))
            if base.knows(question.text) and not named_word(spoken, others):
                yield Prompt(name, number, question.text, None)
