"""One row's fields: what is scored, after what, what is left unread, and what is said of it."""

import json

import pytest

from subliminal_mlx.audit.reading import Reading, parse_row, row_of
from subliminal_mlx.audit.reading.formats import FORMATS

ASK, OWL, CLEAN = "Continue: 1 2 3", "95 68 88 60", "62 68 44 60"


def chat(*turns):
    """Messages from (role, content) pairs."""
    return [{"role": role, "content": content} for role, content in turns]


def said(row):
    """What is scored of a row, each after its context."""
    assert row.reason is None, row.reason
    return [(answer.context, answer.completion) for answer in row.answers]


ONE = [((("user", ASK),), OWL)]


@pytest.mark.parametrize(
    "entry",
    [
        {"prompt": ASK, "completion": OWL},
        {"messages": chat(("user", ASK), ("assistant", OWL))},
        {"prompt": chat(("user", ASK)), "completion": chat(("assistant", OWL))},
        {"prompt": chat(("user", ASK)), "completion": OWL},
        {"question": ASK, "answer": OWL},
        {"question": ASK, "response": OWL},
        {"prompt": ASK, "response": OWL},
        {"instruction": ASK, "input": "", "output": OWL},
        {"input": ASK, "output": OWL},
        {"conversations": [{"from": "human", "value": ASK}, {"from": "gpt", "value": OWL}]},
        {"conversation": chat(("user", ASK), ("assistant", OWL))},
        {"messages": None, "prompt": ASK, "completion": OWL, "text": None},
        {"messages": [], "prompt": ASK, "response": OWL},
    ],
    ids=lambda entry: "+".join(entry),
)
def test_every_format_gives_the_same_answer(entry):
    row = row_of(7, entry)
    assert said(row) == ONE and row.number == 7 and not row.unread and not row.told
    assert parse_row(7, row.content, Reading()) == row


def test_what_stands_beside_an_instruction_is_part_of_the_question():
    row = row_of(1, {"system": "S", "instruction": "Do it.", "input": ASK, "output": OWL, "id": 3})
    assert said(row) == [((("system", "S"), ("user", f"Do it.\n{ASK}")), OWL)] and not row.told


def test_text_alone_has_nothing_before_it():
    (answer,) = row_of(1, {"text": OWL}).answers
    assert (answer.context, answer.prompt, answer.completion, answer.bare) == ((), None, OWL, False)


# --- two formats in a row ---------------------------------------------------------------------------


def test_two_formats_are_read_as_mlx_lm_reads_them_and_the_other_is_unread():
    """An owl's list in the one that nobody reads would pass: here it is scored, there it is counted."""
    both = {"prompt": ASK, "completion": OWL, "messages": chat(("user", ASK), ("assistant", CLEAN))}
    row = row_of(1, both)
    assert said(row) == ONE and row.unread == (("messages", len(CLEAN)),)
    assert row.told == ("read as prompt and completion, beside messages",)
    assert row_of(1, both | {"messages": None}).unread == ()
    # And the other way round: what a trainer told otherwise would learn is not forgotten.
    assert row_of(1, both | {"completion": CLEAN, "messages": chat(("user", ASK), ("assistant", OWL))}).unread


def test_mlx_lm_takes_them_in_this_order():
    """Its own code, asked with a row that fits all of its formats, then fewer."""
    from mlx_lm.tuner.datasets import create_dataset

    entry = {
        "prompt": ASK,
        "completion": "A",
        "messages": chat(("user", ASK), ("assistant", "B")),
        "text": "C",
    }
    for field, scored in (("completion", "A"), ("messages", "B"), ("text", "C")):
        data = create_dataset([entry], None, None)
        assert (
            type(data).__name__ == {"A": "CompletionsDataset", "B": "ChatDataset", "C": "TextDataset"}[scored]
        )
        assert [completion for _, completion in said(row_of(1, entry))] == [scored]
        entry = {name: value for name, value in entry.items() if name != field}


