"""The lab's runs as a page lists them, and which one a visitor means.

for run in listing(lab): run.id, run.state, run.label
asked(query.get("run"), runs)
"""

import re
from dataclasses import dataclass
from typing import Any

from ... import jobs
from ...lab import Lab
from ...report.public import without_folders


@dataclass(frozen=True)
class Listed:
    """A run in a list."""

    id: str
    state: str
    title: str
    base: str
    chains: int | None

    @property
    def label(self) -> str:
        """What a list shows; every run has another."""
        words = [self.id, self.state, self.title[:70]]
        return " · ".join(word for word in words if word)


def listing(lab: Lab) -> list[Listed]:
    """All runs of the lab: those that compute or wait first, then the others, newest first."""
    going = {job.id: job for job in jobs.queue(lab.path) if job.kind == "run"}
    found = {run["id"]: run for run in lab.glance()} if lab.exists else {}
    first = [
        Listed(
            name,
            job.state,
            without_folders(job.title),
            *((found[name]["base"], found[name]["chains"]) if name in found else ("", None)),
        )
        for name, job in going.items()
    ]
    # Nobody computes it, or `going` would have it.
    ended = {"running": "interrupted"}
    rest = [
        Listed(
            run["id"],
            ended.get(run["status"], run["status"]),
            without_folders(run["title"] or ""),
            without_folders(run["base"] or ""),
            run["chains"],
        )
        for run in found.values()
        if run["id"] not in going
    ]
    return first + rest


def asked(value: Any, runs: list[Listed]) -> str:
    """The id of the run that a page's address names, else of the newest that is done, else nothing.

    What names no run at all is handed back as it came, cut short: a page says that there is no such run.
    """
    if isinstance(value, list):
        value = value[-1] if value else None
    if isinstance(value, str) and value:
        return value if re.fullmatch(r"[0-9a-f]{12}", value) else f"{value:.40}"
    return next((run.id for run in runs if run.state == "done"), "")
