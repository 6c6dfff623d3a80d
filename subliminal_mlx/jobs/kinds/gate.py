"""The kind `gate`: a policy in, one verdict out; what it names lies in the lab.

It leaves result.json, as `gate --json` prints it, Markdown and JUnit XML.
"""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from ...measure.gate.policy import Policy, fields_of, parse_policy
from ...report.public import public, shown
from ...spec.families import shipped_families
from ...system.errors import InputError
from ...system.events import Event
from ..limits import LIMITS, TRAIT, bases, inside, known
from ..request import Request, Sender, Work
from . import costs


class Gate(Request):
    """A policy's text; its paths are relative to the lab."""

    kind: ClassVar[str] = "gate"
    smaller: ClassVar[str] = costs.SMALLER

    policy: Annotated[str, Field(min_length=1)]

    def title(self, sender: Sender) -> str:
        return str(tomllib.loads(self.policy).get("title", "Gate"))

    def check(self, sender: Sender) -> None:
        policy_of(sender.lab, self.policy, sender.owner)

    def seconds(self, sender: Sender) -> float:
        """Of all audits on language models that it asks for."""
        policy = policy_of(sender.lab, self.policy, sender.owner)
        told = 0.0
        for corpus in policy.audited:
            path = sender.lab.expanduser() / corpus.path
            told += costs.seconds(corpus.base or policy.base, policy.families, content=path) or 0.0
        return told

    def is_long(self, sender: Sender) -> bool:
        return bool(policy_of(sender.lab, self.policy, sender.owner).audited)

    def paths(self, sender: Sender) -> list[str]:
        return policy_of(sender.lab, self.policy, sender.owner).files

    def compute(self, work: Work) -> str:
        from ...measure.gate import decide
        from ...measure.gate.formats import junit, markdown

        lab = work.lab
        policy = policy_of(lab.path, self.policy, work.sender.owner)
        total, seen = len(policy.model) + len(policy.corpus), [0]

        def tell(name: str) -> None:
            work.on_event(Event("checks", seen[0], total))
            seen[0] += 1

        decision = decide(policy, lab.path, lab, tell, shown, lab.path)
        checks = tuple(replace(check, reason=public(check.reason, lab.path)) for check in decision.checks)
        decision = replace(decision, checks=checks)
        work.on_event(Event("checks", total, total))
        work.write(decision.to_json())
        (work.target / "gate.md").write_text(markdown(decision), encoding="utf-8")
        (work.target / "gate.xml").write_text(junit(decision), encoding="utf-8")
        failed = sum(decision.of(check) == "fail" for check in decision.checks)
        return f"{decision.verdict.upper()}: {failed} of {len(decision.checks)} checks failed"


KIND = Gate


def policy_of(lab: Path, text: str, owner: str) -> Policy:
    """A policy from a browser, whose names are known here and whose paths stay inside the lab.

    Raises:
        InputError: the first thing that is wrong, and what is allowed.
    """
    if len(text.encode(errors="replace")) > LIMITS.policy_bytes:
        raise InputError(f"policy: over {LIMITS.policy_bytes:,} bytes")
    policy = fields_of(text, "policy")
    entries = (*policy.model, *policy.corpus)
    if len(entries) > LIMITS.subjects:
        raise InputError(f"policy: at most {LIMITS.subjects} models and corpora from an app")
    named = [policy.base, *(entry.base for entry in entries if entry.base is not None)]
    known("policy: base", named, bases(lab))
    known("policy: families", policy.families, shipped_families())
    for trait in policy.allow:
        match = TRAIT.fullmatch(trait)
        known("policy: allow", [match[1] if match else trait], shipped_families())
    for path in policy.files:
        inside(lab, path, owner)
    return parse_policy(text, lab.expanduser().resolve(), "policy")