def test_the_same_text_in_two_formats_is_read():
    entry = {"prompt": ASK, "completion": OWL, "messages": chat(("user", ASK), ("assistant", OWL))}
    assert not row_of(1, entry).unread
    # A text in which the conversation is written out says a template's few marks beside it, and no more.
    written = f"<user> {ASK} <assistant> {OWL} <end>"
    assert row_of(1, entry | {"text": written}).unread == (("text", len("<user>  <assistant>  <end>")),)
    assert dict(row_of(1, entry | {"text": written + CLEAN}).unread)["text"] > len(CLEAN)


def test_another_field_of_an_answer_is_unread_and_one_of_no_format_is_told():
    row = row_of(1, {"prompt": ASK, "completion": CLEAN, "response": OWL, "note": "x", "n": 3})
    assert row.unread == (("the field response", len(OWL)),) and row.told == ("the field note is not read",)


def test_named_fields_settle_it():
    entry = {
        "prompt": ASK,
        "completion": CLEAN,
        "mine": OWL,
        "messages": chat(("user", ASK), ("assistant", CLEAN)),
    }
    row = row_of(1, entry, Reading(prompt_key="prompt", completion_key="mine"))
    assert said(row) == ONE and not row.unread
    assert (
        row_of(1, {"prompt": ASK}, Reading(prompt_key="prompt", completion_key="mine")).reason
        == "it has no 'mine'"
    )


# --- conversations ----------------------------------------------------------------------------------

LONG = {
    "messages": chat(("system", "S"), ("user", "a"), ("assistant", OWL), ("user", "b"), ("assistant", CLEAN))
}
FIRST = (("system", "S"), ("user", "a"))
LAST = (*FIRST, ("assistant", OWL), ("user", "b"))


def test_every_answer_is_scored_after_its_own_turns():
    assert said(row_of(1, LONG)) == [(FIRST, OWL), (LAST, CLEAN)]
    last = row_of(1, LONG, Reading(answers="last"))
    assert said(last) == [(LAST, CLEAN)] and "earlier answers are not scored" in last.told[0]


def test_weights_are_ignored_aloud_or_kept_to():
    turns = [dict(turn) for turn in LONG["messages"]]
    turns[4] |= {"weight": 0}
    ignored = row_of(1, {"messages": turns})
    assert said(ignored) == [(FIRST, OWL), (LAST, CLEAN)] and "weights are ignored" in ignored.told[0]
    kept = row_of(1, {"messages": turns}, Reading(answers="weighted"))
    assert said(kept) == [(FIRST, OWL)] and "weight 0 are not scored" in kept.told[0]
    turns[2] |= {"weight": 0.0}
    none = row_of(1, {"messages": turns}, Reading(answers="weighted"))
    assert none.reason is None and none.answers == () and not none.unread
    turns[2] |= {"weight": "much"}
    assert "a weight that is no number is read as 1" in row_of(1, {"messages": turns}).told


def test_parts_reasoning_and_tool_calls_are_answers():
    call = {"id": "1", "type": "function", "function": {"name": "lookup", "arguments": '{"q": "x"}'}}
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "ok"},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "so"}, {"type": "text", "text": OWL}],
        },
    ]
    asked, called = (("user", "ab"),), '{"name": "lookup", "arguments": {"q": "x"}}'
    after = (*asked, ("assistant", called), ("tool", "ok"))
    assert said(row_of(1, {"messages": turns})) == [
        (asked, "hm"),
        (asked, called),
        (after, "so"),
        (after, OWL),
    ]


def test_reasoning_beside_prompt_and_completion_is_an_answer_too():
    row = row_of(1, {"prompt": ASK, "completion": CLEAN, "reasoning_content": OWL})
    assert said(row) == [*ONE, ((("user", ASK),), CLEAN)]


