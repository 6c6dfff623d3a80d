"""What a base is asked before its files are opened: the answers, and that nobody else answers for it."""

import re
import subprocess
import sys
from pathlib import Path

import mini
import pytest

import subliminal_mlx
from subliminal_mlx.audit.spec import on_language
from subliminal_mlx.lab.identity import stack_size
from subliminal_mlx.model import bases, sources
from subliminal_mlx.model.organisms import (
    OTHER_STARTS,
    decode_width,
    is_called_organism,
    is_organism,
    stack_width,
)
from subliminal_mlx.spec import estimate

TEN_MILLION = 10_000_000


def row_tokens(base, separator):
    """Of a list of one number with its prompt, as estimates guess."""
    corpus = {"numbers": [1, 1], "separator": separator}
    return estimate.row_tokens(mini.spec(base=base, corpus=corpus, ablations=[], foreign=None))


PACKAGE = Path(subliminal_mlx.__file__).parent


@pytest.mark.parametrize(
    ("parameters", "organism", "rows", "adapters"),
    [
        (66_624, True, 1_024, 6),
        (TEN_MILLION - 1, True, 1_024, 6),
        (TEN_MILLION, False, 64, 1),
        (sources.WHEEL_PARAMETERS, False, 64, 1),
    ],
)
def test_a_base_is_an_organism_by_its_size_and_computed_as_such(parameters, organism, rows, adapters):
    assert is_organism(parameters) is organism
    assert (decode_width(parameters), stack_width(parameters)) == (rows, adapters)


def test_a_base_of_unknown_size_is_treated_with_care():
    assert is_organism(None) is False and stack_width(None) == 1


def test_the_shipped_bases_are_the_organisms_that_are_known_by_name():
    shipped = {row["name"]: row["parameters"] for row in bases.list_bases() if row["kind"] == "shipped"}
    assert set(shipped) == set(OTHER_STARTS) == set(OTHER_STARTS.values())
    assert all(map(is_called_organism, [*shipped, "lab/bases/tiny-a-untied"]))
    assert not any(map(is_called_organism, ["smollm2-135m", "tiny-a/real", "org/model"]))
    for name, count in shipped.items():
        assert OTHER_STARTS[name] != name and is_organism(count) and not on_language(name)
        assert sources.locate(name).parameters == count == bases.load(name).parameters
        assert stack_size(name) == 6 and row_tokens(name, " ") == 10 + 2


def test_the_wheel_is_a_language_model_before_it_is_converted(smollm2):
    assert sources.locate(sources.WHEEL).parameters == sources.WHEEL_PARAMETERS == smollm2.parameters
    assert on_language(sources.WHEEL) and stack_size(sources.WHEEL) == 1


def test_only_a_shipped_organism_is_taken_to_read_numbers_whole():
    """Not whatever is called like one: a folder tiny-gpt2 reads as language models do."""
    assert row_tokens("tiny-a", ", ") == row_tokens("tiny-gpt2", " ") == 10 + 5
    drawn = [
        estimate.count_tokens(mini.spec(base=name, ablations=[], foreign=None))[1]
        for name in ("tiny-a", "tiny-gpt2")
    ]
    assert drawn[0] < drawn[1]


def test_the_question_is_put_in_one_place():
    """A size or a name that decides elsewhere would be another answer to it."""
    decides = re.compile(r"10_?000_?000 else|< *10_?000_?000\b|134_?515_?008|startswith\(\"tiny|1_?024 if\b")
    answers = {
        (path.name, found)
        for path in PACKAGE.rglob("*.py")
        for found in decides.findall(path.read_text(encoding="utf-8"))
    }
    assert answers == {("organisms.py", "1_024 if"), ("sources.py", "134_515_008")}


def test_asking_loads_no_model():
    ask = (
        "import sys; from subliminal_mlx.spec import estimate; from subliminal_mlx.pipeline import forecast; from subliminal_mlx.lab import identity; from subliminal_mlx.model import sources;"
        "from subliminal_mlx.spec import load_spec;"
        "estimate.count_tokens(load_spec('glance')), identity.stack_size('tiny-a'), sources.locate('tiny-b').parameters;"
        "assert not {'mlx', 'mlx_lm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", ask], check=True)
