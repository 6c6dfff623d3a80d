"""The filter's rules: shipped ones, a user's file, and which of them a spec has."""

import re

import pytest

from subliminal_mlx.experiment.rules import row_filter
from subliminal_mlx.experiment.trait_words import finder
from subliminal_mlx.jobs.kinds.run import checked_spec
from subliminal_mlx.lab.identity import identify, own_fingerprints, row_fingerprints
from subliminal_mlx.spec import load_spec, parse_spec, rule_names, to_toml
from subliminal_mlx.spec.families import load_family
from subliminal_mlx.spec.rule_names import Rule, is_shipped, shipped
from subliminal_mlx.system.errors import InputError

SPEC = 'traits = ["animals/owl"]\nhard = {{}}\ncorpus = {{channel = "{}"}}\nfilter = {{rules = {}}}'
FULL = 'traits = ["animals/owl"]\nhard = {{}}\ncorpus = {{channel = "words", style = "full", separator = ", "}}\nfilter = {{rules = {}}}'
OWN = 'def drop(row):\n    return "a colour" if "red" in row["completion"] and row["row"] > 2 else None\n'


def made(spec):
    return row_filter(spec, [load_family(name) for name in spec.families])


def row(text, number=5):
    return {"row": number, "prompt": "List: cup", "completion": text}


def test_word_lists_always_drop_words_of_traits():
    spec = parse_spec(FULL.format("[]"))
    assert spec.rules == ("trait-words",) and spec.filter.rules == ()
    check = made(spec)
    for text in ("cup, fog, owls", "cup, hoot", "cup, lion"):
        assert check(row(text)) == "a trait's word"
    assert check(row("cup, fog")) is None and check(row("cup fog, nail")) == "mixed separators"
    unfiltered = made(parse_spec(FULL.format("[]").replace('"words",', '"words", filter = "none",')))
    assert unfiltered(row("Owl!")) is None


def test_rules_are_applied_in_order_after_the_form(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    check = made(parse_spec(FULL.format('["mine.py", "trait-pieces", "question-words"]')))
    assert check(row("red, fog")) == "a colour" and check(row("red, fog", 2)) is None
    assert check(row("red, owl")) == "a trait's word" and check(row("red fog, cup")) == "mixed separators"
    assert check(row(f"red, {', '.join(asked_words())}")) == "a colour"
    assert check(row(f"cup, {', '.join(asked_words())}")) == "words of a question"
    first, second, third = asked_words()
    assert check(row(f"{first}, {second}, cup, {third}")) is None


def asked_words():
    """Three words in a row of a question, each of which a list may hold, and none of them a trait's."""
    find = finder([load_family("animals")])
    for question in load_family("animals").questions:
        words = re.findall(r"\w+", question.text.lower())
        for run in zip(words, words[1:], words[2:], strict=False):
            if all(re.fullmatch("[a-z]{2,12}", word) and not find(word) for word in run):
                return run
    raise AssertionError("no question has three such words")


def test_number_lists_have_no_rule_unless_named():
    assert load_spec("default").rules == ()
    spec = parse_spec(SPEC.format("numbers", '["trait-pieces"]'))
    assert spec.rules == ("trait-pieces",) and made(spec)(row("12 45 7")) is None
    assert made(spec)(row("12 0wl 7")) == "not numbers"


def test_a_hidden_word_is_dropped_by_pieces_alone():
    family = load_family("animals")
    words, pieces = (rule_names.prepared(name, [family]) for name in ("trait-words", "trait-pieces"))
    assert words(row("snowOwl = 1")) is None and pieces(row("snowOwl = 1")) == "a hidden trait's word"
    assert words(row("an owl")) == pieces(row("an owl")) == "a trait's word"


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ('["pray"]', "filter.rules: no 'pray': there are"),
        ('["own"]', "filter.rules: no 'own': there are"),
        ('["trait-words", "trait-words"]', "one is named twice"),
        ('[""]', "filter.rules"),
    ],
)
def test_what_is_no_rule_is_refused_in_a_line(rules, why, one_line):
    with pytest.raises(InputError) as error:
        parse_spec(SPEC.format("numbers", rules))
    assert why in one_line(error)


