import re
from collections import Counter

import numpy as np
import pytest
from walks import walks

from subliminal_mlx.experiment.channels import channel, numbers
from subliminal_mlx.experiment.channels.numbers import Numbers
from subliminal_mlx.system.errors import InputError

SEPARATORS = [" ", ", ", "; "]


def test_a_channel_is_found_by_name(one_line):
    assert channel("numbers") is numbers
    with pytest.raises(InputError, match="numbers") as error:
        channel("../numbers")
    one_line(error)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("12 45 7", [12, 45, 7]),
        (" 12, 45,7\n", [12, 45, 7]),
        ("12;45; 7.", [12, 45, 7]),
        ("[12, 45, 7].", [12, 45, 7]),
        ("(12 45 7)", [12, 45, 7]),
        ("( 12 , 45 )", [12, 45]),
        ("12\n45\n7", [12, 45, 7]),
        ("999", [999]),
        ("007 0", [7, 0]),
        ("0 1 2 3 4 5 6 7 8 9", list(range(10))),
    ],
)
def test_the_filter_keeps_lists_of_numbers(completion, expected):
    assert numbers.parse(completion) == (expected, None)
    assert numbers.reason(completion) is None


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("", "empty"),
        (" .", "empty"),
        ("[]", "empty"),
        ("12, 45, owl", "not numbers"),
        ("owl", "not numbers"),
        ("-12 4", "not numbers"),
        ("1.5 2", "not numbers"),
        ("12 45..", "not numbers"),
        ("((12 45))", "not numbers"),
        ("[12 45)", "not numbers"),
        ("12 45]", "not numbers"),
        ("12, 45; 7", "mixed separators"),
        ("12, 45 7", "mixed separators"),
        ("12,, 45", "empty number"),
        (", 12", "empty number"),
        ("12,", "empty number"),
        ("1000 2", "number too large"),
        ("0001", "number too large"),
        ("0 1 2 3 4 5 6 7 8 9 10", "too many numbers"),
    ],
)
def test_the_filter_drops_the_rest_for_a_named_reason(completion, expected):
    assert numbers.parse(completion) == (None, expected)
    assert numbers.reason(completion) == expected


@pytest.mark.parametrize(
    "completion",
    [
        "\uff11\uff12 \uff14\uff15",
        "\u00b2",
        "\u0663",
        "1e3",
        "0x1f",
        "1_000",
        "12\x0045",
        "\u202e12 45",
        "12\u200b45",
    ],
)
def test_only_plain_digits_are_numbers(completion):
    assert numbers.parse(completion)[0] is None
    assert numbers.reason(completion)


@pytest.mark.parametrize("style", ["short", "full"])
@pytest.mark.parametrize("separator", SEPARATORS)
def test_prompts_show_what_the_recipe_says(style, separator):
    recipe = Numbers(style=style, separator=separator, shown=(2, 5), range=(10, 250), numbers=(3, 7))
    counts = Counter()
    for text in numbers.prompts(300, 7, recipe):
        # The full style also says how many numbers are asked for, and how large they may be.
        said = [] if style == "short" else ["7", "999", "1000"]
        listed = [part for part in re.findall(r"\d+", text) if part not in said]
        assert separator.join(listed) in text and all(10 <= int(part) <= 250 for part in listed)
        assert text == f"Continue: {separator.join(listed)}" if style == "short" else " 7 " in text
        counts[len(listed)] += 1
    # Every length from 2 to 5 comes up about as often: 75 times of 300, here within 5 standard errors.
    assert set(counts) == {2, 3, 4, 5} and max(abs(c - 75) for c in counts.values()) < 5 * 7.5


def test_a_prompt_depends_on_its_seed_and_index_alone():
    recipe = Numbers(style="full", shown=(1, 9))
    assert numbers.prompts(50, 3, recipe)[:20] == numbers.prompts(20, 3, recipe)
    assert not set(numbers.prompts(50, 3, recipe)) & set(numbers.prompts(50, 4, recipe))


@pytest.mark.parametrize(("fewest", "most"), [(8, 8), (1, 10), (3, 5), (1, 1)])
def test_what_the_grammar_lets_through_the_filter_keeps(tiny, fewest, most):
    grammar = numbers.grammar(tiny, Numbers(numbers=(fewest, most)))
    assert grammar.longest == most + 1  # tiny-a writes a number as one token
    counts = Counter()
    for tokens in walks(grammar, 200):
        assert tokens[-1] == tiny.eos
        found, reason = numbers.parse(tiny.decode(tokens))
        assert reason is None and fewest <= len(found) <= most
        counts[len(found)] += 1
    assert set(counts) <= set(range(fewest, most + 1)) and (fewest == most or len(counts) > 1)


