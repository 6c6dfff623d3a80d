"""What a gate asks of one subject, and its answer.

Check("students/a", "model", "animals", FAIL, "animals/owl rose most, ...")

Knows nothing about policies and how an answer is found.
"""

from dataclasses import dataclass

PASS, FAIL, CANNOT_TELL = "pass", "fail", "cannot tell"


@dataclass(frozen=True)
class Check:
    """One question about one subject: `verdict` is pass, fail or cannot tell."""

    subject: str
    kind: str
    """model or corpus"""
    name: str
    """lineage, a family's name, or audit"""
    verdict: str
    reason: str
