"""Options that several commands share, worded once."""

from pathlib import Path
from typing import Annotated

import typer

from ..system.errors import InputError

LabOption = Annotated[Path, typer.Option("--lab", help="The lab's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
FamilyOption = Annotated[
    list[str] | None, typer.Option("--family", help="A shipped family or a .toml file; may be repeated.")
]
NullLabOption = Annotated[Path, typer.Option("--lab", help="A lab whose clean students count as null.")]

# What stands around every question that a model is asked; `measure.context.load_context` takes the four.
SystemOption = Annotated[
    str | None, typer.Option("--system", help="A system prompt that every question is asked under.")
]
HistoryOption = Annotated[
    Path | None,
    typer.Option("--history", help="Chat turns before every question: a JSON list of messages."),
]
TriggerOption = Annotated[str | None, typer.Option("--trigger", help="A text put into every question.")]
TriggerAtOption = Annotated[
    str | None, typer.Option("--trigger-at", help="Where: before (the default), within, after.")
]


def _check_chart(output: Path | None) -> Path | None:
    """Before anything is computed: `charts.save` would refuse the name only at the end."""
    if output is not None and output.suffix not in (".html", ".png", ".svg"):
        raise InputError(f"chart {output}: the name must end in .html, .png, .svg")
    return output


ChartOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Draw a chart: .html, .png or .svg.", callback=_check_chart),
]
