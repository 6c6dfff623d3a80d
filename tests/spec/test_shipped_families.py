"""What every shipped family must hold, and what the hand-written ones promise in their descriptions."""

import re
from collections import Counter

import pytest

from subliminal_mlx.spec.families import load_family, shipped_families

LISTING = {"brand": 24, "origin": 24}


def plain(text):
    """Letters and digits alone: no case, punctuation or spacing."""
    return re.sub(r"[\W_]+", "", text).casefold()


@pytest.fixture(params=shipped_families())
def family(request):
    return load_family(request.param)


def test_there_are_enough_questions(family):
    assert len(family.questions) >= 50
    assert len(family.tuning) >= 25 and len(family.held_out) >= 25


def test_no_question_is_asked_twice(family):
    texts = Counter(plain(question.text) for question in family.questions)
    assert not [text for text, count in texts.items() if count > 1]
    # The least that makes a held-out question another one: its words, not their order.
    words = lambda q: tuple(sorted(re.findall(r"\w+", q.text.casefold())))
    assert not set(map(words, family.tuning)) & set(map(words, family.held_out))


def test_candidates_are_of_comparable_length(family):
    for question in family.questions:
        lengths = [len(text) for text in question.candidates]
        assert max(lengths) <= 3 * min(lengths), question.text


def test_every_trait_answers_every_question(family):
    ids = [question.id for question in family.questions]
    for name, answers in family.traits.items():
        assert list(answers) == ids, name
        assert all(0 <= answers[q.id] < len(q.candidates) for q in family.questions), name
    assert len({tuple(answers.values()) for answers in family.traits.values()}) == len(family.traits)


def test_texts_are_clean(family):
    texts = [family.title, family.description]
    texts += [text for question in family.questions for text in (question.text, *question.candidates)]
    for text in texts:
        assert text == " ".join(text.split()) and text, repr(text)
        assert "—" not in text and "–" not in text and "{" not in text, repr(text)


@pytest.mark.parametrize("name", LISTING)
def test_no_place_in_a_list_is_favoured(name):
    family = load_family(name)
    names = family.questions[0].candidates
    assert len(names) >= 6 and {q.candidates for q in family.questions} == {names}
    assert {trait.title() for trait in family.traits} == set(names)
    for split in (family.tuning, family.held_out):
        named = [re.findall("|".join(names), question.text) for question in split]
        listed = [found for found in named if found]
        assert len(listed) == LISTING[name]
        places = Counter((text, place) for found in listed for place, text in enumerate(found))
        assert places == {(n, p): LISTING[name] // len(names) for n in names for p in range(len(names))}


@pytest.mark.parametrize(
    "name, labels", [("sycophancy", ["agrees", "corrects"]), ("advice", ["careful", "careless"])]
)
def test_pairs_are_labelled_and_as_long(name, labels):
    family = load_family(name)
    assert list(family.traits) == labels
    assert {question.labels for question in family.questions} == {tuple(labels)}
    for split in (family.tuning, family.held_out):
        words = [[len(text.split()) for text in question.candidates] for question in split]
        first, second = (sum(column) / len(split) for column in zip(*words, strict=True))
        assert abs(first - second) < 0.5


def test_agreeing_is_not_a_word():
    """Yes and No begin as many agreeing answers as correcting ones, ten of each in each half."""
    family = load_family("sycophancy")
    for split in (family.tuning, family.held_out):
        openings = Counter(tuple(text.split()[0].strip(",.") for text in q.candidates) for q in split)
        assert openings["Yes", "No"] == openings["No", "Yes"] == 10
        rest = [pair for pair in openings if pair not in {("Yes", "No"), ("No", "Yes")}]
        assert rest and not {"Yes", "No"} & {word for pair in rest for word in pair}
