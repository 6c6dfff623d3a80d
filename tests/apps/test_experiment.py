"""The experiment app: its lint, what it shows at once, the blind test, and visits with a real browser."""

import re
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import browser
import mini
import pytest
from browser import text_of

from subliminal_mlx import jobs
from subliminal_mlx.demos.blind import rounds
from subliminal_mlx.report import results
from subliminal_mlx.system.errors import BusyError
from subliminal_mlx.web.pages import cost, runs


@pytest.fixture(scope="module")
def app():
    return browser.load_app("experiment")


@pytest.fixture(scope="module")
def opened(app):
    return app.run(defs={"seed": 7})


def test_the_app_is_clean():
    browser.check("experiment")


def test_the_real_result_stands_first_with_its_limits(opened):
    text = text_of(opened[0])
    shown = results.read_results(results.real()[0])
    first = text.index(f"{shown['summary']['traits'][0]['trait']}")
    assert text.index("<figure") > 0 and first < text.index("Which list came from")
    assert "no safety certificate" in text and "control" in text
    assert text.index("smollm2") < text.index("The built-in model, tiny-a, 3 chains")
    # The others are folded away, each with the chains that are done.
    assert results.real()[1:] and all(
        results.read_results(name)["title"] in text for name in results.real()[1:]
    )
    assert "run --preset smollm2-longer" in text and "One chain: what happened once" in text


def test_ten_guesses_are_scored_beside_the_classifier(app):
    game = rounds.rounds(7)
    right = tuple(shown.answer for shown in game)
    outputs, _ = app.run(defs={"seed": 7, "get_guesses": lambda: right, "set_guesses": lambda _: None})
    text = text_of(outputs)
    assert "10 of 10 right" in text and "0.00098" in text and "The n-gram classifier" in text


def test_a_round_shows_two_lists_on_the_same_prompts(opened):
    text, first = text_of(opened[0]), rounds.rounds(7)[0]
    assert "Round 1 of 10" in text
    assert all(row in text for row in (*first.left, *first.right, *first.prompts))


def test_a_lab_that_another_program_holds_is_told(app, monkeypatch, tmp_path):
    def held(*args):
        raise BusyError(f"the lab {tmp_path}/a/secret is held by pid 7")

    monkeypatch.setattr(runs, "listing", held)
    monkeypatch.setattr(cost, "cost", held)
    outputs, defs = app.run(defs={"seed": 7})
    text = text_of(outputs)
    assert text.count("secret is held by pid 7") == 2 and str(tmp_path) not in text and "listed" not in defs
    monkeypatch.setattr(jobs, "bases", held)
    outputs, defs = app.run(defs={"seed": 7})
    assert "secret is held by pid 7" in text_of(outputs) and "form" not in defs


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    with browser.serving("experiment", folder, SUBLIMINAL_LAB=str(folder / "a lab")) as found:
        yield found


def test_a_run_is_started_watched_read_reloaded_and_shared(request, tmp_path):
    if browser.missing():
        return
    address = request.getfixturevalue("address")
    folder = Path(tempfile.gettempdir()).parts[1]
    with browser.visiting(tmp_path) as page:
        page.goto(f"{address}/?run=../../etc/passwd")
        page.get_by_text("must be 12 characters").wait_for()
        page.goto(f"{address}/?run=ffffffffffff")
        page.get_by_text("There is no such run here").wait_for()
        page.get_by_text("This lab has no runs yet").wait_for()
        page.get_by_text("Paste a spec").click()
        text = page.get_by_label("TOML, instead of the form")
        text.fill('base = "/etc"')
        text.blur()
        page.get_by_text("is not here").wait_for()
        text.fill(mini.OTHER.replace("steps = 6", "steps = 2000"))
        text.blur()
        page.get_by_text("96 rows").wait_for()
        page.get_by_role("button", name="Start", exact=True).click()
        page.get_by_text("Running for").wait_for()
        page.get_by_role("button", name="Cancel this run").click()
        # For a moment both the progress, which ends, and what follows it say so.
        page.get_by_text("Cancelled after").first.wait_for()
        page.get_by_role("button", name="Go on with it").wait_for()
        long = page.url
        text.fill(mini.OTHER)
        text.blur()
        page.get_by_text("0.0 million tokens").wait_for()
        page.get_by_role("button", name="Start", exact=True).click()
        page.wait_for_url(lambda url: url != long)
        run = parse_qs(urlsplit(page.url).query)["run"][0]
        page.get_by_text(re.compile(r"Queued|Starting|Running for")).first.wait_for()
        chart = page.locator("marimo-vega svg")
        chart.get_by_text("Did the trait reach students").wait_for()
        page.get_by_text("Done in").first.wait_for()
        # A control changes the chart, and a click on the chart the rows.
        page.get_by_label("view").select_option("What the filter kept")
        chart.get_by_text("How many rows did the filter keep?").wait_for()
        dropped = chart.locator("path[aria-label*='outcome: not numbers']").first
        dropped.click(force=True)
        page.get_by_text(re.compile("Picked: source .*, outcome not numbers")).wait_for()
        page.get_by_text("dropped: not numbers").first.wait_for()
        shown = page.get_by_text("Picked: source").inner_text()
        # Another visitor opens the address, and the first one's page stays as it is.
        other = page.context.new_page()
        other.goto(page.url)
        other.locator("marimo-vega svg").get_by_text("Did the trait reach students").wait_for()
        other.get_by_text(run).first.wait_for()
        assert not other.get_by_role("button", name="Cancel this run").count()
        assert page.get_by_text("Picked: source").inner_text() == shown
        page.reload()
        page.locator("marimo-vega svg").get_by_text("Did the trait reach students").wait_for()
        for visited in (page, other):
            whole = visited.locator("body").inner_text()
            assert run in whole and "Traceback" not in whole
            assert f"/{folder}/" not in whole and "a lab" not in whole, "no path is shown"


def test_a_visitor_guesses_trains_and_changes_the_weights(request, tmp_path):
    """Last: whoever visited the server after it would share the machine with the training that it leaves."""
    if browser.missing():
        return
    with browser.visiting(tmp_path) as page:
        page.goto(request.getfixturevalue("address"))
        page.locator("figure").first.get_by_text("Did the trait reach students").wait_for()
        page.get_by_role("button", name="Train on these").click()
        for number in range(1, 11):
            page.get_by_text(f"Round {number} of 10").wait_for()
            page.get_by_role("button", name="Left").click()
        page.get_by_text("The n-gram classifier:").wait_for()  # while the students train
        (owl,) = (
            entry
            for entry in results.read_results("default")["summary"]["traits"]
            if (entry["trait"], entry["student"]) == ("animals/owl", "hard")
        )
        stored = f"{owl['by_chain'][0]['treated']:+.2f}"
        page.get_by_text(f"The stored run's student of this chain: {stored}").wait_for()
        chart = page.get_by_role("img", name="answers of students that start from tiny-a")
        chart.get_by_text("How often does a student answer Owl?").wait_for()
        page.get_by_role("button", name="Change the starting weights").click()
        page.get_by_text(re.compile("Training: step .* of 300")).wait_for()
        assert not page.get_by_text("Traceback").count()
