"""The command `gate`: a policy's verdict over models and corpora. Words and layout only.

add_commands(app)            # on the command line's typer application
"""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import JsonOption

if TYPE_CHECKING:
    from ..measure.gate import Decision

FAILED = 3


def add_commands(app: typer.Typer) -> None:
    """Add `gate` to an application."""
    app.command()(gate)


def gate(
    policy: Annotated[
        Path, typer.Argument(help="A policy, as at the head of subliminal_mlx/measure/gate/policy.py.")
    ],
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML for a CI server.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown for a pull request.")] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with exit code 3 where the verdict is fail.")
    ] = False,
    lab: Annotated[Path, typer.Option("--lab", help="A lab whose clean students count as null.")] = Path(
        "lab"
    ),
    as_json: JsonOption = False,
) -> None:
    """Check audits, measurements and lineage against a policy: one verdict, with reasons.

    \b
    python -m subliminal_mlx gate policy.toml --exit-code --junit gate.xml --markdown gate.md
    """
    from ..lab import Lab
    from ..measure.gate import decide, load_policy
    from ..measure.gate.formats import junit as to_junit
    from ..measure.gate.formats import markdown as to_markdown
    from ..report.console import console, printable
    from ..system import files
    from .waiting import in_turn

    aside = console(stderr=True)

    def tell(name: str) -> None:
        # Not in a pipe: what fails there fails in one line.
        if aside.is_terminal:
            aside.print(f"checking {printable(name)}", style="dim")

    wanted = load_policy(policy)
    # Audits take minutes; what is only read and measured waits for nobody.
    with in_turn(Lab(lab).path, "gate", wanted.title) if wanted.audited else nullcontext():
        decision = decide(wanted, policy.parent, Lab(lab), tell)
    if junit:
        files.write_atomic(junit, to_junit(decision))
    if markdown:
        files.write_atomic(markdown, to_markdown(decision))
    if as_json:
        print(json.dumps(decision.to_json()))
    else:
        print_decision(decision)
    if exit_code and decision.verdict == "fail":
        raise typer.Exit(FAILED)


def print_decision(decision: "Decision") -> None:
    """Every subject with its checks and their reasons, then the verdict."""
    from ..report.console import console, printable

    out = console()
    for name in decision.subjects:
        out.print(f"\n{printable(name)}: {decision.subject(name)}", style="bold")
        for check in decision.checks:
            if check.subject == name:
                told = "" if check.verdict in ("pass", "fail") else f" ({check.verdict})"
                out.print(f"  {decision.of(check)}{told}  {check.name}: {printable(check.reason)}")
    failed = sum(decision.of(check) == "fail" for check in decision.checks)
    words = f"{failed} of {len(decision.checks)} checks failed"
    out.print(f"\n{printable(decision.title)}: {decision.verdict.upper()} ({words})", style="bold")
