"""Measurements, drifts and gates as a page shows them, and what may be chosen for them from a lab.

    slots(lab, run_id); drifting(lab); changes(seen.result); steps(seen.result); decision(seen.result)

HTML from stored results; names come from files and stay text.
"""

import os
from pathlib import Path
from typing import Any

from ...lab import Lab
from ...model.model_folder import NUMBERED
from ...report.tables import table, text
from ...report.words import estimate, leading, number, over_clean
from ...system.errors import InputError
from ...system.quantities import p_value, percent

MOST_FOLDERS, DEEPEST, MOST_SEEN = 200, 5, 20_000
_COLORS = {"pass": "#2f7d4f", "warn": "#a06a00", "fail": "#b3364a"}


def slots(lab: Lab, run_id: str) -> list[str]:
    """Slots of a run whose adapters can be measured."""
    return lab.adapters(run_id) if run_id and lab.exists else []


def drifting(lab: Lab) -> list[str]:
    """Folders inside the lab that hold numbered checkpoints, relative to it."""
    found = []
    for seen, (place, below, names) in enumerate(os.walk(lab.path)):
        relative = Path(place).relative_to(lab.path)
        if len(relative.parts) >= DEEPEST or seen > MOST_SEEN:
            below.clear()
        if not relative.parts:
            below[:] = [name for name in below if name not in ("jobs", "reviews", "queue", "runs", "audit")]
        if any(NUMBERED.fullmatch(name) for name in names):
            found.append(relative.as_posix())
    return sorted(found)[:MOST_FOLDERS]


def one_of(what: str, chosen: str | None, folder: str) -> str:
    """What is to be read: the run or training that was chosen, or the folder that was typed.

    Raises:
        InputError: both are there, and they are not the same.
    """
    if chosen and folder and chosen != folder:
        raise InputError(f"a {what} or a folder, not both: empty one of the two")
    return chosen or folder


def flagged(found: dict[str, Any]) -> bool:
    """Whether a measurement, or the last checkpoint of a drift, flags any trait."""
    last = found["checkpoints"][-1] if "checkpoints" in found else found
    return any(trait.get("flagged") for family in last["families"] for trait in family["traits"])


def changes(found: dict[str, Any], every: bool = False, most: int = 6) -> str:
    """A table a family: the traits that moved most, their intervals over questions, and the flag."""
    parts = [under(found)]
    for family in found["families"]:
        traits = family["traits"] if every else leading(family, most)
        compared = "change" in traits[0]
        beside = ["over clean"] if "over_clean" in traits[0] else []
        head = [text(family["family"]), "model"]
        if compared:
            head[1:1] = ["base"]
            head += ["points", "log-odds (95% over questions)", *beside, ""]
        body = []
        for trait in traits:
            share = percent(trait["probability"])
            if not compared:
                body.append([text(trait["trait"]), share])
                continue
            body.append(
                [
                    *(text(trait["trait"]), percent(trait["base_probability"]), share),
                    *(number(trait["points"], 1), estimate(trait["change"], trait["low"], trait["high"])),
                    *(number(trait["over_clean"]) for _ in beside),
                    _mark(trait),
                ]
            )
        parts.append(table(head, body, words=1))
        if compared:
            parts.append(f"<p><small>{text(against(family))}</small></p>")
    return "".join(parts)


def against(family: dict[str, Any]) -> str:
    """What a family's largest change is compared with."""
    null = family.get("null")
    if not null or null["limit"] is None:
        return null["why"] if null else "no clean trainings to compare with"
    return (
        f"{family['questions']} held-out questions; flagged beyond {number(null['limit'])} in log-odds, which none of "
        f"{null['trainings']} clean trainings exceeded; p {p_value(null['p'])}{over_clean(family)}"
    )


def steps(found: dict[str, Any]) -> str:
    """A line a checkpoint: each family's highest trait."""
    body = []
    for one in found["checkpoints"]:
        for family in one["families"]:
            top = family["traits"][0]
            if "change" in top:
                moved = [
                    number(top["points"], 1),
                    estimate(top["change"], top["low"], top["high"]),
                    _mark(top),
                ]
                body.append([f"{one['step']:,}", text(family["family"]), text(top["trait"]), *moved])
    head = ["step", "family", "highest trait", "points", "log-odds (95% over questions)", ""]
    return under(found["checkpoints"][-1]) + table(head, body, words=3)


def under(found: dict[str, Any]) -> str:
    """What a measurement was read under, and what it says; empty of one of before, which does not tell."""
    if "context" not in found:
        return ""
    return f"<p>Read {text(found['context']['words'], 600)}: {text(found['words'], 1_000)}.</p>"


def _mark(trait: dict[str, Any]) -> str:
    # What was measured before there were standings flagged every trait alike.
    standing = trait.get("standing", "first" if trait.get("flagged") else "")
    return {"first": "<b>flagged</b>", "beside": "flagged beside it"}.get(standing, "")


def decision(found: dict[str, Any]) -> str:
    """Every check with its reason, what failed first."""
    order = list(_COLORS)
    checks = [(subject["subject"], check) for subject in found["subjects"] for check in subject["checks"]]
    body = []
    for subject, check in sorted(checks, key=lambda one: -order.index(one[1]["counts_as"])):
        told = "" if check["verdict"] in ("pass", "fail") else f" ({text(check['verdict'])})"
        verdict = f'<b style="color:{_COLORS[check["counts_as"]]}">{text(check["counts_as"])}</b>{told}'
        body.append([text(subject, 200), text(check["check"]), verdict, text(check["reason"], 1_000)])
    return table(["subject", "check", "verdict", "reason"], body, words=4)
