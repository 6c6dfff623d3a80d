"""Options that several commands share, worded once."""

from pathlib import Path
from typing import Annotated

import typer

from ..system.errors import InputError

LabOption = Annotated[Path, typer.Option("--lab", help="The lab's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def _check_chart(output: Path | None) -> Path | None:
    """Before anything is computed: `charts.save` would refuse the name only at the end."""
    if output is not None and output.suffix not in (".html", ".png", ".svg"):
        raise InputError(f"chart {output}: the name must end in .html, .png, .svg")
    return output


ChartOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Draw a chart: .html, .png or .svg.", callback=_check_chart),
]
