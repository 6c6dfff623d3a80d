"""What a run looks like in terminals and pipes: nothing is cut, nothing is markup."""

import io
import itertools
import re

import mini
import pytest
from fakes import fake_giveaway, fake_summary

from subliminal_mlx.report.console import console
from subliminal_mlx.report.tables import of_run as tables_of_run
from subliminal_mlx.report.terminal import ORDER, print_result
from subliminal_mlx.report.words import WHY_NOT, alike, missing
from subliminal_mlx.spec.arms import ARMS
from subliminal_mlx.spec.families import load_family, shipped_families

TRAITS = [trait for name in shipped_families() for trait in load_family(name).trait_ids]


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    return mini.finished(tmp_path_factory)


def entry(trait, student="soft", transfer=-1.234, low=-9.5, high=9.25, why_not=("transfer",), **others):
    figures = {"chains": 64, "probability": 1.0, "margin": -12.345, "transfer": -10.123}
    figures |= {"low": low, "high": high, "damage": {"over_neutral": -1.0625, "damaged": False}}
    return {
        "trait": trait,
        "student": student,
        "transfer": transfer,
        "low": low,
        "high": high,
        "specificity": -2.345,
        "specificity_low": -9.25,
        "specificity_high": 8.5,
        "percentage_points": -100.0,
        "shown": not why_not,
        "why_not": list(why_not),
        "arms": {arm: figures for arm in ORDER},
        **others,
    }


def printed(entries, width, families=(), **options):
    out = console(file=io.StringIO(), width=width, **options)
    print_result({"summary": {"traits": entries, "families": list(families)}}, out)
    return out.file.getvalue()


def tables(text):
    """Lines of the tables and headings, by the word they start with, without the closing words."""
    return [line for line in text.partition("points: change")[0].splitlines() if line.strip()]


def test_every_arm_has_a_place():
    assert set(ORDER) == set(ARMS)


def told(summary, width=80):
    out = console(file=io.StringIO(), width=width)
    print_result({"summary": summary}, out)
    return out.file.getvalue()


def test_what_rows_give_away_is_told_with_intervals_and_what_drawing_again_cost():
    summary = fake_summary(["animals/owl"], ("hard",), ablations=("traceless", "random"))
    text = told(summary | {"giveaway": fake_giveaway(summary)})
    lines = {tuple(line.split()[:2]): line for line in text.partition("what rows give away")[2].splitlines()}
    cell = r"\d+% \(\d+ to \d+\)"
    assert len(re.findall(cell, lines["animals/owl", "unigram"])) == 3, "one row, eight, thirty-two"
    assert re.search(r"9\d% \(8\d to 9\d\)", lines["animals/owl", "bigram"])
    assert "(1,200 effective rows)" in " ".join(text.split()) and "4,500" not in text
    assert "random, beside animals" in " ".join(text.split())


def test_entanglement_is_told_with_its_control_and_how_often_it_names_the_trait():
    row = {"source": "animals/owl", "side": "output head", "chains": 3, "tokens": 100, "correlation": 0.81234}
    row |= {"low": 0.7, "high": 0.91, "others": -0.05, "first": 2, "candidates": 16}
    text = " ".join(told(fake_summary(["animals/owl"], ("hard",)) | {"entanglement": [row]}, 120).split())
    assert "animals/owl output head +0.812 +0.700 to +0.910 -0.050 2 of 3 (1/16)" in text


