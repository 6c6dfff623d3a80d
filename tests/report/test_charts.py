"""What every chart promises: the arms' colours, controls, intervals over chains, files that open."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fakes import (
    ABLATIONS,
    MANY,
    SIX,
    fake_giveaway,
    fake_metrics,
    fake_summary,
    fake_yields,
)

from subliminal_mlx.report import charts
from subliminal_mlx.system.errors import InputError

MANY += [f"pronouns/{p}" for p in ("he-everywhere", "she-everywhere", "they-everywhere", "stereotype")]


SUMMARY_CHARTS = (charts.transfer, charts.traits, charts.matrix, charts.curves)
ONE = fake_summary(["animals/owl"], ("hard",))
THREE_CHAINS = fake_summary(SIX[:2], ablations=ABLATIONS)
ONE_CHAIN = fake_summary(SIX[:2], ("hard",), chains=1)


def every_chart(summary: dict[str, Any], chains: int) -> Iterator[Any]:
    yield from (draw(summary) for draw in SUMMARY_CHARTS)
    yield charts.giveaway(summary | {"giveaway": fake_giveaway(summary, chains)})
    yield charts.distributions(summary, "animals")
    yield charts.losses(fake_metrics(SIX[:2], chains, steps=20))
    yield charts.yields(fake_yields(SIX[:2], chains))


def walk(node: Any) -> Iterator[dict[str, Any]]:
    """Every object in a chart's JSON."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(child)


def subtitle(chart: Any) -> str:
    return " ".join(chart.title.subtitle)


def marks(spec: Any) -> set[str]:
    return {node["mark"]["type"] for node in walk(spec) if isinstance(node.get("mark"), dict)}


@pytest.fixture(scope="module")
def several() -> list[tuple[Any, dict[str, Any]]]:
    """Every chart of three chains, with its JSON."""
    return [(chart, chart.to_dict()) for chart in every_chart(THREE_CHAINS, 3)]


def test_arms_have_the_same_colours_and_order_in_every_chart(several: Any) -> None:
    assert list(charts.ARMS)[:2] == ["treated", "other-trait"] and charts.ARMS["treated"] == "#d1495b"
    coloured = 0
    for _, spec in several:
        for node in walk(spec):
            if node.get("field") == "arm" and "range" in node.get("scale", {}):
                domain, colours = node["scale"]["domain"], node["scale"]["range"]
                assert colours == [charts.ARMS[arm] for arm in domain]
                assert domain == [arm for arm in charts.ARMS if arm in domain]
                coloured += 1
    assert coloured >= 5


def test_several_chains_have_intervals_and_one_chain_says_that_it_has_none(several: Any) -> None:
    # The rows' rates have exact intervals whatever the number of chains, so yields are not among these.
    marked = ("rule", "rule", "rect", "area", "rule", "point", "area")
    for mark, (chart, spec), single in zip(
        marked, several[:-1], list(every_chart(ONE_CHAIN, 1))[:-1], strict=True
    ):
        assert mark in marks(spec)
        if mark in ("rule", "area"):
            assert mark not in marks(single.to_dict())
        if mark != "point":
            assert "95% interval" in subtitle(chart) and "One chain" not in subtitle(chart)
            assert "One chain: no interval" in subtitle(single) and "95%" not in subtitle(single)


def test_controls_stand_beside_the_treated_and_neutral_is_the_zero_line(several: Any) -> None:
    for _, spec in (several[0], several[3]):
        arms = {row["arm"] for rows in spec["datasets"].values() for row in rows}
        assert arms == {"treated", "other-trait", "control", *ABLATIONS}
        assert any("neutral" in node.get("labelExpr", "") for node in walk(spec))
    sources = {row["source"] for rows in charts.matrix(ONE).to_dict()["datasets"].values() for row in rows}
    assert sources == {"animals/owl", "animals/neutral", "control"}


