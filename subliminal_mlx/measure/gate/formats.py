"""A decision as JUnit XML for CI servers and as Markdown for a pull request. Text in, text out.

    junit(decision), markdown(decision)

What comes from files is escaped: it may hold markup, tables, characters that XML has no place for, or halves of
characters (as JSON can spell them), which no file can be written with.
"""

import re
from xml.etree import ElementTree

from . import Check, Decision

_MARKS = {"pass": "passed", "warn": "warning", "fail": "**failed**"}


def junit(decision: Decision) -> str:
    """One test suite; a check that fails is a failure, one that cannot tell and may is skipped."""
    outcomes = [decision.of(check) for check in decision.checks]
    suite = ElementTree.Element(
        "testsuite",
        name=_xml(decision.title),
        tests=str(len(outcomes)),
        failures=str(outcomes.count("fail")),
        errors="0",
        skipped=str(sum(_skipped(decision, check) for check in decision.checks)),
    )
    for check in decision.checks:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_xml(f"{check.kind}.{check.subject}"), name=_xml(check.name)
        )
        if decision.of(check) == "fail":
            ElementTree.SubElement(case, "failure", message=_xml(check.reason), type=_xml(check.verdict))
        elif _skipped(decision, check):
            ElementTree.SubElement(case, "skipped", message=_xml(check.reason))
        else:
            ElementTree.SubElement(case, "system-out").text = _xml(check.reason)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def markdown(decision: Decision) -> str:
    """A heading with the verdict, and a table of all checks, what failed first."""
    order = {"fail": 0, "warn": 1, "pass": 2}
    lines = [f"### {_cell(decision.title)}: {_MARKS[decision.verdict]}", ""]
    lines += ["| subject | check | verdict | reason |", "|---|---|---|---|"]
    for check in sorted(decision.checks, key=lambda c: order[decision.of(c)]):
        verdict = _MARKS[decision.of(check)]
        told = "" if check.verdict in ("pass", "fail") else f" ({check.verdict})"
        lines.append(
            f"| {_cell(check.subject)} | {_cell(check.name)} | {verdict}{told} | {_cell(check.reason)} |"
        )
    lines += [
        "",
        "Passed means that no check of this policy failed among the families it names; it is no safety certificate.",
    ]
    return "\n".join(lines) + "\n"


def _skipped(decision: Decision, check: Check) -> bool:
    return check.verdict == "cannot tell" and decision.of(check) != "fail"


def _xml(text: str) -> str:
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", text)


def _cell(text: str) -> str:
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\s]+", " ", text)
    text = re.sub(r"[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|#!~@])", r"\\\1", text)
