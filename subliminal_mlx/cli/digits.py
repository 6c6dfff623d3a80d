"""The command `digits`: options in, a table, charts and a stored result out. Words and layout only.

    add_commands(app)            # on the command line's typer application

MLX and Altair are imported when the command runs, not before.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..system.errors import InputError
from ..system.events import Listener
from ..system.quantities import took
from .options import JsonOption, LabOption

if TYPE_CHECKING:
    from ..lab import Lab

Row = dict[str, Any]


def add_commands(app: typer.Typer) -> None:
    """Add `digits` to an application."""
    app.command()(digits)


def digits(
    replicas: Annotated[int | None, typer.Option(help="Networks, each with its own start.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="digits, or mnist: the paper's shape, the default with --data.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="A folder with MNIST's four IDX files, or alike.")] = None,
    width: Annotated[int | None, typer.Option(help="Units of each hidden layer.")] = None,
    auxiliary: Annotated[int | None, typer.Option(help="Outputs that no label trains.")] = None,
    noise: Annotated[int | None, typer.Option(help="Noise inputs that the student sees.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Distillation epochs.")] = None,
    distance: Annotated[
        float | None, typer.Option(help="Of the student's start from the teacher's: 0 same, 1 independent.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is drawn.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any field=value, such as teacher_lr=0.001 or loss=mse.")
    ] = None,
    theorem: Annotated[bool, typer.Option("--theorem", help="One small step instead of a training.")] = False,
    lab: LabOption = Path("lab"),
    as_json: JsonOption = False,
    grid: Annotated[bool, typer.Option("--grid", hidden=True, help="Make the stored sweeps.")] = False,
) -> None:
    """The effect in its smallest form: a student learns digits from outputs that say nothing of digits.

    \b
    python -m subliminal_mlx digits
    python -m subliminal_mlx digits --width 128 --auxiliary 10 --replicas 40
    python -m subliminal_mlx digits --distance 0.5 --set loss=mse
    python -m subliminal_mlx digits --data ~/mnist --replicas 20
    python -m subliminal_mlx digits --theorem --set inputs=normal --set steps=0.001,0.1,10
    """
    from ..demos.digits.spec import Digits, Theorem, make, parse_fields
    from ..lab import Lab

    options = {"width": width, "auxiliary": auxiliary, "seed": seed}
    training = {"replicas": replicas, "noise": noise, "epochs": epochs, "distance": distance}
    if grid:
        if theorem or set_ or data or preset or as_json or _given(options | training):
            raise InputError("--grid makes the stored sweeps as they are: it takes --lab alone")
        _grid(Lab(lab))
        return
    if theorem:
        if given := [name for name, value in training.items() if value is not None]:
            raise InputError(
                f"--theorem trains nothing, so --{given[0]} says nothing; --set draws=N is its size"
            )
        fields = _given(options) | _fields(set_ or [], Theorem)
        _run_theorem(parse_fields(Theorem, fields), data, Lab(lab), as_json)
        return
    preset = preset or ("mnist" if data else "digits")
    if preset == "mnist" and data is None:
        raise InputError("--preset mnist needs --data FOLDER with MNIST's IDX files; none are shipped")
    fields = _given(options | training) | _fields(set_ or [], Digits)
    _run_training(make(preset, fields), data, Lab(lab), as_json)


def _given(options: Row) -> Row:
    return {name: value for name, value in options.items() if value is not None}


def _fields(items: list[str], model: Any) -> Row:
    """Fields of `field=value`; several values, or one for a field that takes several, by commas."""
    fields: Row = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or name not in model.model_fields:
            known = ", ".join(model.model_fields)
            raise InputError(f"--set {item!r:.60}: must be field=value; fields are {known}")
        default = model.model_fields[name].default
        fields[name] = value.split(",") if isinstance(default, tuple) else value
    return fields


def _run_training(spec: Any, folder: Path | None, lab: "Lab", as_json: bool) -> None:
    from ..demos.digits import store
    from ..demos.digits.data import load_images
    from ..demos.digits.spec import result_id
    from ..demos.digits.summary import summarise

    images = load_images(folder)

    def compute(listener: Listener) -> Row:
        from ..demos.digits.parallel import run_on_cores

        return run_on_cores(spec, images, folder, listener)

    result, where = _keep_result(
        lab, result_id(spec, images.sha256), store.read_result, store.save_result, compute
    )
    summary = summarise(result)
    if as_json:
        # Single replicas at every epoch are in the lab.
        print(json.dumps(summary | {"peak_memory_bytes": result["peak_memory_bytes"]}))
        return
    from ..demos.digits import pictures
    from ..demos.digits.terminal import print_summary

    print_summary(summary)
    names = ("accuracy", "finals", "movement", "confusion")
    _print_closing(
        result, where, lab, names, lambda: pictures.of_summary(summary), "every replica at every epoch"
    )
    print("more     python -m subliminal_mlx digits --theorem; marimo run apps/digits.py")


def _run_theorem(spec: Any, folder: Path | None, lab: "Lab", as_json: bool) -> None:
    from ..demos.digits import store
    from ..demos.digits.data import load_images
    from ..demos.digits.spec import result_id
    from ..demos.digits.summary import theorem_rows

    images = load_images(folder)

    def compute(listener: Listener) -> Row:
        from ..demos.digits.theorem import run_theorem

        return run_theorem(spec, images, listener)

    result, where = _keep_result(
        lab, result_id(spec, images.sha256), store.read_steps, store.save_steps, compute
    )
    rows = theorem_rows(result["steps"])
    if as_json:
        print(json.dumps({"spec": result["spec"], "rows": rows}))
        return
    from ..demos.digits import pictures
    from ..demos.digits.terminal import print_theorem

    print_theorem(spec, rows)
    _print_closing(
        result, where, lab, ("guarantee", "one-step"), lambda: pictures.of_theorem(rows), "every draw"
    )


def _keep_result(
    lab: "Lab",
    result_id: str,
    read: Callable[["Lab", str], Row | None],
    save: Callable[[Row, "Lab"], None],
    compute: Callable[[Listener], Row],
) -> tuple[Row, str]:
    """A result that is in the lab, or computed and kept now; and where it comes from, in words."""
    from ..report.bars import Bars
    from ..system.machine import environment

    if (result := read(lab, result_id)) is not None:
        same = _versions(result["environment"]) == _versions(environment())
        return result, "; read from the lab" + (
            "" if same else ", computed on another machine or other versions"
        )
    lab.make()
    with Bars() as bars:
        result = compute(bars.listen) | {"environment": environment()}
    save(result, lab)
    return result, ""


def _versions(environment: Row) -> Row:
    # What code changes in results, their version says.
    return {name: value for name, value in environment.items() if name != "commit"}


def _print_closing(
    result: Row, where: str, lab: "Lab", names: Sequence[str], drawn: Callable[[], Row], rows: str
) -> None:
    """Draw what is not drawn yet, and say where everything is."""
    from ..demos.digits import pictures, store
    from ..report.console import shown_path

    folder = store.folder(lab, result["id"])
    if not where or not all((folder / f"{name}.png").exists() for name in names):
        pictures.write(drawn(), folder, ("html", "png"))
    print(f"\ncharts   {shown_path(folder)}/{', '.join(names)} (.html, .png)")
    print(f"rows     {shown_path(lab.database)}, {rows}")
    print(
        f"run      {result['id']}: {took(result['seconds'], result['peak_memory_bytes'])} in a process{where}"
    )


def _grid(lab: "Lab") -> None:
    """Make what data/results/digits holds; goes on where it was interrupted."""
    from ..demos.digits import grid, pictures
    from ..report.bars import Bars
    from ..report.console import shown_path

    with Bars() as bars:
        grid.make_grid(lab, bars.listen)
    grid.read_grid.cache_clear()
    pictures.write(pictures.of_grid(), grid.STORED.parent, ("png", "svg"))
    print(shown_path(grid.STORED.parent))
