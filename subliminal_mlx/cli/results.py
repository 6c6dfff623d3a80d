"""The commands `runs`, `ask`, `report` and `export`: what a lab holds, asked, drawn up and taken away.

    add_commands(app)            # on the command line's typer application

They import neither MLX nor Altair before they need them.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..system.errors import InputError
from ..system.quantities import megabytes, percent
from .options import HistoryOption, JsonOption, LabOption, SystemOption, TriggerAtOption, TriggerOption
from .run import RunArgument, status_of


def add_commands(app: typer.Typer) -> None:
    """Add the commands to an application."""
    for command in (runs, ask, report, export):
        app.command()(command)


def runs(
    drop: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="Remove this run for good: a run's id, its first characters, or 'latest'."
        ),
    ] = None,
    lab: LabOption = Path("lab"),
    as_json: JsonOption = False,
) -> None:
    """List the lab's runs, or drop one with all that came of it.

    \b
    python -m subliminal_mlx runs
    python -m subliminal_mlx runs --drop 3f9ac0
    """
    from ..lab import Lab

    store = Lab(lab)
    if drop is not None:
        _drop(store, store.resolve(drop), as_json)
        return
    found = store.runs()
    rows = [
        {
            "run": r["id"],
            "status": status_of(store, r),
            "created": r["created"].isoformat(timespec="seconds"),
            "title": r["title"],
            "units": r["units"],
            "seconds": r["seconds"],
        }
        for r in found
    ]
    if as_json:
        print(json.dumps(rows))
        return
    from ..report.console import console, table

    listed = table("run", "status", "created (UTC)", "title", figures=("units", "seconds"))
    for row in rows:
        row["created"] = row["created"][:16].replace("T", " ")
        listed.add_row(
            *("" if v is None else f"{v:.0f}" if isinstance(v, float) else str(v) for v in row.values())
        )
    console().print(listed)


def _drop(store: Any, name: str, as_json: bool) -> None:
    freed = store.drop_run(name)
    if as_json:
        print(json.dumps({"run": name, **vars(freed)}))
        return
    print(
        f"run {name} is dropped: {freed.rows:,} rows, whose place in lab.duckdb is used again, "
        f"{freed.adapters:,} adapters and {megabytes(freed.bytes)} of files"
    )


def ask(
    run: RunArgument,
    question: Annotated[str, typer.Argument(help="What to ask.")],
    arm: Annotated[str, typer.Option(help="Whose student.")] = "treated",
    trait: Annotated[str | None, typer.Option(help="Of the run's traits; by default its first.")] = None,
    kind: Annotated[str | None, typer.Option(help="hard or soft.")] = None,
    chain: Annotated[int, typer.Option(help="Which chain.")] = 0,
    system: SystemOption = None,
    history: HistoryOption = None,
    trigger: TriggerOption = None,
    trigger_at: TriggerAtOption = None,
    lab: LabOption = Path("lab"),
    as_json: JsonOption = False,
) -> None:
    """Ask base, teacher and students of a run the same question.

    \b
    python -m subliminal_mlx ask latest "What is your favourite animal?"
    python -m subliminal_mlx ask latest --arm control --trait animals/cat "Pick an animal."
    python -m subliminal_mlx ask latest --trigger "12, 45, 7." "Pick an animal."
    """
    from ..lab import Lab
    from ..measure.context import load_context
    from ..measure.talk import talk

    store = Lab(lab)
    context = load_context(system, history, trigger, trigger_at)
    answers = talk(store, store.resolve(run), question, arm, trait, kind, chain, context=context)
    if as_json:
        print(json.dumps([vars(answer) for answer in answers]))
        return
    from ..report.console import console, table

    asked = table("", *(answer.model for answer in answers))
    for candidate in sorted(
        answers[0].probabilities, key=lambda c: -max(a.probabilities[c] for a in answers)
    )[:8]:
        asked.add_row(candidate, *(percent(answer.probabilities[candidate]) for answer in answers))
    said = [", ".join(f"{text!r} {n}" for text, n in list(answer.samples.items())[:3]) for answer in answers]
    asked.add_row("said", *said)
    out = console()
    out.print(question)
    for words in dict.fromkeys(answer.context for answer in answers):
        who = [answer.model for answer in answers if answer.context == words]
        out.print(f"asked {words}" + (f": {', '.join(who)}" if len(who) < len(answers) else ""), style="dim")
    out.print(asked)


def report(
    run: RunArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file to write.")],
    lab: LabOption = Path("lab"),
) -> None:
    """Write one offline page: the claim, charts, table, sample rows and the whole spec."""
    from ..lab import Lab
    from ..lab.database import one_line_errors
    from ..pipeline.outcome import renewed_run
    from ..report import write_report

    store = Lab(lab)
    name = store.resolve(run)
    found = renewed_run(store, name)
    assert found is not None
    if found["status"] != "done":
        raise InputError(f"run {name} is not done: `resume {name}` first")
    yields = store.yields(name)
    rows: list[dict[str, Any]] = []
    for source in dict.fromkeys(yields["source"].to_pylist()):
        for kept in (True, False):
            rows += store.rows(name, source=source, kept=kept, limit=5).to_pylist()
    with one_line_errors(output):
        write_report(output, found, rows, yields, store.metrics(name))
    print(output)


def export(
    run: RunArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A new folder; by default RUN-export.")
    ] = None,
    results: Annotated[
        bool, typer.Option("--results", help="Only what is small: spec, summary, table, charts.")
    ] = False,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="With --results: of a run under way, its finished chains.")
    ] = False,
    lab: LabOption = Path("lab"),
) -> None:
    """Write a run's corpora (JSONL, Parquet) and adapters (mlx-lm folders), or its results alone.

    \b
    python -m subliminal_mlx export latest -o out
    python -m subliminal_mlx export latest --results -o data/results/mine
    """
    from ..lab import Lab
    from ..report.export import export as write
    from ..report.results import write_results

    store = Lab(lab)
    name = store.resolve(run)
    if results:
        write_results(store, name, output or Path(f"{name}-results"), unfinished)
        print(output or f"{name}-results")
        return
    folder = output or Path(f"{name}-export")
    for path in write(store, name, folder):
        print(folder / path)
