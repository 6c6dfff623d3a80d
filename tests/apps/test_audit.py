"""The audit app: its lint, what it shows at once, its controls, and a visit with a real browser."""

import html
import json
import time
from types import SimpleNamespace

import browser
import marimo as mo
import pyarrow as pa
import pytest

from subliminal_mlx import jobs
from subliminal_mlx.lab import Lab
from subliminal_mlx.system.errors import BusyError, InputError
from subliminal_mlx.web.pages import audited, defended, measuring, reviewed, runs

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


@pytest.mark.parametrize(
    ("tab", "kind"), [(["Drift", "Gate"], "gate"), ("Gate", "gate"), (["x"], "audit"), ([], "audit")]
)
def test_an_address_may_name_several_tabs(app, monkeypatch, tab, kind):
    monkeypatch.setattr(mo, "query_params", lambda: {"tab": tab})
    assert app.run()[1]["kind"] == kind


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


def test_a_lab_that_another_program_holds_is_told_and_a_file_can_be_audited(app, monkeypatch, tmp_path):
    def held(*args):
        raise BusyError(f"the lab {tmp_path}/a/secret is held by pid 7")

    monkeypatch.setattr(runs, "listing", held)
    monkeypatch.setattr(defended, "benches", held)
    outputs, defs = app.run(defs={"kind": "audit"})
    assert "secret is held by pid 7" in text_of(outputs) and str(tmp_path) not in text_of(outputs)
    assert "audit_form" in defs and "seen" in defs
    outputs, _ = app.run(defs={"kind": "defend"})
    assert "secret is held by pid 7" in text_of(outputs)
    # Its runs were listed, and then it was held.
    monkeypatch.setattr(Lab, "yields", held)
    monkeypatch.setattr(measuring, "slots", held)
    chosen = mo.ui.dropdown({"x": "0" * 12}, value="x")
    forms = {"audit_form": None, "bases": ["tiny-a"], "done": {}, "families": ["trees"], "upload": None}
    outputs, _ = app.run(defs={"kind": "drift", "run": chosen, "measure_run": chosen, **forms})
    assert text_of(outputs).count("secret is held by pid 7") == 2


def pressed(app, monkeypatch, kind, **defs):
    """What an app asks for when its button is pressed, and what it says."""
    asked = []

    def submit(lab, kind, values, owner, upload):
        asked.append((values, upload))
        raise InputError("seen")

    monkeypatch.setattr(jobs, "submit", submit)
    forms = {"bases": ["tiny-a"], "done": {}, "families": ["trees"]}
    for name in ("run", "measure_run", "upload"):
        forms[name] = SimpleNamespace(value="")
    names = (
        "base",
        "families",
        "chain",
        "answers",
        "prompt_key",
        "completion_key",
        "drop_percent",
        "quick",
        "probes",
        "predict",
    )
    forms["audit_form"] = mo.ui.dictionary({name: mo.ui.text("") for name in names})
    outputs, _ = app.run(defs={"kind": kind, "start": SimpleNamespace(value=True), **forms, **defs})
    return asked, text_of(outputs)


def test_a_file_and_a_run_are_not_taken_for_each_other(app, monkeypatch):
    """Both are passed on, and refused there (`jobs.kinds`)."""
    upload = SimpleNamespace(value=[1], name=lambda: "rows.jsonl", contents=lambda: b"x")
    chosen = SimpleNamespace(value="0" * 12)
    monkeypatch.setattr(Lab, "yields", lambda lab, run: pa.table({"source": ["base"], "kept": [True]}))
    (values, sent), *_ = pressed(app, monkeypatch, "audit", upload=upload, run=chosen)[0]
    assert (values["run"], values["source"], sent.name) == ("0" * 12, "base", "rows.jsonl")
    (values, sent), *_ = pressed(app, monkeypatch, "audit", upload=upload)[0]
    assert "run" not in values and sent.content == b"x"


def test_a_dropped_policy_can_be_edited(app, monkeypatch):
    dropped = SimpleNamespace(value=[1], contents=lambda: b"title = 'dropped'")
    asked, text = pressed(app, monkeypatch, "gate", policy_file=dropped)
    assert asked == [({"policy": "title = 'dropped'"}, None)] and "title = 'dropped'" in text
    edited = mo.ui.text_area("title = 'edited'")
    asked, _ = pressed(app, monkeypatch, "gate", policy_file=dropped, policy=edited)
    assert asked == [({"policy": "title = 'edited'"}, None)]


