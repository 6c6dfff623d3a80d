"""Options that several commands share, worded once."""

from pathlib import Path
from typing import Annotated

import typer

LabOption = Annotated[Path, typer.Option("--lab", help="The lab's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
