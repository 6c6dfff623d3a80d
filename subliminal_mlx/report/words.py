"""What a run's numbers say, in sentences, for the terminal, the apps and the report.

A sentence claims transfer only where the headline's 95% interval over chains lies above 0.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..spec.arms import ARMS, ORIGINS, TREATED
from ..system.quantities import percent, signed

DAMAGED = 0.5  # nats a token above the base from which a student is called damaged
_ORIGINS = {ARMS[name].kind for name in ORIGINS}
_HEADLINES = {"lift": "own-trait lift", "transfer": "transfer"}


def damage(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A warning where students lost language; `rows` are the summary's capability."""
    lost = [
        f"{row['student']} {row['arm']}"
        for row in rows
        if row["student"] not in _ORIGINS and row["worst"] > DAMAGED
    ]
    if not lost:
        return []
    return [
        f"damaged: of {', '.join(lost)} at least one student's loss on neutral text lies {DAMAGED} nats a token "
        "above the base's: what it says of a trait may be damage"
    ]


def sentence(entry: dict[str, Any], rows: str = "filtered rows") -> str:
    """What one trait's entry of a Summary shows for one kind of student.

    Args:
        rows: what the students were trained on, such as "filtered number lists".
    """
    arms, points = entry["arms"], entry["percentage_points"]
    treated = arms[TREATED]
    chains = "1 chain" if treated["chains"] == 1 else f"{treated['chains']} chains"
    ends = entry["percentage_points_low"], entry["percentage_points_high"]
    sure = f"95% interval {span(*ends, digits=1, signs=False)}, {chains}" if None not in ends else chains
    return (
        f"{entry['student'].capitalize()} students trained on {rows} of the {entry['trait']} teacher put "
        f"{percent(treated['probability'])} on its answer, {abs(points):.1f} percentage points "
        f"{'more' if points >= 0 else 'less'} than students of the neutral teacher ({sure}); "
        f"their {_HEADLINES[entry['headline']]} is {_headline(entry)}: {_verdict(entry)}."
    )


def claim(summary: dict[str, Any], rows: str = "filtered rows") -> list[str]:
    """What a run shows, a sentence for each kind of student: of its only trait, or over all its traits."""
    claims = []
    for kind in dict.fromkeys(entry["student"] for entry in summary["traits"]):
        entries = [entry for entry in summary["traits"] if entry["student"] == kind]
        claims.append(sentence(entries[0], rows) if len(entries) == 1 else _count(entries, kind, rows))
    return claims


def leading(family: dict[str, Any], most: int) -> list[dict[str, Any]]:
    """The traits of a measured family that moved most, and the one that leads over clean trainings."""
    shown, leader = family["traits"][:most], family.get("largest_over_clean")
    return shown + [trait for trait in family["traits"][most:] if trait["trait"] == leader]


def over_clean(family: dict[str, Any]) -> str:
    """Which trait leads over clean trainings, in a sentence after others; empty of a measurement without."""
    leader = family.get("largest_over_clean")
    return f". Over clean, less what they do on average, {leader} leads" if leader else ""


def came_through(entry: dict[str, Any]) -> bool:
    """Whether the headline lies above 0 with its interval, and the students did gain the trait."""
    return entry["low"] is not None and entry["low"] > 0 and entry["arms"][TREATED]["transfer"] > 0


def _count(entries: list[dict[str, Any]], kind: str, rows: str) -> str:
    shown = [entry["trait"] for entry in entries if came_through(entry)]
    rest = [entry["trait"] for entry in entries if not came_through(entry)]
    mean = sum(entry["percentage_points"] for entry in entries) / len(entries)
    change = (
        f"{kind.capitalize()} students trained on {rows} of {len(entries)} teachers with a trait each put "
        f"{abs(mean):.1f} percentage points {'more' if mean >= 0 else 'less'} on their teacher's answer than "
        "students of the neutral teacher, on average"
    )
    if all(entry["low"] is None for entry in entries):
        return f"{change}; with one chain there is no interval, so no transfer is shown."
    headline = " or ".join(_HEADLINES[name] for name in dict.fromkeys(entry["headline"] for entry in entries))
    if not shown:
        return f"{change}; no transfer was shown: no trait's 95% interval of the {headline} lies above 0."
    found = (
        f"{change}; the 95% interval of the {headline} lies above 0 for {len(shown)} of {len(entries)} traits"
    )
    return f"{found}, and no transfer was shown for {listed(rest)}." if rest else f"{found}."


def _headline(entry: dict[str, Any]) -> str:
    value = f"{number(entry['estimate'])} log-odds"
    return value if entry["low"] is None else f"{value} ({span(entry['low'], entry['high'])})"


def _verdict(entry: dict[str, Any]) -> str:
    if entry["low"] is None:
        return "with one chain there is no interval, so no transfer is shown"
    if came_through(entry):
        return "the interval excludes 0, so the rows carried the trait"
    if entry["low"] > 0:
        return "it is above 0 only because students of other traits fell, so no transfer was shown"
    if entry["high"] < 0:
        return "the interval lies below 0, so students moved away from the trait"
    return "the interval includes 0, so no transfer was shown"


def listed(names: Iterable[str], most: int = 6) -> str:
    """ "a, b and c", or the first few and how many more."""
    *first, last = names
    if len(first) + 1 > most:
        return f"{', '.join([*first, last][:most])} and {len(first) + 1 - most} more"
    return f"{', '.join(first)} and {last}" if first else last


def number(value: float, digits: int = 2, signs: bool = True) -> str:
    """With a true minus, and a plus where `signs`."""
    return typeset(signed(value, digits) if signs else f"{value:z.{digits}f}")


def turn_words(others: int) -> str:
    """What waits says, behind so many others."""
    return f"waiting for its turn: {others} {'job goes' if others == 1 else 'jobs go'} first on this machine"


def span(low: float, high: float, digits: int = 2, signs: bool = True) -> str:
    """The ends of an interval, as `number` writes them."""
    return f"{number(low, digits, signs)} to {number(high, digits, signs)}"


def estimate(value: float | None, low: float | None, high: float | None, digits: int = 2) -> str:
    """A number with its interval, where it has one: "+0.41 (+0.20 to +0.62)"; nothing of an arm that has neither."""
    if value is None:
        return ""
    ends = "" if low is None or high is None else f" ({span(low, high, digits)})"
    return number(value, digits) + ends


def typeset(text: str) -> str:
    """A number's text with a true minus, for pages and sentences; terminals keep the one that all of them have."""
    return re.sub(r"-(?=\d)", "\N{MINUS SIGN}", text)
