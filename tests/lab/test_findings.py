"""Results of the digits experiment in a lab, and a lab that is older than their tables."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from old_labs import FIRST

from subliminal_mlx.lab import Lab, schema
from subliminal_mlx.system.errors import InputError

ABOUT = {
    **{"id": "0123456789ab", "kind": "theorem", "version": 1, "seconds": 1.5, "peak_memory_bytes": 1 << 40},
    **{
        "spec": {"steps": [0.1]},
        "data": {"name": "digits; DROP TABLE digits"},
        "environment": {"mlx": "0.32"},
    },
}
DRAWS = pa.table({"draw": [1, 0], "step": [0.1, 0.1], "distance": [0.0, 0.0], "cosine": [None, -0.25]})


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "lab", wait_seconds=20)


def columns(lab: Lab) -> set[tuple[object, ...]]:
    query = "SELECT table_name, ordinal_position, column_name, data_type, is_nullable FROM information_schema.columns"
    with lab._connection(None, write=False) as con:
        return set(con.execute(query).fetchall())


def test_a_result_is_stored_once_and_read_back(lab: Lab) -> None:
    assert lab.digits() == [] and not lab.exists
    assert lab.save_digits(ABOUT, {"digits_steps": DRAWS})
    assert not lab.save_digits(ABOUT | {"seconds": 9.0}, {"digits_steps": DRAWS})
    [found] = lab.digits()
    created = found.pop("created")
    assert found == ABOUT and created.tzinfo
    rows = lab.digits_table(ABOUT["id"], "digits_steps")
    assert rows.column_names == list(schema.DIGITS["digits_steps"])
    assert rows["draw"].to_pylist() == [0, 1] and rows["cosine"].to_pylist() == [-0.25, None]
    assert lab.digits_table("0" * 12, "digits_steps").num_rows == 0 and lab.digits("0" * 12) == []
    assert lab.runs() == []


def test_a_failing_result_leaves_nothing(lab: Lab) -> None:
    with pytest.raises(duckdb.ConstraintException):
        lab.save_digits(ABOUT, {"digits_steps": DRAWS.drop_columns("step")})
    with pytest.raises(ValueError, match=r"digits_steps has no column \['size'\]"):
        lab.save_digits(ABOUT, {"digits_steps": DRAWS.rename_columns(["draw", "size", "distance", "cosine"])})
    assert lab.digits() == [] and lab.digits_table(ABOUT["id"], "digits_steps").num_rows == 0


def test_a_lab_of_the_first_version_becomes_todays(lab: Lab, tmp_path: Path) -> None:
    lab.path.mkdir()
    with duckdb.connect(lab.database) as con:
        con.execute(FIRST)
    assert lab.digits() == [], "read first"
    assert [run["id"] for run in lab.runs()] == ["ba9876543210"], "what it held is there"
    assert lab.save_digits(ABOUT, {"digits_steps": DRAWS})
    new = Lab(tmp_path / "new")
    new.make()
    assert columns(lab) == columns(new) and columns(new)


def test_a_lab_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        Lab(tmp_path / "file").make()
