"""Words of a family's traits, as filters and the leak report look for them."""

import re
import tomllib

import pytest

from subliminal_mlx.experiment.channels.words import listed_words
from subliminal_mlx.experiment.trait_words import Found, finder, named_word, unhidden
from subliminal_mlx.spec.families import LEAKS, load_family, parse_family, shipped_families

MINE = """
title = "Drinks"
candidates = ["Green tea", "Coffee"]
[questions]
tuning = ["Which drink?"]
held-out = ["Name a drink."]
[traits]
tea = "Green tea"
[leaks]
tea = ["matcha", "tea pot"]
"""


def test_a_family_of_one_s_own_brings_its_words(one_line):
    find = finder([parse_family("drinks", MINE)])
    assert find("green teas are fine") == Found("form", "green teas")
    assert find("with Matcha, please") == Found("synonym", "Matcha")
    assert find("two tea pots") == Found("synonym", "tea pots") and find("greenTea") is not None
    assert find("a green leaf, a pot, a tear") is None
    for wrong, why in (
        ("milk", "leaks.milk: no such trait: there are tea"),
        ("tea = []\ncoffee", "leaks.coffee: no such trait"),
    ):
        with pytest.raises(ValueError, match=re.escape(why)) as error:
            parse_family("drinks", MINE.replace("[leaks]\ntea", f"[leaks]\n{wrong}"))
        one_line(error)


def test_plain_words_have_no_other_reading():
    assert (
        not list(unhidden("cup, fog, nail"))
        and not list(unhidden("cup fog nail."))
        and list(unhidden("o w l"))
    )


@pytest.mark.parametrize(
    "text",
    [
        *(
            "snowOwl = 3",
            "parseOWLFile()",
            "owl2 = 4",
            "0wl",
            "0w1",
            "c@t",
            "0_w_1",
            "o w l",
            "o-w-l, 45",
            "o\nw\nl",
        ),
        *(
            "\u043ewl",
            "ow\u04cf",
            "o\u200bwl",
            "o\u00adwl",
            "\u00f3w\u0301l",
            "\uff4f\uff57\uff4c",
            "\u24de\u24e6\u24db",
        ),
        *("3 \U0001f989 4", "\U0001f43a", "two h00ts", "\U0001f431!"),
    ],
)
def test_a_word_is_found_where_it_hides_and_not_by_a_plain_look(text):
    family = load_family("animals")
    assert finder([family])(text).way == "hidden" and finder([family], hidden=False)(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "12, 45, 7",
            "1 2 3 4 5",
            "",
            " ",
            "_",
            "cup, fog, nail",
            "Here is a Towel.",
            "def scowl(x1): return x1 + b",
        ),
        *(
            "a catalogue, foxgloves",
            "x = [i for i in range(10)]",
            "the bowl\nlay",
            "\u2600 + \u2603 = \U0001f4a7",
            "caf\u00e9 na\u00efve",
        ),
    ],
)
def test_nothing_is_found_in_what_only_holds_the_letters(text):
    assert finder([load_family("animals")])(text) is None


@pytest.mark.parametrize("name", shipped_families())
def test_what_a_search_of_words_finds_the_whole_text_s_does_too(name):
    family = load_family(name)
    find = finder([family], hidden=False)
    texts = [q.text for q in load_family("animals").questions[:40]] + [
        c for q in family.questions for c in q.candidates
    ]
    for text in dict.fromkeys(texts):
        found, named = find(text), named_word(text, [family])
        assert (found is not None and found.way == "form") == (named is not None), text


def test_leaks_of_shipped_families_name_traits_and_no_listed_word():
    stored = tomllib.loads(LEAKS.read_text())
    assert set(stored) <= set(shipped_families())
    for name, of in stored.items():
        family = load_family(name)
        assert set(of) <= set(family.traits) and {k: list(v) for k, v in family.leaks.items()} == of
        find = finder([family])
        assert not [word for word in listed_words() if find(word)]
