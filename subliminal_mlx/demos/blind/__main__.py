"""Write the blind test's lists from a finished run: `python -m subliminal_mlx.demos.blind --lab lab RUN`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ...lab import Lab
from ...system.errors import SubliminalError
from .rows import FOLDER, write_lists


def main(
    run: Annotated[str, typer.Argument(help="A finished run's id, its first characters, or 'latest'.")],
    lab: Annotated[Path, typer.Option(help="The lab's folder.")] = Path("lab"),
    trait: Annotated[str | None, typer.Option(help="Of the run's traits; by default its first.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder.")] = FOLDER,
) -> None:
    """Write the two lists of the blind test."""
    try:
        store = Lab(lab)
        count = write_lists(store, store.resolve(run), output, trait)
    except SubliminalError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.code)
    print(f"{count} rows of each list")


if __name__ == "__main__":
    typer.run(main)
