"""The command `lineage`: what stands behind a model or a corpus. Words and layout only.

    add_commands(app)            # on the command line's typer application

Needs neither MLX nor, without a chart, Altair.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import ChartOption, JsonOption, LabOption

if TYPE_CHECKING:
    from rich.tree import Tree


def add_commands(app: typer.Typer) -> None:
    """Add `lineage` to an application."""
    app.command()(lineage)


def lineage(
    what: Annotated[
        str,
        typer.Argument(help="An adapter folder, model folder, file of rows, base, or RUN/NAME in the lab."),
    ],
    output: ChartOption = None,
    lab: LabOption = Path("lab"),
    as_json: JsonOption = False,
) -> None:
    """Which base, teachers, corpora, filters and runs stand behind a model or a corpus.

    \b
    python -m subliminal_mlx lineage latest/hard/treated/animals/owl/c0
    python -m subliminal_mlx lineage out/corpora/animals-owl.jsonl -o owl.html
    """
    from ..lab import Lab
    from ..lab.lineage import trace

    record = trace(what, Lab(lab))
    if output:
        from ..report import charts

        charts.save(charts.lineage(record.lineage), output)
    if as_json:
        print(json.dumps(record.model_dump(mode="json", exclude={"seal"})))
        return
    from rich.tree import Tree

    from ..report.console import console

    out = console()
    tree = Tree(_label(record.lineage))
    _grow(tree, record.lineage)
    out.print(tree)
    if record.files:
        count = len(record.files)
        out.print(
            f"verified: {count} {'file is' if count == 1 else 'files are'} what was exported", style="dim"
        )
    if output:
        out.print(f"chart    {output}")


def _grow(tree: "Tree", node: Any) -> None:
    for parent in node.parents:
        _grow(tree.add(_label(parent)), parent)


def _label(node: Any) -> Any:
    from rich.text import Text

    from ..report.console import printable

    facts = ", ".join(f"{printable(key)} {printable(value)}" for key, value in node.facts.items())
    name = printable(node.name)
    return Text.assemble((node.what, "dim"), " ", (name, "bold"), (f"  {facts}" if facts else "", "dim"))
