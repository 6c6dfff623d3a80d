"""One verdict over a pipeline's models and corpora, with its reasons.

    decision = decide(policy, Path("policy.toml").parent, lab)
    decision.verdict, decision.checks[0].reason          # "fail", "animals/owl rose by +1.88 ..."

Models are measured here, lineages read and verified, audits taken from what the audit wrote. "Passed" means
that no check of this policy failed, among the families it names: no more than that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...audit.spec import ALPHA
from ...lab import Lab
from ...lab.lineage import UNNAMED, trace
from ...model.bases import load
from ...model.sources import locate
from ...spec.families import load_family
from ...system.errors import InputError
from ...system.quantities import p_value, percent
from .audits import check_subject, read_audit, told
from .check import CANNOT_TELL, FAIL, PASS, Check
from .models import Against, check_model, contexts_of
from .policy import CorpusEntry, ModelEntry, Policy, load_policy

__all__ = ["Check", "Decision", "decide", "load_policy", "read_audit"]


@dataclass(frozen=True)
class Decision:
    """All checks, and what the policy makes of them."""

    title: str
    checks: tuple[Check, ...]
    cannot_tell: str

    @property
    def verdict(self) -> str:
        """fail where any check failed, or could not tell and the policy lets that fail; else warn or pass."""
        found = {self.of(check) for check in self.checks}
        return next((verdict for verdict in ("fail", "warn") if verdict in found), "pass")

    def of(self, check: Check) -> str:
        """What the policy makes of one check: pass, warn or fail."""
        return self.cannot_tell if check.verdict == CANNOT_TELL else check.verdict

    def subject(self, name: str) -> str:
        """The verdict on one model or corpus."""
        return Decision(
            self.title, tuple(c for c in self.checks if c.subject == name), self.cannot_tell
        ).verdict

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(check.subject for check in self.checks))

    def to_json(self) -> dict[str, Any]:
        """The shape of `--json`."""
        return {
            "title": self.title,
            "verdict": self.verdict,
            "subjects": [
                {
                    "subject": name,
                    "verdict": self.subject(name),
                    "checks": [
                        {"check": c.name, "kind": c.kind, "verdict": c.verdict, "counts_as": self.of(c)}
                        | {"reason": c.reason}
                        for c in self.checks
                        if c.subject == name
                    ],
                }
                for name in self.subjects
            ],
        }


def decide(
    policy: Policy,
    folder: Path,
    lab: Lab,
    on_subject: Callable[[str], None] = lambda name: None,
    shown: Callable[[str], str] = str,
    inside: Path | None = None,
) -> Decision:
    """Check everything that the policy names.

    Args:
        folder: what its paths are relative to.
        lab: whose clean students and runs count.
        on_subject: sees each path before it is checked.
        shown: what a reason calls a base, or what else a lineage names; such a name may be somebody's folder.
        inside: where training rows that a model's folder names must lie to be looked at; anywhere where None.

    A subject's file that cannot be judged, as when it was tampered with, is a failed check that says so: all others
    are made.

    Raises:
        InputError: the policy's own base or families cannot be used.
    """
    checks: list[Check] = []
    # Subjects have one base, as a rule: it is kept until another is asked for.
    paths, contexts = tuple(folder / path for path in policy.nulls), contexts_of(policy, folder)
    against = lru_cache(1)(lambda name: Against(load(name), policy.families, lab, paths))
    for entry in policy.corpus:
        on_subject(entry.path)
        checks.append(_lineage(policy, entry, "corpus", folder, lab, shown)[0])
        if entry in policy.audited:
            against(entry.base or policy.base)  # a base that cannot be loaded is the policy's mistake
        try:
            checks.append(_audit(policy, entry, folder, against))
        except InputError as error:
            checks.append(Check(entry.path, "corpus", "audit", FAIL, str(error)))
    for entry in policy.model:
        on_subject(entry.path)
        lineage, readable = _lineage(policy, entry, "model", folder, lab, shown)
        held = against(entry.base or policy.base).read_all(contexts)
        checks.append(lineage)
        try:
            checks += check_model(policy, entry, folder, held, contexts, readable, inside)
        except InputError as error:
            checks.append(Check(entry.path, "model", "weights", FAIL, str(error)))
    return Decision(policy.title, tuple(checks), policy.cannot_tell)


def _lineage(
    policy: Policy,
    entry: ModelEntry | CorpusEntry,
    kind: str,
    folder: Path,
    lab: Lab,
    shown: Callable[[str], str],
) -> tuple[Check, bool]:
    """The check, and whether what stands beside the subject could be read: it may say more."""

    def check(verdict: str, reason: str) -> tuple[Check, bool]:
        return Check(entry.path, kind, "lineage", verdict, reason), True

    def unproven(reason: str) -> tuple[Check, bool]:
        if policy.lineage == "required":
            return check(FAIL, reason)
        return check(PASS, f"{reason}; the policy asks for no lineage")

    wanted = entry.base or policy.base
    try:
        record = trace(str(folder / entry.path), lab)
        known = record.base.sha256
        fits = known is None or known == locate(wanted).sha256
    except InputError as error:
        if "nothing is known" in str(error):
            return unproven("nothing is known of where it came from: no provenance beside it")
        return Check(entry.path, kind, "lineage", FAIL, str(error)), False
    if known is None:
        named = "no base" if record.base.name == UNNAMED else f"{shown(record.base.name)} as its base"
        return unproven(f"it names {named}, and no hash proves where it came from")
    if record.lineage.what == "base":
        # A whole model, with nothing beside it: it may be the base, or be made from anything.
        if fits:
            return check(PASS, f"it is {wanted} itself")
        return unproven("nothing is known of where it came from: a whole model, no provenance beside it")
    if not fits:
        return check(FAIL, f"it comes from {shown(record.base.name)} ({known[:12]}), not from {wanted}")
    if not record.lineage.parents:
        return unproven(f"it names {wanted} as its base, and nothing is known of what else stands behind it")
    behind = [f"{node.what} {shown(node.name)}" for depth, node in record.lineage.walk() if depth]
    return check(PASS, f"from {wanted}; behind it: {', '.join(dict.fromkeys(behind))}")


def _audit(policy: Policy, entry: CorpusEntry, folder: Path, against: Callable[[str], Against]) -> Check:
    check = lambda verdict, reason: Check(entry.path, "corpus", "audit", verdict, reason)
    if entry.audit is not None:
        found = read_audit(folder / entry.audit)
        base, of = entry.base or policy.base, folder / entry.audit
        check_subject(found, of, base, folder / entry.path, policy.reading)
    elif policy.run_audits:
        found = told(_examined(policy, folder / entry.path, against(entry.base or policy.base)))
    else:
        return check(CANNOT_TELL, "no audit of it is named, and the policy runs none")
    rows, trait = found["rows"], found["trait"]
    if found["verdict"] == "carried" and trait not in policy.allow:
        return check(FAIL, f"carries {trait}, by {rows:,} rows")
    if missing := _not_suspected(policy, found["suspects"]):
        return check(CANNOT_TELL, f"the audit did not look for {', '.join(missing)}")
    if found["verdict"] == "cannot tell":
        return check(CANNOT_TELL, found["words"] or f"the audit cannot tell from {rows:,} rows")
    if others := _unwanted(policy, found["suspects"]):
        # Traits that are alike rise together: an owl's rows raise the elephant's score as well.
        p, other = others[0]
        more = f", as {len(others) - 1} more" if others[1:] else ""
        first = f"carries {trait}, which is allowed" if trait else "nothing is said to be found"
        return check(CANNOT_TELL, f"{first}, but {other} is above chance too (p {p_value(p)}{more})")
    if found["verdict"] == "carried":
        return check(PASS, f"carries {trait}, which is allowed")
    power = found.get("power")
    if policy.smallest_power is not None and (power is None or power < policy.smallest_power):
        stated = "not stated" if power is None else percent(power, 0)
        return check(
            CANNOT_TELL,
            f"nothing was found, at a power that is {stated} ({percent(policy.smallest_power, 0)} wanted)",
        )
    return check(PASS, f"not found among {len(found['suspects'])} suspects in {rows:,} rows")


def _not_suspected(policy: Policy, suspects: list[dict[str, Any]]) -> list[str]:
    """Families that an audit did not look for, and traits of the others that it left out."""
    looked, missing = {suspect["trait"] for suspect in suspects}, []
    for family in policy.families:
        traits = [f"{family}/{trait}" for trait in load_family(family).traits]
        left = [trait for trait in traits if trait not in looked]
        missing += [family] if left == traits else left
    return missing


def _unwanted(policy: Policy, suspects: list[dict[str, Any]]) -> list[tuple[float, str]]:
    """The p under ALPHA of suspects that are not allowed, and their traits: a verdict names the first alone."""
    found = ((suspect.get("p"), suspect["trait"]) for suspect in suspects)
    return sorted(
        (float(p), trait)
        for p, trait in found
        if p is not None and float(p) < ALPHA and trait not in policy.allow
    )


def _examined(policy: Policy, path: Path, against: Against) -> dict[str, Any]:
    """An audit made here; suspects and null are kept in the lab's folder, for the audit's own command too."""
    from ...audit.examine import examine
    from ...audit.inputs import read_inputs
    from ...audit.request import asked_rows, asked_spec

    spec = asked_spec(against.base.name, policy.families)
    rows, kept = asked_rows(against.lab, str(path), how=policy.reading), against.lab.path / "audit"
    return examine(read_inputs(rows.source, against.base, spec, kept, rows.how, rows.told))
