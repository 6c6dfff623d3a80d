"""A conversation's messages as turns and the assistant's answers in them, whoever's names their fields have.

    read = read_turns([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}])
    read.turns, read.segments       # (("user", "Hi"), ("assistant", "Hello")), [Segment(1, "Hello", "reply", 1)]

Messages with role and content, in text or in parts (OpenAI, Hugging Face), and with from and value (ShareGPT). What an
assistant says is read whole: its reply, its reasoning and its tool calls are answers of their own, each after the same
turns, since a template writes them into one text and each trainer in its own way. All else that it is given, a picture, a
field of a name that is not known, a turn of a speaker that is not, is counted by name: some template writes it out.
"""

import json
import math
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .canonical import NotRead, parse_json
from .rows import CALL, REASONING, REPLY, Turn

ROLES = {
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt", "ai", "function_call"), "assistant"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "observation", "tool_response", "ipython"), "tool"),
}
REASONED = ("reasoning_content", "reasoning", "thinking")
CALLED = ("tool_calls", "function_call")
SPOKEN_BY, SAID = ("role", "from"), ("content", "value", "text")
ARGUMENTS = ("arguments", "input", "parameters", "args")
# What tells of a message, a part or a call, and is no part of what is said.
ABOUT = {
    *("id", "type", "index", "object", "status", "model", "created", "created_at", "timestamp", "date"),
    *("finish_reason", "stop_reason", "tool_call_id", "cache_control"),
}


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
        roles = {role for name in SPOKEN_BY if (role := _role(message.get(name))) is not None}
        if len(roles) != 1:
            return "a message names two roles" if roles else "a message names no role"
        field = _first_of(message, SAID)
        content = message.get(field)
        if not isinstance(content, str | list | dict | None):
            return "a message holds no text"
        (speaker,) = roles
        if speaker == "assistant":
            _answer(message, field, found)
            continue
        said, others = _said(content)
        found.turns.append((speaker, said[REPLY]))
        found.told |= {f"{name} before an answer is not read" for name in others}
        if speaker not in ROLES.values():
            # It may be the assistant under another name: templates write any.
            found.unread[f"turns of {speaker!r:.40}"] += len(said[REPLY])
    return found


def size_of(value: Any) -> int:
    """Characters of what a field holds; none of numbers and of what is empty."""
    return len(_plain(value)) if value and not isinstance(value, int | float) else 0


def _role(named: Any) -> str | None:
    """Who speaks, under one name whatever the trainer's is."""
    role = named.strip().lower() if isinstance(named, str) else ""
    return ROLES.get(role, role) or None


def _answer(message: dict[str, Any], field: str, found: Conversation) -> None:
    """Add an assistant's turn, whose content is in that field."""
    said, others = _said(message.get(field))
    reasoned = {name: text for name in REASONED if isinstance(text := message.get(name), str) and text}
    thought = "".join([*dict.fromkeys(reasoned.values()), said[REASONING]])
    refused = not said[REPLY] and isinstance(message.get("refusal"), str)
    reply = message["refusal"] if refused else said[REPLY]
    calls = [_called(call, others) for name in CALLED for call in _listed(message.get(name))]
    read = {*SPOKEN_BY, field, *reasoned, *CALLED, "weight", *(["refusal"] if refused else [])}
    _count_others(message, read, others, {reply, thought})
    weight = message.get("weight", 1)
    if not isinstance(weight, int | float) or (isinstance(weight, float) and not math.isfinite(weight)):
        found.told.add("a weight that is no number is read as 1")
        weight = 1
    if thought:
        found.told.add("reasoning is scored as an answer of its own")
    if calls or said[CALL]:
        found.told.add("tool calls are scored as JSON of name and arguments")
    place = len(found.turns)
    for kind, texts in ((REASONING, [thought]), (REPLY, [reply]), (CALL, [*calls, said[CALL]])):
        found.segments += [Segment(place, text, kind, weight) for text in texts if text]
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
        if kind in ("tool_use", "tool_call", "tool-call"):
            texts[CALL].append(_called(part, others))
            continue
        thinks = kind in ("thinking", "reasoning")
        field = _first_of(part, (kind, "text") if thinks else ("text", "refusal"))
        if isinstance(part, dict) and isinstance(text := part.get(field), str):
            texts[REASONING if thinks else REPLY].append(text)
            _count_others(part, {field}, others, {text})
        else:
            others[f"{kind:.40}" if isinstance(kind, str) else "a part without text"] += len(_plain(part))
    return {kind: "".join(some) for kind, some in texts.items()}, others


def _called(call: Any, others: Counter[str]) -> str:
    """A tool call as JSON of its name and arguments, which templates write each in their own way."""
    inner = call.get("function") if isinstance(call, dict) else None
    inner = inner if isinstance(inner, dict) else call
    if not isinstance(inner, dict) or "name" not in inner:
        return _plain(call)
    field = _first_of(inner, ARGUMENTS)
    arguments = inner.get(field)
    if isinstance(arguments, str):
        with suppress(NotRead):
            arguments = parse_json(arguments)
    _count_others(inner, {"name", field}, others)
    if inner is not call:
        _count_others(call, {"function"}, others)
    return _plain({"name": inner["name"], "arguments": arguments})


def _count_others(
    fields: dict[str, Any], read: Collection[str], others: Counter[str], said: Collection[str] = ()
) -> None:
    """Count what stands in other fields than those that are read, unless it is said there too."""
    for name, value in fields.items():
        if name not in read and name not in ABOUT and value not in ("", *said) and (size := size_of(value)):
            others[f"{name:.40}"] += size


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _first_of(fields: Any, names: Collection[str]) -> str:
    """The first of these fields that is there; "" for none."""
    here = fields if isinstance(fields, dict) else {}
    return next((name for name in names if here.get(name) is not None), "")
