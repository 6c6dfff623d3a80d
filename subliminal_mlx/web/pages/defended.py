"""Defence benches as a page shows them: those that ship, and the lab's own finished ones.

for bench in benches(lab): bench.id, bench.label
rows, svg = shipped("defences")                  # a lab's: background.do("defended", lab=..., run_id=...)
"""

import re
from typing import Any

from ...lab import Lab
from ...report import results
from ...report.public import without_folders
from ...report.tables import table, text
from ...report.words import estimate, number, typeset
from ...system.errors import InputError
from ...system.quantities import NATS_DIGITS, percent, percent_interval
from .reviewed import Listed

_RUN = re.compile(r"[0-9a-f]{12}")


def benches(lab: Lab) -> list[Listed]:
    """The lab's benches, newest first, then what ships."""
    own = []
    for run in lab.glance() if lab.exists else []:
        if run["status"] == "done" and run["defences"]:
            own.append(
                Listed(run["id"], f"{run['id']} · {without_folders(run['title'] or '')[:70]} · in the lab")
            )
    told = {name: results.read_results(name) for name in results.names()}
    found = [
        Listed(name, f"Shipped · {name} · {one['title']}") for name, one in told.items() if "defences" in one
    ]
    return own + found


def is_run(bench: str) -> bool:
    """Whether it is a run of the lab rather than one that ships."""
    return bool(_RUN.fullmatch(bench))


def shipped(name: str) -> tuple[list[dict[str, Any]], str]:
    """A shipped bench's rows and its chart as SVG.

    Raises:
        InputError: no such bench.
    """
    found = results.read_results(name)
    if "defences" not in found:
        raise InputError(f"{name!r:.40} is no defence bench")
    return found["defences"], (results.FOLDER / name / "defences.svg").read_text(encoding="utf-8")


def left(rows: list[dict[str, Any]]) -> str:
    """Transfer left and cost of every defence, each above its random control."""
    head = ["student", "defence", "transfer left", "95% interval", "transfer, log-odds"]
    head += ["rows lost", "tokens lost", "clean loss added, nats a token"]
    body = []
    for row in rows:
        name = "none" if row["defence"] == "none" else row["arm"]
        name = f"<span style='opacity:0.65'>{text(name)}</span>" if row["control"] else f"<b>{text(name)}</b>"
        sure = typeset(percent_interval(row["share_low"], row["share_high"], 0))
        moved = estimate(row["transfer"], row["low"], row["high"])
        added = "" if row["defence"] == "none" else number(row["clean_added"], NATS_DIGITS)
        body.append(
            [
                *(text(row["student"]), name, _percent(row["share"]), sure, moved),
                *(_percent(row["rows_lost"]), _percent(row["tokens_lost"]), added),
            ]
        )
    return table(head, body, words=2)


def sentence(rows: list[dict[str, Any]]) -> str:
    """What stops most, and what its control of the same size does."""
    some = [
        row for row in rows if row["share"] is not None and not row["control"] and row["defence"] != "none"
    ]
    if not some:
        return "Nothing has been measured yet."
    best = min(some, key=lambda row: row["share"])
    control = next(
        (
            r
            for r in rows
            if r["control"] and r["defence"] == best["defence"] and r["student"] == best["student"]
        ),
        None,
    )
    words = f"Least is left by {best['arm']}: {_percent(best['share'])} of the transfer of {best['student']} students"
    if control is not None and control["share"] is not None:
        words += f"; its random control, which touches as much, leaves {_percent(control['share'])}"
    return words + "."


def _percent(value: float | None) -> str:
    return typeset(percent(value, 0))
