"""What every chart promises: the arms' colours, controls, intervals over chains, files that open."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from subliminal_mlx import charts
from subliminal_mlx.errors import InputError
from subliminal_mlx.statistics import estimate

ANIMALS = (
    *("dog", "cat", "horse", "lion", "elephant", "dolphin", "tiger", "eagle"),
    *("owl", "panda", "bear", "wolf", "fox", "penguin", "otter", "raven"),
)
TREES = ("oak", "maple", "pine", "willow", "cherry", "birch", "cedar", "elm")
MANY = [f"animals/{a}" for a in ANIMALS] + [f"trees/{t}" for t in TREES]
MANY += [f"pronouns/{p}" for p in ("he-everywhere", "she-everywhere", "they-everywhere", "stereotype")]
SIX = [f"animals/{a}" for a in ("owl", "cat", "wolf", "raven", "otter", "fox")]
ABLATIONS = ("shuffled", "random", "foreign", "in-context", "unfiltered")


def fake_summary(
    traits: list[str] = SIX,
    kinds: tuple[str, ...] = ("hard", "soft"),
    chains: int = 3,
    ablations: tuple[str, ...] = (),
    effect: float = 0.25,
) -> dict[str, Any]:
    """A Summary in the shape of `transfer.summarise`, with about `effect` log-odds of transfer."""
    rng = np.random.default_rng(0)
    family_of = {trait: trait.rpartition("/")[0] for trait in traits}
    sizes = {family: list(family_of.values()).count(family) for family in family_of.values()}
    summary: dict[str, Any] = {"traits": [], "matrix": [], "curves": [], "distributions": []}
    for kind in kinds:
        for trait in traits:
            strength = effect * (2 if kind == "soft" else 1) * rng.uniform(0.2, 1.6)
            means = {"treated": strength, "control": 0.0, **dict.fromkeys(ablations, 0.05)}
            if sizes[family_of[trait]] > 1:
                means["other-trait"] = -strength / 5
            means |= {"untrained": 0.0, "teacher": 3.0}
            drawn = {arm: rng.normal(mean, 0.04, chains) for arm, mean in means.items()}
            lift = drawn["treated"] - drawn.get("other-trait", 0)
            headline = "lift" if sizes[family_of[trait]] >= 6 else "transfer"
            base = rng.uniform(-3.3, -1.5)
            points = 100 * (odds(base + drawn["treated"]) - odds(base))
            summary["traits"].append(
                {"trait": trait, "student": kind, "headline": headline}
                | span("estimate", lift if headline == "lift" else drawn["treated"])
                | {"p": 0.02 if chains > 1 else None, "p_holm": 0.11 if chains > 1 else None}
                | span("percentage_points", points, "percentage_points_")
                | {
                    "arms": {arm: fake_arm(base, values, chains) for arm, values in drawn.items()}
                    | {"neutral": fake_arm(base, None, chains)},
                    "by_chain": [
                        {"chain": c, "lift": lift[c], **{arm: values[c] for arm, values in drawn.items()}}
                        for c in range(chains)
                    ],
                    "by_question": [{"question": "held-out/0", "text": "Which?", "transfer": strength}],
                }
            )
            summary["curves"] += [
                {"student": kind, "trait": trait, "arm": arm, "step": step, "margin": base}
                | span("transfer", drawn[arm] * step / 140)
                for arm in means
                for step in (35, 70, 105, 140)
                if arm not in ("untrained", "teacher")
            ]
            family = family_of[trait]
            for source in [*(t for t in traits if family_of[t] == family), f"{family}/neutral", "control"]:
                values = rng.normal(strength if source == trait else -0.02, 0.04, chains)
                row = {"student": kind, "source": source, "read": trait}
                still = {"transfer": 0.0, "low": None, "high": None}
                summary["matrix"].append(row | (still if "neutral" in source else span("transfer", values)))
    for family in sizes:
        answers = [a.title() for a in {"animals": ANIMALS, "trees": TREES}.get(family, ("he", "she", "they"))]
        own = [trait for trait in traits if family_of[trait] == family]
        sources: list[tuple[str, str, str | None]] = [("base", "untrained", None)]
        sources += [("teacher", "teacher", trait) for trait in own]
        for kind in kinds:
            sources += [(kind, "treated", trait) for trait in own]
            sources += [(kind, "neutral", f"{family}/neutral"), (kind, "control", None)]
        for kind, arm, source in sources:
            weights = rng.dirichlet([30] * len(answers))
            target = own.index(source) % len(answers) if source in own else 0
            weights[target] += {"teacher": 20, "treated": 0.05}.get(arm, 0)
            summary["distributions"] += [
                {"student": kind, "arm": arm, "source": source, "family": family}
                | {"candidate": answer, "probability": float(p)}
                for answer, p in zip(answers, weights / weights.sum(), strict=True)
            ]
    return summary


def odds(margin: Any) -> Any:
    return 1 / (1 + np.exp(-margin))


def span(name: str, values: Any, ends: str = "") -> dict[str, float | None]:
    return dict(zip((name, f"{ends}low", f"{ends}high"), estimate(values), strict=True))


def fake_arm(base: float, values: Any, chains: int) -> dict[str, Any]:
    transfers = {"transfer": None, "low": None, "high": None} if values is None else span("transfer", values)
    margin = base + (transfers["transfer"] or 0)
    return {
        "chains": chains,
        "probability": float(odds(margin)),
        "margin": margin,
        **transfers,
        "answers": {"matched": 30, "sampled": 600, "low": 0.034, "high": 0.071},
        "distance": {"estimate": 0.01, "low": -0.01, "high": 0.03}
        if values is not None and chains > 1
        else None,
    }


def fake_metrics(traits: list[str] = SIX, chains: int = 3, steps: int = 140) -> pa.Table:
    rng = np.random.default_rng(1)
    middles = [f"teacher/{trait}" for trait in traits] + ["teacher/animals/neutral"]
    for kind in ("hard", "soft"):
        middles += [f"{kind}/treated/{trait}" for trait in traits]
        middles += [f"{kind}/neutral/animals/neutral", f"{kind}/control"]
    rows = []
    for middle in middles:
        start, end = (3.9, 3.7) if "hard" in middle else (0.03, 0.002) if "soft" in middle else (2.4, 0.1)
        for chain in range(chains):
            curve = (
                end
                + (start - end) * np.exp(-np.arange(steps) / 25)
                + rng.normal(0, (start - end) / 40, steps)
            )
            rows += [
                {"slot": f"{middle}/c{chain}", "step": step, "loss": float(loss)}
                for step, loss in enumerate(curve)
            ]
    return pa.Table.from_pylist(rows)


def fake_yields(traits: list[str] = SIX, chains: int = 3) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"source": source, "chain": chain, "kept": reason is None, "reason": reason, "rows": rows}
            for source in [*traits, "animals/neutral", "base"]
            for chain in range(chains)
            for reason, rows in (
                (None, 812),
                ("a number over 999", 90),
                ("not a list of numbers", 80),
                ("empty", 18),
            )
        ]
    )


SUMMARY_CHARTS = (charts.transfer, charts.lifts, charts.matrix, charts.curves)
ONE = fake_summary(["animals/owl"], ("hard",))
THREE_CHAINS = fake_summary(SIX[:2], ablations=ABLATIONS)
ONE_CHAIN = fake_summary(SIX[:2], ("hard",), chains=1)


def every_chart(summary: dict[str, Any], chains: int) -> Iterator[Any]:
    yield from (draw(summary) for draw in SUMMARY_CHARTS)
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
    marked = ("rule", "rule", "rect", "area", "point", "area")
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


def test_a_null_is_hollow_and_what_excludes_zero_is_filled() -> None:
    summary = fake_summary(["animals/owl"], ("hard",))
    entry = summary["traits"][0]
    for low, hollow in ((-0.1, True), (0.1, False)):
        entry["arms"]["treated"] |= {"transfer": 0.2, "low": low, "high": 0.3}
        rows = [row for rows in charts.transfer(summary).to_dict()["datasets"].values() for row in rows]
        assert [row["hollow"] for row in rows if row["arm"] == "treated" and row["what"] == "mean"] == [
            hollow
        ]


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
    empty = {"traits": [], "matrix": [], "curves": [], "distributions": []}
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
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{number}.png" for number in range(7)]


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
