"""What a review computes, kind by kind: each fills a folder, and says in a line what it found.

    words = MAKERS["audit"](folders, review, asked, target, on_event)

The numbers and the charts are those of the commands `audit`, `measure` and `gate`.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...lab import Lab
from ...report import charts
from ...report.public import public, shown
from ...system.errors import InputError
from ...system.events import Event, Listener
from .folders import Folders, Review
from .requests import QUICK, Audit, Drift, Gate, Measure, inside, policy_of

EVIDENCE = "rows.parquet"


def audit(folders: Folders, one: Review, asked: Audit, target: Path, on_event: Listener) -> str:
    """result.json, rows.parquet (the sample's rows with their tokens' evidence), charts, report.html, kept.jsonl."""
    from ...audit.attribution import TOP, drop_top, top_rows
    from ...audit.corpus import SAMPLE
    from ...audit.examine import examine
    from ...audit.inputs import read_inputs
    from ...audit.request import asked_spec, expected, source_of
    from ...model.bases import load
    from ...report.audit import write_audit_report

    lab = Lab(folders.lab)
    spec = asked_spec(asked.base, asked.families, asked.probes, QUICK if asked.quick else ())
    sent = folders.sent(one)
    rows = source_of(lab, str(sent)) if sent else source_of(lab, asked.run, asked.source, asked.chain)
    inputs = read_inputs(rows, load(spec.base), spec, folders.lab / "audit")
    result = examine(inputs, on_event)
    trait = result["trait"] or result["suspects"][0]["trait"]
    if asked.predict:
        try:
            result["predicted_transfer"] = expected(lab, inputs, result, trait, on_event)
        except InputError as error:
            result["no_prediction"] = str(error).removeprefix("--predict ")
    on_event(Event("rows and tokens", 0, 1))
    evidence = top_rows(inputs, trait, SAMPLE)
    on_event(Event("rows and tokens", 1, 1))
    pq.write_table(pa.Table.from_pylist(evidence), target / EVIDENCE, compression="zstd")
    if asked.drop_percent:
        kept = target / "kept.jsonl"
        result["dropped"] = drop_top(inputs, trait, asked.drop_percent / 100, kept, on_event)
    write_audit_report(target / "report.html", result, one.title, evidence[:TOP])
    _write(target, result)
    for family in result["families"]:
        for name, draw in (("ranking", charts.audit_ranking), ("growth", charts.audit_growth)):
            _draw(target / f"{family['family']}-{name}.svg", draw(result, family))
    if not sent:
        # What a visitor sent stays the visitor's; the lab's own rows were audited for everybody.
        lab.save_audit(one.id, one.title, result, {"audit_rows": pa.Table.from_pylist(evidence[:TOP])})
    return result["words"]


def measure(folders: Folders, one: Review, asked: Measure, target: Path, on_event: Listener) -> str:
    """result.json, as `measure --json` prints it, and its chart."""
    from ... import measure as reading

    lab = Lab(folders.lab)
    path = inside(lab.path, asked.folder, one.owner) if asked.folder else lab.adapter(asked.run, asked.slot)
    subject = reading.open_model(str(path), asked.against or None)
    found = _told(reading.measure(subject, *_what(reading, subject, asked.families, lab))[0], one.title)
    _write(target, found)
    _draw(target / "changes.svg", charts.changes(found))
    return _moved(found)


def drift(folders: Folders, one: Review, asked: Drift, target: Path, on_event: Listener) -> str:
    """result.json, as `measure --drift --json` prints it, and its chart."""
    from ... import measure as reading
    from ...measure.drift import checkpoints

    lab = Lab(folders.lab)
    folder = inside(lab.path, asked.folder, one.owner)
    there = checkpoints(folder)
    if not there:
        raise InputError(f"{asked.folder} holds no whole checkpoint named like 0000100_adapters.safetensors")
    on_event(Event("checkpoints", 0, len(there)))
    subject = reading.open_model(str(folder), asked.against or None, tuple(name for _, name in there))
    if subject.stack is None:
        raise InputError(
            f"{asked.folder}: checkpoints of LoRA adapters can be followed, others measured one by one"
        )
    found = reading.measure(subject, *_what(reading, subject, asked.families, lab))
    on_event(Event("checkpoints", len(there), len(there)))
    steps = [{"step": step} | _told(read, one.title) for (step, _), read in zip(there, found, strict=True)]
    _write(target, {"checkpoints": steps})
    _draw(target / "drift.svg", charts.drift(steps))
    return f"{len(steps)} checkpoints; at the last, step {steps[-1]['step']:,}: {_moved(steps[-1])}"


def gate(folders: Folders, one: Review, asked: Gate, target: Path, on_event: Listener) -> str:
    """result.json, as `gate --json` prints it, Markdown and JUnit XML."""
    from ...measure.gate import decide
    from ...measure.gate.formats import junit, markdown

    policy = policy_of(folders.lab, asked.policy, one.owner)
    total, seen = len(policy.model) + len(policy.corpus), [0]

    def tell(name: str) -> None:
        on_event(Event("checks", seen[0], total))
        seen[0] += 1

    decision = decide(policy, folders.lab, Lab(folders.lab), tell, shown)
    checks = tuple(replace(check, reason=public(check.reason, folders.lab)) for check in decision.checks)
    decision = replace(decision, checks=checks)
    on_event(Event("checks", total, total))
    _write(target, decision.to_json())
    (target / "gate.md").write_text(markdown(decision), encoding="utf-8")
    (target / "gate.xml").write_text(junit(decision), encoding="utf-8")
    failed = sum(decision.of(check) == "fail" for check in decision.checks)
    return f"{decision.verdict.upper()}: {failed} of {len(decision.checks)} checks failed"


MAKERS: dict[str, Callable[..., str]] = {"audit": audit, "measure": measure, "drift": drift, "gate": gate}


def _what(reading: Any, subject: Any, names: list[str], lab: Lab) -> tuple[Any, Any]:
    """Families to read and the clean trainings to compare with."""
    from ...measure.null import Nulls

    families = reading.families_of(subject.base, names)
    if not families:
        raise InputError(f"no shipped family has answers that {subject.base.name} has words for")
    # No base, nothing to compare.
    return families, Nulls.gather(subject.reference, families, lab) if subject.reference else None


def _told(found: dict[str, Any], title: str) -> dict[str, Any]:
    """A measurement as strangers may see it: an adapter's folder may name its base by a path of anybody's."""
    name = found["base"]
    if name is not None:
        for family in found["families"]:
            if "null" in family:
                family["null"]["why"] = family["null"]["why"].replace(name, shown(name))
        found["base"] = shown(name)
    return found | {"model": title}


def _moved(found: dict[str, Any]) -> str:
    """The traits that are flagged, or the one that moved most."""
    traits = [trait for family in found["families"] for trait in family["traits"]]
    if "change" not in traits[0]:
        return "no base is named: readings alone"
    flagged = sorted((t for t in traits if t.get("flagged")), key=lambda t: -t["change"])
    told = lambda t: f"{t['trait']} by {t['points']:+.1f} points, {t['change']:+.2f} log-odds"
    if flagged:
        more = f", and {len(flagged) - 1} more" if len(flagged) > 1 else ""
        return f"flagged: {told(flagged[0])}{more}, beyond what clean trainings of that size did"
    first = max(traits, key=lambda t: t["change"])
    judged = any(family["null"]["limit"] is not None for family in found["families"])
    why = (
        "within what clean trainings of that size did"
        if judged
        else "with no clean trainings to compare with"
    )
    return f"nothing flagged: {told(first)} moved most, {why}"


def _write(target: Path, result: dict[str, Any]) -> None:
    (target / "result.json").write_text(json.dumps(result), encoding="utf-8")


def _draw(path: Path, chart: Any) -> None:
    path.write_text(charts.to_svg(chart), encoding="utf-8")
