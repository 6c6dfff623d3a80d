"""The commands `run`, `resume` and `show`: an experiment from its spec to its tables, and what to do next.

add_commands(app)            # on the command line's typer application
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..system.errors import InputError
from ..system.quantities import about_duration, percent, took
from .options import JsonOption, LabOption

RunArgument = Annotated[str, typer.Argument(help="A run's id, its first characters, or 'latest'.")]
Processes = Annotated[
    int | None, typer.Option(min=1, max=64, help="Worker processes; by default one a core.")
]
Force = Annotated[bool, typer.Option("--force", help="Go on with a run that was begun under other versions.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands to an application."""
    for command in (run, resume, show):
        app.command()(command)


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
    from ..spec import load_spec

    if spec is not None and not spec.endswith(".toml"):
        raise InputError(
            f"{spec!r} is no spec file, which ends in .toml; a shipped spec is chosen by --preset"
        )
    _run_spec(load_spec(spec or preset, set_ or []), lab, as_json, processes, force)


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
    from ..lab import Lab
    from ..lab.identity import identify, own_spec
    from ..spec import parse_spec

    store = Lab(lab)
    found = store.run(store.resolve(run))
    assert found is not None
    spec = parse_spec(found["spec_toml"], where=f"run {found['id']}")
    if (now := identify(spec)) != found["id"]:
        raise InputError(
            f"run {found['id']} cannot go on: its base, a family, a defence's file or this version's results "
            f"changed since, and the same spec is run {now} now. `run` with its spec begins that"
        )
    _run_spec(own_spec(found["spec_toml"], found["id"]), lab, as_json, processes, force)


def show(run: RunArgument, lab: LabOption = Path("lab"), as_json: JsonOption = False) -> None:
    """Show a run's result, or how far it is and what its finished chains say."""
    from ..lab import Lab
    from ..pipeline.outcome import renewed_run
    from ..report.terminal import print_result

    store = Lab(lab)
    name = store.resolve(run)
    found = renewed_run(store, name)
    assert found is not None
    if found["status"] != "done":
        progress = store.read_progress(name) or {}
        state = {"run": name, "status": status_of(store, found), "fraction": progress.get("fraction", 0.0)}
        _show_unfinished(store, state, as_json)
        return
    if as_json:
        print(json.dumps(_public(found)))
        return
    print_result(found)
    _print_closing(store, found, lab)


def _show_unfinished(store: Any, state: dict[str, Any], as_json: bool) -> None:
    from ..pipeline.outcome import so_far
    from ..report.terminal import print_result

    name = state["run"]
    done, chains, summary = so_far(store, name)
    if as_json:
        from ..experiment.transfer import to_json

        print(json.dumps(state | {"chains_done": done} | (to_json(summary) if summary else {})))
        return
    if summary:
        print_result(store.run(name) | {"summary": summary})
        print(f"\nso far: the first {done} of {chains} chains")
    print(
        f"run {name}: {state['status']}, {percent(state['fraction'], 0)} done; `resume {name}` goes on with it"
    )


def status_of(store: Any, run: dict[str, Any]) -> str:
    """A run marked running that nobody holds was killed."""
    if run["status"] == "running" and not store.run_holder(run["id"]):
        return "interrupted"
    return run["status"]


def _run_spec(spec: Any, lab: Path, as_json: bool, processes: int | None, force: bool) -> None:
    from ..lab import Lab
    from ..pipeline import run as pipeline
    from ..report.bars import RunBars
    from ..report.terminal import print_result

    store = Lab(lab)
    with RunBars(forecast=partial(_forecast, spec, store, processes)) as bars:

        def turn(name: str, held: Callable[[], bool]) -> AbstractContextManager[bool]:
            # What is done already takes no turn, and need not wait for this import.
            from ..jobs import line

            return line.turn(store.path, name, spec.title, bars.wait, held)

        outcome = pipeline.run(spec, store, processes, force, bars, turn)
    if as_json:
        print(json.dumps(_public(outcome.run)))
        return
    print_result(outcome.run)
    _print_closing(store, outcome.run, lab)


def _forecast(spec: Any, store: Any, processes: int | None) -> str | None:
    """What a run that begins will take; nothing is said where little is."""
    from ..model.organisms import is_organism
    from ..model.sources import locate
    from ..pipeline.forecast import forecast
    from ..system.machine import default_processes
    from ..system.rate import kept_rate

    count = locate(spec.base).parameters
    if not count or is_organism(count):
        return None
    return forecast(spec, kept_rate(store.path).gflops, processes or default_processes())


def _public(run: dict[str, Any]) -> dict[str, Any]:
    from ..experiment.transfer import to_json

    figures = {"run": run["id"], "seconds": run["seconds"], "peak_memory_bytes": run["peak_memory_bytes"]}
    return figures | to_json(run["summary"])


def _print_closing(store: Any, run: dict[str, Any], lab: Path) -> None:
    """Where the charts are, what was run, what to do next."""
    from ..model.organisms import describe_size, is_organism
    from ..model.sources import WHEEL_PARAMETERS, locate
    from ..report.console import shown_path
    from ..spec import estimate, load_spec, parse_spec
    from ..system.rate import kept_rate

    folder = store.run_folder(run["id"]) / "charts"
    if not (folder / "transfer.png").exists():
        from ..report import charts

        chart = charts.transfer(run["summary"])
        for suffix in ("html", "png"):
            charts.save(chart, folder / f"transfer.{suffix}")
    spec = parse_spec(run["spec_toml"])
    count = locate(spec.base).parameters
    print(f"\ncharts   {shown_path(folder)}/transfer.html, transfer.png")
    print(f"base     {spec.base}: {describe_size(count) if count else 'a language model'}")
    print(f"run      {run['id']}: {took(run['seconds'], run['peak_memory_bytes'])} in a process")
    print(f"more     python -m subliminal_mlx report {run['id']} -o report.html{_lab_flag(lab)}")
    if is_organism(count):
        real = load_spec("smollm2-quick")
        rate = kept_rate(store.path)
        seconds = estimate.run_seconds(real, WHEEL_PARAMETERS, rate.gflops, rate.processes)
        print(
            f"real     python -m subliminal_mlx run --preset smollm2-quick   ({about_duration(seconds)} here)"
        )


def _lab_flag(lab: Path) -> str:
    return "" if lab == Path("lab") else f" --lab {lab}"
