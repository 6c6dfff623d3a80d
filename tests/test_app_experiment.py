"""The experiment app: its lint, what it shows at once, the blind test, and visits with a real browser."""

import browser
import pytest
from browser import text_of

from subliminal_mlx import results
from subliminal_mlx.blind import rounds


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
    shown = results.read_results(results.best_real())
    first = text.index(f"{shown['summary']['traits'][0]['trait']}")
    assert text.index("<figure") > 0 and first < text.index("Which list came from")
    assert "no safety certificate" in text and "control" in text
    assert text.index("smollm2") < text.index("The built-in model, tiny-a, 3 chains")


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


def test_a_visitor_reads_guesses_trains_and_changes_the_weights(tmp_path):
    if browser.missing():
        return
    with browser.serving("experiment", tmp_path) as address, browser.visiting(tmp_path) as page:
        page.goto(address)
        page.locator("figure").first.get_by_text("Did the trait reach students").wait_for()
        page.get_by_role("button", name="Train on these").click()
        for number in range(1, 11):
            page.get_by_text(f"Round {number} of 10").wait_for()
            page.get_by_role("button", name="Left").click()
        page.get_by_text("exact binomial").wait_for()  # while the students train
        page.get_by_text("The stored run's student of this chain: +1.93").wait_for()
        chart = page.get_by_role("img", name="answers of students that start from tiny-a")
        chart.get_by_text("How often does a student answer Owl?").wait_for()
        page.get_by_role("button", name="Change the starting weights").click()
        page.get_by_text("This student starts from tiny-b").wait_for()
        assert not page.get_by_text("Traceback").count()
