"""The digits app: its lint, its reactions to sliders, forged values, and one visit with a real browser."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import marimo as mo
import pytest

APP = Path(__file__).parent.parent / "apps" / "digits.py"
HOW_TO_INSTALL = (
    "no browser test: `apt-get install chromium` (or Google Chrome) and `uv pip install playwright` first"
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# Two slow cores hydrate a page in 10 s and may be busy with something else.
PATIENCE = 120


@pytest.fixture(scope="module")
def app():
    spec = importlib.util.spec_from_file_location("digits_app", APP)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


def slider(value):
    """A slider that stands at `value`, as the app's own would after a visitor moved it."""
    return mo.ui.slider(value, value + 1, value=value)


SMALL = {"noise": slider(500), "width": slider(16), "epochs": slider(1)}


def text_of(outputs):
    return "\n".join(output.text for output in outputs if hasattr(output, "text"))


def test_the_app_is_clean():
    done = subprocess.run(
        [sys.executable, "-m", "marimo", "check", "--strict", str(APP)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


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
    assert (spec["noise"], spec["width"], spec["epochs"]) == (500, 16, 1)
    assert set(defs["found"]["arms"]) >= {"student", "other initialisation", "shuffled logits"}
    assert defs["one"]["step"] == 10 and defs["one"]["against_count"] > 0
    assert "computed live" in text_of(outputs)


def test_forged_values_are_refused_with_their_names(app):
    outputs, defs = app.run(defs=SMALL | {"distance": slider(99.0), "step": slider(-1.0)})
    told = [output.text for output in outputs if "danger" in getattr(output, "text", "")]
    assert len(told) == 2 and "distance" in told[0] and "steps" in told[1]
    assert not {"asked", "found", "one"} & set(defs), "nothing was computed from them"


def browser():
    """A Chromium's path where it and playwright are installed."""
    there = importlib.util.find_spec("playwright") is not None
    return (shutil.which("chromium") or shutil.which("google-chrome")) if there else None


@pytest.fixture
def server(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "marimo", "-q", "run", str(APP), "--headless", "--no-token"]
    address = f"http://127.0.0.1:{port}"
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log)
    try:
        for _ in range(PATIENCE * 5):
            assert process.poll() is None, (tmp_path / "log").read_text()
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5)
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_a_visitor_moves_a_slider_and_reads_the_answer(request, tmp_path):
    if not (path := browser()):
        if os.environ.get("CI"):
            pytest.fail(HOW_TO_INSTALL, pytrace=False)
        print(HOW_TO_INSTALL)
        return
    address = request.getfixturevalue("server")
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path / "profile"), executable_path=path, args=list(FLAGS), headless=True
        )
        try:
            page = context.new_page()
            page.set_default_timeout(1_000 * PATIENCE)
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
        finally:
            context.close()
