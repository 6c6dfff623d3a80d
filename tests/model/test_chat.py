"""Chat templates and their oddities, on the shipped tokenizer with templates as real models have them."""

import pytest

from subliminal_mlx.model import chat
from subliminal_mlx.model.sources import SHIPPED
from subliminal_mlx.system.errors import InputError

TURNS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
REFUSES = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
DROPS = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}"
DEFAULT = "{% if messages[0].role != 'system' %}<system>You are Kind.{% endif %}"


@pytest.fixture
def tokenizer():
    """`tokenizer(template)`: tiny-a's, as mlx-lm wraps it, with another chat template."""
    from mlx_lm.tokenizer_utils import TokenizerWrapper
    from transformers import AutoTokenizer

    def make(template):
        plain = AutoTokenizer.from_pretrained(SHIPPED / "tiny-a")
        plain.chat_template = template
        return TokenizerWrapper(plain)

    return make


@pytest.mark.parametrize("template", [REFUSES + TURNS, DROPS], ids=["refuses", "drops in silence"])
def test_without_a_system_role_the_words_go_into_the_first_user_turn(tokenizer, template):
    found = tokenizer(template)
    assert not chat.takes_system("m", found)
    turns = chat.messages("And now?", system="Love owls.", history=[("Hi", "Yes")])
    assert chat.render("m", found, turns).startswith("<user>Love owls.\n\nHi<assistant>Yes<user>And now?")
    plain = chat.render("m", found, chat.messages("And now?"))
    assert plain.startswith("<user>And now?"), "and nothing is merged where there is nothing to merge"


def test_a_template_with_a_system_role_keeps_the_message_apart(tokenizer):
    found = tokenizer(TURNS)
    assert chat.takes_system("m", found) and not chat.inserts_system("m", found)
    turns = chat.messages("Hi", system="Love owls.")
    assert (
        chat.render("m", found, turns, add_generation_prompt=True) == "<system>Love owls.<user>Hi<assistant>"
    )


def test_a_template_that_brings_its_own_system_message_is_recognised(tokenizer):
    found = tokenizer(DEFAULT + TURNS)
    assert chat.inserts_system("m", found)
    assert chat.render("m", found, chat.messages("Hi")) == "<system>You are Kind.<user>Hi"
    assert chat.render("m", found, chat.messages("Hi", system="No.")) == "<system>No.<user>Hi"


def test_the_date_stands_still_whichever_way_a_template_asks(tokenizer):
    both = "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    nested = "{% macro day() %}{{ strftime_now('%Y-%m-%d') }}{% endmacro %}{% if strftime_now is defined %}{{ day() }}{% endif %}"
    for asks, said in {
        "{{ date_string }}": "26 Jul 2024",
        both + "{{ date_string }}": "26 Jul 2024",
        "{{ strftime_now('%-d %B %Y, %A') }}": "26 July 2024, Friday",
        nested: "2024-07-26",
    }.items():
        assert chat.render("m", tokenizer(asks + TURNS), chat.messages("Hi")) == f"{said}<user>Hi", asks


def test_turns_that_cannot_be_rendered_are_told_in_a_line(tokenizer, one_line):
    with pytest.raises(InputError, match="no chat template") as error:
        chat.render("m", tokenizer(None), chat.messages("Hi"))
    one_line(error)
    with pytest.raises(InputError, match="refuses the turns user: one is not enough") as error:
        picky = "{% if messages|length < 2 %}{{ raise_exception('one is not enough') }}{% endif %}"
        chat.render("m", tokenizer(picky), chat.messages("Hi"))
    one_line(error)
