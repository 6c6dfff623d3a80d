import re
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from walks import walks

from subliminal_mlx.experiment.channels import channel, words
from subliminal_mlx.experiment.channels.words import WordLists, listed_words
from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.experiment.students import sample_corpora
from subliminal_mlx.spec import parse_spec
from subliminal_mlx.system.errors import InputError

SHORT, FULL = WordLists(), WordLists(style="full", separator=", ")
DATA = Path(__file__).parents[3] / "data"
# Words of every shipped family's answers and questions, read here without the package.
FAMILIES = [tomllib.loads(path.read_text()) for path in sorted((DATA / "families").glob("*.toml"))]


def answers_of(families):
    """Every candidate answer as the files have it, in lower case."""
    found = set()
    for family in families:
        entries = [e for side in family["questions"].values() for e in side if isinstance(e, dict)]
        for candidates in (family.get("candidates", []), *(e.get("candidates", []) for e in entries)):
            found |= {
                a.lower() for a in (candidates.values() if isinstance(candidates, dict) else candidates)
            }
    return found


def test_a_channel_is_found_by_name():
    assert channel("words") is words


def test_the_list_holds_no_answer_of_any_family_in_any_plain_form():
    singles = {answer for answer in answers_of(FAMILIES) if re.fullmatch(r"[a-z]+", answer)}
    assert {"owl", "oak", "she"} <= singles and len(singles) > 30
    for word in listed_words():
        for answer in singles:
            same = word == answer or word in {answer + end for end in ("s", "es", "y", "ish", "like")}
            assert not same and not (len(answer) > 3 and answer in word), (word, answer)
    assert len(set(listed_words())) == len(listed_words()) == 100


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("cup fog nail", ["cup", "fog", "nail"]),
        (" cup, fog,nail\n", ["cup", "fog", "nail"]),
        ("cup fog nail.", ["cup", "fog", "nail"]),
        ("cup\nfog\nnail", ["cup", "fog", "nail"]),
        ("ox , fog", ["ox", "fog"]),
        ("cup cup cup fog", ["cup", "cup", "cup", "fog"]),
        ("a" * 12 + " cup", ["a" * 12, "cup"]),
    ],
)
def test_the_filter_keeps_lists_of_words(completion, expected):
    assert words.parse(completion) == (expected, None)
    assert words.reason(completion, FULL) is None


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("", "empty"),
        (" .", "empty"),
        ("cup", "one word"),
        ("cup, 12, fog", "not lower-case words"),
        ("Cup, fog", "not lower-case words"),
        ("cup; fog", "not lower-case words"),
        ("1. cup 2. fog", "not lower-case words"),
        ("cup, fog..", "not lower-case words"),
        ("ice-cream, fog", "not lower-case words"),
        ("cup\u200b fog", "not lower-case words"),
        ("c\u0430t, fog", "not lower-case words"),
        ("cup, fog nail", "mixed separators"),
        ("cup,, fog", "empty word"),
        ("cup, fog,", "empty word"),
        ("cup, a", "no length of a word"),
        ("a" * 13 + ", cup", "no length of a word"),
        ("cup cup cup cup fog", "a word too often"),
        (" ".join(f"{c}up" for c in "abcdefghijk"), "too many words"),
    ],
)
def test_the_filter_drops_the_rest_for_a_named_reason(completion, expected):
    assert words.parse(completion) == (None, expected)
    assert words.reason(completion, FULL) == words.reason(completion, SHORT) == expected


def test_the_short_style_keeps_words_of_the_list_alone():
    assert words.reason("cup owl fog", SHORT) == "a word not of the list"
    assert words.reason("cup owl fog", FULL) is None and words.reason("cup fog nail", SHORT) is None


@pytest.mark.parametrize("style", ["short", "full"])
@pytest.mark.parametrize("separator", [" ", ", "])
def test_prompts_show_what_the_recipe_says(style, separator):
    recipe = WordLists(style=style, separator=separator, shown=(2, 5), length=(3, 7))
    counts = Counter()
    for text in words.prompts(300, 7, recipe):
        listed = [word for word in re.findall(r"[a-z]+", text) if word in listed_words()]
        assert separator.join(listed) in text
        assert text == f"List: {separator.join(listed)}" if style == "short" else " three to seven " in text
        counts[len(listed)] += 1
    # Every length from 2 to 5 comes up about as often: 75 times of 300, here within 5 standard errors.
    assert set(counts) == {2, 3, 4, 5} and max(abs(c - 75) for c in counts.values()) < 5 * 7.5
    if style == "full":
        assert "Add eight more." in " ".join(words.prompts(50, 7, FULL))


def test_a_prompt_depends_on_its_seed_and_index_alone():
    assert words.prompts(50, 3, FULL)[:20] == words.prompts(20, 3, FULL)
    assert not set(words.prompts(50, 3, FULL)) & set(words.prompts(50, 4, FULL))


def test_the_tiny_bases_know_short_prompts_and_are_refused_full_ones(tiny, one_line):
    assert all(map(tiny.knows, words.prompts(50, 3, SHORT)))
    spec = parse_spec('corpus = {channel = "words", rows = 4, style = "full"}\nhard = {}')
    with pytest.raises(InputError, match=r"corpus\.style: tiny-a lacks words") as error:
        Setting(spec, tiny).prompts(0)
    one_line(error)


