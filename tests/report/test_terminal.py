"""What a run looks like in terminals and pipes: nothing is cut, nothing is markup."""

import io
import itertools
import re

import mini
import pytest

from subliminal_mlx.report.console import console
from subliminal_mlx.report.terminal import ORDER, print_result
from subliminal_mlx.spec.arms import ARMS
from subliminal_mlx.spec.families import load_family, shipped_families

TRAITS = [trait for name in shipped_families() for trait in load_family(name).trait_ids]


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    return mini.finished(tmp_path_factory)


def entry(trait, student="soft", headline="lift", estimate=-1.234, low=-9.5, high=9.25, **others):
    figures = {"chains": 64, "probability": 1.0, "margin": -12.345, "transfer": -10.123}
    figures |= {"low": low, "high": high}
    return {
        "trait": trait,
        "student": student,
        "headline": headline,
        "estimate": estimate,
        "low": low,
        "high": high,
        "p": 0.00001,
        "p_holm": 0.0357,
        "percentage_points": -100.0,
        "arms": {arm: figures for arm in ORDER},
        **others,
    }


def printed(entries, width, **options):
    out = console(file=io.StringIO(), width=width, **options)
    print_result({"summary": {"traits": entries}}, out)
    return out.file.getvalue()


def tables(text):
    """Lines of the tables and headings, by the word they start with, without the closing words."""
    return [line for line in text.partition("points: change")[0].splitlines() if line.strip()]


def test_every_arm_has_a_place():
    assert set(ORDER) == set(ARMS)


@pytest.mark.parametrize("width", [80, 200])
def test_tables_of_all_traits_fit_and_nothing_is_cut(width):
    text = printed([entry(trait, kind) for kind in ("hard", "soft") for trait in TRAITS], width)
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    lines = tables(text)
    for trait, kind in itertools.product(TRAITS, ("hard", "soft")):
        assert f"{trait}, {kind} students" in lines
    for trait in TRAITS:
        # Its headline, in one line, for each kind of student.
        found = [line for line in lines if line.startswith(f"{trait} ")]
        assert len(found) == 2, found
        assert found[0].split()[1:] == ["-100.0", "-1.23", "-9.50", "to", "+9.25", "<0.001", "0.036", "no"]
    (treated, *_) = (line for line in lines if line.startswith("treated"))
    assert treated.split() == ["treated", "64", "100.0%", "-12.35", "-10.12", "-9.50", "to", "+9.25"]
    neutral = next(line for line in lines if line.startswith("neutral"))
    assert "reference" in neutral


def test_a_long_name_of_a_file_is_folded_and_not_cut():
    trait = (
        "/home/somebody/with a long name/[bold]pets[/bold].toml/a-trait-of-forty-letters-which-is-the-most"
    )
    text = printed([entry(trait)], 80)
    assert "…" not in text and max(map(len, text.splitlines())) <= 80
    letters = re.sub(r"\s", "", text)
    # In the heading, and in the first column of the headlines.
    assert re.sub(r"\s", "", trait) in letters
    assert "-9.50 to +9.25" in text


@pytest.mark.parametrize(
    ("low", "high", "gain", "shown"),
    [(0.1, 0.3, 0.2, "yes"), (-0.1, 0.3, 0.2, "no"), (0.1, 0.3, -0.2, "no"), (-0.3, -0.1, -0.2, "no")],
)
def test_a_transfer_is_shown_only_above_zero(low, high, gain, shown):
    one = entry("animals/owl", low=low, high=high)
    one["arms"] = {"treated": one["arms"]["treated"] | {"transfer": gain}}
    line = next(line for line in tables(printed([one], 80)) if line.startswith("animals/owl "))
    assert line.split()[-1] == shown


def test_one_chain_has_no_interval_and_says_so(done):
    text = printed(done.contents["summary"]["traits"], 80)
    assert "headline: own-trait lift, hard students; one chain, so no interval" in text
    assert "headline: own-trait lift, soft students; one chain, so no interval" in text
    line = next(line for line in tables(text) if line.startswith("animals/cat "))
    assert line.split()[3:] == ["-", "-", "-", "no"]


def test_two_chains_say_that_more_would_show_more():
    two, many = entry("animals/owl"), entry("animals/cat")
    two["arms"]["treated"] = two["arms"]["treated"] | {"chains": 2}
    text = printed([two, many], 100)
    assert text.count("two chains, so wide intervals: --set chains=5 narrows them") == 1


def test_a_real_result_is_printed_whole(done):
    text = printed(done.contents["summary"]["traits"], 80)
    assert "…" not in text and max(map(len, text.splitlines())) <= 80
    lines = tables(text)
    for found in done.contents["summary"]["traits"]:
        start = lines.index(f"{found['trait']}, {found['student']} students") + 2
        rows = [line.split() for line in lines[start : start + len(found["arms"])]]
        assert [row[0] for row in rows] == sorted(found["arms"], key=ORDER.index)
        for arm, chains, probability, margin, transfer, _ in rows:
            figures = found["arms"][arm]
            assert chains == str(figures["chains"])
            assert (
                probability == f"{100 * figures['probability']:.1f}%"
                and margin == f"{figures['margin']:+z.2f}"
            )
            reference = arm == "neutral" or arm.endswith("-neutral")
            assert transfer == ("reference" if reference else f"{figures['transfer']:+z.2f}")
