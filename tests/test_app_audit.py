"""The audit app: its lint, what it shows at once, its controls, and a visit with a real browser."""

import html
import json
import re
import time
from pathlib import Path

import browser
import marimo as mo
import pytest

from subliminal_mlx.lab import Lab
from subliminal_mlx.page import audited, defended, reviewed
from subliminal_mlx.reviews.requests import MOST_UPLOAD

HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script> =HYPERLINK(1) **bold**"


def text_of(outputs):
    """What an app shows, as its reader sees it: elements hold their texts escaped."""
    return html.unescape(html.unescape(browser.text_of(outputs)))


@pytest.fixture(scope="module")
def app():
    return browser.load_app("audit")


@pytest.fixture(autouse=True)
def no_lab(monkeypatch, tmp_path):
    monkeypatch.setenv("SUBLIMINAL_LAB", str(tmp_path / "no lab"))


@pytest.fixture(scope="module")
def example():
    return reviewed.opened(Lab("nowhere"), "owl-rows", "audit")


def test_the_app_is_clean():
    browser.check("audit")


def test_it_opens_with_a_stored_audit(app, example):
    outputs, defs = app.run()
    text = text_of(outputs)
    assert defs["review_id"] == "owl-rows" and "carried: animals/owl, first of 16 suspects" in example.words
    assert "carried: animals/owl, first of 16 suspects" in text and "<figure" in text
    assert "no safety certificate" in text and text.index("no safety") < text.index("<figure")


def test_controls_change_what_is_shown(app, example):
    growing = mo.ui.dropdown({"x": "growth"}, value="x")
    outputs, _ = app.run(defs={"view": growing, "family": mo.ui.dropdown(["animals"], value="animals")})
    assert "Does the evidence grow" in text_of(outputs)
    # What changing all of them costs the server, whatever else the machine does.
    began = time.process_time()
    for view in audited.VIEWS:
        audited.drawn(example, view, "animals")
    for order in audited.ORDERS:
        audited.rows(example, order, 3)
    audited.row(example, example.evidence[-1]["number"])
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("tab", ["measure", "drift", "gate"])
def test_every_tab_has_something_to_look_at(app, tab):
    outputs, defs = app.run(defs={"kind": tab})
    text = text_of(outputs)
    assert defs["standing"].state == "done" and defs["seen"].kind == tab
    assert "<figure" in text or "<table" in text


def test_defences_are_shown_beside_their_controls(app):
    outputs, _ = app.run(defs={"kind": "defend"})
    text = text_of(outputs)
    rows, svg = defended.shipped("defences")
    assert "Least is left by" in text and "-random" in text and "<svg" in svg
    assert defended.left(rows).count("<tr>") == 1 + len(rows)


def test_forged_values_of_controls_are_refused(app, example):
    forged = mo.ui.dropdown({"x": "../../etc/passwd"}, value="x")
    outputs, _ = app.run(defs={"view": forged, "family": forged})
    assert "no chart" in text_of(outputs)
    for call in (
        lambda: audited.drawn(example, "x", "animals"),
        lambda: audited.rows(example, "x"),
        lambda: audited.rows(example, audited.ORDERS[0], 10_000),
        lambda: audited.row(example, "1"),
        lambda: reviewed.opened(Lab("nowhere"), "../../etc", "audit"),
        lambda: reviewed.standing(Lab("nowhere"), "f" * 24, "audit").state == "empty" or 1 / 0,
    ):
        try:
            assert call() is True
        except ValueError:
            continue


def test_tokens_sum_to_their_row_and_text_stays_text(example):
    shown = audited.row(example, audited.first_row(example))
    assert "place 1 of 1,000" in shown
    first = example.evidence[0]
    assert sum(first["token_scores"]) == pytest.approx(first["score"], abs=1e-3)
    hostile = first | {"prompt": HOSTILE, "tokens": [HOSTILE] * len(first["tokens"]), "completion": HOSTILE}
    told = reviewed.Opened("x", "audit", HOSTILE, HOSTILE, example.result, None, [hostile])
    for text in (audited.row(told, first["number"]), audited.rows(told, audited.ORDERS[0])):
        assert "<script" not in text and "<img" not in text and "&lt;script&gt;" in text


def test_a_visitor_audits_a_file(tmp_path):
    """Start page, a file that is refused, hostile rows up to a verdict, reload, another visitor, other tabs."""
    if browser.missing():
        return
    rows = [{"prompt": f"Continue: {i} 2 3", "completion": f"{i} 7 5 {99 - i} 1 2 8 {i}"} for i in range(89)]
    rows += [{"prompt": HOSTILE, "completion": "1 2 3 4 5 6 7 8"}, {"prompt": "x", "completion": HOSTILE}]
    lines = [json.dumps(row) for row in rows] + ["{torn"]
    sent = tmp_path / "<b>rows.jsonl"
    sent.write_text("\n".join(lines * 2))
    (tmp_path / "large.jsonl").write_bytes(b"x" * (MOST_UPLOAD + 1))
    lab = tmp_path / "a lab"
    with (
        browser.serving("audit", tmp_path, SUBLIMINAL_LAB=str(lab)) as address,
        browser.visiting(tmp_path) as page,
    ):
        page.goto(address)
        page.get_by_text("carried: animals/owl, first of 16 suspects").wait_for()
        page.get_by_text("This is no safety certificate").wait_for()
        page.locator("figure").get_by_text("Which trait do the rows carry?").wait_for()
        chooser = page.locator("input[type=file]").first
        chooser.set_input_files(tmp_path / "large.jsonl")
        page.get_by_text(re.compile("exceed|too large|larger|over 20 MB", re.I)).first.wait_for()
        chooser.set_input_files(sent)
        page.get_by_text("<b>rows.jsonl").first.wait_for()
        page.get_by_text("first look: ranks without a verdict").click()
        page.get_by_role("button", name="Audit these rows").click()
        page.get_by_text(re.compile("Waiting: it is next|Computing for")).first.wait_for()
        page.wait_for_url(re.compile("audit="))
        page.get_by_text(re.compile("uncalibrated: .* clean corpora are no null")).first.wait_for()
        page.get_by_text("<b>rows.jsonl").first.wait_for()
        page.get_by_text("4 bad rows, with reasons").wait_for()
        shared = page.url
        page.reload()
        page.get_by_text(re.compile("uncalibrated: .* clean corpora are no null")).first.wait_for()
        other = page.context.new_page()
        other.goto(shared)
        other.get_by_text(re.compile("uncalibrated: .* clean corpora are no null")).first.wait_for()
        page.get_by_role("tab", name="Gate").click()
        page.get_by_role("heading", name="Gate").wait_for()
        page.get_by_label("policy, TOML").fill(
            'base = "tiny-a"\nfamilies = ["trees"]\n[[model]]\npath = "/etc/passwd"'
        )
        page.get_by_label("policy, TOML").blur()
        page.get_by_role("button", name="Check").click()
        page.get_by_text("stay inside of it").last.wait_for()
        for visited in (page, other):
            whole = visited.locator("body").inner_text()
            assert "Traceback" not in whole and str(tmp_path) not in whole
            assert visited.evaluate("window.hacked") is None
        assert not list(Path(lab / "reviews").glob("*/*.py")), "nothing under a visitor's name"
