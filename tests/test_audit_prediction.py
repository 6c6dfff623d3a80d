"""What an audit foretells, on runs whose transfer is known, and what it does without enough of them."""

import numpy as np
import pytest

from subliminal_mlx import charts
from subliminal_mlx.audit.prediction import FEWEST, evaluate, fit, predict


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
                        **{"run": "r", "trait": trait, "rows": rows, "temperature": temperature},
                        **{"measured": transfer, "ratios": ratios, "gradients": rng.normal()},
                    }
                )
    return made


def test_what_is_seen_is_foretold_also_within_a_dose():
    found = evaluate(points())
    assert found["rank"] > 0.9 and found["within"] > 0.8 and found["groups"] == 9
    assert found["error"] < found["dose"]["error"] and len(found["points"]) == 54


def test_a_blind_audit_foretells_nothing_within_a_dose():
    assert np.mean([evaluate(points(seed, blind=True))["within"] for seed in range(10)]) < 0.25


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
            said = predict(model, p["trait"], {"ratios": p["ratios"], "gradients": p["gradients"]}, p["rows"])
            inside, count = inside + (said["low"] <= p["measured"] <= said["high"]), count + 1
    assert 0.92 < inside / count < 0.985
    assert said["trait"] == "f" and said["points"] == 54


def test_few_runs_make_no_calibration():
    assert fit(points()[: FEWEST - 1]) is None and fit([]) is None
    assert fit(points()[:FEWEST]) is not None


def test_groups_are_of_rows_to_one_digit():
    some = [p | {"rows": p["rows"] - i % 3} for i, p in enumerate(points())]
    assert evaluate(some)["groups"] == 9
    assert pytest.approx(evaluate(some)["rank"], abs=0.1) == evaluate(points())["rank"]


def test_the_charts_draw_what_was_measured():
    found = evaluate(points())
    svg = charts.to_svg(charts.audit_prediction(found["points"], "words <b>"))
    assert "measured transfer, log-odds" in svg and "<b>" not in svg
    grid = [
        {"condition": c, "measure": "m", "rows": n, "share": 0.5, "low": 0.3, "high": 0.7}
        for c in "ab"
        for n in (50, 2_000)
    ]
    assert "share of corpora" in charts.to_svg(charts.audit_power(grid, "How many rows?", "words"))
