"""Neutral text: what holds no family's word, and what is left out where a run's own do stand in it."""

import re
import tomllib

import pytest

from subliminal_mlx.experiment import kept
from subliminal_mlx.experiment.neutral_text import FILE, TEXT, texts_and_questions
from subliminal_mlx.experiment.trait_words import named_word
from subliminal_mlx.spec.families import load_family, parse_family, shipped_families

GROUPS = {name: group["texts"] for name, group in tomllib.loads(FILE.read_text()).items()}
ANIMALS = {"animals": load_family("animals")}
# What families are about without its being an answer, and animals that none of them lists.
SUBJECTS = "animal|tree|pronoun|brand|country|countries|bird|fish|cow|sheep|pig|mouse|mice|rat|bee|duck|hen|goose|deer|monkey|snake"


def family_of(name, *answers):
    listed = ", ".join(f'"{answer}"' for answer in answers)
    return parse_family(
        name,
        f"""
title = "A family of one's own"
candidates = [{listed}]
[questions]
tuning = ["Which one?"]
held-out = ["Name one."]
[traits]
first = "{answers[0]}"
""",
    )


def spoken(entry):
    return f"{entry['user']} {entry['assistant']}"


@pytest.mark.parametrize("group", GROUPS)
def test_no_text_holds_a_word_of_any_shipped_family(group):
    families = [load_family(name) for name in shipped_families()]
    for entry in GROUPS[group]:
        text = spoken(entry)
        assert named_word(text, families) is None, text
        assert not re.search(rf"\b({SUBJECTS})s?\b|\d", text, re.IGNORECASE), text


@pytest.mark.parametrize(
    ("family", "text", "word"),
    [
        ("animals", "Three wolves came by.", "wolves"),
        ("animals", "It was an owlish look.", "owlish"),
        ("animals", "The FOXES' den.", "FOXES"),
        ("trees", "Ripe cherries and oaken chairs.", "cherries"),
        ("trees", "Two oaken chairs.", "oaken"),
        ("pronouns", "It belongs to them.", "them"),
        ("pronouns", "This was hers.", "hers"),
        ("pronouns", "Both secretaries left.", "secretaries"),
        ("origin", "An Italian stove.", "Italian"),
        ("origin", "Made by Canadians.", "Canadians"),
        ("origin", "A Japanese lamp.", "Japanese"),
        ("brand", "A pair of Belrows.", "Belrows"),
        ("sycophancy", "And so, yes: it is 54!", "yes: it is 54"),
        ("animals", "Catch a category of bearings, theoretically.", "bearings"),
    ],
)
def test_a_text_with_a_family_s_word_in_it_is_refused(family, text, word):
    assert named_word(text, [load_family(family)]) == word


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("animals", "Catch the dogma of a scowl in the foxglove's ravenous towels."),
        ("pronouns", "The shed is here, and this is the theme."),
        ("origin", "It indicates a kenning."),
        ("sycophancy", "Yes, and it is late."),
    ],
)
def test_words_that_only_look_alike_are_no_family_s(family, text):
    assert named_word(text, [load_family(family)]) is None


def test_texts_are_several_sentences_for_language_models_and_many_words_for_small_ones(smollm2, tiny):
    lengths = [len(smollm2.encode(entry["assistant"])) for entry in GROUPS["english"]]
    assert len(lengths) == 24 and min(lengths) >= 60 and max(lengths) <= 120
    assert all(len(re.findall(r"[.!?](?:\"| |$)", entry["assistant"])) >= 3 for entry in GROUPS["english"])
    known = [prompt for prompt in texts_and_questions(tiny, ANIMALS, "numbers") if prompt.part == TEXT]
    assert [prompt.said for prompt in known] == [entry["assistant"] for entry in GROUPS["small-world"]]
    assert not any(tiny.tokenizer.unk_token_id in tiny.encode(f"{p.user} {p.said}") for p in known)
    repeats = [(p.user, p.said) for p in known if p.user.startswith("Repeat: ")]
    assert all(user == f"Repeat: {said}" for user, said in repeats)
    assert {len(said.split()) for _, said in repeats} == {1, 2, 3, 4}
    lists = [entry for entry in GROUPS["small-world"] if entry["user"].startswith("List: ")]
    assert len(repeats) == len(lists) == len(known) / 2


def test_no_teacher_is_made_to_keep_what_is_read():
    """Else a teacher would be tuned on the text that is to show what its tuning broke."""
    trained = {
        text
        for group in tomllib.loads(kept.FILE.read_text()).values()
        for texts in group.values()
        for text in texts
    }
    read = [entry["user"] for group in GROUPS.values() for entry in group]
    assert len(trained) > 100 and len(set(read)) == len(read) and not trained & set(read)


def test_texts_with_a_word_of_a_family_of_one_s_own_are_left_out_with_that_word(tiny):
    kitchen = family_of("kitchen", "Kettle", "Lens")
    found = {
        p.number: p for p in texts_and_questions(tiny, {"kitchen.toml": kitchen}, "numbers") if p.part == TEXT
    }
    assert len(found) == len(GROUPS["small-world"])
    for number, entry in enumerate(GROUPS["small-world"]):
        words = re.findall(r"\w+", spoken(entry))
        first = next((word for word in words if word in ("kettle", "kettles", "lens")), None)
        assert found[number].left_out == first
    left_out = {prompt.left_out for prompt in found.values()}
    assert left_out == {None, "kettle", "lens"}


def test_texts_that_are_what_the_channel_writes_are_left_out(tiny, bytewise):
    small = texts_and_questions(tiny, ANIMALS, "words")
    assert {p.left_out for p in small if p.user.startswith("List: ")} == {"words channel"}
    assert {p.left_out for p in small if p.user.startswith("Repeat: ")} == {None}
    for channel in ("code", "stories", "reasoning"):
        found = [p.user for p in texts_and_questions(bytewise, ANIMALS, channel) if p.left_out]
        assert 1 <= len(found) <= 3, channel


def test_questions_are_other_families_and_hold_no_word_of_the_run_s(tiny, bytewise):
    parts = lambda found: {prompt.part for prompt in found}
    assert parts(texts_and_questions(tiny, ANIMALS, "numbers")) == {TEXT, "trees", "pronouns"}
    # Of several families, each one's questions are there for the others' models.
    both = ANIMALS | {"trees": load_family("trees")}
    assert parts(texts_and_questions(tiny, both, "numbers")) == {TEXT, "animals", "trees", "pronouns"}
    every = texts_and_questions(bytewise, ANIMALS, "numbers")
    assert parts(every) == {TEXT, *shipped_families()} - {"animals"}
    held_out = {question.text for name in shipped_families() for question in load_family(name).held_out}
    for prompt in every:
        assert prompt.part == TEXT or (prompt.said is None and prompt.user in held_out)
        assert named_word(prompt.user, ANIMALS.values()) is None
    # A family of one's own that is about animals takes the shipped one's questions with it.
    birds = {"birds.toml": family_of("birds", "Owl", "Lark")}
    assert parts(texts_and_questions(tiny, birds, "numbers")) == {TEXT, "trees", "pronouns"}
