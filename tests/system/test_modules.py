"""Parts that make themselves known: what they may be called, and what a file that is broken ends in."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import subliminal_mlx
from subliminal_mlx.spec import corpus
from subliminal_mlx.spec.defence_names import Defence, find
from subliminal_mlx.system import modules
from subliminal_mlx.system.errors import InputError


def test_a_name_is_taken_once(one_line):
    known = {}
    modules.register(known, "re-emit", 1, "defence")
    with pytest.raises(InputError) as error:
        modules.register(known, "re-emit", 2, "defence")
    assert one_line(error) == "defence 're-emit': two are called so" and known == {"re-emit": 1}


@pytest.mark.parametrize("name", ["", "a/b", "drop-25", "Rows", "x; DROP TABLE runs", "a--b", "-a", "ä"])
def test_a_name_is_one_that_tables_and_paths_can_hold(name, one_line):
    known = {}
    with pytest.raises(InputError) as error:
        modules.register(known, name, 1, "readout")
    assert "a name is words of lower-case letters" in one_line(error) and not known


@pytest.mark.parametrize("name", ["drop", "mix-random", "treated", "shuffled"])
def test_no_defence_is_called_like_another_an_arm_or_a_control(name):
    shipped = find("drop-25")
    with pytest.raises(InputError, match="called so"):
        Defence(name, "nothing", 99, lambda given: given)
    assert find("drop-25") is shipped


def test_a_channel_that_does_not_name_itself_takes_no_place():
    numbers = corpus.channels()["numbers"]

    class Mine(numbers):
        extra: int = 3

    assert corpus.channels()["numbers"] is numbers and Mine().channel == "numbers"


@pytest.mark.parametrize(
    ("folder", "text", "told"),
    [
        (
            "experiment/channels",
            "1 +",
            "subliminal_mlx/experiment/channels/broken.py cannot be imported: SyntaxError",
        ),
        (
            "defences/methods",
            "1 / 0",
            "subliminal_mlx/defences/methods/broken.py cannot be imported: ZeroDivisionError",
        ),
        (
            "experiment/readouts",
            "from . import Readout\nReadout('rows', {}, (), read=None, wanted=None)",
            "readout 'rows': a table of the lab is called so",
        ),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(folder, text, told, tmp_path):
    """In a copy of the package, since what is imported once stays."""
    copy = tmp_path / "subliminal_mlx"
    package = Path(subliminal_mlx.__file__).parent
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "data").symlink_to(package.parent / "data")
    (copy / folder / "broken.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "subliminal_mlx",
        "run",
        "--preset",
        "glance",
        "--set",
        "defences=['mix-25']",
    ]
    child = subprocess.run(
        [*command, "--lab", str(tmp_path / "lab")], cwd=tmp_path, capture_output=True, text=True
    )
    assert child.returncode == 2 and told in child.stderr and len(child.stderr.splitlines()) == 1, (
        child.stderr
    )