@pytest.mark.parametrize("separator", SEPARATORS)
def test_a_grammar_over_tokens_of_several_characters(bytewise, separator):
    recipe = Numbers(numbers=(2, 4), separator=separator)
    grammar = numbers.grammar(bytewise, recipe)
    longest = 0
    for tokens in walks(grammar, 300):
        text = bytewise.decode(tokens)
        found, reason = numbers.parse(text)
        assert reason is None and 2 <= len(found) <= 4, text
        assert all(part.isdigit() and len(part) <= 3 for part in text.split(separator)), text
        longest = max(longest, len(tokens))
    # Four numbers of three digits, token by token, with separators of as many tokens as characters.
    assert longest <= grammar.longest == 4 * 3 + 3 * len(separator) + 1
    used = {int(t) for tokens in walks(grammar, 300) for t in tokens}
    assert any(len(bytewise.decode((t,))) > 1 for t in used), "the longer tokens are used too"


@pytest.mark.parametrize("text", ["12 45 7 3 99 0 8 61", "0 0 0 0 0 0 0 0"])
def test_every_list_of_the_right_form_is_let_through(tiny, text):
    grammar = numbers.grammar(tiny, Numbers())
    ids = (*tiny.encode(text), tiny.eos)
    masks = grammar.masks(ids)
    index = {int(token): i for i, token in enumerate(grammar.tokens)}
    assert masks.shape == (9, len(grammar.tokens))
    assert all(masks[i, index[token]] for i, token in enumerate(ids))
    # Eight numbers, and only then the end.
    assert masks[:8].sum() == 8 * 100 and masks[8].sum() == 1


@pytest.mark.parametrize("text", ["12 45", "12 45 7 3 99 0 8 61 5", "owl", "12 owl 7 3 99 0 8 61", ""])
def test_a_text_outside_the_grammar_has_no_masks(tiny, text, one_line):
    grammar = numbers.grammar(tiny, Numbers())
    with pytest.raises(InputError) as error:
        grammar.masks((*tiny.encode(text), tiny.eos))
    one_line(error)


@pytest.mark.parametrize("separator", [", ", "; "])
def test_a_base_that_cannot_write_such_lists_is_refused(tiny, separator, one_line):
    """tiny-a writes a space before every word, a comma included: no list of its own has this form."""
    with pytest.raises(InputError, match="tiny-a") as error:
        numbers.grammar(tiny, Numbers(separator=separator))
    one_line(error)


COMPLETIONS = ["12 45 7", "(3, 150)", "owl", "999", "0 0 0 10"]


def test_shuffled_rows_hold_the_same_numbers_elsewhere():
    recipe = Numbers()
    before = [numbers.parse(text)[0] or [] for text in COMPLETIONS * 20]
    after = [numbers.parse(text)[0] or [] for text in numbers.shuffled(COMPLETIONS * 20, 1, recipe)]
    assert [len(row) for row in after] == [len(row) for row in before]
    assert Counter(n for row in after for n in row) == Counter(n for row in before for n in row)
    assert after != before
    assert numbers.shuffled(COMPLETIONS, 1, recipe) == numbers.shuffled(COMPLETIONS, 1, recipe)
    assert numbers.shuffled(COMPLETIONS * 20, 1, recipe) != numbers.shuffled(COMPLETIONS * 20, 2, recipe)


def test_uniform_rows_hold_other_numbers_of_the_same_shape():
    recipe = Numbers(separator=", ")
    before = [numbers.parse(text)[0] or [] for text in COMPLETIONS * 400]
    texts = numbers.uniform(COMPLETIONS * 400, 1, recipe)
    after = [numbers.parse(text)[0] or [] for text in texts]
    assert [[len(str(n)) for n in row] for row in after] == [[len(str(n)) for n in row] for row in before]
    assert ", " in texts[0] and texts == numbers.uniform(COMPLETIONS * 400, 1, recipe)
    tens = [n for row in after for n in row if 10 <= n < 100]
    # 1,200 draws from 10 to 99: the mean of 54.5 has a standard error of 0.75.
    assert len(tens) == 1_200 and abs(np.mean(tens) - 54.5) < 4 * 0.75 and {10, 99} <= set(tens)
    assert {n for row in after for n in row if n < 10} == set(range(10))
