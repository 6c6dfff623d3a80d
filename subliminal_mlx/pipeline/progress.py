"""A run's progress in words, for terminal and page: stages, what is being done, rate and time left.

stage_of("hard/foreign/c0/1")         # "foreign"
rate(progress)                        # "12 s, 31,000 tokens/s, 1:40 left"
"""

from typing import Any

from ..system.quantities import pace

STAGES = {
    "untrained": "base read",
    "teachers": "teachers",
    "prompted": "teachers",
    "corpora": "corpora",
    "derived": "rows remade",
    "rows": "rows read",
    "students": "students",
    "foreign": "foreign students",
    "defended": "defended students",
    "in-context": "in context",
}


def stage_of(unit: str) -> str:
    """The stage of a unit, from its name."""
    first, *rest = unit.split("/")
    if first in ("hard", "soft"):
        return "foreign" if rest[0] == "foreign" else "students"
    return first


def detail(running: list[dict[str, Any]]) -> str:
    """What the first of the units that are being computed does."""
    if not running:
        return ""
    first = running[0]
    loss = f", loss {first['loss']:.3f}" if "loss" in first else ""
    return f"{first['done']}/{first['total']} {first['what']}{loss}"


def rate(progress: dict[str, Any]) -> str:
    """Seconds taken, tokens a second, and time left until it is done."""
    left = progress.get("seconds_left") if progress["fraction"] < 1 else None
    return pace(progress["seconds"], left, progress.get("tokens_per_second"), "tokens")
