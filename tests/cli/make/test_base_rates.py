"""The families' card says what the bases say."""

import json

import numpy as np
import pytest

from subliminal_mlx.cli.make.base_rates import CARD, STORED, card, main, rates
from subliminal_mlx.cli.make.tiny_world import true_frequencies
from subliminal_mlx.spec.families import load_family, shipped_families

MEASURED = json.loads(STORED.read_text())


def test_every_family_has_its_card():
    assert sorted(MEASURED) == shipped_families()
    assert CARD.read_text() == card(MEASURED), "made again by `python -m subliminal_mlx.cli.make.base_rates`"
    for name, of_bases in MEASURED.items():
        assert "smollm2-135m" in of_bases
        family = load_family(name)
        for measured in of_bases.values():
            assert measured["questions"] == len(family.held_out) and 0 < measured["mass"] <= 1.001
            assert set(measured["labels"]) == {label for q in family.held_out for label in q.labels}
            shared = [of["mean"] for of in measured["labels"].values()]
            assert sum(shared) == pytest.approx(1, abs=0.01)
            assert all(of["low"] <= of["mean"] <= of["high"] for of in measured["labels"].values())


def test_help_measures_nothing(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["base_rates", "--help"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0 and "usage" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["animals", "trees", "pronouns"])
def test_the_stored_rates_are_tiny_a_s(tiny, name):
    found = rates(tiny, load_family(name))
    for label, of in found["labels"].items():
        assert of["mean"] == pytest.approx(MEASURED[name]["tiny-a"]["labels"][label]["mean"], abs=1e-3)
    assert set(MEASURED["brand"]) == {"smollm2-135m"}, "whose words tiny-a does not know"


def test_tiny_a_s_rates_are_near_those_of_its_world():
    family = load_family("animals")
    world = true_frequencies(family.held_out[0])
    stored = MEASURED["animals"]["tiny-a"]["labels"]
    found = np.array([stored[label]["mean"] for label in family.held_out[0].labels])
    assert np.abs(found - world).max() < 0.03
