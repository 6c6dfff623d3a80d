"""How numbers are written: one way for each quantity, a dash where there is none."""

import itertools
import re

import pytest

from subliminal_mlx.system.quantities import (
    about_duration,
    clock,
    gigabytes,
    interval,
    megabytes,
    p_value,
    pace,
    percent,
    percent_interval,
    points,
    signed,
    took,
)


def test_shares_changes_and_intervals():
    assert percent(0.4129) == "41.3%" and percent(0.4129, 0) == "41%"
    assert percent_interval(0.201, 0.6) == "20.1% to 60.0%"
    # What rounds to nothing has fallen no more than it has risen.
    assert signed(-0.0012) == signed(-0.0) == "+0.00" and percent(-0.0001) == "0.0%"
    assert signed(0.4127) == "+0.41" and signed(-12.345, 1) == "-12.3" and points(-4.06) == "-4.1"
    assert interval(0.123, -0.456) == "+0.12 to -0.46"


def test_what_is_not_known_is_a_dash():
    unknown = percent(None), signed(None), points(None), p_value(None), percent_interval(None, 0.5)
    assert {*unknown, interval(None, None), interval(None, 1.0)} == {"-"}


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.00001, "<0.001"), (0.001, "0.001"), (1 / 101, "0.0099"), (0.0357, "0.036"), (1, "1")],
)
def test_p_values_have_two_figures(p, expected):
    assert p_value(p) == expected


def test_sizes_of_memory_are_rounded_up():
    assert gigabytes(2_310_000_000) == "2.4 GB" and gigabytes(31.2e9) == "31 GB"
    assert megabytes(1_234_560_000) == "1,234.6 MB"
    assert took(12.3, 430_000_000) == "12 s, 0.5 GB at most" and took(754.2, None) == "12 min 34 s"


def test_work_under_way_tells_its_rate_and_the_time_left():
    assert pace(12.3, 3_723, 1_234_567.8, "tokens") == "12 s, 1,234,568 tokens/s, 1:02:03 left"
    assert pace(2, 65, 3.21) == "2 s, 3.2/s, 1:05 left"
    assert pace(0, None, None) == "0 s" and clock(59.9) == "0:59"


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (0.01, "about 1 s"),
        (40.4, "about 40 s"),
        (89.9, "about 90 s"),
        (90, "about 2 minutes"),
        (5_399, "about 90 minutes"),
        (5_401, "about 1.5 hours"),
        (36_000, "about 10.0 hours"),
    ],
)
def test_durations_about_duration(duration, expected):
    assert about_duration(duration) == expected


def test_words_never_go_back():
    units = {"s": 1, "minutes": 60, "hours": 3600}
    said = [re.fullmatch(r"about ([\d.]+) (\w+)", about_duration(10 ** (k / 20))) for k in range(120)]
    values = [float(found[1]) * units[found[2]] for found in said]
    # Rounding may step back by half a minute where seconds become minutes.
    assert all(later > 0.9 * earlier for earlier, later in itertools.pairwise(values))
