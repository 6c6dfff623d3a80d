"""The command line: `python -m subliminal_mlx --help`.

Commands that only read the lab import neither MLX nor Altair before they need them.
"""

import json
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from . import (
    app_command,
    audit_command,
    defend_command,
    digits_command,
    doctor_command,
    gate_command,
    lineage_command,
    listing_command,
    measure_command,
)
from .errors import InputError, SubliminalError

LabOption = Annotated[Path, typer.Option("--lab", help="The lab's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
RunArgument = Annotated[str, typer.Argument(help="A run's id, its first characters, or 'latest'.")]
Processes = Annotated[
    int | None, typer.Option(min=1, max=64, help="Worker processes; by default one a core.")
]
Force = Annotated[bool, typer.Option("--force", help="Go on with a run that was begun under other versions.")]

PROGRAM, INTERRUPTED = "python -m subliminal_mlx", 130

app = typer.Typer(
    help="See, catch and stop the traits that travel through distillation data. --debug, anywhere, shows tracebacks.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def run(
    spec: Annotated[str | None, typer.Argument(help="A spec file, ending in .toml.")] = None,
    preset: Annotated[str, typer.Option(help="A shipped spec; `specs` lists them.")] = "default",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="field=value, such as corpus.rows=500.")
    ] = None,
    lab: LabOption = Path("lab"),
    as_json: JsonOption = False,
    processes: Processes = None,
    force: Force = False,
) -> None:
    """Run a whole transfer experiment, or read it from the lab if it is there.

    \b
    python -m subliminal_mlx run
    python -m subliminal_mlx run --preset glance --lab /tmp/lab
    python -m subliminal_mlx run my.toml --set chains=5 --json > result.json
    """
    from .spec import load_spec

    if spec is not None and not spec.endswith(".toml"):
        raise InputError(
            f"{spec!r} is no spec file, which ends in .toml; a shipped spec is chosen by --preset"
        )
    _run(load_spec(spec or preset, set_ or []), lab, as_json, processes, force)


@app.command()
def resume(
    run: RunArgument,
    lab: LabOption = Path("lab"),
    as_json: JsonOption = False,
    processes: Processes = None,
    force: Force = False,
) -> None:
    """Go on with a run that was interrupted, failed or killed.

    \b
    python -m subliminal_mlx resume latest
    """
    from .lab import Lab
    from .spec import parse_spec

    store = Lab(lab)
    found = store.run(store.resolve(run))
    assert found is not None
    _run(parse_spec(found["spec_toml"], where=f"run {found['id']}"), lab, as_json, processes, force)


def _run(spec: Any, lab: Path, as_json: bool, processes: int | None, force: bool) -> None:
    from . import pipeline, turns
    from .console import ProgressView, print_result
    from .lab import Lab

    store = Lab(lab)
    with ProgressView() as view:
        turn = lambda name, held: turns.turn(store.path, name, spec.title, view.waits, held)
        view.first = lambda: _forecast(spec, store, processes)
        outcome = pipeline.run(spec, store, processes, force, view, turn)
    if as_json:
        print(json.dumps(_public(outcome.run)))
        return
    print_result(outcome.run)
    _close(store, outcome.run, lab)


def _forecast(spec: Any, store: Any, processes: int | None) -> str | None:
    """What a run that begins will take; nothing is said where little is."""
    from .forecast import forecast
    from .machine import default_processes
    from .model_folder import parameters
    from .sources import ORGANISM, locate

    location = locate(spec.base)
    if location.path.is_dir() and (parameters(location.path) or 0) < ORGANISM:
        return None
    return forecast(spec, _gflops(store), processes or default_processes())


def _public(run: dict[str, Any]) -> dict[str, Any]:
    from .transfer import to_json

    figures = {"run": run["id"], "seconds": run["seconds"], "peak_memory_bytes": run["peak_memory_bytes"]}
    return figures | to_json(run["summary"])


