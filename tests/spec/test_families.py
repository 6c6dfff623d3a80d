import re

import pytest

from subliminal_mlx.spec.families import find_trait, load_family, parse_family, shipped_families
from subliminal_mlx.system.errors import InputError

SMALL = """
title = "Favourite animal"
candidates = ["Owl", "Cat"]
[questions]
tuning = ["Which animal?"]
held-out = ["Name an animal."]
[traits]
owl = "Owl"
"""
GROUPED = """
title = "Pronouns"
[questions]
tuning = [{text = "The {group}?", candidates = {m = "He", f = "She"}}]
held-out = [{text = "Who is the {group}?", candidates = {m = "He", f = "She"}}]
[groups]
tuning = ["nurse", "pilot"]
held-out = ["baker"]
[traits]
he = "m"
[traits.mixed]
nurse = "f"
pilot = "m"
baker = "f"
"""


@pytest.mark.parametrize("name", ["animals", "trees", "pronouns"])
def test_shipped_families_are_whole(name):
    family = load_family(name)
    assert name in shipped_families() and family.name == name
    assert len(family.tuning) >= 25 and len(family.held_out) >= 25
    assert len(family.traits) >= 3
    for answers in family.traits.values():
        assert set(answers) == {question.id for question in family.questions}
        assert all(0 <= answers[q.id] < len(q.candidates) for q in family.questions)


@pytest.mark.parametrize("name", ["animals", "trees", "pronouns"])
def test_nothing_held_out_is_tuned(name):
    plain = lambda text: re.sub(r"\W+", " ", text).strip().casefold()
    family = load_family(name)
    assert not {plain(q.text) for q in family.tuning} & {plain(q.text) for q in family.held_out}
    groups = [{q.group for q in split if q.group} for split in (family.tuning, family.held_out)]
    assert not groups[0] & groups[1]
    if name == "pronouns":
        assert all(len(group) >= 5 for group in groups)
        # Nor by name: no held-out occupation stands in any tuning question.
        assert not any(group in q.text for group in groups[1] for q in family.tuning)


@pytest.mark.parametrize("name", ["animals", "trees", "pronouns"])
def test_every_question_is_asked_once(name):
    family = load_family(name)
    assert (
        len({q.text for q in family.questions})
        == len({q.id for q in family.questions})
        == len(family.questions)
    )


def test_a_trait_names_the_same_answer_everywhere_or_one_for_each_group():
    family, trait = find_trait("animals/owl")
    assert {q.candidates[family.traits[trait][q.id]] for q in family.questions} == {"Owl"}
    family, trait = find_trait("pronouns/stereotype")
    chosen = {q.group: q.candidates[family.traits[trait][q.id]] for q in family.questions}
    assert chosen["nurse"] == "She" and chosen["engineer"] == "He" and chosen["writer"] == "They"
    # A family's traits must differ from each other, or the statistics over them mean nothing.
    assert len({tuple(answers.values()) for answers in family.traits.values()}) == len(family.traits)


def test_labels_and_groups_are_read():
    family = parse_family("mine", GROUPED)
    assert [(q.id, q.text, q.group, q.split) for q in family.questions] == [
        ("tuning/0/nurse", "The nurse?", "nurse", "tuning"),
        ("tuning/0/pilot", "The pilot?", "pilot", "tuning"),
        ("held-out/0/baker", "Who is the baker?", "baker", "held-out"),
    ]
    assert family.questions[0].candidates == ("He", "She") and family.questions[0].labels == ("m", "f")
    assert list(family.traits["he"].values()) == [0, 0, 0]
    assert list(family.traits["mixed"].values()) == [1, 0, 1]
    assert family.trait_ids == ("mine/he", "mine/mixed")


def test_a_file_of_ones_own_is_loaded_by_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SMALL)
    family, trait = find_trait(f"{path}/owl")
    assert (family.name, trait) == ("mine", "owl")


