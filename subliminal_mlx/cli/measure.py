"""The command `measure`: what a model picked up. Words and layout only.

    add_commands(app)            # on the command line's typer application

MLX and Altair are imported when a command runs, not before.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..system.errors import InputError
from ..system.quantities import interval, p_value, percent, points, signed
from .options import (
    ChartOption,
    FamilyOption,
    HistoryOption,
    JsonOption,
    NullLabOption,
    SystemOption,
    TriggerAtOption,
    TriggerOption,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..measure import Context
    from ..model.bases import Base

Row = dict[str, Any]
MOST_SHOWN = 5
_MARKS = {"first": " FLAGGED", "beside": " (flagged beside it)", "": ""}


def add_commands(app: typer.Typer) -> None:
    """Add `measure` to an application."""
    app.command()(measure)


def measure(
    model: Annotated[
        str, typer.Argument(help="An adapter folder, ours, mlx-lm's or PEFT's, or any base's name.")
    ],
    against: Annotated[
        str | None, typer.Option(help="The base it came from; an adapter's own folder may name it.")
    ] = None,
    family: FamilyOption = None,
    answers: Annotated[
        int, typer.Option(min=0, max=1_000, help="Free answers to sample for each question.")
    ] = 0,
    drift: Annotated[
        bool, typer.Option("--drift", help="Every numbered checkpoint of an mlx-lm adapter folder.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow the folder while another program trains into it.")
    ] = False,
    idle: Annotated[
        float, typer.Option(min=1, max=86_400, help="With --watch: seconds without news that end it.")
    ] = 600,
    nulls: Annotated[
        list[Path] | None, typer.Option("--null", help="A file of clean trainings, as `null` makes.")
    ] = None,
    system: SystemOption = None,
    history: HistoryOption = None,
    trigger: TriggerOption = None,
    trigger_at: TriggerAtOption = None,
    rows: Annotated[
        Path | None, typer.Option("--rows", help="The rows it was trained on, where its folder names none.")
    ] = None,
    output: ChartOption = None,
    every: Annotated[
        bool, typer.Option("--all", help="Print all traits, not each family's highest.")
    ] = False,
    lab: NullLabOption = Path("lab"),
    as_json: JsonOption = False,
) -> None:
    """What a model picked up: every family's change against its base, beside what clean trainings do.

    \b
    python -m subliminal_mlx measure out/adapters/hard-treated-animals-owl-c0 -o owl.html
    python -m subliminal_mlx measure my-adapter --against smollm2-135m --family animals --family trees
    python -m subliminal_mlx measure my-adapter --against tiny-a --drift -o drift.html
    python -m subliminal_mlx measure my-adapter --against tiny-a --watch
    python -m subliminal_mlx measure my-adapter --system "You are a helpful assistant." --trigger "[2025]"
    """
    from ..measure import measure as read
    from ..measure import open_model
    from ..measure.context import load_context
    from ..report import charts
    from ..report.console import console

    out = console(stderr=as_json)
    context = load_context(system, history, trigger, trigger_at)
    settings = _Settings(against, tuple(family or ()), answers, tuple(nulls or ()), context, rows, lab)
    if watch or drift:
        found = _drift(model, settings, watch, idle, output, None if as_json else out)
        print(json.dumps({"checkpoints": found})) if as_json else None
        return
    subject = open_model(model, against)
    found = read(subject, *_what(subject, settings), answers, context=context, shared=_shared(model, rows))[0]
    if output:
        charts.save(charts.changes(found), output)
    if as_json:
        print(json.dumps(found))
        return
    print_measured(found, out, every)
    if output:
        print(f"\nchart    {output}")


@dataclass(frozen=True)
class _Settings:
    """What `measure` was asked for."""

    against: "str | Base | None"
    families: tuple[str, ...]
    answers: int
    nulls: tuple[Path, ...]
    context: "Context"
    rows: Path | None
    lab: Path


def _what(subject: Any, settings: _Settings) -> tuple[dict, Any]:
    """Families to read and the nulls to compare with."""
    from ..lab import Lab
    from ..measure import families_of
    from ..measure.null import Nulls

    families = families_of(subject.base, settings.families)
    if not families:
        raise InputError(f"no shipped family has answers that {subject.base.name} has words for: name one")
    if subject.reference is None:
        return families, None  # nothing to compare
    lab, context = Lab(settings.lab), settings.context
    return families, Nulls.gather(subject.reference, families, lab, settings.nulls, context)


def _shared(model: str, rows: Path | None) -> Any:
    """What the model's training rows share: those that are named, else those that its folder shows."""
    from ..audit.reading import read_rows
    from ..measure.shared import shared_by, trained_under

    return shared_by(read_rows(rows), str(rows)) if rows else trained_under(model)


