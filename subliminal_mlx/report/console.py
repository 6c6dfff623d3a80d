"""The terminal's console and its one kind of table, and what may be printed there.

    out = console()
    traits = table("trait", figures=("points", "p"))
    traits.add_row("animals/owl", "+4.1", "0.036")
    out.print(traits)

Knows nothing of runs and audits: `terminal` and `terminal_audit` have their words.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def console(**options: Any) -> Console:
    """A rich console on which no text acts as markup: names and rows come from files and may hold brackets."""
    return Console(highlight=False, markup=False, **options)


def table(
    *words: str, figures: Sequence[str] = (), notes: Sequence[str] = (), least: int | None = None
) -> Table:
    """A table without lines: columns of words, which are folded and never cut; of figures; of notes, again words.

    Args:
        least: characters that the first column has at least, so that several tables read as one.
    """
    made = Table(box=None, header_style="dim", pad_edge=False)
    for name in words:
        made.add_column(name, overflow="fold")
    for name in figures:
        made.add_column(name, justify="right", no_wrap=True)
    for name in notes:
        made.add_column(name, overflow="fold")
    made.columns[0].min_width = least
    return made


def printable(text: object) -> str:
    """Text without what a terminal would act on, or what cannot be printed: control characters, lone surrogates."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", str(text))


def shown_path(path: Path) -> str:
    """A path as one would type it here: from the working folder where it lies in there."""
    path = path.resolve()
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
