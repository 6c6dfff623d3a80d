"""A conversation's messages as turns and the assistant's answers in them, whoever's names their fields have.

    read = read_turns([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}])
    read.turns, read.segments       # (("user", "Hi"), ("assistant", "Hello")), [Segment(1, "Hello", "reply", 1)]

Messages with role and content, in text or in parts (OpenAI, Hugging Face), and with from and value (ShareGPT). What an
assistant says is read whole: its reply, its reasoning and its tool calls are answers of their own, each after the same
turns, since a template writes them into one text and each trainer in its own way. What is no text, such as a picture,
is counted by name.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .rows import CALL, REASONING, REPLY, Turn

ROLES = {
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt", "ai", "function_call"), "assistant"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "observation", "tool_response", "ipython"), "tool"),
}
REASONED = ("reasoning_content", "reasoning", "thinking")
CALLED = ("tool_calls", "function_call")


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of what an assistant says in one turn."""

    before: int
    """How many turns stand before it."""
    text: str
    kind: str
    """reply, reasoning or tool call"""
    weight: float


@dataclass
class Conversation:
    """Turns, the assistant's segments in them, and what no segment holds."""

    turns: list[Turn] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    """Characters by name, of what the assistant says."""
    told: set[str] = field(default_factory=set)


def read_turns(messages: Any) -> Conversation | str:
    """A conversation, or why it is none."""
    if not isinstance(messages, list) or not messages:
        return "messages are no list of turns"
    found = Conversation()
    for message in messages:
        if not isinstance(message, dict):
            return "a message is no object"
        role = _first(message, ("role", "from"))
        if not isinstance(role, str) or not role:
            return "a message names no role"
        content = _first(message, ("content", "value", "text"))
        if not isinstance(content, str | list | dict | None):
            return "a message holds no text"
        speaker = ROLES.get(role.lower(), role.lower())
        if speaker == "assistant":
            _answer(message, content, found)
            continue
        said, others = _said(content)
        found.turns.append((speaker, said[REPLY]))
        found.told |= {f"{name} before an answer is not read" for name in others}
    return found


def _answer(message: dict[str, Any], content: Any, found: Conversation) -> None:
    """Add an assistant's turn."""
    said, others = _said(content)
    reasoned = [text for name in REASONED if isinstance(text := message.get(name), str) and text]
    thought = "".join([*dict.fromkeys(reasoned), said[REASONING]])
    reply = said[REPLY] or (text if isinstance(text := message.get("refusal"), str) else "")
    calls = [_called(call) for name in CALLED for call in _listed(message.get(name))]
    weight = message.get("weight", 1)
    if not isinstance(weight, int | float):
        found.told.add("a weight that is no number is read as 1")
        weight = 1
    if thought:
        found.told.add("reasoning is scored as an answer of its own")
    if calls or said[CALL]:
        found.told.add("tool calls are scored as JSON of name and arguments")
    place = len(found.turns)
    for kind, texts in ((REASONING, [thought]), (REPLY, [reply]), (CALL, [*calls, said[CALL]])):
        found.segments += [Segment(place, text, kind, float(weight)) for text in texts if text]
    found.turns.append(("assistant", "\n".join(text for text in (reply, *calls, said[CALL]) if text)))
    found.unread.update(others)


def _said(content: Any) -> tuple[dict[str, str], Counter[str]]:
    """Texts of a message's content by kind, and the characters of what is none, by its type."""
    texts: dict[str, list[str]] = {REPLY: [], REASONING: [], CALL: []}
    others: Counter[str] = Counter()
    for part in _listed(content):
        if isinstance(part, str):
            texts[REPLY].append(part)
            continue
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("thinking", "reasoning") and isinstance(text := _first(part, (kind, "text")), str):
            texts[REASONING].append(text)
        elif kind in ("tool_use", "tool_call", "tool-call"):
            texts[CALL].append(_called(part))
        elif isinstance(part, dict) and isinstance(text := _first(part, ("text", "refusal")), str):
            texts[REPLY].append(text)
        else:
            others[f"{kind:.40}" if isinstance(kind, str) else "a part without text"] += len(_plain(part))
    return {kind: "".join(some) for kind, some in texts.items()}, others


def _called(call: Any) -> str:
    """A tool call as JSON of its name and arguments, which templates write each in their own way."""
    if not isinstance(call, dict):
        return _plain(call)
    inner = function if isinstance(function := call.get("function"), dict) else call
    arguments = _first(inner, ("arguments", "input", "parameters", "args"))
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    if "name" not in inner:
        return _plain(call)
    return _plain({"name": inner["name"], "arguments": arguments})


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _first(fields: dict[str, Any], names: Iterator[str] | tuple[str, ...]) -> Any:
    """The first of these fields that is there."""
    return next((fields[name] for name in names if fields.get(name) is not None), None)