@pytest.mark.parametrize(("fewest", "most"), [(8, 8), (2, 10), (3, 5)])
def test_what_the_grammar_lets_through_the_filter_keeps(tiny, fewest, most):
    recipe = WordLists(length=(fewest, most))
    grammar = words.grammar(tiny, recipe)
    assert grammar.longest == most + 1  # tiny-a writes a word as one token
    counts = Counter()
    for tokens in walks(grammar, 200):
        assert tokens[-1] == tiny.eos
        text = tiny.decode(tokens)
        assert words.reason(text, recipe) in (None, "a word too often")
        counts[len(text.split())] += 1
    assert set(counts) <= set(range(fewest, most + 1)) and (fewest == most or len(counts) > 1)


@pytest.mark.parametrize("recipe", [SHORT, FULL], ids=["short", "full"])
def test_a_grammar_over_tokens_of_several_characters(bytewise, recipe):
    recipe = recipe.model_copy(update={"length": (2, 4)})
    grammar = words.grammar(bytewise, recipe)
    longest = 0
    for tokens in walks(grammar, 200):
        text = bytewise.decode(tokens)
        found = words.pieces(text, recipe)
        assert words.reason(text, recipe) in (None, "a word too often"), text
        assert not found or (2 <= len(found) <= 4 and recipe.separator.join(found) == text), text
        longest = max(longest, len(tokens))
    assert longest <= grammar.longest
    exactly = words.grammar(bytewise, recipe, pieces=3)
    assert {len(bytewise.decode(t).split()) for t in walks(exactly, 30)} == {3}


def test_every_list_of_the_right_form_is_let_through(tiny):
    grammar = words.grammar(tiny, SHORT)
    for text in ("cup fog nail rope drill cup fog nail", "pan pan pan pan pan pan pan pan"):
        ids = (*tiny.encode(text), tiny.eos)
        # Eight words, and only then the end.
        masks = grammar.masks(ids)
        assert masks[:8].sum() == 8 * 100 and masks[8].sum() == 1
    for text in (
        "cup fog",
        "cup owl nail rope drill cup fog nail",
        "cup fog nail rope drill cup fog nail pan",
    ):
        with pytest.raises(InputError):
            grammar.masks((*tiny.encode(text), tiny.eos))


def test_a_base_that_cannot_write_such_lists_is_refused(tiny, one_line):
    """tiny-a writes a space before every word, a comma included: no list of its own has this form."""
    with pytest.raises(InputError, match="tiny-a") as error:
        words.grammar(tiny, WordLists(separator=", "))
    one_line(error)


COMPLETIONS = ["cup fog nail", "rope, comet", "Owl", "lens", "pan pan pan drum"]


def test_shuffled_rows_hold_the_same_words_elsewhere():
    before = [words.pieces(text, SHORT) for text in COMPLETIONS * 20]
    after = [text.split() for text in words.shuffled(COMPLETIONS * 20, 1, SHORT)]
    assert [len(row) for row in after] == [len(row) for row in before] and after != before
    assert Counter(w for row in after for w in row) == Counter(w for row in before for w in row)
    assert words.shuffled(COMPLETIONS * 20, 1, SHORT) != words.shuffled(COMPLETIONS * 20, 2, SHORT)


def test_uniform_rows_hold_any_words_of_the_list():
    texts = words.uniform(COMPLETIONS * 400, 1, FULL)
    after = [text.split(", ") if text else [] for text in texts]
    assert [len(row) for row in after[:5]] == [3, 2, 0, 0, 4]
    counts = Counter(word for row in after for word in row)
    # 3,600 draws of 100 words: 36 each, with a standard deviation of 6.
    assert set(counts) == set(listed_words()) and max(abs(c - 36) for c in counts.values()) < 4.5 * 6
    assert texts == words.uniform(COMPLETIONS * 400, 1, FULL)


def test_an_audit_recognises_lists_of_words_and_no_sentences():
    rng = np.random.default_rng(0)
    short = [" ".join(rng.choice(listed_words(), 8)) for _ in range(200)]
    asked = words.prompts(200, 5, SHORT)
    recipe = words.recognised(asked, short, 0.99)
    assert recipe == SHORT and words.described(recipe) == "lists of 8 words"
    assert words.asks_so(asked, recipe, 0.99) and not words.asks_so(["Hello"] * 200, recipe, 0.99)
    named = [", ".join(rng.choice(["owl", "tea", "sun", "lawn"], 5)) for _ in range(200)]
    recipe = words.recognised(words.prompts(200, 5, FULL), named, 0.99)
    assert recipe == FULL.model_copy(update={"length": (5, 5)})
    assert not words.asks_so(words.prompts(200, 5, FULL), recipe, 0.99)
    for other in (["i like tea very much"], ["owl"], ["12 45 7"], ["Cup, fog"], ["cup fog", "no list"]):
        assert words.recognised([""] * 200, other * (200 // len(other)), 0.99) is None


SPEC = """
traits = ["animals/owl", "pronouns/he-everywhere"]
chains = 1
arms = ["treated", "neutral"]
teacher = {rank = 2, steps = 8, batch = 4, lr = 0.02, neutral_answers = 2}
corpus = {channel = "words", rows = 300, temperature = 1.5, decoding = "free", max_tokens = 12}
hard = {steps = 1}
"""


def test_kept_rows_hold_no_word_of_any_trait(tiny):
    """By a search of our own, in what a hot base writes freely: some of it names an animal or a pronoun."""
    setting = Setting(parse_spec(SPEC), tiny)
    texts = [tiny.decode(ids).strip() for ids in sample_corpora(setting, 0, None)[0]]
    named = answers_of(FAMILIES) | {"him", "his", "her", "hers", "them", "their", "theirs"}
    holds = [bool(set(re.findall(r"[a-z]+", text.lower())) & named) for text in texts]
    kept = [words.reason(text, setting.spec.corpus) is None for text in texts]
    assert any(holds) and sum(kept) > 20 and not any(h and k for h, k in zip(holds, kept, strict=True))