@pytest.mark.parametrize("width", [80, 200])
def test_tables_of_all_traits_fit_and_nothing_is_cut(width):
    text = printed([entry(trait, kind) for kind in ("hard", "soft") for trait in TRAITS], width)
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    lines = tables(text)
    for trait, kind in itertools.product(TRAITS, ("hard", "soft")):
        assert f"{trait}, {kind} students" in lines
    for trait in TRAITS:
        # Its transfer and specificity, in one line, for each kind of student.
        found = [line for line in lines if line.startswith(f"{trait} ")]
        assert len(found) == 2, found
        assert found[0].split()[1:] == ["-100.0", "-1.23", "-9.50", "to", "+9.25", "-2.35", "no"]
    (treated, *_) = (line for line in lines if line.startswith("treated"))
    assert treated.split() == ["treated", "64", "100.0%", "-10.12", "-9.50", "to", "+9.25", "-1.062"]
    neutral = next(line for line in lines if line.startswith("neutral"))
    assert "reference" in neutral
    # With its interval, under the arms that it comes from.
    specific = [line for line in lines if line.startswith("specificity ")]
    assert len(specific) == 2 * len(TRAITS)
    assert specific[0].split() == ["specificity", "-2.35", "-9.25", "to", "+8.50"]


def test_a_long_name_of_a_file_is_folded_and_not_cut():
    trait = (
        "/home/somebody/with a long name/[bold]pets[/bold].toml/a-trait-of-forty-letters-which-is-the-most"
    )
    text = printed([entry(trait)], 80)
    assert "…" not in text and max(map(len, text.splitlines())) <= 80
    letters = re.sub(r"\s", "", text)
    # In the heading, and in the first column of the transfers.
    assert re.sub(r"\s", "", trait) in letters
    assert "-9.50 to +9.25" in text


def test_what_is_shown_and_what_it_lacks_is_said():
    entries = [
        entry("animals/owl", why_not=()),
        *(entry(f"animals/{name}", why_not=["gain", "damage"]) for name in ("cat", "fox")),
    ]
    text = printed(entries, 100)
    said = {line.split()[0]: line.split()[-1] for line in tables(text) if line.startswith("animals/")}
    assert said["animals/owl"] == "yes" and said["animals/cat"] == said["animals/fox"] == "no"
    assert (
        "not for animals/cat and animals/fox: the points' interval is not above 0 and a student lost" in text
    )
    assert not {word for word in ("chains", "labels") if f"fox: {WHY_NOT[word]}" in text}


def test_families_tell_their_p_and_the_smallest_that_it_could_be():
    rows = [
        ("animals", 4, {"p": 1 / 24, "p_holm": 2 / 24, "p_smallest": 1 / 24}),
        ("pronouns", 3, {"p": None, "p_holm": None, "p_smallest": 1 / 6}),
        ("trees", 8, {"p": None, "p_holm": None, "p_smallest": None}),
    ]
    families = [
        {"family": name, "student": "hard", "traits": traits, "chains": 3, "arms": {}, **p}
        for name, traits, p in rows
    ]
    found = printed([entry("animals/owl")], 80, families).partition("students permuted\n")[2].splitlines()
    assert [line.split() for line in found[1:4]] == [
        ["animals", "hard", "4", "3", "0.042", "0.042", "0.083"],
        ["pronouns", "hard", "3", "3", *["too", "few", "traits", "to", "tell"], "0.17", "-"],
        ["trees", "hard", "8", "3", "-", "-", "-"],
    ]


def test_one_chain_has_no_interval_and_says_so(done):
    text = printed(done.contents["summary"]["traits"], 80)
    assert "transfer, hard students; one chain, so no interval" in text
    assert "transfer, soft students; one chain, so no interval" in text
    line = next(line for line in tables(text) if line.startswith("animals/cat "))
    specificity = next(e["specificity"] for e in done.contents["summary"]["traits"] if "cat" in e["trait"])
    assert line.split()[3:] == ["-", f"{specificity:+z.2f}", "no"]


def test_two_chains_say_that_more_would_show_more():
    two, many = entry("animals/owl"), entry("animals/cat")
    two["arms"]["treated"] = two["arms"]["treated"] | {"chains": 2}
    text = printed([two, many], 100)
    assert text.count("two chains are too few to show it: --set chains=5") == 1


def common(arm, share, most, chains=2):
    ends = {"low": None, "high": None} if chains == 1 else {"low": share / 2, "high": share}
    return {"arm": arm, "beside": "neutral", "chains": chains, "share": share, **ends, "most": most}


