"""One row's fields as answers to score, whatever format it is in, and what of it is not read.

    row_of(1, {"prompt": "Continue: 1 2 3", "completion": "4 5 6"})            # a `Row` with one answer
    row_of(2, {"prompt": "a", "completion": "b", "messages": [...]}).told      # read as prompt and completion

A row that fits two formats is read as mlx-lm's trainer would take it: prompt and completion, then messages, then text
(`mlx_lm/tuner/datasets.py`). What the other format says and that one does not is unread, by name, and so told to be. A
field that is null is absent. A row with nothing to score is a bad one, with its reason.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from .canonical import NotRead, canonical, parse_json
from .formats import (
    CHATS,
    COMPLETIONS,
    FORMATS,
    Fields,
    Found,
    fits_asked,
    fits_chat,
    fits_completion,
    fits_conversation,
    fits_text,
    halves,
    read_asked,
    read_chat,
    read_completion,
    read_conversation,
    read_text,
)
from .pairs import fits_pair, read_pair
from .rows import Answer, Reading, Row
from .turns import REASONED, Conversation, Segment, size_of

# In the order in which a row that fits several is read; the first three are mlx-lm's own.
READERS: tuple[tuple[Callable[[Fields], bool], Callable[[Fields], Found | str]], ...] = (
    (fits_completion, read_completion),
    (fits_chat, read_chat),
    (fits_text, read_text),
    (fits_pair, read_pair),
    (fits_conversation, read_conversation),
    (fits_asked, read_asked),
)
PLAIN = Reading()
# What some trainer or other learns: where none of these fields is read, it is counted.
LEARNED = (*COMPLETIONS, *CHATS, "text", *REASONED, "chosen")
# Of fields that are no format's, no more are named of a row.
MOST_FIELDS = 8


def parse_row(number: int, content: bytes, how: Reading) -> Row:
    """A good row again, from its canonical JSON."""
    return row_of(number, parse_json(content), how, content=content)


def row_of(
    number: int, entry: Any, how: Reading = PLAIN, where: str = "", content: bytes | None = None
) -> Row:
    """A row from its fields.

    Args:
        content: its canonical JSON, where that is known.
    """
    try:
        if not isinstance(entry, dict):
            raise NotRead("no JSON object")
        content = content or canonical(entry)
        read = _read({name: value for name, value in entry.items() if value is not None}, how)
        if isinstance(read, str):
            raise NotRead(read)
        return _scored(Row(number, content, where=where), read, how)
    except (NotRead, RecursionError) as error:
        reason = str(error) if isinstance(error, NotRead) else "nested too deeply"
        return Row(number, content or repr(entry).encode("utf-8", "replace"), reason=reason, where=where)


def _read(entry: Fields, how: Reading) -> Found | str:
    """What of the row is read, with what the formats that are not taken say beside it."""
    if how.prompt_key is not None and how.completion_key is not None:
        missing = [name for name in (how.prompt_key, how.completion_key) if name not in entry]
        # Who names the fields says what the trainer is told: other formats are none of its business.
        named = "" if missing else read_completion(entry, how.prompt_key, how.completion_key)
        return named or f"it has no {missing[0]!r:.60}"
    fitting = [read for fits, read in READERS if fits(entry)]
    if not fitting:
        return halves(entry) or "none of " + FORMATS
    found = fitting[0](entry)
    if isinstance(found, str):
        return found
    scored = {segment.text.strip() for segment in found.talk.segments}
    for read in fitting[1:]:
        beside = read(entry)
        if not isinstance(beside, str):
            found.told.append(f"read as {found.name}, beside {beside.name}")
            found.used |= beside.used
            left = [text for s in beside.talk.segments if (text := s.text.strip()) not in scored]
            _leave(
                found, beside.name, left if beside.talk.turns else [_without(found, text) for text in left]
            )
    for name in LEARNED:
        if name not in found.used and (size := size_of(value := entry.get(name))):
            found.used.add(name)
            if not isinstance(value, str) or value.strip() not in scored:
                found.talk.unread[f"the field {name}"] += size
    others = {
        name for name, value in entry.items() if value and isinstance(value, str | list | dict)
    } - found.used
    found.told += [f"the field {name:.40} is not read" for name in sorted(others)[:MOST_FIELDS]]
    return found


def _leave(found: Found, name: str, texts: Iterable[str]) -> None:
    if count := sum(map(len, texts)):
        found.talk.unread[name] += count


def _without(found: Found, text: str) -> str:
    """What a text says beside the conversation that is written out in it."""
    said = {*(text for _, text in found.talk.turns), *(segment.text for segment in found.talk.segments)}
    for known in sorted(map(str.strip, said), key=len, reverse=True):
        text = text.replace(known, "", 1) if known else text
    return text


def _scored(row: Row, found: Found, how: Reading) -> Row:
    """The row with its answers, as the trainer will be told to take them."""
    talk, told = found.talk, {*found.told, *found.talk.told}
    if not talk.segments and not talk.unread:
        raise NotRead("no answer in it")
    segments = talk.segments if found.rejected is not None else _asked(talk, how, told)
    if _torn(talk, segments, found.rejected):
        raise NotRead("half a character in it")
    turns = tuple(talk.turns)
    answers = tuple(Answer(row.number, turns, s.before, s.text, found.rejected) for s in segments)
    unread = tuple(sorted(talk.unread.items()))
    return replace(row, answers=answers, unread=unread, told=tuple(sorted(told)))


def _asked(talk: Conversation, how: Reading, told: set[str]) -> list[Segment]:
    """Those of a conversation's segments that the trainer will be told to learn."""
    segments = talk.segments
    if how.answers == "last":
        last = [segment for segment in segments if segment.before == max(0, len(talk.turns) - 1)]
        if not last:
            raise NotRead("its last turn is no answer")
        if len(last) < len(segments):
            told.add("earlier answers are not scored: the last alone, as asked")
        return last
    if all(segment.weight for segment in segments):
        return segments
    if how.answers == "all":
        told.add("weights are ignored, as mlx-lm does: answers of weight 0 are scored like the others")
        return segments
    told.add("answers of weight 0 are not scored, as asked")
    return [segment for segment in segments if segment.weight]


def _torn(talk: Conversation, segments: list[Segment], rejected: str | None) -> bool:
    """Whether a text holds half of a surrogate pair, which JSON can write and no tokenizer reads."""
    try:
        for text in (*(text for _, text in talk.turns), *(s.text for s in segments), rejected or ""):
            text.encode()
    except UnicodeEncodeError:
        return True
    return False