def test_runs_that_differ_in_one_field_stand_along_its_axis_with_their_intervals() -> None:
    doses = {0.0: THREE_CHAINS, 0.25: fake_summary(SIX[:2], effect=0.02, ablations=ABLATIONS)}
    spec = charts.dose(doses, "share", "What is left?").to_dict()
    rows = [row for rows in spec["datasets"].values() for row in rows if "dose" in row]
    assert {row["arm"] for row in rows} == {"treated", "other-trait", "control"}
    for row in rows:
        (family,) = (
            f
            for f in doses[row["dose"]]["families"]
            if (f["student"], f["family"]) == (row["student"], row["family"])
        )
        assert (row["transfer"], row["low"]) == (
            family["arms"][row["arm"]]["transfer"],
            family["arms"][row["arm"]]["low"],
        )
    # Two doses, kinds and families, three arms.
    families = {row["family"] for row in rows}
    assert len(rows) == 2 * 2 * 3 * len(families) and "95% intervals" in subtitle(
        charts.dose(doses, "share", "?")
    )
    assert "Nothing has been measured" in str(charts.dose({}, "share", "?").to_dict())


def test_transfer_stands_over_what_judges_tell_of_the_rows_behind_it() -> None:
    summary = fake_summary(SIX[:2], ("hard", "soft"), ablations=ABLATIONS)
    told = fake_giveaway(summary)
    spec = charts.giveaway(summary | {"giveaway": told}).to_dict()
    rows = [row for rows in spec["datasets"].values() for row in rows if "judge" in row]
    # Students of kept rows of this base, twice each: by the unigram judge, and by the bigram one.
    arms = {"treated", "control", "shuffled", "random", "traceless", "traceless-2", "thinned", "kept-lists"}
    assert {row["arm"] for row in rows} == arms and len(rows) == 2 * 2 * 2 * len(arms)
    shares = {(row["source"], row["judge"]): row["share"] for row in told if row["rows"] == 8}
    for row in rows:
        (entry,) = (
            e for e in summary["traits"] if (e["trait"], e["student"]) == (row["trait"], row["student"])
        )
        assert row["transfer"] == entry["arms"][row["arm"]]["transfer"]
        source = {"treated": row["trait"], "control": "base", "random": "random"}.get(
            row["arm"], f"{row['arm']}/{row['trait']}"
        )
        source = source.replace("kept-lists/", "kept-lists-teacher/")
        assert row["percent"] == pytest.approx(100 * shares[source, row["judge"]])
        assert row["from"] < row["percent"] < row["to"]


def test_a_null_is_hollow_and_what_excludes_zero_is_filled() -> None:
    summary = fake_summary(["animals/owl"], ("hard",))
    entry = summary["traits"][0]
    for low, hollow in ((-0.1, True), (0.1, False)):
        entry["arms"]["treated"] |= {"transfer": 0.2, "low": low, "high": 0.3}
        rows = [row for rows in charts.transfer(summary).to_dict()["datasets"].values() for row in rows]
        assert [row["hollow"] for row in rows if row["arm"] == "treated" and row["what"] == "mean"] == [
            hollow
        ]


def test_an_interval_over_two_chains_is_hollow_wherever_it_lies() -> None:
    two, three = (fake_summary(SIX, ("hard",), chains=chains, effect=9.0) for chains in (2, 3))
    for draw in (charts.transfer, charts.traits, lambda summary: charts.compare({"one": summary})):
        for summary, hollow in ((two, {True}), (three, {False})):
            rows = [row for rows in draw(summary).to_dict()["datasets"].values() for row in rows]
            found = {row["hollow"] for row in rows if row["arm"] == "treated" and "hollow" in row}
            assert found == hollow
    sure = [row["sure"] for rows in charts.matrix(two).to_dict()["datasets"].values() for row in rows]
    assert not any(sure)


def test_transfer_specificity_and_what_is_shown_stand_beside_each_other() -> None:
    summary = fake_summary(SIX[:4], ("hard",), effect=2.0)
    summary["traits"][0] |= {"shown": False, "why_not": ["gain", "damage"]}
    spec = charts.traits(summary).to_dict()
    titles = [node["title"] for node in walk(spec) if node.get("field") == "estimate" and node.get("title")]
    assert list(dict.fromkeys(titles)) == ["percentage points", "transfer, log-odds", "specificity, log-odds"]
    rows = [row for rows in spec["datasets"].values() for row in rows if row.get("label")]
    assert {row["trait"]: row["label"] for row in rows} == {
        SIX[0]: "no: gain, damage",
        **dict.fromkeys(SIX[1:4], "shown"),
    }
    # Where no other trait's students are, there is no specificity to show.
    assert "specificity" not in charts.traits(ONE).to_json()


