"""What a run looks like in terminals and pipes: nothing is cut, nothing is markup."""

import io
import itertools
import json
import re

import mini
import pytest
from rich.console import Console

from subliminal_mlx.report.terminal import LINE_SECONDS, ORDER, ProgressView, interval, print_result
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
    console = Console(file=io.StringIO(), width=width, highlight=False, **options)
    print_result({"summary": {"traits": entries}}, console)
    return console.file.getvalue()


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
        assert found[0].split()[1:] == ["-100.0", "-1.234", "-9.50", "to", "+9.25", "<.001", "0.036", "no"]
    (treated, *_) = (line for line in lines if line.startswith("treated"))
    assert treated.split() == ["treated", "64", "100.0%", "-12.35", "-10.123", "-9.50", "to", "+9.25"]
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
                and margin == f"{figures['margin']:+.2f}"
            )
            reference = arm == "neutral" or arm.endswith("-neutral")
            assert transfer == ("reference" if reference else f"{figures['transfer']:+.3f}")


def test_intervals():
    assert interval(0.123, -0.456) == "+0.12 to -0.46"
    assert interval(None, None) == interval(None, 1.0) == "-"


# --- progress -------------------------------------------------------------------------------------


def progress(fraction=0.25, done=1, **others):
    return {
        "state": "running",
        "pid": 12,
        "fraction": fraction,
        "seconds": 12.3,
        "seconds_left": 3_723.0,
        "tokens_per_second": 1_234_567.8,
        "stages": {"teachers": {"done": done, "total": 2}, "students": {"done": 0, "total": 12}},
        "running": {
            "hard/c0/0": {"what": "steps", "done": 1_234, "total": 5_678, "loss": 3.14159},
            "hard/c0/1": {"what": "steps", "done": 20, "total": 5_678, "loss": 2.5},
            "hard/foreign/c0/0": {"what": "steps", "done": 1, "total": 2},
        },
        **others,
    }


def shown(monkeypatch, steps, terminal=False, width=80):
    """What the view writes of those dictionaries."""
    view = ProgressView()
    out = io.StringIO()
    view.console = Console(file=out, force_terminal=terminal, width=width, _environ={})
    view._bars.live.console = view.console
    with view:
        for step in steps:
            view(step)
    return out.getvalue()


def test_a_pipe_gets_plain_lines(monkeypatch):
    text = shown(monkeypatch, [progress()])
    assert text == " 25%  12 s, 1,234,568 tokens/s, 1:02:03 left  teachers 1/2, students 0/12\n"


def test_a_pipe_gets_a_line_when_a_stage_ends_and_every_ten_seconds(monkeypatch):
    clock = [1_000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    view = ProgressView()
    view.console = Console(file=io.StringIO(), width=80)
    lines = lambda: view.console.file.getvalue().count("\n")
    view(progress())
    for _ in range(50):
        clock[0] += LINE_SECONDS / 100
        view(progress())
    assert lines() == 1
    view(progress(done=2))
    assert lines() == 2
    view(progress(done=2))
    assert lines() == 2
    clock[0] += LINE_SECONDS
    view(progress(done=2))
    assert lines() == 3


def test_who_follows_is_told_whom_once(monkeypatch):
    other = {"followed": True, "pid": 4321}
    text = shown(monkeypatch, [other, other | progress(pid=4321), other])
    assert text.count("another process (pid 4321) does this run: following it\n") == 1
    assert text.count("\n") == 2


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_gets_bars_that_fit(monkeypatch, width):
    text = shown(monkeypatch, [progress(), progress(0.5, 2)], terminal=True, width=width)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = plain.replace("\r", "\n").splitlines()
    last = [line.rstrip() for line in lines if line.strip()][-3:]
    assert [line.split()[0] for line in last] == ["teachers", "students", "all"]
    assert max(map(len, lines)) <= width and "…" not in plain
    assert "1234/5678 steps, loss 3.142" in last[1] and "0/12" in last[1]
    assert "50%" in last[2] and "12 s" in last[2]


def test_the_real_command_wrote_plain_lines(done):
    lines = done.child.stderr.splitlines()
    assert len(lines) >= 2 and "\x1b" not in done.child.stderr
    for line in lines:
        assert re.match(
            r" *\d+%  \d+ s(, [\d,]+ tokens/s)?(, [\d:]+ left)?  base read \d/1, teachers", line
        ), line
    assert lines[-1].startswith("100%") and "students 3/3, foreign students 2/2, in context 1/1" in lines[-1]
    json.loads(done.child.stdout)