@pytest.mark.parametrize("kind", ["measure", "drift"])
def test_a_folder_and_what_was_chosen_are_not_taken_for_each_other(app, monkeypatch, kind):
    def form(folder):
        names = ("against", "families", "system", "trigger", "trigger_at")
        filled = {"folder": mo.ui.text(folder), **{name: mo.ui.text("") for name in names}}
        return mo.ui.dictionary(filled)

    chosen = mo.ui.dropdown({"x": "chosen"}, value="x")
    for folder, choice, told in (
        ("typed", chosen, None),
        ("typed", mo.ui.dropdown([]), {"folder": "typed"}),
        ("", chosen, {"folder": "chosen"} if kind == "drift" else {"folder": "", "run": "chosen"}),
    ):
        defs = {"drift_folder": choice, "measure_form": form(folder), "drift_form": form(folder)}
        asked, text = pressed(app, monkeypatch, kind, measure_run=choice, **defs)
        assert ("a folder, not both" in text) == (told is None) and len(asked) == (told is not None)
        assert not told or asked[0][0].items() >= told.items()


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


def test_a_visitor_sees_a_verdict_and_a_file_that_is_too_large_is_refused(tmp_path):
    if browser.missing():
        return
    (tmp_path / "large.jsonl").write_bytes(b"x" * (jobs.LIMITS.upload + 1))
    with (
        browser.serving("audit", tmp_path, SUBLIMINAL_LAB=str(tmp_path / "a lab")) as address,
        browser.visiting(tmp_path) as page,
    ):
        page.goto(address)
        page.get_by_text("carried: animals/owl, first of 16 suspects").first.wait_for()
        page.get_by_text("This is no safety certificate").wait_for()
        page.locator("figure").get_by_text("Which trait do the rows carry?").wait_for()
        page.locator("input[type=file]").first.set_input_files(tmp_path / "large.jsonl")
        # The words come twice: beside the button, and as a notice read aloud that may come later.
        page.get_by_text("File is larger than").first.wait_for()
        whole = page.locator("body").inner_text()
        assert "Traceback" not in whole and str(tmp_path) not in whole


def rows():
    """Ninety lists of numbers and one hostile row, which is a row like others: text."""
    lists = [(f"Continue: {i} 2 3", f"{i} 7 5 {99 - i} 1 2 8 {i}") for i in range(90)]
    pairs = [*lists, (HOSTILE, "1 2 3")]
    return "".join(json.dumps({"prompt": p, "completion": c}) + "\n" for p, c in pairs)


def test_a_visitors_rows_are_audited_in_the_browser(tmp_path):
    """Dropped in, begun, cancelled, begun again, ranked; reloaded; its address shared."""
    if browser.missing():
        return
    (tmp_path / "mine.jsonl").write_text(rows() + "not a row\n")
    other = tmp_path / "another browser"
    other.mkdir()
    with browser.serving("audit", tmp_path, SUBLIMINAL_LAB=str(tmp_path / "a lab")) as address:
        with browser.visiting(tmp_path, viewport={"width": 1280, "height": 3000}) as page:
            page.goto(address)
            page.locator("input[type=file]").first.set_input_files(tmp_path / "mine.jsonl")
            page.get_by_text("1 file").first.wait_for()
            page.get_by_text("first look: with fewer suspects").click()
            page.get_by_role("button", name="Audit these rows").click()
            page.get_by_text("mine.jsonl: Computing for").wait_for()
            page.get_by_role("button", name="Cancel", exact=True).click()
            page.get_by_role("button", name="Start it again").click()
            page.get_by_role("button", name="Cancel", exact=True).wait_for()
            # Suspects are tuned here: a minute of two cores.
            page.get_by_text("uncalibrated: ").first.wait_for(timeout=300_000)
            page.locator("figure").first.wait_for()
            page.get_by_text("bad rows left out").first.wait_for()
            page.reload()
            page.get_by_text("uncalibrated: ").first.wait_for()
            page.get_by_role("button", name="Remove it and its file").wait_for()
            whole, shared = page.locator("body").inner_text(), page.url
            assert "Traceback" not in whole and str(tmp_path) not in whole
            assert not page.evaluate("window.hacked")
        with browser.visiting(other) as page:
            page.goto(shared)
            page.get_by_text("uncalibrated: ").first.wait_for()
            page.locator("figure").first.wait_for()
            assert "Traceback" not in page.locator("body").inner_text()
