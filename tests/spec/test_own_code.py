"""Users' own files: what is one, what its hash rests on, and that whatever it does wrong ends in a line."""

import pytest

from subliminal_mlx.spec.own_code import failures, fingerprints, function_of, is_file
from subliminal_mlx.system.errors import InputError
from subliminal_mlx.system.files import sha256


@pytest.mark.parametrize(
    ("name", "whether"),
    [
        ("mine.py", True),
        ("a folder/mine.py", True),
        ("../mine.py", True),
        ("mix-25", False),
        (".py", False),
        ("folder/.py", False),
        ("mine.py\n", False),
        ("mi\x00ne.py", False),
        ("mine.pyc", False),
    ],
)
def test_a_path_that_ends_so_is_a_file(name, whether):
    assert is_file(name) is whether


def test_its_hash_is_of_its_content_and_names_that_are_no_files_have_none(tmp_path, one_line):
    mine = tmp_path / "mine.py"
    mine.write_text("1")
    first = fingerprints("rule", "filter.rules", ["trait-words", str(mine)])
    assert first == {f"rule/{mine}": sha256(mine)}
    mine.write_text("2")
    assert fingerprints("rule", "filter.rules", [str(mine)]) != first
    with pytest.raises(InputError) as error:
        fingerprints("rule", "filter.rules", ["nothing.py"])
    assert one_line(error) == "filter.rules: no file nothing.py"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 / 0", "it failed: ZeroDivisionError: division by zero"),
        ("raise ValueError('of\\ntwo lines')", "it failed: ValueError: of two lines"),
        ("import sys; sys.exit(0)", "it failed: SystemExit: 0"),
        ("import nothing_of_the_kind", "it failed: ModuleNotFoundError"),
        ("def drop(", "it failed: SyntaxError"),
        ("drop = 3", "it defines no function `drop(row)`"),
    ],
)
def test_a_file_that_does_not_do_ends_in_a_line(tmp_path, text, why, one_line):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(InputError) as error:
        function_of("rule", str(tmp_path / "bad.py"), "drop", "row")
    assert why in one_line(error) and "bad.py" in one_line(error)


def test_what_it_found_wrong_itself_is_told_as_it_is(one_line):
    with pytest.raises(InputError) as error, failures("rule", "mine.py"):
        raise InputError("row 3 is none")
    assert one_line(error) == "row 3 is none"
