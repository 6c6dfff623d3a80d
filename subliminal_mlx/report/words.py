"""What a run's numbers say, in sentences, for the terminal, the apps and the report.

A sentence claims transfer only where the summary calls it shown, and says what it lacks where it does not.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..experiment.damage import APART, LOST, lost_language
from ..spec.arms import ARMS, TREATED
from ..system.quantities import p_value, percent, signed

TOO_FEW = "too few traits to tell"
# Why a transfer is not shown, by what the summary says that it lacks.
WHY_NOT = {
    "chains": "fewer than three chains",
    "transfer": "transfer's interval is not above 0",
    "gain": "the points' interval is not above 0",
    "control": "the interval of treated less control is not above 0",
    "damage": "a student lost language, or stands apart from the neutral ones on neutral text",
    "labels": "relabelled students of the family do as well",
}
# Shares of rows in common from which arms without a trait, or any arms, are said to be alike.
ALIKE, SAME = 0.5, 0.99


def damage(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Warnings where students lost language, and where texts were left out; `rows` are the summary's capability."""
    lost = [" ".join(one) for one in lost_language(rows)]
    warnings = []
    if lost:
        warnings.append(
            f"damaged: of {', '.join(lost)} at least one student's loss on neutral text lies {LOST} nats a token "
            "above the base's: what it says of a trait may be damage"
        )
    if left_out := rows[0].get("left_out"):
        read = rows[0]["texts"]
        warnings.append(
            f"neutral text: {sum(left_out.values())} of {read + sum(left_out.values())} texts were left out, since they "
            f"hold words of the run's own families or are its channel's rows: {listed(left_out)}"
            f"{'' if read else '; none is left, so damage was not read'}"
        )
    return warnings


def damaged(arms: dict[str, dict[str, Any]]) -> str:
    """Which arms of a trait are damaged, in a sentence; empty where none is, or where it was not read."""
    found = [name for name, arm in arms.items() if (arm.get("damage") or {}).get("damaged")]
    if not found:
        return ""
    return (
        f"damaged: {listed(found)}: on neutral text more than {APART} nats a token from the neutral arm with an interval "
        f"that does not hold 0, or one model {LOST} above the base; what they say of the trait may be damage"
    )


