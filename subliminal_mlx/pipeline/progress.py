"""A run's progress in words, for terminal and page: stages, what is being done, rate and time left.

stage_of("hard/foreign/c0/1")         # "foreign"
rate(progress)                        # "12 s, 31,000 tokens/s, 1:40 left"
"""

from typing import Any

from ..spec.arms import ARMS

STAGES = {
    "untrained": "base read",
    "teachers": "teachers",
    "prompted": "teachers",
    "corpora": "corpora",
    "derived": ", ".join(arm.name for arm in ARMS.values() if arm.remade),
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
    """Seconds taken, tokens a second, time left."""
    left, speed = progress.get("seconds_left"), progress.get("tokens_per_second")
    words = [f"{progress['seconds']:.0f} s"]
    if speed:
        words.append(f"{speed:,.0f} tokens/s")
    if left and progress["fraction"] < 1:
        words.append(f"{clock(left)} left")
    return ", ".join(words)


def clock(seconds: float) -> str:
    """1:05, or 2:00:05."""
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