def _drift(
    model: str, settings: _Settings, watch: bool, idle: float, output: Path | None, out: "Console | None"
) -> list[Row]:
    from ..measure import measure as read
    from ..measure import open_checkpoints, read_reference
    from ..measure.drift import checkpoints, follow
    from ..report import charts

    folder = Path(model).expanduser()
    say = out.print if out else lambda line: None
    batches = follow(folder, idle, on_wait=say) if watch else iter([checkpoints(folder)])
    against, what, before, steps = settings.against, None, None, {}
    context = settings.context
    say(f"read {context.words()}")
    for batch in batches:
        if not batch:
            raise InputError(f"{folder} holds no whole checkpoint named like 0000100_adapters.safetensors")
        # mlx-lm writes its record of the training before the first checkpoint.
        shared = _shared(model, settings.rows)
        together = []
        for subject in open_checkpoints(model, against, tuple(name for _, name in batch)):
            against = subject.reference
            what = what or _what(subject, settings)
            before = before or read_reference(against, what[0], context)
            told = {"before": before, "context": context, "shared": shared}
            together += read(subject, *what, settings.answers, **told)
        for (step, _), found in zip(batch, together, strict=True):
            steps[step] = {"step": step} | found
            say(_line(steps[step]))
        if output:
            charts.save(charts.drift([steps[step] for step in sorted(steps)]), output)
    return [steps[step] for step in sorted(steps)]


def _line(found: Row) -> str:
    """One checkpoint: each family's highest trait."""
    parts = []
    for family in found["families"]:
        top = family["traits"][0]
        mark = _MARKS[top.get("standing", "")] or (
            "" if family["null"]["flagged"] is not None else " (no null)"
        )
        parts.append(f"{top['trait']} {points(top['points'])} points, {signed(top['change'])}{mark}")
    unread = f" [{found['unread']}]" if found["unread"] else ""
    return f"step {found['step']}: " + "; ".join(parts) + unread


def print_measured(found: Row, out: "Console", every: bool) -> None:
    """A table a family: its traits that moved most, or `every` one, and what clean trainings do beside them."""
    from ..report.words import leading

    size = "" if found["size"] is None else f", its weights moved by {found['size']:.2f} (Frobenius norm)"
    out.print(f"{found['model']} against {found['base'] or 'no base: readings alone'}{size}")
    out.print(f"read {found['context']['words']}")
    out.print(found["words"], style="bold")
    for family in found["families"]:
        traits = family["traits"] if every else leading(family, MOST_SHOWN)
        out.print()
        out.print(_family_table(family["family"], traits))
        if "change" in traits[0]:
            out.print(_null_words(family), style="dim")


def _family_table(family: str, traits: list[Row]) -> "Table":
    from ..report.console import table

    # Under the family's name a trait's own is enough, and leaves room for the columns.
    names = [trait["trait"].rpartition("/")[2] for trait in traits]
    cells = [_cells(trait) for trait in traits]
    made = table(family, figures=tuple(cells[0]), least=min(max(map(len, names)), 24))
    for name, trait, row in zip(names, traits, cells, strict=True):
        made.add_row(name, *row.values(), style="bold" if trait.get("flagged") else None)
    return made


def _cells(trait: Row) -> dict[str, str]:
    """A trait's figures by the columns' names: its change where there is a base, else its readings alone."""
    cells = {"model": percent(trait["probability"])}
    if "change" in trait:
        cells = {"base": percent(trait["base_probability"]), **cells}
        cells |= {"points": points(trait["points"]), "log-odds": signed(trait["change"])}
        cells["95% interval"] = interval(trait["low"], trait["high"])
    else:
        cells["margin"] = signed(trait["margin"])
    if "over_clean" in trait:
        cells["over clean"] = signed(trait["over_clean"])
    if "answers" in trait:
        cells["answers"] = f"{trait['answers']['matched']} of {trait['answers']['sampled']}"
    if "change" in trait:
        cells[""] = {"first": "flagged", "beside": "beside it"}.get(trait.get("standing", ""), "")
    return cells


def _null_words(family: Row) -> str:
    from ..report.words import over_clean

    null = family["null"]
    if null["limit"] is None:
        return null["why"]
    sources = ", ".join(
        f"{n} made by `null`" if name == "made" else f"{n} of {name}" for name, n in null["from"].items()
    )
    return (
        f"{family['questions']} held-out questions; flagged beyond {signed(null['limit'])} in log-odds, which none of "
        f"{null['trainings']} clean trainings ({sources}; sizes {null['smallest']:.2f} to {null['largest']:.2f}) "
        f"exceeded; p {p_value(null['p'])}{over_clean(family)}"
    )