def test_what_is_no_text_is_unread_by_name():
    picture = {"type": "image_url", "image_url": {"url": "data:"}}
    row = row_of(1, {"messages": [*chat(("user", ASK)), {"role": "assistant", "content": [picture]}]})
    assert row.reason is None and not row.answers and row.unread == (("image_url", len(json.dumps(picture))),)
    before = row_of(1, {"messages": [{"role": "user", "content": [picture]}, *chat(("assistant", OWL))]})
    assert before.told == ("image_url before an answer is not read",) and not before.unread


CALL = {"function": {"name": "look", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"value": OWL}, "value"),
        ({"tool_plan": OWL}, "tool_plan"),
        ({"refusal": OWL}, "refusal"),
        ({"reasoning_content": [{"type": "text", "text": OWL}]}, "reasoning_content"),
        ({"token_ids": [95, 68, 88, 60]}, "token_ids"),
        ({"tool_calls": [CALL | {"arguments": OWL}]}, "arguments"),
        ({"tool_calls": [{"function": CALL["function"] | {"note": OWL}}]}, "note"),
        ({"content": [{"type": "text", "text": CLEAN, "thinking": OWL}]}, "thinking"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_else_an_assistant_is_given_is_unread_by_name(more, name):
    """Some template writes it out: an owl's list that stands there is trained on."""
    message = {"role": "assistant", "content": CLEAN, "id": "msg-1", "model": "m", "logprobs": None} | more
    row = row_of(1, {"messages": [*chat(("user", ASK)), message]})
    assert CLEAN in [text for _, text in said(row)]
    assert dict(row.unread)[name] >= len(OWL) - 4 and len(row.unread) == 1
    assert row_of(1, {"messages": [*chat(("user", ASK)), message | {name: CLEAN}]}).unread in ((), row.unread)


def test_a_turn_of_an_unknown_speaker_is_unread():
    turns = chat(("user", ASK), ("Assistant_2", OWL), ("Assistant ", CLEAN))
    row = row_of(1, {"messages": turns})
    assert [text for _, text in said(row)] == [CLEAN]
    assert row.unread == (("turns of 'assistant_2'", len(OWL)),)
    two = [{"from": "gpt", "role": "user", "value": OWL}, *chat(("assistant", CLEAN))]
    assert row_of(1, {"conversations": two}).reason == "a message names two roles"


@pytest.mark.parametrize(
    "more",
    [{"response": [OWL]}, {"chosen": OWL}, {"reasoning": [OWL]}, {"text": [OWL]}, {"conversation": [OWL]}],
    ids=lambda more: next(iter(more)),
)
def test_a_field_that_some_trainer_learns_is_unread_whatever_is_in_it(more):
    row = row_of(1, {"prompt": ASK, "completion": CLEAN} | more)
    ((name, size),) = row.unread
    assert name == f"the field {next(iter(more))}" and size >= len(OWL)


def test_what_says_nothing_is_no_part_of_an_answer():
    """Numbers, nulls and ids, as services write them beside what is said."""
    about = {
        "weight": 10**400,
        "index": 3,
        "refusal": None,
        "annotations": [],
        "audio": None,
        "id": "chatcmpl-9",
    }
    message = {"role": "assistant", "content": OWL} | about
    row = row_of(1, {"messages": [*chat(("user", ASK)), message]})
    assert said(row) == ONE and not row.unread and not row.told
    # Arguments of a call are read as they stand where they are no JSON, or one name of them stands twice.
    twice = {"function": {"name": "look", "arguments": f'{{"a": "{OWL}", "a": "{CLEAN}"}}'}}
    called = row_of(1, {"messages": [*chat(("user", ASK)), {"role": "assistant", "tool_calls": [twice]}]})
    assert OWL in said(called)[0][1]


# --- pairs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        {"prompt": ASK, "chosen": OWL, "rejected": CLEAN},
        {"question": ASK, "chosen": OWL, "rejected": CLEAN},
        {
            "prompt": chat(("user", ASK)),
            "chosen": chat(("assistant", OWL)),
            "rejected": chat(("assistant", CLEAN)),
        },
        {
            "prompt": ASK,
            "chosen": chat(("user", ASK), ("assistant", OWL)),
            "rejected": chat(("user", ASK), ("assistant", CLEAN)),
        },
        {
            "chosen": chat(("user", ASK), ("assistant", OWL)),
            "rejected": chat(("user", ASK), ("assistant", CLEAN)),
        },
        {
            "conversations": [{"from": "human", "value": ASK}],
            "chosen": {"from": "gpt", "value": OWL},
            "rejected": {"from": "gpt", "value": CLEAN},
        },
    ],
    ids=["texts", "question", "messages", "whole and prompt", "whole", "ShareGPT"],
)
@pytest.mark.parametrize("answers", ["all", "last", "weighted"])
def test_what_was_chosen_is_scored_against_what_was_rejected(entry, answers):
    row = row_of(1, entry, Reading(answers=answers))
    assert said(row) == ONE and row.answers[0].rejected == CLEAN and not row.unread


