"""README's figures, written between its comments from files under data/results; and charts of several results.

    uv run python -m subliminal_mlx.cli.make.readme            # writes them
    uv run python -m subliminal_mlx.cli.make.readme --check    # exit code 3 where a block is not what its files say

A block stands between `<!-- figures: NAME -->` and `<!-- /figures -->`; `figures` makes it. Everything else in the
README is left as it is.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ...system.errors import InputError
from ...system.files import DATA, write_atomic
from .figures import made, pictures

README = DATA.parent / "README.md"
BLOCK = re.compile(r"(<!-- figures: (\S+) -->\n)(?:.*?\n)??(<!-- /figures -->)", re.DOTALL)
MARK = re.compile(r"<!--\s*/?figures")


def filled(text: str, blocks: Mapping[str, str]) -> str:
    """The text with every block's content in its place.

    Raises:
        InputError: a block that nothing makes, or that stands twice or nowhere, or a comment without its other half.
    """
    names = [name for _, name, _ in BLOCK.findall(text)]
    if len(MARK.findall(text)) != 2 * len(names):
        raise InputError(
            "README.md: each `<!-- figures: NAME -->` needs its `<!-- /figures -->`, and no more"
        )
    if sorted(names) != sorted(blocks):
        raise InputError(
            f"README.md holds blocks {', '.join(names)}; there are {', '.join(blocks)}, each once"
        )
    return BLOCK.sub(lambda found: f"{found[1]}{blocks[found[2]]}\n{found[3]}", text)


def main(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 3 where README differs.")
    ] = False,
    path: Annotated[Path, typer.Option(help="The file that holds the blocks.")] = README,
) -> None:
    """Write README's figures from data/results, and there the charts of several results beside each other."""
    text = path.read_text(encoding="utf-8")
    new = filled(text, made())
    if not check:
        draw()
    if new == text:
        print(f"{path.name}: every figure is as its file says")
        return
    if check:
        print(f"{path.name}: figures differ from their files; without --check this command writes them")
        raise typer.Exit(3)
    write_atomic(path, new)
    print(f"{path.name}: written")


def draw() -> None:
    """Write the charts that show several stored results, as PNG and SVG."""
    from ...report import charts
    from ...report.results import FOLDER

    for name, chart in pictures().items():
        for ending in (".png", ".svg"):
            charts.save(chart, (FOLDER / name).with_suffix(ending))


if __name__ == "__main__":
    typer.run(main)