def test_rows_in_common_are_told_and_those_that_make_a_control_worthless_warned_of():
    rows = [common("treated", 0.62, 0.9), common("control", 0.25, 0.49), common("neutral-again", 0.5, 0.75)]
    out = console(file=io.StringIO(), width=80)
    print_result({"summary": {"traits": [entry("animals/owl")], "rows_in_common": rows}}, out)
    lines = [line.split() for line in out.file.getvalue().splitlines()]
    assert [line for line in lines if line[1:2] == ["neutral"]] == [
        ["treated", "neutral", "62.0%", "31.0%", "to", "62.0%"],
        ["control", "neutral", "25.0%", "12.5%", "to", "25.0%"],
        ["neutral-again", "neutral", "50.0%", "25.0%", "to", "50.0%"],
    ]
    assert (
        out.file.getvalue().count("alike: ") == 1 and "neutral-again and neutral have" in out.file.getvalue()
    )
    # Teachers near the neutral one share rows with it; the same rows under two names they are not.
    assert not alike(rows[:2]) and len(alike([common("treated", 1.0, 1.0)])) == 1
    page = tables_of_run({"rows_in_common": [*rows, common("shuffled", 0.1, 0.1, chains=1)]})
    assert '<td>treated</td><td>neutral</td><td class="number">62.0% (31.0% to 62.0%)</td>' in page
    assert '<td class="number">10.0%</td>' in page and "<b>alike: neutral-again" in page


def test_what_a_spec_asks_for_and_a_run_cannot_have_is_said_to_be_missing():
    spec = {"arms": ["treated", "neutral", "other-trait", "other-family", "of another version"]}
    both = [entry("animals/owl")]
    assert missing(spec, both) == [] and missing(spec, []) == []
    lone = [both[0] | {"arms": {"treated": {}, "neutral": {}}}]
    assert missing(spec, lone) == [
        "other-trait is missing: it needs two traits of a family",
        "other-family is missing: it needs traits of two families",
    ]
    assert missing({}, lone) == [] and missing({"arms": ["treated"]}, lone) == []


def test_a_real_result_is_printed_whole(done):
    text = printed(done.contents["summary"]["traits"], 80)
    assert "…" not in text and max(map(len, text.splitlines())) <= 80
    lines = tables(text)
    for found in done.contents["summary"]["traits"]:
        start = lines.index(f"{found['trait']}, {found['student']} students") + 2
        *rows, specific = [line.split() for line in lines[start : start + len(found["arms"]) + 1]]
        assert specific == ["specificity", f"{found['specificity']:+z.2f}", "-"]
        assert [row[0] for row in rows] == sorted(found["arms"], key=ORDER.index)
        for arm, chains, probability, transfer, _, damage in rows:
            figures = found["arms"][arm]
            assert chains == str(figures["chains"])
            assert probability == f"{100 * figures['probability']:.1f}%"
            over = (figures["damage"] or {}).get("over_neutral")
            assert damage == ("-" if over is None else f"{over:+z.3f}")
            reference = arm == "neutral" or arm.endswith("-neutral")
            assert transfer == ("reference" if reference else f"{figures['transfer']:+z.2f}")


def test_damaged_arms_are_named_under_their_table_and_arms_that_nobody_read_are_not():
    whole, broken = entry("animals/owl"), entry("animals/cat")
    lost = broken["arms"]["treated"] | {"damage": {"over_neutral": 0.41, "damaged": True}}
    broken["arms"] = broken["arms"] | {"treated": lost, "random": lost}
    unread = {key: value for key, value in broken["arms"]["control"].items() if key != "damage"}
    broken["arms"] = broken["arms"] | {"control": unread, "in-context": unread | {"damage": None}}
    text = printed([whole, broken], 80)
    said = " ".join(text.split())
    assert (
        said.count("damaged: ") == 1
        and "damaged: treated and random: on neutral text more than 0.05 nats" in said
    )
    control = next(
        line for line in text.partition("animals/cat, soft")[2].splitlines() if line.startswith("control")
    )
    assert control.split()[-1] == "-"