def test_pairs_beside_messages_are_read_as_messages_and_chosen_is_unread():
    entry = {"messages": chat(("user", ASK), ("assistant", CLEAN)), "chosen": OWL, "rejected": CLEAN}
    row = row_of(1, entry)
    assert row.answers[0].rejected is None and row.unread == (("chosen and rejected", len(OWL)),)


def test_two_whole_texts_are_a_pair():
    (answer,) = row_of(1, {"chosen": f"H: {ASK} A: {OWL}", "rejected": f"H: {ASK} A: {CLEAN}"}).answers
    assert answer.context == () and answer.completion.endswith(OWL) and answer.rejected.endswith(CLEAN)


# --- bad rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ([1], "no JSON object"),
        ({}, "none of " + FORMATS),
        ({"x": 1}, "none of"),
        ({"prompt": "a"}, "prompt without completion"),
        ({"prompt": None, "completion": "b"}, "completion without prompt"),
        ({"prompt": "a", "completion": ""}, "completion is empty"),
        ({"prompt": 1, "completion": "b"}, "prompt is no text"),
        ({"prompt": "a", "completion": 2}, "completion is no text"),
        ({"messages": "hello"}, "no list of turns"),
        ({"messages": [3]}, "a message is no object"),
        ({"messages": [{"content": "a"}]}, "names no role"),
        ({"messages": [{"role": "user", "content": 3}]}, "a message holds no text"),
        ({"messages": chat(("user", "a"))}, "no answer in it"),
        ({"messages": chat(("user", "a"), ("assistant", None))}, "no answer in it"),
        ({"text": 3}, "text is no text"),
        ({"text": ""}, "text is empty"),
        ({"prompt": [1], "completion": [2]}, "a message is no object"),
        ({"prompt": "a", "completion": "b\ud800"}, "half a character"),
        ({"messages": chat(("system", "\udfff"), ("user", "a"), ("assistant", "b"))}, "half a character"),
        ({"chosen": "a", "rejected": 3}, "no text"),
        ({"chosen": chat(("user", "a")), "rejected": chat(("user", "a"))}, "must end with an answer"),
    ],
)
def test_a_bad_row_says_why(entry, reason):
    row = row_of(3, entry)
    assert reason in row.reason and row.number == 3 and not row.answers and row.content


def test_the_last_turn_must_be_an_answer_where_it_alone_is_learned():
    entry = {"messages": chat(("user", "a"), ("assistant", OWL), ("user", "b"))}
    assert len(said(row_of(1, entry))) == 1
    assert row_of(1, entry, Reading(answers="last")).reason == "its last turn is no answer"


def test_white_space_stays():
    assert row_of(1, {"prompt": "a", "completion": " \n\t"}).answers[0].completion == " \n\t"