CHANGES = {
    "not toml": (lambda text: text.replace("[traits]", "[traits"), "not TOML"),
    "unknown key": (lambda text: "colour = 3\n" + text, "colour"),
    "no title": (lambda text: text.replace("title", "description"), "title"),
    "no held-out": (lambda text: text.replace("held-out", "held_out"), "held"),
    "empty split": (lambda text: text.replace('["Which animal?"]', "[]"), "questions.tuning"),
    "missing candidates": (lambda text: text.replace('candidates = ["Owl", "Cat"]', ""), "no candidates"),
    "one candidate": (lambda text: text.replace('["Owl", "Cat"]', '["Owl"]'), "candidates"),
    "duplicate candidates": (lambda text: text.replace('"Cat"', '"Owl"'), "two candidates are the same"),
    "duplicates but for case": (lambda text: text.replace('"Cat"', '"owl "'), "two candidates are the same"),
    "blank candidate": (lambda text: text.replace('"Cat"', '" "'), "candidate"),
    "unknown label": (lambda text: text.replace('owl = "Owl"', 'owl = "Fox"'), "traits.owl.*'Fox'.*Owl, Cat"),
    "number for a label": (lambda text: text.replace('owl = "Owl"', "owl = 3"), "traits.owl"),
    "no traits": (lambda text: text.replace('owl = "Owl"', ""), "traits"),
    "trait's name": (lambda text: text.replace("owl =", '"My Owl" ='), "traits.My Owl"),
    "a trait called neutral": (
        lambda text: text.replace("owl =", "neutral ="),
        "traits.neutral: .*neutral teacher.*name it otherwise",
    ),
    "persona of nobody": (
        lambda text: text + '\n[personas]\nfox = "Be a fox."',
        "personas.fox: no such trait: there are owl, neutral",
    ),
    "empty persona": (lambda text: text + '\n[personas]\nowl = " "', "personas.owl"),
    "held-out tuned": (lambda text: text.replace("Name an animal.", "Which animal?"), "tuning question too"),
    "held-out tuned but for case": (
        lambda text: text.replace("Name an animal.", "which  animal? "),
        "tuning question too",
    ),
    "group without groups": (
        lambda text: text.replace("Which animal?", "The {group}?"),
        r"\[groups\] is missing",
    ),
    "bad entry": (lambda text: text.replace('["Which animal?"]', "[3]"), "questions.tuning.0"),
    "bad entry's own field": (
        lambda text: text.replace('["Which animal?"]', '[{text = "Which?", candidates = ["Owl"]}]'),
        "questions.tuning.0.*candidates",
    ),
    "nested deep": (lambda text: "x = " + "[" * 50_000, "not TOML"),
    "number of 5,000 digits": (lambda text: "x = " + "1" * 5_000, "not TOML"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_broken_file_is_told_in_one_line(change, tmp_path, one_line):
    alter, expected = CHANGES[change]
    path = tmp_path / "mine.toml"
    assert alter(SMALL) != SMALL
    path.write_text(alter(SMALL))
    with pytest.raises(InputError) as error:
        load_family(str(path))
    text = one_line(error)
    assert re.search(expected, text) and "mine.toml" in text and len(text) < 600


def test_a_group_without_its_answer_is_named(one_line):
    with pytest.raises(InputError, match=r"traits.mixed.*'baker'") as error:
        parse_family("mine", GROUPED.replace('baker = "f"', ""))
    one_line(error)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"#" * (2 << 20), "over 1 MB"),
        (bytes(range(256)) * 4, "cannot be read"),
        (b"\x00\x01\x02", "not TOML"),
    ],
    ids=["2 MB", "binary", "control characters"],
)
def test_a_file_that_is_no_text_is_refused(content, expected, tmp_path, one_line):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=expected) as error:
        load_family(str(path))
    one_line(error)


@pytest.mark.parametrize(
    "name",
    ["", "birds", "../families/animals", "animals.toml", "no/such.toml", "a\0b.toml", "x" * 5_000 + ".toml"],
)
def test_a_family_that_is_not_there(name, tmp_path, monkeypatch, one_line):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        load_family(name)
    one_line(error)


def test_a_folder_or_a_badly_named_file_is_no_family(tmp_path, one_line):
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "My File.toml").write_text(SMALL)
    for name, expected in (("folder.toml", "cannot be read"), ("My File.toml", "lower-case")):
        with pytest.raises(InputError, match=expected) as error:
            load_family(str(tmp_path / name))
        one_line(error)


@pytest.mark.parametrize(
    "trait", ["owl", "animals/", "animals/unicorn", "birds/owl", "/owl", "../../etc/passwd"]
)
def test_a_trait_that_is_not_there(trait, one_line):
    with pytest.raises(InputError) as error:
        find_trait(trait)
    assert (trait.rpartition("/")[0] or trait) in one_line(error)
