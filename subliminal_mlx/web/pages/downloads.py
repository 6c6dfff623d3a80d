"""What a visitor takes away from a finished run: its rows, its figures, its charts, the offline report.

    table_csv(seen); rows_file(seen, "parquet"); chart_file(chart, "png"); report(seen)

All of it is made when it is asked for.
"""

import io
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ...report import charts, write_report
from ...report.results import table_csv as _table_csv
from ...system.errors import InputError
from .reading import Opened

LARGEST_ROWS = 2_000_000


def table_csv(seen: Opened) -> bytes:
    """Every arm of every trait: the table of the results."""
    return _table_csv(seen.summary["traits"]).encode()


def rows_file(seen: Opened, suffix: str) -> bytes:
    """All rows of the run, kept and dropped with reasons, as "csv" or "parquet".

    In CSV a text that a spreadsheet would compute has a ' before it; Parquet holds every text as it is.

    Raises:
        InputError: another suffix, or more rows than a browser should be sent.
    """
    import pyarrow.csv
    import pyarrow.parquet

    if suffix not in ("csv", "parquet"):
        raise InputError(f"rows as {suffix!r:.20}: there are csv and parquet")
    if (count := sum(seen.yields["rows"].to_pylist())) > LARGEST_ROWS:
        raise InputError(f"{count:,} rows are too many for a browser: `export {seen.id}` writes them")
    found = seen.lab.rows(seen.id)
    into = io.BytesIO()
    if suffix == "parquet":
        pyarrow.parquet.write_table(found, into, compression="zstd")
    else:
        pyarrow.csv.write_csv(as_text(found.drop_columns(["prompt_ids", "completion_ids"])), into)
    return into.getvalue()


def as_text(table: pa.Table) -> pa.Table:
    """The table with a ' before every text that a spreadsheet would take for a formula; numbers stay numbers."""
    for at, field in enumerate(table.schema):
        if not (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)):
            continue
        column = table.column(at)
        formula = pc.and_not(
            pc.match_substring_regex(column, r"^[=+\-@\t\r]"),
            pc.match_substring_regex(column, r"^[+\-]?[0-9]+(\.[0-9]+)?$"),
        )
        marked = pc.binary_join_element_wise(pa.scalar("'", field.type), column, pa.scalar("", field.type))
        table = table.set_column(at, field, pc.if_else(formula, marked, column))
    return table


def chart_file(chart: charts.AnyChart, suffix: str) -> bytes:
    """A chart as "png" or "svg".

    Raises:
        InputError: another suffix.
    """
    if suffix not in ("png", "svg"):
        raise InputError(f"chart as {suffix!r:.20}: there are png and svg")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"chart.{suffix}"
        charts.save(chart, path)
        return path.read_bytes()


def report(seen: Opened) -> bytes:
    """The offline page of the run."""
    lab, rows = seen.lab, []
    for source in seen.sources:
        for kept in (True, False):
            rows += lab.rows(seen.id, source=source, kept=kept, limit=5).to_pylist()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        write_report(path, seen.run, rows, seen.yields, lab.metrics(seen.id))
        return path.read_bytes()
