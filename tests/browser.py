"""What tests of apps share: a server of one app, and a real browser that visits it.

    with browser.serving(APP, tmp_path) as address, browser.visiting(tmp_path) as page:
        page.goto(address)

Where no browser is installed, `missing()` says how to get one; with CI set that fails the test.
"""

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HOW_TO_INSTALL = (
    "no browser test: `apt-get install chromium` (or Google Chrome) and `uv pip install playwright` first"
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# Two slow cores hydrate a page in 10 s and may be busy with something else.
PATIENCE = 120
APPS = Path(__file__).parent.parent / "apps"


def load_app(name: str) -> Any:
    """The marimo app of that name in apps/, as tests run it without a server."""
    spec = importlib.util.spec_from_file_location(f"{name}_app", APPS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


def check(name: str) -> None:
    """Marimo's own lint of the app, at its strictest."""
    command = [sys.executable, "-m", "marimo", "check", "--strict", str(APPS / f"{name}.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def text_of(outputs: Any) -> str:
    """Everything that an app run without a server shows."""
    return "\n".join(output.text for output in outputs if hasattr(output, "text"))


def path() -> str | None:
    """A Chromium's path where it and playwright are installed."""
    there = importlib.util.find_spec("playwright") is not None
    return (shutil.which("chromium") or shutil.which("google-chrome")) if there else None


def missing() -> bool:
    """Whether there is no browser: said in a line, and a failure where CI is set."""
    if path():
        return False
    if os.environ.get("CI"):
        pytest.fail(HOW_TO_INSTALL, pytrace=False)
    print(HOW_TO_INSTALL)
    return True


@contextmanager
def serving(name: str, folder: Path, **environment: str) -> Iterator[str]:
    """The address of a server of the app; ended with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "marimo",
        "-q",
        "run",
        str(APPS / f"{name}.py"),
        "--headless",
        "--no-token",
    ]
    address = f"http://127.0.0.1:{port}"
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], stdout=log, stderr=log, env=os.environ | environment
        )
    try:
        for _ in range(PATIENCE * 5):
            assert process.poll() is None, (folder / "log").read_text()
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


@contextmanager
def visiting(folder: Path, **options: Any) -> Iterator[Any]:
    """A page of a fresh browser; `options` are a playwright context's, such as viewport and color_scheme."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(folder / "profile"), executable_path=path(), args=list(FLAGS), headless=True, **options
        )
        try:
            page = context.new_page()
            page.set_default_timeout(1_000 * PATIENCE)
            yield page
        finally:
            context.close()