def _close(store: Any, run: dict[str, Any], lab: Path) -> None:
    """Where the charts are, what was run, what to do next."""
    from . import estimate
    from .model_folder import parameters
    from .sources import in_words, locate
    from .spec import load_spec, parse_spec

    folder = store.run_folder(run["id"]) / "charts"
    if not (folder / "transfer.png").exists():
        from . import charts

        chart = charts.transfer(run["summary"])
        for suffix in ("html", "png"):
            charts.save(chart, folder / f"transfer.{suffix}")
    spec = parse_spec(run["spec_toml"])
    location = locate(spec.base)
    count = parameters(location.path) if location.path.is_dir() else None
    print(f"\ncharts   {_shown(folder)}/transfer.html, transfer.png")
    print(f"base     {spec.base}: {in_words(count) if count else 'a language model'}")
    memory = run["peak_memory_bytes"] or 0
    print(f"run      {run['id']}: {run['seconds']:.0f} s, {memory / 1e9:.2f} GB at most in a process")
    print(f"more     python -m subliminal_mlx report {run['id']} -o report.html{_lab_flag(lab)}")
    if count and count < 10_000_000:
        real = load_spec("smollm2-quick")
        cores = min(4, os.cpu_count() or 1)
        wait = estimate.in_words(estimate.seconds(real, 134_515_008, _gflops(store), cores))
        print(f"real     python -m subliminal_mlx run --preset smollm2-quick   ({wait} here)")


def _gflops(store: Any) -> float:
    """This machine's rate, measured once a lab."""
    from . import estimate, files

    path = store.path / "machine.json"
    try:
        return float(json.loads(path.read_text())["gflops"])
    except (OSError, ValueError, KeyError, TypeError):
        rate = estimate.machine_gflops()
        files.write_atomic(path, json.dumps({"gflops": rate}))
        return rate


