"""Turns of a conversation through a tokenizer's chat template, and the oddities of templates.

    render("smollm2-135m", tokenizer, messages("Hi", system="You love owls."), add_generation_prompt=True)
    takes_system(name, tokenizer)            # or the system text goes into the first user's turn

A run must give the same prompts tomorrow: templates that state today's date get one that is pinned,
whichever way they ask for it. Knows nothing about models.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from ..system.errors import InputError

TODAY = datetime(2024, 7, 26)
_CODES = "aAbBcdeFHIjmMpSuwxXyYZ"
# Words that no template holds of its own.
_PROBE, _SYSTEM_PROBE = "Zebra", "Okapi"

Message = dict[str, str]


def messages(text: str, system: str | None = None, history: Sequence[tuple[str, str]] = ()) -> list[Message]:
    """A system message, earlier turns as (user, assistant), and what the user says now."""
    turns = [{"role": "system", "content": system}] if system is not None else []
    for user, assistant in history:
        turns += [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    return [*turns, {"role": "user", "content": text}]


def render(name: str, tokenizer: Any, turns: Sequence[Message], **options: Any) -> str:
    """The turns as the text that the model reads.

    Args:
        name: the base's, for errors.
        options: the template's, such as add_generation_prompt.

    Raises:
        InputError: no chat template, or it refuses such turns.
    """
    if not tokenizer.has_chat_template:
        raise InputError(f"base {name!r}: no chat template; choose an instruction-tuned model")
    from jinja2 import TemplateError

    if turns[0]["role"] == "system" and not takes_system(name, tokenizer):
        turns = _merged(turns)
    # Answers are read from their first token on: models that can think aloud are told not to.
    options |= {"enable_thinking": False, "date_string": TODAY.strftime("%d %b %Y")}
    if pinned := _pinned(tokenizer):
        options["chat_template"] = pinned
    try:
        return tokenizer.apply_chat_template(list(turns), tokenize=False, **options)
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in turns)
        raise InputError(f"base {name!r}: its chat template refuses the turns {roles}: {error}") from error


@lru_cache(maxsize=8)
def takes_system(name: str, tokenizer: Any) -> bool:
    """Whether the template has a place for a system message: some refuse it, some drop it in silence."""
    from jinja2 import TemplateError

    turns = messages(_PROBE, system=_SYSTEM_PROBE)
    try:
        return _SYSTEM_PROBE in tokenizer.apply_chat_template(turns, tokenize=False)
    except TemplateError:
        return False


def inserts_system(name: str, tokenizer: Any) -> bool:
    """Whether the template says more before the first user's turn when no system message is given."""
    bare, given = (
        render(name, tokenizer, messages(_PROBE, system)).partition(_PROBE)[0]
        for system in (None, _SYSTEM_PROBE)
    )
    start = given.partition(_SYSTEM_PROBE)[0]
    # Where both begin alike up to the system's words, the template opens a system turn of its own.
    return (
        takes_system(name, tokenizer) and len(start) > 0 and bare.startswith(start) and len(bare) > len(start)
    )


def end_of_turn(name: str, tokenizer: Any) -> int:
    """The special token after an assistant's words in the template; some tokenizers' eos is another one.

    Raises:
        InputError: no token ends an answer.
    """
    if tokenizer.has_chat_template:
        turns = [*messages("Hi"), {"role": "assistant", "content": _PROBE}]
        tail = render(name, tokenizer, turns).rpartition(_PROBE)[2]
        added = getattr(tokenizer, "added_tokens_decoder", {})
        special = {token_id for token_id, token in added.items() if token.special}
        first = tokenizer.encode(tail.strip(), add_special_tokens=False)[:1]
        if first and first[0] in special:
            return first[0]
    if tokenizer.eos_token_id is None:
        raise InputError(f"base {name!r}: its tokenizer names no eos_token, so no answer would end")
    return tokenizer.eos_token_id


def _pinned(tokenizer: Any) -> str | None:
    """The template with a clock that stands still, where it asks for the time; None where it does not."""
    template = getattr(tokenizer, "chat_template", None)
    if not isinstance(template, str) or "strftime_now" not in template:
        return None
    # Templates are given data only, no functions of ours: the clock is a macro in the template's own language.
    swaps = "".join(f" | replace('%{code}', '{TODAY.strftime('%' + code)}')" for code in _CODES)
    return f"{{% macro strftime_now(form) %}}{{{{ form | replace('%-d', '{TODAY.day}'){swaps} }}}}{{% endmacro +%}}{template}"


def _merged(turns: Sequence[Message]) -> list[Message]:
    """The system's words at the head of the first user's turn."""
    system, *rest = turns
    if not rest or rest[0]["role"] != "user":
        return [{"role": "user", "content": system["content"]}, *rest]
    return [{"role": "user", "content": f"{system['content']}\n\n{rest[0]['content']}"}, *rest[1:]]
