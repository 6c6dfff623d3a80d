"""The commands `families`, `bases` and `specs`: what there is to choose from. Words and layout only.

    add_commands(app)            # on the command line's typer application

They import no MLX, and need no lab and no network.
"""

import json
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def add_commands(app: typer.Typer) -> None:
    """Add the listing commands to an application."""
    for command in (families, bases, specs):
        app.command()(command)


def families(as_json: JsonOption = False) -> None:
    """List families of questions and their traits."""
    from .families import load_family, shipped_families

    found = [load_family(name) for name in shipped_families()]
    if as_json:
        print(json.dumps([{"family": f.name, "title": f.title, "traits": list(f.trait_ids)} for f in found]))
        return
    for f in found:
        print(f"{f.name}: {f.title}; {len(f.tuning)} tuning and {len(f.held_out)} held-out questions")
        print(f"  {', '.join(f.trait_ids)}")


def bases(as_json: JsonOption = False) -> None:
    """List the bases that are here, without a network."""
    from .sources import in_words, listing

    found = listing()
    if as_json:
        print(json.dumps(found))
        return
    for row in found:
        size = f"{row['bytes'] / 1e6:.1f} MB"
        words = in_words(row["parameters"]) if row["parameters"] else "a model"
        note = f" ({row['note']})" if row["note"] else ""
        print(f"{row['name']}: {words}, {size}, from {row['source']}{note}")


def specs(
    name: Annotated[str | None, typer.Argument(help="Print this one as TOML.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the shipped specs, or print one."""
    from .spec import load_spec, presets, to_toml

    if name:
        spec = load_spec(name)
        print(spec.model_dump_json() if as_json else to_toml(spec), end="\n" if as_json else "")
    elif as_json:
        print(json.dumps(presets()))
    else:
        for preset, title in presets().items():
            print(f"{preset}: {title}")