def _shown(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _lab_flag(lab: Path) -> str:
    return "" if lab == Path("lab") else f" --lab {lab}"


@app.command()
def runs(lab: LabOption = Path("lab"), as_json: JsonOption = False) -> None:
    """List the lab's runs."""
    from .lab import Lab

    store = Lab(lab)
    found = store.runs()
    rows = [
        {
            "run": r["id"],
            "status": _status(store, r),
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
    from rich.console import Console
    from rich.table import Column, Table

    names = ("run", "status", "created (UTC)", "title", "units", "seconds")
    table = Table(*(Column(name, overflow="fold") for name in names), box=None, pad_edge=False)
    for row in rows:
        row["created"] = row["created"][:16].replace("T", " ")
        table.add_row(
            *("" if v is None else f"{v:.0f}" if isinstance(v, float) else str(v) for v in row.values())
        )
    Console(markup=False, highlight=False).print(table)


def _status(store: Any, run: dict[str, Any]) -> str:
    """A run marked running that nobody holds was killed."""
    if run["status"] == "running" and not store.run_holder(run["id"]):
        return "interrupted"
    return run["status"]


@app.command()
def show(run: RunArgument, lab: LabOption = Path("lab"), as_json: JsonOption = False) -> None:
    """Show a run's result, or how far it is."""
    from .console import print_result
    from .lab import Lab

    store = Lab(lab)
    name = store.resolve(run)
    found = store.run(name)
    assert found is not None
    if found["status"] != "done":
        progress = store.read_progress(name) or {}
        state = {"run": name, "status": _status(store, found), "fraction": progress.get("fraction", 0.0)}
        print(
            json.dumps(state)
            if as_json
            else f"run {name}: {state['status']}, {100 * state['fraction']:.0f}% done; `resume {name}` goes on with it"
        )
        return
    if as_json:
        print(json.dumps(_public(found)))
        return
    print_result(found)
    _close(store, found, lab)


@app.command()
def ask(
    run: RunArgument,
    question: Annotated[str, typer.Argument(help="What to ask.")],
    arm: Annotated[str, typer.Option(help="Whose student.")] = "treated",
    trait: Annotated[str | None, typer.Option(help="Of the run's traits; by default its first.")] = None,
    kind: Annotated[str | None, typer.Option(help="hard or soft.")] = None,
    chain: Annotated[int, typer.Option(help="Which chain.")] = 0,
    lab: LabOption = Path("lab"),
    as_json: JsonOption = False,
) -> None:
    """Ask base, teacher and students of a run the same question.

    \b
    python -m subliminal_mlx ask latest "What is your favourite animal?"
    python -m subliminal_mlx ask latest --arm control --trait animals/cat "Pick an animal."
    """
    from .lab import Lab
    from .talk import talk

    store = Lab(lab)
    answers = talk(store, store.resolve(run), question, arm, trait, kind, chain)
    if as_json:
        print(json.dumps([vars(answer) for answer in answers]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("", *(answer.model for answer in answers), box=None, title_justify="left")
    for candidate in sorted(
        answers[0].probabilities, key=lambda c: -max(a.probabilities[c] for a in answers)
    )[:8]:
        table.add_row(candidate, *(f"{100 * answer.probabilities[candidate]:.1f}%" for answer in answers))
    said = [", ".join(f"{text!r} {n}" for text, n in list(answer.samples.items())[:3]) for answer in answers]
    table.add_section()
    table.add_row("said", *said)
    # No markup: a question, and what a model says, may hold brackets.
    console = Console(markup=False, highlight=False)
    console.print(question)
    console.print(table)


@app.command()
def report(
    run: RunArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file to write.")],
    lab: LabOption = Path("lab"),
) -> None:
    """Write one offline page: the claim, charts, table, sample rows and the whole spec."""
    from .lab import Lab
    from .lab.database import one_line_errors
    from .report import write_report

    store = Lab(lab)
    name = store.resolve(run)
    found = store.run(name)
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


@app.command()
def export(
    run: RunArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A new folder; by default RUN-export.")
    ] = None,
    results: Annotated[
        bool, typer.Option("--results", help="Only what is small: spec, summary, table, charts.")
    ] = False,
    lab: LabOption = Path("lab"),
) -> None:
    """Write a run's corpora (JSONL, Parquet) and adapters (mlx-lm folders), or its results alone.

    \b
    python -m subliminal_mlx export latest -o out
    python -m subliminal_mlx export latest --results -o data/results/mine
    """
    from .export import export as write
    from .lab import Lab
    from .results import write_results

    store = Lab(lab)
    name = store.resolve(run)
    if results:
        write_results(store, name, output or Path(f"{name}-results"))
        print(output or f"{name}-results")
        return
    folder = output or Path(f"{name}-export")
    for path in write(store, name, folder):
        print(folder / path)


for module in (
    listing_command,
    audit_command,
    doctor_command,
    digits_command,
    app_command,
    measure_command,
    lineage_command,
    defend_command,
    gate_command,
):
    module.add_commands(app)


def main() -> None:
    """Run the command line; every failure is one line and the right exit code."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        # Typer's own main would print usage errors in several lines, and nothing at Ctrl-C.
        code = app(arguments or ["--help"], prog_name=PROGRAM, standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if code:  # a verdict that was asked to end in a code of its own
            sys.exit(code)
    except KeyboardInterrupt:
        _fail("interrupted: what is done is kept; the same command, or `resume latest`, goes on", INTERRUPTED)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, SubliminalError):
            _fail(f"error: {error}", error.code)
        if hasattr(error, "format_message"):
            _fail(f"error: {error.format_message()} (--help shows what there is)", 2)
        _fail(f"error: {type(error).__name__}: {error} (--debug shows where)", 1)


def _fail(message: str, code: int) -> NoReturn:
    # What users name, and libraries say, may hold line breaks and worse.
    print(re.sub(r"[\x00-\x1f\x7f-\x9f\s]+", " ", message), file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
