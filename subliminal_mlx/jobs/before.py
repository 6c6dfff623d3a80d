"""Jobs as labs had them before every kind had the same record: LAB/queue/RUN.json, LAB/reviews/ID/review.json.

    names(lab); read(lab, job_id)        # a job's fields, or None

They are read where they lie, and one that changes is written as jobs are now: finished ones keep their addresses, and
those that waited are taken when somebody comes who may start jobs. A lab without these folders never gets here.
"""

from pathlib import Path
from typing import Any

from ..system import files, locks

QUEUE, REVIEWS = "queue", "reviews"
KILLED = "its process was killed, as when memory runs out: start it again, and it goes on where it was"


def roots(lab: Path) -> list[Path]:
    """The folders in which such jobs lie."""
    return [lab / name for name in (QUEUE, REVIEWS)]


def folder(lab: Path, job_id: str) -> Path:
    """Where a review's files are, if it is one."""
    return lab / REVIEWS / job_id


def names(lab: Path) -> set[str]:
    """Names that may be ids of such jobs."""
    queue, reviews = ([*root.iterdir()] if root.is_dir() else [] for root in roots(lab))
    return {path.stem for path in queue if path.suffix == ".json"} | {path.name for path in reviews}


def read(lab: Path, job_id: str) -> dict[str, Any] | None:
    """Fields of `books.Job`; None where there is no such job, or its file is none of ours."""
    told = [(lab / QUEUE / f"{job_id}.json", _of_run), (folder(lab, job_id) / "review.json", _of_review)]
    for path, fields in told:
        try:
            return fields(files.read_object(path), path)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _of_run(found: dict[str, Any], path: Path) -> dict[str, Any]:
    run_id, spec = found.pop("run_id"), found.pop("spec_toml")
    return found | {"id": run_id, "kind": "run", "values": {"spec": spec}}


def _of_review(found: dict[str, Any], path: Path) -> dict[str, Any]:
    created = found["created"]
    state, message = found["state"], found["message"]
    if state == "queued" and locks.holder(path.with_name("lock")):
        state = "running"
    elif state == "queued" and found["cancelled"]:
        state = "cancelled"
    elif state == "queued" and path.with_name("progress.json").exists():
        state, message = "interrupted", KILLED
    told = {"state": state, "message": message, "number": int(1e9 * created)}
    return found | told | {"is_long": found["kind"] == "audit", "cancelled": created * found["cancelled"]}
