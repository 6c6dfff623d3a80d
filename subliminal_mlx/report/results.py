"""Results that are small enough to ship: what README and apps show of a finished run.

    write_results(lab, run_id, Path("data/results/all"))     # spec, summary, table, charts
    read_results("all")["summary"]

A folder holds `spec.toml`, `summary.json` (traits, families, matrix, distributions; no rows),
`table.csv`, the charts as SVG and PNG, and `readouts.parquet` and `capability.parquet`: what every model said after its
last step, of which the summary can be made again (`read_tables`); earlier versions kept no such tables. Of a defence bench
there are `defences.csv` and its chart too, with what they show under "defences" in the summary.
"""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..experiment.readouts import IN_COMMON, readouts
from ..experiment.readouts.candidates import CANDIDATES
from ..experiment.readouts.capability import CAPABILITY
from ..model.organisms import is_called_organism
from ..spec import parse_spec
from ..spec.arms import TREATED
from ..system.errors import InputError
from ..system.files import DATA, publish

if TYPE_CHECKING:  # who reads shipped results needs no database
    import pyarrow as pa

    from ..lab import Lab

FOLDER = DATA / "results"
CHARTS = ("transfer", "traits", "matrix")
WRITTEN = (".toml", ".json", ".csv", ".svg", ".png")
TABLES = (CANDIDATES.name, CAPABILITY.name)  # readouts that a summary's estimates are made of
COLUMNS = ("trait", "student", "arm", "chains", "probability", "margin", "transfer", "low", "high")
DEFENCES = (
    *("student", "arm", "defence", "control", "chains", "transfer", "low", "high"),
    *("share", "share_low", "share_high", "specificity"),
    *("specificity_share", "specificity_share_low", "specificity_share_high"),
    *("rows_lost", "tokens_lost", "clean_loss", "clean_added", "clean_added_low", "clean_added_high"),
)
# Of the treated arm alone, and of no other.
OWN = (
    *("specificity", "specificity_low", "specificity_high"),
    *("over_control", "over_control_low", "over_control_high"),
    *("place", "of", "shown", "why_not"),
)


def write_results(lab: "Lab", run_id: str, folder: Path, unfinished: bool = False) -> None:
    """Write a finished run's results into `folder`, replacing what stands there.

    Args:
        unfinished: of a run that is not done, take the chains that are; the summary says how many.

    Raises:
        InputError: the run is not done, or no chain of it is, or the folder holds something else.
    """
    from ..pipeline.outcome import renewed_run, so_far

    run, chains = renewed_run(lab, run_id), None
    if run is None or run["status"] != "done":
        if run is not None and unfinished:
            chains, _, summary = so_far(lab, run_id)
            run |= {"summary": summary, "chains_done": chains}
        if not chains:
            raise InputError(f"run {run_id} is not done: `resume {run_id}` first")
    if folder.exists() and not _holds_results(folder):
        # A whole export has a summary.json too, beside its rows and adapters.
        raise InputError(f"{folder} exists and holds no results, or more than that: name another folder")
    defended: list[dict[str, Any]] = []
    if parse_spec(run["spec_toml"]).defences:
        from ..defences import bench

        defended = bench.report(lab, run_id)

    def write(target: Path) -> None:
        _write_results(run, _yields(lab, run_id, chains), defended, target)
        for name in TABLES:
            _write_last_steps(lab.table(run_id, name), chains, target / f"{name}.parquet")

    publish(folder, write)


def _holds_results(folder: Path) -> bool:
    """Whether a folder is what `write` makes, and nothing else: it is replaced whole."""
    if not (folder / "summary.json").exists() or not (folder / "table.csv").exists():
        return False
    tables = [f"{name}.parquet" for name in TABLES]
    return all(
        path.is_file() and (path.suffix in WRITTEN or path.name in tables) for path in folder.iterdir()
    )


def read_results(name: str) -> dict[str, Any]:
    """The shipped results of that name: run, seconds, environment, spec_toml, summary, yields.

    Raises:
        InputError: no such results; names those there are.
    """
    if name not in names():
        raise InputError(f"no results {name!r}: there are {', '.join(names()) or 'none'}")
    return json.loads((FOLDER / name / "summary.json").read_text()) | {
        "spec_toml": (FOLDER / name / "spec.toml").read_text()
    }


def read_tables(name: str) -> "dict[str, pa.Table]":
    """What every model of those results said after its last step, by the readout's name; empty of earlier versions."""
    import pyarrow.parquet as pq

    paths = {table: FOLDER / name / f"{table}.parquet" for table in TABLES}
    return {table: pq.read_table(path) for table, path in paths.items() if path.exists()}


