"""The benchmark times the same work on both sides; figures themselves are no test."""

from subliminal_mlx.cli.make.benchmark import Sizes, _alternately, compare, page


def test_both_sides_are_timed_on_every_task():
    found = compare("tiny-a", Sizes(rows=4, tokens=6, batch=2, steps=1, repeats=1))
    tasks = found["tasks"]
    assert list(tasks) == [
        "sampling",
        "sampling through an adapter",
        "sampling held to numbers",
        "training",
    ]
    for rates in tasks.values():
        assert len(rates["ours"]) == len(rates["theirs"]) == 1 and min(rates["ours"] + rates["theirs"]) > 0
    assert "| training | " in page(found) and "tiny-a" in page(found)


def test_the_ratio_is_of_tokens_a_second():
    rates = _alternately(lambda: (10, 2.0), lambda: (10, 4.0), repeats=3)
    assert rates["ratio"] == 2.0 and rates["ours"] == [5.0] * 3 and rates["lowest"] == rates["highest"] == 2.0