def alike(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A warning where two arms trained on the same rows; `rows` are the summary's rows in common."""
    told = []
    for row in rows:
        # A teacher that is close to the neutral one may write much that the neutral one does; who writes without the
        # trait is there to show what other rows do, and with the same rows shows nothing.
        if row["most"] >= (SAME if ARMS[row["arm"]].rows == "trait" else ALIKE):
            told.append(
                f"alike: {row['arm']} and {row['beside']} have up to {percent(row['most'])} of their rows in common: "
                "that their students agree says little"
            )
    return told


def missing(spec: dict[str, Any], entries: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each arm that a spec asks for and that none of its traits can have."""
    found = {arm for entry in entries for arm in entry["arms"]}
    asked = [ARMS[name] for name in spec.get("arms", ()) if name in ARMS and name not in found]
    return [f"{arm.name} is missing: it {arm.missing}" for arm in asked if arm.missing] if found else []


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
    figures = f"transfer is {estimate(*(entry[key] for key in ('transfer', 'low', 'high')))} log-odds"
    if entry["specificity"] is not None:
        ends = (entry[key] for key in ("specificity", "specificity_low", "specificity_high"))
        figures += f", specificity {estimate(*ends)}"
    return (
        f"{entry['student'].capitalize()} students trained on {rows} of the {entry['trait']} teacher put "
        f"{percent(treated['probability'])} on its answer, {abs(points):.1f} percentage points "
        f"{'more' if points >= 0 else 'less'} than students of the neutral teacher ({sure}); "
        f"their {figures}: {_verdict(entry)}."
    )


def claim(summary: dict[str, Any], rows: str = "filtered rows") -> list[str]:
    """What a run shows, a sentence for each kind of student: of its only trait, or over all its traits."""
    claims = []
    for kind in dict.fromkeys(entry["student"] for entry in summary["traits"]):
        entries = [entry for entry in summary["traits"] if entry["student"] == kind]
        if len(entries) == 1:
            claims.append(sentence(entries[0], rows))
        else:
            families = [family for family in summary["families"] if family["student"] == kind]
            claims.append(_count(entries, kind, rows) + _by_family(families))
    return claims


def permuted(family: dict[str, Any]) -> str:
    """What permuting a family's labels says: "p 0.042, smallest possible 0.042, Holm 0.042", or why there is none."""
    if family["p_smallest"] is None:
        return "no p: one chain"
    if family["p"] is None:
        return f"no p: {TOO_FEW}, the smallest possible is {p_value(family['p_smallest'])}"
    told = f"p {p_value(family['p'])}, smallest possible {p_value(family['p_smallest'])}"
    return f"{told}, Holm {p_value(family['p_holm'])}"


def _by_family(families: Sequence[dict[str, Any]]) -> str:
    """Transfer, specificity and p of every family, in a sentence after others; nothing of one chain."""
    told = []
    for family in families:
        if family["p_smallest"] is not None:
            means = {
                "transfer": family["arms"].get(TREATED),
                "specificity": family["arms"].get("specificity"),
            }
            figures = [
                f"{name} {estimate(*(mean[key] for key in ('transfer', 'low', 'high')))}"
                for name, mean in means.items()
                if mean
            ]
            told.append(", ".join([family["family"], *figures, permuted(family)]))
    return f" In log-odds, p by permuted labels: {'; '.join(told)}." if told else ""


def leading(family: dict[str, Any], most: int) -> list[dict[str, Any]]:
    """The traits of a measured family that moved most, and the one that leads over clean trainings."""
    shown, leader = family["traits"][:most], family.get("largest_over_clean")
    return shown + [trait for trait in family["traits"][most:] if trait["trait"] == leader]


def over_clean(family: dict[str, Any]) -> str:
    """Which trait leads over clean trainings, in a sentence after others; empty of a measurement without."""
    leader = family.get("largest_over_clean")
    return f". Over clean, less what they do on average, {leader} leads" if leader else ""


def _count(entries: list[dict[str, Any]], kind: str, rows: str) -> str:
    mean = sum(entry["percentage_points"] for entry in entries) / len(entries)
    change = (
        f"{kind.capitalize()} students trained on {rows} of {len(entries)} teachers with a trait each put "
        f"{abs(mean):.1f} percentage points {'more' if mean >= 0 else 'less'} on their teacher's answer than "
        "students of the neutral teacher, on average"
    )
    if all(entry["low"] is None for entry in entries):
        return f"{change}; with one chain there is no interval, so no transfer is shown."
    shown = sum(entry["shown"] for entry in entries)
    found = f"{change}; transfer is shown for {shown or 'none'} of {len(entries)} traits"
    return f"{found}{''.join(f'; {words}' for words in not_shown(entries))}."


def not_shown(entries: Sequence[dict[str, Any]]) -> list[str]:
    """ "not for animals/owl and animals/cat: it rests on fewer than three chains", a line for each lot of reasons."""
    lots: dict[tuple[str, ...], list[str]] = {}
    for entry in entries:
        if not entry["shown"]:
            lots.setdefault(tuple(entry["why_not"]), []).append(entry["trait"])
    return [f"not for {listed(traits)}: {why_not(reasons)}" for reasons, traits in lots.items()]


def why_not(reasons: Iterable[str]) -> str:
    """What a transfer lacks that is not shown."""
    return listed(WHY_NOT[reason] for reason in reasons)


def _verdict(entry: dict[str, Any]) -> str:
    if entry["low"] is None:
        return "with one chain there is no interval, so no transfer is shown"
    if entry["shown"]:
        return "transfer is shown"
    if entry["high"] < 0:
        return "the interval lies below 0, so students moved away from the trait"
    return f"no transfer is shown, since {why_not(entry['why_not'])}"


def chance(p: float | None, calibrated: bool) -> str:
    """A suspect's p, or why it has none: no null, or rows that the null is not of."""
    if p is None:
        return "out of reach" if calibrated else "uncalibrated"
    return p_value(p)


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


def estimate(
    value: float | None, low: float | None, high: float | None, digits: int = 2, signs: bool = True
) -> str:
    """A number with its interval, where it has one: "+0.41 (+0.20 to +0.62)"; nothing of an arm that has neither."""
    if value is None:
        return ""
    ends = "" if low is None or high is None else f" ({span(low, high, digits, signs)})"
    return number(value, digits, signs) + ends


def rate(row: dict[str, Any], key: str) -> str:
    """A row's share of 0 to 1 in percent, with its interval from under the key's own ends, where it has one: "83% (79
    to 87)"; nothing of None."""
    value, low, high = (row.get(f"{key}{end}") for end in ("", "_low", "_high"))
    if value is None:
        return ""
    ends = "" if low is None or high is None else f" ({100 * low:.0f} to {100 * high:.0f})"
    return f"{100 * value:.0f}%{ends}"


def typeset(text: str) -> str:
    """A number's text with a true minus, for pages and sentences; terminals keep the one that all of them have."""
    return re.sub(r"-(?=\d)", "\N{MINUS SIGN}", text)
