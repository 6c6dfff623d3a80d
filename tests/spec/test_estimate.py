"""Estimates of a run's time: sane, and longer where there is more to do."""

import time

import mini
import pytest

from subliminal_mlx.spec import load_spec, presets
from subliminal_mlx.spec.estimate import count_tokens, run_seconds
from subliminal_mlx.system.rate import machine_gflops

SMOLLM2, TINY = 134_515_008, 66_624


def test_the_machine_is_measured_fast_and_sanely():
    started = time.perf_counter()
    rate = machine_gflops()
    assert 0.1 < rate < 1e6 and time.perf_counter() - started < 10


LARGE = {
    "Qwen/Qwen2.5-0.5B-Instruct": 494_000_000,
    "Qwen/Qwen2.5-7B-Instruct": 7_616_000_000,
    "mlx-community/Llama-3.2-1B-Instruct-bf16": 1_236_000_000,
}


@pytest.mark.parametrize("name", presets())
def test_presets_take_between_a_second_and_a_day(name):
    spec = load_spec(name)
    trained, drawn = count_tokens(spec)
    assert trained > 0 and drawn > spec.chains * spec.corpus.rows
    if spec.base in LARGE:  # on a Mac's GPU, where the paper's own recipe takes two days
        assert 3_600 < run_seconds(spec, LARGE[spec.base], gflops=8_000, processes=1) < 2 * 86_400
        return
    parameters = TINY if spec.base == "tiny-a" else SMOLLM2
    assert 1 < run_seconds(spec, parameters, gflops=100, processes=2) < 86_400


def test_a_glance_is_shorter_than_the_default_and_that_than_all():
    taken = [run_seconds(load_spec(name), TINY, 50, 2) for name in ("glance", "default", "all")]
    assert taken == sorted(taken) and taken[0] < taken[-1] / 5


@pytest.mark.parametrize("parameters", [TINY, SMOLLM2])
@pytest.mark.parametrize(
    "more",
    [
        {"chains": 2},
        {"traits": ["animals/owl", "animals/cat", "trees/oak"]},
        {"corpus": {"rows": 64, "numbers": [3, 3]}},
        {"corpus": {"rows": 16, "numbers": [3, 9]}},
        {"hard": {"steps": 100, "batch": 2}},
        {"hard": {"steps": 36, "batch": 8}},
        {"teacher": {"steps": 64, "batch": 2}},
        {"ablation_traits": []},
        {"defences": ["mix-10"]},
        {"defences": ["re-emit"]},
    ],
    ids=lambda more: ",".join(more),
)
def test_more_work_takes_longer(parameters, more):
    plain = run_seconds(mini.spec(), parameters, 100, 2)
    assert run_seconds(mini.spec(**more), parameters, 100, 2) > plain


@pytest.mark.parametrize("arms", [["treated", "neutral"], ["treated", "neutral", "control"]])
def test_every_student_and_every_row_of_a_plan_counts(arms):
    """Defended ones too, each beside its random control, and the base's rows that they are mixed with."""
    student = {"steps": 10, "batch": 4}
    fields = {"hard": student, "soft": student, "chains": 3, "arms": arms, "ablations": []}
    plain = mini.spec(**fields)
    defended = mini.spec(**fields, defences=["mix-10", "other-init"])
    (trained, drawn), (more, also) = count_tokens(plain), count_tokens(defended)
    row = 10 + 3 * 2
    # Two traits and one neutral teacher, of two kinds, in three chains; defences are two, and two controls.
    assert more - trained == 2 * 2 * (2 + 1) * 2 * 3 * 10 * 4 * row
    assert drawn == 3 * (3 + ("control" in arms)) * 16 * row and also == 3 * 4 * 16 * row


def test_teachers_and_rows_of_other_writers_count_as_the_spec_s_own_do():
    """A teacher of the trait and a neutral one, and what both write, beside their students; a neutral corpus more."""
    fields = {
        "hard": {"steps": 10, "batch": 4},
        "soft": None,
        "chains": 3,
        "teacher": {"steps": 7, "batch": 2},
    }
    plain, own, again, kept = (
        count_tokens(mini.spec(**fields, ablations=ablations, arms=arms))
        for ablations, arms in (
            ([], ["treated", "neutral"]),
            (["foreign-own"], ["treated", "neutral"]),
            ([], ["treated", "neutral", "neutral-again"]),
            (["kept-lists"], ["treated", "neutral"]),
        )
    )
    row = 10 + 3 * 2
    assert own[0] - plain[0] == 3 * 2 * (20 * 7 * 2 + 10 * 4 * row)
    assert own[1] - plain[1] == 3 * 2 * 16 * row
    assert kept == own
    assert (again[0] - plain[0], again[1] - plain[1]) == (3 * 10 * 4 * row, 3 * 16 * row)


def test_the_shipped_defences_take_longer_than_a_minute():
    """Five defences and their controls train ten times as many students again."""
    spec = load_spec("defences")
    plain = spec.model_copy(update={"defences": ()})
    assert run_seconds(spec, TINY, 100, 2) > 4 * run_seconds(plain, TINY, 100, 2) > 4 * 60


def test_a_faster_machine_more_processes_and_a_smaller_model_take_less():
    spec = mini.spec()
    taken = run_seconds(spec, SMOLLM2, 100, 1)
    assert run_seconds(spec, SMOLLM2, 200, 1) == pytest.approx(taken / 2)
    assert run_seconds(spec, SMOLLM2, 100, 4) == pytest.approx(taken / 4)
    assert run_seconds(spec, SMOLLM2 * 10, 100, 1) == pytest.approx(taken * 10)
    assert run_seconds(spec, TINY, 100, 1) < taken
