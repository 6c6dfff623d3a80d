"""What the blocks are made of: stored results, their values by chain, and Markdown around them.

    summary_of("default")["traits"]
    chain_values(entry, "treated")                     # [0.31, 0.24, 0.40], one a chain
    told(chain_values(entry, "treated"))               # "+0.32 (+0.12 to +0.52)"
    table(["trait", "treated"], [["animals/owl", "6.8%"]])

Intervals are estimated here anew, from values by chain, and never copied from a summary.
"""

import json
from collections.abc import Sequence
from typing import Any

from ....experiment.statistics import estimate
from ....report.results import FOLDER, read_results
from ....spec.arms import ARMS
from ....system.quantities import interval, percent_interval, signed

Row = dict[str, Any]
PROGRAM = "uv run python -m subliminal_mlx"


def summary_of(name: str) -> Row:
    """The summary of the stored results of that name."""
    return read_results(name)["summary"]


def stored(path: str) -> Row:
    """A JSON file under data/results."""
    return json.loads((FOLDER / path).read_text())


def chain_values(entry: Row, arm: str) -> list[float]:
    """An arm's transfer on a trait in every chain that has it; of "specificity" too."""
    return [row[arm] for row in entry["by_chain"] if row.get(arm) is not None]


def family_values(entries: Sequence[Row], arm: str) -> list[float]:
    """An arm's transfer in every chain, mean over the traits of a family; none where a trait lacks the arm."""
    by_chain: dict[int, list[float]] = {}
    for entry in entries:
        for row in entry["by_chain"]:
            if row.get(arm) is not None:
                by_chain.setdefault(row["chain"], []).append(row[arm])
    whole = [of for of in by_chain.values() if len(of) == len(entries)]
    if not whole or len(whole) < len(by_chain):
        return []
    return [sum(of) / len(of) for of in whole]


def members(summary: Row, kind: str, family: str) -> list[Row]:
    """The entries of a family's traits, of one kind of student."""
    return [
        entry
        for entry in summary["traits"]
        if entry["student"] == kind and entry["trait"].rpartition("/")[0] == family
    ]


def harmed(entries: Sequence[Row], arm: str) -> str:
    """How many of an arm's traits have damaged students, by `experiment.damage`'s rule: ", 2 of 4 damaged"; "" of none.

    Nothing of arms that train no students of their own.
    """
    if arm not in ARMS or ARMS[arm].role != "student":
        return ""
    found = [(entry["arms"].get(arm) or {}).get("damage") for entry in entries]
    count = sum(damage["damaged"] for damage in found if damage)
    if not count:
        return ""
    return ", damaged" if count == len(entries) else f", {count} of {len(entries)} damaged"


def told(values: Sequence[float], digits: int = 2) -> str:
    """A mean over chains with its 95% interval: "+0.32 (+0.12 to +0.52)"; "" of no values."""
    return spanned(*estimate(values), digits) if values else ""


def spanned(value: float | None, low: float | None, high: float | None, digits: int = 2) -> str:
    """A value with the ends of its interval, where it has them; "" where nothing is known."""
    if value is None:
        return ""
    return signed(value, digits) + ("" if low is None else f" ({interval(low, high, digits)})")


def share(value: float, low: float | None, high: float | None) -> str:
    """A share in whole percent with its interval: "58% (46% to 76%)"."""
    return f"{value:z.0%}" + ("" if low is None else f" ({percent_interval(low, high, 0)})")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def made_by(*commands: str, where: str = "") -> str:
    """The line that ends a block: the commands that make its figures, after `uv run python -m subliminal_mlx`."""
    told = ", then ".join(f"`{PROGRAM}{command}`" for command in commands)
    return f"\n\nMade by {told}{f'; stored in `data/results/{where}`' if where else ''}."