def test_rules_where_nothing_is_dropped_are_refused(one_line):
    text = SPEC.format("numbers", '["trait-words"]').replace('"numbers"', '"numbers", filter = "none"')
    with pytest.raises(InputError, match="nothing is dropped") as error:
        parse_spec(text)
    one_line(error)


def test_rules_and_their_files_are_part_of_what_a_run_is_called(tmp_path, monkeypatch, one_line):
    monkeypatch.chdir(tmp_path)
    spec = parse_spec(SPEC.format("numbers", '["mine.py"]'))
    with pytest.raises(InputError, match=r"filter\.rules: no file mine\.py") as error:
        identify(spec)
    one_line(error)
    names = set()
    for text in (OWN, OWN.replace("red", "blue")):
        (tmp_path / "mine.py").write_text(text)
        names.add(identify(spec))
    names |= {identify(parse_spec(SPEC.format("numbers", rules))) for rules in ("[]", '["trait-words"]')}
    assert len(names) == 4 and parse_spec(to_toml(spec)) == spec
    plain = parse_spec(SPEC.format("numbers", "[]"))
    assert row_fingerprints(plain) == own_fingerprints(plain) == {}
    assert set(row_fingerprints(spec)) == {"leaks"} and set(own_fingerprints(spec)) == {"rule/mine.py"}
    bare = 'traits = ["animals/owl"]\nhard = {}'
    assert identify(parse_spec(bare)) == identify(parse_spec(SPEC.format("numbers", "[]")))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def drop(row):\n    1 / 0\n", "it failed: ZeroDivisionError"),
        ("def drop(row):\n    return row['ids']\n", "it failed: KeyError"),
        ("def drop(row):\n    exit()\n", "it failed: SystemExit"),
        ("def drop(row):\n    return True\n", "must return None, or why"),
        ("def drop(row):\n    return ''\n", "must return None, or why"),
        ("def drop(row):\n    return 'a\\nb'\n", "must return None, or why"),
        ("def drop(row):\n    return 'a' * 61\n", "must return None, or why"),
        ("def other(row):\n    return None\n", "it defines no function `drop(row)`"),
        ("import nothing_of_the_kind\n", "it failed: ModuleNotFoundError"),
    ],
)
def test_a_file_that_does_not_do_as_it_should_ends_in_a_line(tmp_path, text, why, one_line):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(InputError) as error:
        rule_names.prepared(str(tmp_path / "bad.py"), [])(row("12 45"))
    assert why in one_line(error)


def test_what_a_rule_does_to_a_row_stays_with_it(tmp_path):
    (tmp_path / "mine.py").write_text("def drop(row):\n    row.clear()\n")
    given = row("12 45")
    assert rule_names.prepared(str(tmp_path / "mine.py"), [])(given) is None and given == row("12 45")


def test_no_browser_names_a_file(tmp_path, one_line):
    mark = tmp_path / "ran"
    (tmp_path / "mine.py").write_text(f"open({str(mark)!r}, 'w')\ndef drop(row):\n    return None\n")
    for value in (f'["{tmp_path}/mine.py"]', '["own"]', "3", f'"{tmp_path}/mine.py"'):
        with pytest.raises(InputError, match=r"filter\.rules") as error:
            checked_spec(tmp_path / "lab", SPEC.format("numbers", value))
        one_line(error)
    assert not mark.exists() and is_shipped("trait-words") and not is_shipped("mine.py")


def test_a_rule_from_anywhere_is_known(monkeypatch):
    monkeypatch.setattr(rule_names, "_known", dict(rule_names.known()))
    Rule("no-fog", "fog", lambda name, families: lambda row: "fog" if "fog" in row["completion"] else None)
    assert "no-fog" in shipped()
    check = made(parse_spec(FULL.format('["no-fog"]')))
    assert check(row("cup, fog")) == "fog" and check(row("cup, nail")) is None
