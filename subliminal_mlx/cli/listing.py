"""The commands `families`, `bases` and `specs`: what there is to choose from. Words and layout only.

    add_commands(app)            # on the command line's typer application

They need no lab and no network, and import no MLX, but for `bases check`, which loads a base.
"""

import json
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ..system.quantities import gigabytes, megabytes
from .options import JsonOption


def add_commands(app: typer.Typer) -> None:
    """Add the listing commands to an application."""
    for command in (families, specs):
        app.command()(command)
    of_bases = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
    of_bases.callback()(bases)
    of_bases.command("check")(check_base)
    app.add_typer(of_bases, name="bases")


def families(as_json: JsonOption = False) -> None:
    """List families of questions and their traits."""
    from ..spec.families import load_family, shipped_families

    found = [load_family(name) for name in shipped_families()]
    if as_json:
        print(json.dumps([{"family": f.name, "title": f.title, "traits": list(f.trait_ids)} for f in found]))
        return
    for f in found:
        print(f"{f.name}: {f.title}; {len(f.tuning)} tuning and {len(f.held_out)} held-out questions")
        print(f"  {', '.join(f.trait_ids)}")


def bases(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the bases that are here, without a network; `bases check NAME` tells whether one will do.

    \b
    python -m subliminal_mlx bases
    python -m subliminal_mlx bases check smollm2-135m
    """
    if context.invoked_subcommand:
        return
    from ..model.memory import needs
    from ..model.organisms import describe_size
    from ..model.sources import list_bases

    found = [row | {"memory": needs(row["name"])} for row in list_bases()]
    if as_json:
        print(json.dumps(found))
        return
    for row in found:
        words = describe_size(row["parameters"]) if row["parameters"] else "a model"
        note = f" ({row['note']})" if row["note"] else ""
        takes = f", takes {gigabytes(max(row['memory'].values()))} of memory" if row["memory"] else ""
        print(f"{row['name']}: {words}, {megabytes(row['bytes'])}, from {row['source']}{takes}{note}")


def check_base(
    name: Annotated[str, typer.Argument(help="A base: shipped, smollm2-135m, a folder, or owner/name.")],
    family: Annotated[
        list[str] | None, typer.Option(help="Only this family, or file; may be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell before a run whether a base will do; exit code 3 where it will not.

    Chat template, the families' answers in its tokens, layers that take LoRA, memory, whether it opens, and
    whether rows that are batched or padded are computed as alone.

    \b
    python -m subliminal_mlx bases check smollm2-135m
    python -m subliminal_mlx bases check mlx-community/Qwen2.5-0.5B-Instruct-bf16 --family animals
    """
    from ..experiment.base_check import check
    from ..model.bases import load
    from ..spec.families import load_family

    for one in family or []:
        load_family(one)  # a wrong name is told before a model is loaded
    found = check(load(name), family or [])
    if as_json:
        print(json.dumps(found))
    else:
        print("\n".join(_check_lines(found)))
    if found["problems"]:
        sys.exit(3)


def _check_lines(found: dict[str, Any]) -> Iterator[str]:
    """The check in lines."""
    from ..model.organisms import describe_size

    verdict = "will not do" if found["problems"] else "will do"
    yield f"{found['name']}: {verdict}"
    yield f"opens     yes: {describe_size(found['parameters'])}, {found['dtype']}"
    if talks := found["chat"]:
        role = (
            "a system role" if talks["system_role"] else "no system role: a persona goes into the user's turn"
        )
        own = (
            "; it brings a system message of its own, which students are read with"
            * talks["own_system_message"]
        )
        yield f"chat      a template with {role}{own}; a turn ends with {talks['end_of_turn']}"
    for name, f in found["families"].items():
        yield f"family    {name}: {_answers_words(f)}"
    if rows := found["channel"]:
        yield f"channel   {rows['name']}: {rows['tokens']} tokens, at most {rows['longest']} in a row"
    if lora := found["lora"]:
        layers = f"{lora['linears']} layers in {lora['blocks']} blocks ({', '.join(lora['names'])})"
        yield f"LoRA      {layers}: {lora['weights'] / 1e6:.2f}M weights at rank 8"
    company = found["company"]
    most = "no number" if company["largest"] is None else f"at most {company['largest']:.1e} nats"
    yield (
        f"company   rows {', '.join(company['ways'])}: {'' if company['within'] else 'NOT '}as alone, log-probabilities "
        f"differ by {most} (bound {company['bound']:g}, {company['dtype']})"
    )
    if sizes := found["memory"]:
        parts = ", ".join(f"{part} {gigabytes(sizes[part])}" for part in ("training", "sampling", "reading"))
        most = max(sizes[part] for part in ("training", "sampling", "reading")) + sizes["process"]
        fits = "" if most < sizes["available"] else ": too much, see grad_checkpoint and batch_tokens"
        yield (
            f"memory    {parts} (8 rows a step, 64 sampled); {gigabytes(most)} a process, "
            f"{gigabytes(sizes['available'])} free here{fits}"
        )
    if talks:
        yield f"prompt    {json.dumps(talks['example'], ensure_ascii=False)}"
    for problem in found["problems"]:
        yield f"problem   {problem}"


def _answers_words(family: dict[str, Any]) -> str:
    if family["missing"]:
        words = ", ".join(json.dumps(text, ensure_ascii=False) for text in family["missing"])
        return f"not for this base: its tokenizer lacks words of {words}"
    if family["alike"]:
        return f"not for this base: {family['alike']} questions have two answers that are the same to it"
    single = family["single_token"]
    parts = [f"{single} single tokens"] * bool(single)
    if single < family["candidates"]:
        parts.append(
            f"{family['candidates'] - single} of up to {family['longest']}, whose log-probabilities add up"
        )
    return f"{family['candidates']} answers: {', '.join(parts)}; {family['held_out']} held-out questions"


def specs(
    name: Annotated[str | None, typer.Argument(help="Print this one as TOML.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the shipped specs, or print one."""
    from ..spec import load_spec, presets, to_toml

    if name:
        spec = load_spec(name)
        print(spec.model_dump_json() if as_json else to_toml(spec), end="\n" if as_json else "")
    elif as_json:
        print(json.dumps(presets()))
    else:
        for preset, title in presets().items():
            print(f"{preset}: {title}")
