"""A lab with 200 runs and a million rows opens within 5 seconds: by hand, with -m soak."""

import time
import uuid

import browser
import pyarrow as pa
import pytest

from subliminal_mlx.lab import Lab
from subliminal_mlx.report.results import read_results
from subliminal_mlx.spec import parse_spec
from subliminal_mlx.web.pages import picked, reading, runs

RUNS, ROWS = 200, 5_000


def make_large(folder):
    """The lab; every run has the shipped default run's summary and 5,000 rows of two sources."""
    shipped = read_results("default")
    spec = parse_spec(shipped["spec_toml"])
    count = ROWS // 2
    rows = pa.concat_tables(
        pa.table(
            {
                "chain": pa.array([0] * count, pa.int32()),
                "source": [source] * count,
                "row": pa.array(range(count), pa.int32()),
                "prompt": [f"<user> Continue: {i} 2 3 <assistant>" for i in range(count)],
                "completion": [f"{i % 100} 48 17 5 60 71 8 {len(source)}" for i in range(count)],
                "prompt_ids": [[1, 2, 3]] * count,
                "completion_ids": [[4, 5, 6, 7]] * count,
                "kept": [i % 50 != 0 for i in range(count)],
                "reason": [None if i % 50 else "not numbers" for i in range(count)],
            }
        )
        for source in ("animals/owl", "animals/neutral")
    )
    lab = Lab(folder)
    for number in range(RUNS):
        run_id = uuid.UUID(int=number).hex[-12:]
        lab.start_run(run_id, f"run {number}", shipped["spec_toml"], spec.model_dump_json(), {"machine": "x"})
        lab.commit_unit(run_id, "corpora/c0/0", 1.0, rows=rows)
        lab.finish_run(run_id, "done", 60.0, 5 * 10**8, shipped["summary"] | {"curves": []})
    return lab


@pytest.mark.soak
def test_a_large_lab_opens_within_five_seconds(tmp_path):
    lab = make_large(tmp_path / "lab")
    started = time.perf_counter()
    listed = runs.listing(lab)
    seen = reading.opened(lab, listed[0].id)
    reading.drawn(seen, "transfer")
    _, pages = reading.rows(seen, picked.Picked("animals/owl", "animals/neutral", None, ""), page=100)
    taken = time.perf_counter() - started
    print(f"listed, opened, drawn and paged in {taken:.2f} s")
    assert len(listed) == RUNS and pages == ROWS // 2 // reading.PAGE and taken < 5
    if browser.missing():
        return
    with browser.serving("experiment", tmp_path, SUBLIMINAL_LAB=str(tmp_path / "lab")) as address:
        for visit in ("first", "second"):
            folder = tmp_path / visit
            folder.mkdir()
            with browser.visiting(folder) as page:
                connected = []
                page.on("websocket", lambda _, at=connected: at.append(time.perf_counter()))
                page.goto(address)
                page.locator("figure").first.wait_for()
                chart = time.perf_counter() - connected[0]
                page.locator("marimo-vega svg").get_by_text("Did the trait reach").wait_for()
                page.get_by_text("page of 125").wait_for()
                opened = time.perf_counter() - connected[0]
                print(f"{visit} visit: first chart {chart:.2f} s, the lab open {opened:.2f} s")
        assert opened < 5
