"""The formats that a row may be in, each a reader of its fields: which turns there are, and which texts answer in them.

    fits_completion(entry), read_completion(entry)      # prompt and completion: a `Found`, or why it is none

Knows nothing of other formats in the same row: `choose` does.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .rows import REASONING, REPLY, Turn
from .turns import REASONED, Conversation, Segment, read_turns

FORMATS = (
    "prompt and completion (or question and answer, instruction and output), chat messages, conversations, "
    "chosen and rejected, or text"
)
CHATS = ("messages", "conversations", "conversation")
# In the order in which they are taken where a row has several.
PROMPTS = ("prompt", "instruction", "question", "query", "problem", "input", "inputs")
COMPLETIONS = ("completion", "response", "output", "answer", "solution", "target", "targets", "outputs")
BESIDE = ("input", "context")
SYSTEMS = ("system", "system_prompt")

Fields = dict[str, Any]


@dataclass
class Found:
    """What one format makes of a row."""

    name: str
    talk: Conversation
    used: set[str]
    """Fields that it reads."""
    rejected: str | None = None
    told: list[str] = field(default_factory=list)


def fits_completion(entry: Fields) -> bool:
    return "prompt" in entry and "completion" in entry


def read_completion(
    entry: Fields, prompt_key: str = "prompt", completion_key: str = "completion"
) -> Found | str:
    """Prompt and completion: two texts, or two lists of messages."""
    prompt, completion = entry[prompt_key], entry[completion_key]
    name, used = f"{prompt_key} and {completion_key}", {prompt_key, completion_key}
    if isinstance(prompt, list):
        talk = read_turns([*prompt, *messages_of(completion)])
        return talk if isinstance(talk, str) else Found(name, talk, used)
    if wrong := wrong_text((prompt_key, prompt), may_be_empty=True) or wrong_text(
        (completion_key, completion)
    ):
        return wrong
    return Found(name, _replied([("user", prompt)], completion, entry, used), used)


def fits_chat(entry: Fields) -> bool:
    return _chat_field(entry, CHATS[:1]) is not None


def read_chat(entry: Fields) -> Found | str:
    """`messages`, as mlx-lm reads them."""
    return _read_chat(entry, CHATS[:1])


def fits_conversation(entry: Fields) -> bool:
    return _chat_field(entry, CHATS[1:]) is not None


def read_conversation(entry: Fields) -> Found | str:
    """A conversation under another name: ShareGPT's."""
    return _read_chat(entry, CHATS[1:])


def fits_text(entry: Fields) -> bool:
    return "text" in entry


def read_text(entry: Fields) -> Found | str:
    """Text alone: all of it is learned."""
    if wrong := wrong_text(("text", entry["text"])):
        return wrong
    return Found("text", Conversation(segments=[Segment(0, entry["text"], REPLY, 1)]), {"text"})


def fits_asked(entry: Fields) -> bool:
    named = any(name in entry for name in PROMPTS) and any(name in entry for name in COMPLETIONS)
    return named and not fits_completion(entry)


def read_asked(entry: Fields) -> Found | str:
    """Question and answer, instruction, input and output (Alpaca), prompt and response: by whatever names."""
    prompt_key = next(name for name in PROMPTS if name in entry)
    completion_key = next(name for name in COMPLETIONS if name in entry)
    prompt, completion = entry[prompt_key], entry[completion_key]
    if wrong := wrong_text((prompt_key, prompt), may_be_empty=True) or wrong_text(
        (completion_key, completion)
    ):
        return wrong
    used = {prompt_key, completion_key, *SYSTEMS}
    beside = next((name for name in BESIDE if name != prompt_key and name in entry), None)
    if beside is not None:
        used.add(beside)
        if isinstance(entry[beside], str) and entry[beside]:
            prompt = f"{prompt}\n{entry[beside]}"
    told = [text for name in SYSTEMS if isinstance(text := entry.get(name), str) and text]
    turns: list[Turn] = [*(("system", text) for text in told[:1]), ("user", prompt)]
    return Found(f"{prompt_key} and {completion_key}", _replied(turns, completion, entry, used), used)


def messages_of(said: Any, role: str = "assistant") -> list[Any]:
    """What somebody says, a text or messages, as a list of messages."""
    return [
        {"role": role, "content": one} if isinstance(one, str) else one
        for one in (said if isinstance(said, list) else [said])
    ]


def wrong_text(named: tuple[str, Any], may_be_empty: bool = False) -> str | None:
    """What is wrong with a field that must be a text, if anything."""
    name, value = named
    if not isinstance(value, str):
        return f"{name:.60} is no text"
    return None if value or may_be_empty else f"{name:.60} is empty"


def halves(entry: Fields) -> str | None:
    """Why a row that fits no format fits none, where it has half of one."""
    if "prompt" in entry or "completion" in entry:
        here, missing = ("prompt", "completion") if "prompt" in entry else ("completion", "prompt")
        return f"{here} without {missing}"
    return None


def _replied(turns: Iterable[Turn], completion: str, entry: Fields, used: set[str]) -> Conversation:
    """A conversation of one answer, and of the reasoning before it where a field holds one."""
    thoughts = {name: text for name in REASONED if isinstance(text := entry.get(name), str) and text}
    used |= {*thoughts}
    turns = list(turns)
    segments = [Segment(len(turns), text, REASONING, 1) for text in dict.fromkeys(thoughts.values())]
    segments.append(Segment(len(turns), completion, REPLY, 1))
    return Conversation([*turns, ("assistant", completion)], segments)


def _chat_field(entry: Fields, names: Iterable[str]) -> str | None:
    # An empty list is what some exports write where others write null.
    return next((name for name in names if entry.get(name) not in (None, [])), None)


def _read_chat(entry: Fields, names: Iterable[str]) -> Found | str:
    name = _chat_field(entry, names) or ""
    talk = read_turns(entry[name])
    return talk if isinstance(talk, str) else Found(name, talk, {name})