def test_a_matrix_is_headed_by_its_p_and_the_smallest_possible() -> None:
    for traits, words in (
        (SIX[:4], "p 0.042, smallest possible 0.042"),
        (SIX[:3], "no p, too few traits to tell"),
    ):
        text = charts.matrix(fake_summary(traits, ("hard",), effect=3.0)).to_json()
        assert f"animals, hard students: {words}" in text


def test_many_traits_stay_within_a_few_thousand_rows() -> None:
    summary = fake_summary(MANY)
    for chart in (*(draw(summary) for draw in SUMMARY_CHARTS), charts.distributions(summary, "animals")):
        rows = sum(len(rows) for rows in chart.to_dict()["datasets"].values())
        assert 28 <= rows < 3_000
    assert len(charts.losses(fake_metrics(SIX, 2, 1_000)).to_dict()["datasets"]) == 1


def test_losses_keep_teachers_hard_and_soft_students_apart() -> None:
    metrics = pa.table(
        {
            "slot": [
                *(
                    "teacher/animals/owl/c0",
                    "teacher/animals/neutral/c0",
                    "hard/control/c0",
                    "hard/control/c1",
                ),
                "soft/foreign-neutral/animals/neutral/c0",
            ],
            "step": [0] * 5,
            "loss": [1.0, 2.0, 3.0, 5.0, 9.0],
        }
    )
    rows = next(iter(charts.losses(metrics).to_dict()["datasets"].values()))
    found = {(row["panel"], row["arm"]): (row["loss"], row["low"] is None) for row in rows}
    assert found == {
        ("teachers", "teacher"): (1.0, True),
        ("teachers", "neutral"): (2.0, True),
        ("hard students", "control"): (4.0, False),
    }


def test_yields_sum_over_chains_with_an_exact_interval() -> None:
    spec = charts.yields(fake_yields(["animals/owl"], chains=2)).to_dict()
    rows = [row for rows in spec["datasets"].values() for row in rows if row["source"] == "animals/owl"]
    outcomes = {row["outcome"]: row["rows"] for row in rows}
    assert outcomes == {"kept": 1624, "a number over 999": 180, "not a list of numbers": 160, "empty": 36}
    assert 79 < rows[0]["low"] < 81.2 < rows[0]["high"] < 83


def test_charts_without_numbers_say_so() -> None:
    empty = {"traits": [], "families": [], "matrix": [], "curves": [], "distributions": []}
    for chart in every_chart(empty, 1):
        if "Did teachers" not in chart.title.text and "filter" not in chart.title.text:
            assert "Nothing has been measured" in charts.to_svg(chart)
    nothing = pa.table(
        {name: [] for name in ("slot", "step", "loss", "source", "chain", "kept", "reason", "rows")}
    )
    assert "Nothing" in charts.to_svg(charts.losses(nothing)) and "Nothing" in charts.to_svg(
        charts.yields(nothing)
    )


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    summary = fake_summary(["animals/owl"], ("hard",))
    summary["traits"][0]["arms"]["treated"]["low"] = float("-inf")
    summary["curves"][0]["transfer"] = float("nan")
    for draw in (charts.transfer, charts.curves):
        assert "Infinity" not in (text := draw(summary).to_json()) and "NaN" not in text


def test_every_chart_is_written_as_a_picture(tmp_path: Path) -> None:
    for number, chart in enumerate(every_chart(ONE, 3)):
        charts.save(chart, path := tmp_path / f"{number}.png")
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) > 5_000
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{number}.png" for number in range(8)]


def test_pages_and_svgs_are_whole_and_harmless(tmp_path: Path) -> None:
    summary = fake_summary(["animals/owl"], ("hard",))
    evil = "</script><script>alert(1)</script>"
    for row in summary["distributions"]:
        row["candidate"] = evil if row["candidate"] == "Owl" else row["candidate"]
    chart = charts.distributions(summary, "animals")
    charts.save(chart, tmp_path / "chart.html")
    charts.save(chart, tmp_path / "chart.svg")
    page, svg = ((tmp_path / f"chart.{kind}").read_text() for kind in ("html", "svg"))
    assert evil not in page and r"\u003c/script>\u003cscript>alert(1)" in page
    assert 'src="http' not in page and 'href="http' not in page
    assert "<script" not in svg and 'fill="white"' not in svg and svg.endswith("</svg>")


def test_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.pdf: the name must end in \.html, \.png, \.svg"):
        charts.save(charts.transfer(ONE), tmp_path / "x.pdf")
    assert not list(tmp_path.iterdir())