def names() -> list[str]:
    """Names of all shipped results."""
    return sorted(path.parent.name for path in FOLDER.glob("*/summary.json"))


def real() -> list[str]:
    """Shipped results of real language models, those that rest on most chains first, then on most traits."""
    specs = {name: parse_spec((FOLDER / name / "spec.toml").read_text(), where=name) for name in names()}
    found = [name for name, s in specs.items() if not is_called_organism(s.base) and not s.defences]
    return sorted(found, key=lambda name: (-specs[name].chains, -len(specs[name].traits), name))


def chart(name: str, which: str) -> str:
    """A shipped chart as an SVG document: "transfer", "traits" or "matrix" of the results of that name.

    Raises:
        InputError: no such results or chart.
    """
    if name not in names() or which not in CHARTS:
        raise InputError(f"no chart {which!r} of {name!r}: results have {', '.join(CHARTS)}")
    return (FOLDER / name / f"{which}.svg").read_text(encoding="utf-8")


def table_csv(entries: list[dict[str, Any]]) -> str:
    """A Summary's traits as CSV: a line for every arm of every trait and kind of student."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *OWN])
    for entry in entries:
        own = {name: _rounded(entry[name]) for name in OWN} | {"why_not": " ".join(entry["why_not"])}
        for arm, figures in entry["arms"].items():
            row = {"trait": entry["trait"], "student": entry["student"], "arm": arm, **figures}
            beside = own.values() if arm == TREATED else [""] * len(OWN)
            writer.writerow([*(_rounded(row[name]) for name in COLUMNS), *beside])
    return text.getvalue()


def _yields(lab: "Lab", run_id: str, chains: int | None = None) -> list[dict[str, Any]]:
    """Rows by source, kept or dropped, and reason, over all chains, or the first so many."""
    counts: dict[tuple, int] = {}
    for row in lab.yields(run_id).to_pylist():
        if chains is not None and row["chain"] >= chains:
            continue
        key = (row["source"], row["kept"], row["reason"])
        counts[key] = counts.get(key, 0) + row["rows"]
    return [{"source": s, "kept": k, "reason": r, "rows": n} for (s, k, r), n in counts.items()]


def _write_results(
    run: dict[str, Any], yields: list[dict[str, Any]], defended: list[dict[str, Any]], target: Path
) -> None:
    from . import charts

    target.mkdir()
    (target / "spec.toml").write_text(run["spec_toml"])
    told = ("id", "title", "seconds", "peak_memory_bytes", "environments", "chains_done")
    kept = {key: run[key] for key in told if key in run}
    summary = {
        **{name: run["summary"][name] for name in ("families", "matrix", "distributions")},
        **{
            name: run["summary"][name]
            for name in (*readouts(), IN_COMMON, "personas")
            if name in run["summary"]
        },
        "traits": [
            {key: value for key, value in entry.items() if key != "by_question"}
            for entry in run["summary"]["traits"]
        ],
    }
    (target / "summary.json").write_text(
        json.dumps(_rounded(kept | {"summary": summary, "yields": yields} | _defences(defended))) + "\n"
    )
    (target / "table.csv").write_text(table_csv(run["summary"]["traits"]))
    for name in (*CHARTS, *(["giveaway"] if run["summary"].get("giveaway") else [])):
        drawn = getattr(charts, name)(run["summary"])
        for suffix in ("svg", "png"):
            charts.save(drawn, target / f"{name}.{suffix}")
    if defended:
        (target / "defences.csv").write_text(_csv(DEFENCES, defended))
        for suffix in ("svg", "png"):
            charts.save(charts.defences(defended), target / f"defences.{suffix}")


def _write_last_steps(table: "pa.Table", chains: int | None, path: Path) -> None:
    """The rows of each model's last step, numbers in single precision, of the first `chains` chains or of all."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if chains is not None:
        table = table.filter(pc.less(table["chain"], chains))
    last = table.group_by("slot").aggregate([("step", "max")]).rename_columns(["slot", "last"])
    table = table.join(last, "slot", "slot")
    table = table.filter(pc.equal(table["step"], table["last"])).drop_columns(["last"])
    table = table.sort_by([(column, "ascending") for column in table.column_names if column != "logp"])
    floats = [
        field.with_type(pa.float32()) if pa.types.is_floating(field.type) else field for field in table.schema
    ]
    pq.write_table(table.cast(pa.schema(floats)), path, compression="zstd", compression_level=9)


def _defences(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"defences": rows} if rows else {}


def _csv(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_rounded(row.get(name)) for name in columns] for row in rows)
    return text.getvalue()


def _rounded(value: Any) -> Any:
    """Five significant digits: more would be noise, and a larger file."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list) else value
