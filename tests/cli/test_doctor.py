"""Kernels against stored values, and a page that says what they mean."""

import json

import pytest
from typer.testing import CliRunner

from subliminal_mlx.__main__ import program as app
from subliminal_mlx.cli import checks
from subliminal_mlx.cli.doctor import page

STORED = json.loads(checks.STORED.read_text())
CHAIN = {
    "seconds": 31.0,
    "peak_memory_bytes": 4e8,
    "traits": ["animals/owl", "animals/cat"],
    "transfer": 0.95,
    **dict.fromkeys(("untrained", "neutral", "control"), 0.08),
    **{"teacher": 0.997, "treated": 0.244},
}


@pytest.fixture(scope="module")
def here():
    return checks.kernels()


@pytest.fixture(scope="module")
def found():
    parts = {"facts": checks.facts(), "parity": checks.parity(STORED["values"], STORED), "chain": CHAIN}
    speed = {"gflops": 100.0, "trained_tokens_per_second": 4e4, "drawn_tokens_per_second": 5e4}
    parts["speed"] = speed
    return parts | {"well": checks.well(parts)}


def test_this_machine_computes_what_is_stored(here):
    rows = checks.parity(here, STORED)
    assert [row["check"] for row in rows] == ["forward", "backward", "draws"] == list(checks.MEANINGS)
    assert all(row["agrees"] for row in rows), rows


@pytest.mark.parametrize("check", ["forward", "backward", "draws"])
def test_a_wrong_kernel_is_seen(check):
    wrong = {name: list(values) for name, values in STORED["values"].items()}
    if check == "draws":
        wrong[check][:10] = ["1 2 3"] * 10
    else:
        wrong[check][5] += 0.05
    rows = {row["check"]: row for row in checks.parity(wrong, STORED)}
    assert [name for name, row in rows.items() if not row["agrees"]] == [check]
    if check != "draws":
        wrong[check][5] = float("nan")
        assert not {row["check"]: row for row in checks.parity(wrong, STORED)}[check]["agrees"]


def test_the_page_says_that_all_is_well_or_what_is_not(found):
    text = page(found)
    assert text.startswith("# subliminal-mlx doctor: well\n") and "| 8.0% | 99.7% | **24.4%** |" in text
    assert "\n| mlx | 0.3" in text and "+0.95 in log-odds" in text
    parity = [row | {"agrees": row["check"] != "backward"} for row in found["parity"]]
    wrong = found | {"parity": parity, "well": False}
    assert page(wrong).startswith("# subliminal-mlx doctor: not well\n")
    assert "does not compute what it should: backward" in page(wrong) and "| **no** |" in page(wrong)
    still = found | {"chain": CHAIN | {"transfer": -0.1}}
    assert not checks.well(still) and "did not move" in page(still | {"well": False})


def test_a_page_names_no_machine_and_keeps_its_tables(found):
    import platform

    facts = found["facts"] | {"processor": "a|b\n# c", "device_info": {"name": "GPU | 1"}}
    text = page(found | {"facts": facts})
    assert "| processor | a/b # c, " in text and "| name | GPU / 1 |" in text
    assert len(platform.node()) < 4 or platform.node() not in text.replace(platform.platform(), "")


def test_the_command_without_the_chain(tmp_path):
    result = CliRunner().invoke(app, ["doctor", "--no-chain", "-o", str(tmp_path / "page.md")])
    assert result.exit_code == 0, result.output
    assert "forward   agrees" in result.output and "verdict   well" in result.output
    assert "Not run" in (tmp_path / "page.md").read_text()


@pytest.mark.soak
def test_the_small_chain_moves_its_teacher_s_way():
    chain = checks.small_chain()
    assert chain["teacher"] > 0.9 and chain["transfer"] > 0.3 and chain["treated"] > chain["control"] + 0.05
