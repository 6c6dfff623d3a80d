"""The digits app: its lint, its reactions to sliders, forged values, and one visit with a real browser."""

import browser
import marimo as mo
import pytest
from browser import text_of


@pytest.fixture(scope="module")
def app():
    return browser.load_app("digits")


def slider(value):
    """A slider that stands at `value`, as the app's own would after a visitor moved it."""
    return mo.ui.slider(value, value + 1, value=value)


SMALL = {"noise": slider(500), "width": slider(16)}


def test_the_app_is_clean():
    browser.check("digits")


def test_it_opens_with_the_stored_answer_and_says_so(app):
    outputs, defs = app.run()
    assert defs["how"].startswith("stored, 20 replicas")
    text = text_of(outputs)
    assert "Reading digits that nobody showed" in text and "What was computed when" in text
    assert text.count("<figure") == 7, "every chart is there"
    assert defs["rows"][1]["arm"] == "student" and defs["rows"][1]["low"] > 0.5


def test_moving_sliders_changes_what_is_computed(app):
    outputs, defs = app.run(defs=SMALL | {"fresh": mo.ui.switch(value=True), "step": slider(10.0)})
    assert defs["how"].startswith("computed live, 8 replicas")
    spec = defs["found"]["spec"]
    assert (spec["noise"], spec["width"], spec["epochs"]) == (500, 16, 4)
    assert set(defs["found"]["arms"]) >= {"student", "other initialisation", "shuffled logits"}
    assert defs["one"]["step"] == 10 and defs["one"]["against_count"] > 0
    assert "computed live" in text_of(outputs)


def test_forged_values_are_refused_with_their_names(app):
    outputs, defs = app.run(defs=SMALL | {"distance": slider(99.0), "step": slider(-1.0)})
    told = [output.text for output in outputs if "danger" in getattr(output, "text", "")]
    assert len(told) == 2 and "distance" in told[0] and "steps" in told[1]
    assert not {"asked", "found", "one"} & set(defs), "nothing was computed from them"


def test_a_visitor_moves_a_slider_and_reads_the_answer(tmp_path):
    if browser.missing():
        return
    from playwright.sync_api import expect

    with browser.serving("digits", tmp_path) as address, browser.visiting(tmp_path) as page:
        page.goto(address)
        page.get_by_text("What was computed when").wait_for()
        page.get_by_text("stored, 20 replicas").first.wait_for()
        assert page.locator("figure").count() == 7
        noise, distance = (page.get_by_role("slider").nth(place) for place in (1, 4))
        noise.press("Home")  # 500, which is stored
        page.get_by_text("saw 500 noise images").wait_for()
        distance.press("ArrowRight")  # 0.05 at 500 noise inputs, which is not
        expect(distance).to_have_attribute("aria-valuenow", "0.05")
        page.get_by_text("The answer to the sliders: computed live,").wait_for()
        page.get_by_text("Computed live, 8 replicas in").first.wait_for()
        assert not page.get_by_text("Traceback").count()
        # On a phone: other drawings, as wide as they were drawn, and nothing beside the screen.
        page.set_viewport_size({"width": 390, "height": 844})
        drawn = "images => images.length == 7 && images.every(i => i.complete && 0 < i.naturalWidth && i.naturalWidth <= 390)"
        page.wait_for_function(f"() => ({drawn})([...document.querySelectorAll('figure img')])")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
