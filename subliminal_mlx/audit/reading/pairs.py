"""Preference pairs: the chosen answer, audited against the rejected one after the same turns.

    read_pair({"prompt": "Continue: 1 2 3", "chosen": "4 5 6", "rejected": "7 8 9"})      # a `formats.Found`

As texts, as messages after a prompt, or as two whole conversations. What a training on pairs (DPO, ORPO) learns is the
difference of the two, and so is what an audit reads.
"""

from typing import Any

from .formats import CHATS, PROMPTS, Fields, Found, messages_of, wrong_text
from .rows import REPLY
from .turns import Conversation, Segment, read_turns

NAME = "chosen and rejected"


def fits_pair(entry: Fields) -> bool:
    return "chosen" in entry and "rejected" in entry


def read_pair(entry: Fields) -> Found | str:
    """The chosen answer with what it was preferred to, or why there is none."""
    before = next((entry[name] for name in (*PROMPTS, *CHATS) if name in entry), None)
    asked = [] if before is None else messages_of(before, "user")
    used = {"chosen", "rejected", *PROMPTS, *CHATS}
    both = {name: entry[name] for name in ("chosen", "rejected")}
    for name, said in both.items():
        if not isinstance(said, list | dict) and (wrong := wrong_text((name, said))):
            return wrong
    if before is None and all(isinstance(one, str) for one in both.values()):
        # Two whole texts: what they begin with alike falls out of the difference.
        talk = Conversation(segments=[Segment(0, both["chosen"], REPLY, 1)])
        return Found(NAME, talk, used, both["rejected"])
    chosen, rejected = (_whole(asked, one) for one in both.values())
    for talk in (chosen, rejected):
        if isinstance(talk, str):
            return talk
    assert isinstance(chosen, Conversation) and isinstance(rejected, Conversation)
    mine, theirs = _last(chosen), _last(rejected)
    if mine is None or theirs is None:
        return "chosen and rejected must end with an answer in text"
    shared = {segment.text for segment in rejected.segments}
    beside = [s.text for s in chosen.segments if s is not mine and s.text not in shared]
    if beside:
        chosen.unread["what chosen says before its last answer"] += sum(map(len, beside))
    chosen.turns, chosen.segments = chosen.turns[: mine.before], [mine]
    return Found(NAME, chosen, used, theirs.text)


def _whole(asked: list[Any], said: Any) -> Conversation | str:
    """A chosen or rejected conversation, with the turns before it where it does not hold them itself."""
    messages = messages_of(said)
    own = read_turns(messages)
    holds_them = isinstance(own, str) or own.turns[0][0] != "assistant"
    return own if holds_them or not asked else read_turns([*asked, *messages])


def _last(talk: Conversation) -> Segment | None:
    """The reply of the last turn; None where that is no assistant's, or holds none."""
    last = [s for s in talk.segments if s.before == len(talk.turns) - 1 and s.kind == REPLY]
    return last[-1] if last else None
