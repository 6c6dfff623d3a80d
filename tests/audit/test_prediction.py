"""What an audit foretells, on runs whose transfer is known, and what it does without enough of them."""

import numpy as np
import pytest

from subliminal_mlx.audit.prediction import FEWEST, fit, predict
from subliminal_mlx.cli.make.audit_bench import agreement, transfers
from subliminal_mlx.cli.make.audit_bench.agreement import evaluate, spearman
from subliminal_mlx.pipeline.run import identify
from subliminal_mlx.report import charts


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(agreement, "DRAWS", 50)


def points(seed=0, noise=0.05, blind=False):
    """54 students: transfer grows with what the audit sees and with rows; a `blind` audit sees noise."""
    rng = np.random.default_rng(seed)
    made = []
    for rows in (250, 1_000, 3_000):
        for temperature in (0.7, 1.0, 1.3):
            for trait in "abcdef":
                seen = rng.uniform(0.1, 1.0)
                transfer = seen * (1 + np.log10(rows / 1_000)) + noise * rng.normal()
                ratios = rng.uniform(0.1, 1.0) if blind else seen
                made.append(
                    {
                        **{
                            "run": f"{trait}{rows}{temperature}",
                            "trait": trait,
                            "rows": rows,
                            "temperature": temperature,
                        },
                        **{"measured": transfer, "ratios": ratios},
                    }
                )
    return made


def test_what_is_seen_is_foretold_also_within_a_dose():
    found = evaluate(points())
    assert found["rank"]["value"] > 0.9 and found["within"]["value"] > 0.8 and found["groups"] == 9
    assert found["rank"]["low"] < found["rank"]["value"] < found["rank"]["high"]
    assert found["over_dose"]["rank"]["low"] > 0 > found["over_dose"]["error"]["high"]
    assert len(found["points"]) == found["runs"] == 54 and found["lines"] == ["ratios"]


def test_a_blind_audit_foretells_nothing_within_a_dose():
    assert np.mean([evaluate(points(seed, blind=True))["within"]["value"] for seed in range(10)]) < 0.25


def test_the_held_out_trait_is_not_fitted():
    """A trait that alone goes the other way is foretold wrongly, by the other traits."""
    odd = [p | {"measured": -p["measured"]} if p["trait"] == "a" else p for p in points(noise=0)]
    guessed = [p for p in evaluate(odd)["points"] if p["trait"] == "a" and p["rows"] >= 1_000]
    assert all(p["predicted"] > 0 > p["measured"] for p in guessed)


def test_the_interval_covers_what_comes():
    inside = count = 0
    for seed in range(20):
        model = fit(points(seed, noise=0.2))
        for p in points(100 + seed, noise=0.2):
            said = predict(model, p["trait"], {"ratios": p["ratios"]}, p["rows"])
            inside, count = inside + (said["low"] <= p["measured"] <= said["high"]), count + 1
    assert 0.92 < inside / count < 0.985
    assert said["trait"] == "f" and said["points"] == 54


def test_few_runs_make_no_calibration():
    assert fit(points()[: FEWEST - 1]) is None and fit([]) is None
    assert fit(points()[:FEWEST]) is not None


def test_groups_are_of_rows_to_one_digit():
    some = [p | {"rows": p["rows"] - i % 3} for i, p in enumerate(points())]
    assert evaluate(some)["groups"] == 9
    assert pytest.approx(evaluate(some)["rank"]["value"], abs=0.1) == evaluate(points())["rank"]["value"]


def test_a_second_line_counts_where_all_points_hold_it():
    seen = [p | {"probes": p["measured"]} for p in points(blind=True)]
    found = evaluate(seen)
    assert found["lines"][-1] == "probes" and found["within"]["value"] > 0.9
    assert fit(seen).lines == ("ratios", "probes")
    assert fit([*seen[1:], points()[0]]).lines == ("ratios",)


def test_runs_are_drawn_again_whole():
    """Points of one run say no more than the run: their interval is as wide as that of one point each."""
    once = points(noise=0.5)
    thrice = [p for p in once for _ in range(3)]
    width = lambda found: found["rank"]["high"] - found["rank"]["low"]
    assert width(evaluate(thrice)) == pytest.approx(width(evaluate(once)), rel=0.3)


def test_rank_correlation_minds_ties():
    from scipy.stats import spearmanr

    a, b = np.array([1.0, 1, 2, 3, 3, 4]), np.array([2.0, 1, 1, 5, 4, 4])
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert np.isnan(spearman(a, np.ones(6))) and np.isnan(spearman(a[:2], b[:2]))


def test_the_grid_is_balanced_and_its_runs_have_names_of_their_own():
    doses, specs = transfers.doses(), transfers.specs()
    assert len(specs) == 48 == len({identify(spec) for spec in specs}) == len({s.seed for s in specs})
    for rows in transfers.ROWS:
        for temperature in transfers.TEMPERATURES:
            assert len({t for t, *dose in doses if dose == [rows, temperature]}) == 4
    assert all(sum(t == trait for t, _, _ in doses) == 3 for trait in {t for t, _, _ in doses})
    assert {(s.hard.steps, s.teacher.steps, s.soft) for s in specs} == {(300, 150, None)}


def test_the_charts_draw_what_was_measured():
    found = evaluate(points())
    svg = charts.to_svg(charts.audit_prediction(found["points"], "words <b>"))
    assert "measured transfer, log-odds" in svg and "<b>" not in svg
    grid = [
        {"condition": c, "measure": "m", "part": n, "share": 0.5, "low": 0.3, "high": 0.7}
        for c in "ab"
        for n in (0.1, 1.0)
    ]
    assert "share of corpora" in charts.to_svg(charts.audit_power(grid, "Which share?", "words"))
