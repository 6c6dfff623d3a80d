"""A run's corpora and adapters in the formats that others read.

    export(lab, run_id, Path("out"))       # corpora/*.jsonl and *.parquet, adapters/*, spec.toml, summary.json,
                                           # personas.json where teachers are prompted

JSONL rows are chat messages, as mlx-lm's trainer takes them, with the row's fate beside them. Beside
every adapter and every corpus lies what stands behind it, with its hashes: `lineage` reads that back.
"""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from ..experiment.channels import prompt_texts
from ..lab import Lab, provenance
from ..lab.database import one_line_errors
from ..lab.identity import own_spec
from ..lab.lineage import Tracer
from ..pipeline.outcome import renewed_run
from ..spec.plan import plain
from ..system.errors import InputError
from ..system.files import publish


def export(lab: Lab, run_id: str, folder: Path) -> list[Path]:
    """Write everything of a finished run into a new folder; it appears whole or not at all.

    Returns:
        What was written, relative to the folder.

    Raises:
        InputError: the folder exists or cannot be made, or the run is not done.
        MachineError: the disk is full, or an adapter was changed.
    """
    run = renewed_run(lab, run_id)
    if run is None or run["status"] != "done":
        raise InputError(f"run {run_id} is not done: `resume {run_id}` first")
    if folder.exists():
        raise InputError(f"{folder} exists: name a folder that does not")
    with one_line_errors(folder):
        publish(folder, lambda target: _write_files(lab, run_id, run, target))
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def _write_files(lab: Lab, run_id: str, run: dict, target: Path) -> None:
    (target / "corpora").mkdir(parents=True)
    (target / "spec.toml").write_text(run["spec_toml"])
    (target / "summary.json").write_text(json.dumps(run["summary"], indent=2) + "\n")
    (target / "provenance.json").write_text(
        json.dumps({"run": run_id, "environments": run["environments"]}, indent=2)
    )
    spec, tracer = own_spec(run["spec_toml"], run_id), Tracer(lab, run_id)
    texts = [prompt_texts(spec, chain) for chain in range(spec.chains)]
    for source in sorted(set(lab.yields(run_id)["source"].to_pylist())):
        table = lab.rows(run_id, source=source)
        stem = plain(source).replace("/", "-")
        pq.write_table(table, target / "corpora" / f"{stem}.parquet")
        with open(target / "corpora" / f"{stem}.jsonl", "x") as file:
            for row in table.select(["chain", "row", "completion", "kept", "reason"]).to_pylist():
                user = {"role": "user", "content": texts[row["chain"]][row["row"]]}
                assistant = {"role": "assistant", "content": row.pop("completion")}
                file.write(json.dumps({"messages": [user, assistant], "source": source, **row}) + "\n")
        written = [target / "corpora" / f"{stem}{suffix}" for suffix in (".jsonl", ".parquet")]
        provenance.write_record(
            target / "corpora" / f"{stem}{provenance.SUFFIX}", tracer.record(source), written
        )
    if personas := run["summary"].get("personas"):
        # Prompted teachers have no adapters: what they were told is all that they are.
        (target / "personas.json").write_text(json.dumps(personas, indent=2, ensure_ascii=False) + "\n")
    for slot in lab.adapters(run_id):
        folder = target / "adapters" / slot.replace("/", "-")
        shutil.copytree(lab.adapter(run_id, slot), folder)
        provenance.write_record(folder / provenance.NAME, tracer.record(slot), sorted(folder.iterdir()))
