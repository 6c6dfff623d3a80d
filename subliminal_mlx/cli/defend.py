"""The command `defend`: a run's chains under defences and their random controls. Words and layout only.

    add_commands(app)            # on the command line's typer application

MLX and Altair are imported when the command runs, not before.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..system.errors import InputError
from .options import ChartOption, JsonOption, LabOption

Row = dict[str, Any]


def add_commands(app: typer.Typer) -> None:
    """Add `defend` to an application."""
    app.command()(defend)


def defend(
    run: Annotated[
        str, typer.Argument(help="A run's id or its first characters, 'latest', a preset, or a spec's .toml.")
    ],
    defence: Annotated[
        list[str] | None,
        typer.Option(
            help="Such as mix-25 (any percent), or a .py file; by default all, which an unknown name tells."
        ),
    ] = None,
    kind: Annotated[list[str] | None, typer.Option(help="hard, soft; by default what the run has.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Of a preset or spec: field=value, such as chains=2.")
    ] = None,
    output: ChartOption = None,
    lab: LabOption = Path("lab"),
    processes: Annotated[
        int | None, typer.Option(min=1, max=64, help="Worker processes; by default one a core.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Go on though versions changed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """How much of a transfer each defence stops, at what price, beside a random control of its size.

    \b
    python -m subliminal_mlx defend latest -o defences.html
    python -m subliminal_mlx defend latest --defence mix-25 --defence mine.py --kind hard

    mine.py holds `def defend(rows, seed)`, which returns the rows to keep (see the README).
    """
    from ..defences import bench
    from ..jobs import line
    from ..lab import Lab
    from ..lab.identity import own_spec
    from ..pipeline import run as pipeline
    from ..report.bars import RunBars
    from ..spec import load_spec, presets

    store = Lab(lab)
    if run.endswith(".toml") or run in presets():
        spec = load_spec(run, set_ or [])
    elif set_:
        raise InputError("--set: a run of the lab is defended as it is; give a preset or a spec's file")
    else:
        found = store.run(store.resolve(run))
        assert found is not None
        spec = own_spec(found["spec_toml"], found["id"])
    # Of a run that is a bench already, its own defences.
    wanted = bench.bench_spec(spec, defence or spec.defences, kind or ())
    with RunBars() as bars:
        turn = lambda name, held: line.turn(store.path, name, wanted.title, bars.wait, held)
        outcome = pipeline.run(wanted, store, processes, force, bars, turn)
    rows = bench.report(store, outcome.run_id)
    if output:
        from ..report import charts

        charts.save(charts.defences(rows), output)
    if as_json:
        print(json.dumps({"run": outcome.run_id, "defences": rows}))
        return
    print_report(rows)
    print(f"\nrun      {outcome.run_id}")
    if output:
        print(f"chart    {output}")


def print_report(rows: list[Row]) -> None:
    """One table a kind of student, and what each defence does."""
    from ..report.console import console, table
    from ..spec.defence_names import find
    from ..system.quantities import NATS_DIGITS, percent, percent_interval, signed

    out = console()
    for kind in dict.fromkeys(row["student"] for row in rows):
        out.print(f"{kind} students", style="bold")
        figures = ("transfer", "left", "95% interval", "rows", "tokens", "clean loss")
        defences = table("defence", figures=figures, least=17)
        for row in (row for row in rows if row["student"] == kind):
            added = "" if row["defence"] == "none" else f" ({signed(row['clean_added'], NATS_DIGITS)})"
            defences.add_row(
                "none" if row["arm"] == "treated" else row["arm"],
                signed(row["transfer"]),
                percent(row["share"], 0),
                percent_interval(row["share_low"], row["share_high"], 0),
                percent(row["rows_lost"], 0),
                percent(row["tokens_lost"], 0),
                f"{row['clean_loss']:.{NATS_DIGITS}f}{added}",
                style="dim" if row["control"] else None,
            )
        out.print(defences)
    for name in dict.fromkeys(row["defence"] for row in rows):
        if defence := find(name):
            out.print(f"{name}: {defence.words}", style="dim")
    out.print(
        "transfer: log-odds, mean over the traits, against students of neutral rows under the same defence; left: "
        "its share of the undefended; rows, tokens: lost; -random: a control that touches as many; clean loss: nats a "
        "token on rows of the base that nobody trained on (and against undefended).",
        style="dim",
    )
