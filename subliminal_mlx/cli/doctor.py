"""The command `doctor`: whether this machine computes what it should, as a page to read and to send.

    add_commands(app)            # on the command line's typer application

Words and layout only; MLX is imported when the command runs.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..system.quantities import about_duration, gigabytes, percent, signed

Found = dict[str, Any]

_PAGE = """# subliminal-mlx doctor: {verdict}

{summary}

## This machine

{facts}

## Kernels

Small pieces of the project's arithmetic, against values stored by the machine that it was built on
({stored}). Another device adds in another order, so values differ in their last digits; above the tolerance
something computes wrongly, and results of runs here should not be believed.

{parity}

## Speed

{speed}

## One chain

{chain}

## To send

If this is a Mac, or a CUDA machine, this page is worth more to the project than a star: nobody has shown yet that
it works there. Please open an issue with this file. It holds versions and figures, no name of a machine or person.
"""
_CHAIN = """A whole experiment in miniature in {seconds:.0f} s, with {processes} worker process{es}, {memory} at most in one: two
teachers of `tiny-a` and their neutral teacher, 1,500 number lists each, students of all of them, read on held-out questions.
Share of the trait's answer, mean of {traits}:

| untrained | teacher | treated | neutral | control |
|---|---|---|---|---|
| {untrained} | {teacher} | **{treated}** | {neutral} | {control} |

Treated students stand {transfer} in log-odds from the neutral ones. {moved}"""


def add_commands(app: typer.Typer) -> None:
    """Add `doctor` to an application."""
    app.command()(doctor)


def doctor(
    output: Annotated[Path, typer.Option("-o", "--output", help="The Markdown file to write.")] = Path(
        "doctor.md"
    ),
    chain: Annotated[bool, typer.Option(help="Run the small chain, which takes most of the time.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and write no file.")] = False,
    store: Annotated[bool, typer.Option("--store", hidden=True, help="Make the stored values anew.")] = False,
) -> None:
    """Check device, kernels, speed and one small chain; write a page to read and to send. Exit code 3 where it fails.

    \b
    python -m subliminal_mlx doctor
    python -m subliminal_mlx doctor --no-chain --json
    """
    from . import checks

    if store:
        checks.store()
        return
    found = checks.examine(_say, chain)
    if as_json:
        print(json.dumps(found))
    else:
        from ..lab.database import one_line_errors
        from ..system.files import write_atomic

        with one_line_errors(output):
            write_atomic(output, page(found))
        print("\n".join(_summary_lines(found)))
        print(f"page      {output}")
    if not found["well"]:
        sys.exit(3)


def _say(event: Any) -> None:
    names = ("kernels", "speed", "one small chain", "")
    if name := names[event.done]:
        print(f"doctor: {name}", file=sys.stderr, flush=True)


def _summary_lines(found: Found) -> list[str]:
    here = found["facts"]
    lines = [
        f"device    {here['device']}, {here['os']}, MLX {here['mlx']}, mlx-lm {here['mlx-lm']}",
        f"BLAS      {here['blas']}, {found['speed']['gflops']:.0f} GFLOP/s",
    ]
    for row in found["parity"]:
        agrees = "agrees" if row["agrees"] else "DIFFERS"
        lines.append(f"{row['check']:<9} {agrees}: {row['difference']:.1e}, tolerance {row['tolerance']:.1e}")
    if found["chain"]:
        lines.append(
            f"chain     {found['chain']['seconds']:.0f} s, transfer {signed(found['chain']['transfer'])} log-odds"
        )
    return [*lines, f"verdict   {'well' if found['well'] else 'not well: see the page'}"]


def page(found: Found) -> str:
    """The report as Markdown."""
    from . import checks

    stored = json.loads(checks.STORED.read_text())["environment"]
    here, device = found["facts"], found["facts"]["device"]
    wrong = [row["check"] for row in found["parity"] if not row["agrees"]]
    if wrong:
        summary = (
            f"The {device} does not compute what it should: {', '.join(wrong)}. Runs here cannot be believed."
        )
    elif not found["well"]:
        summary = "The kernels agree, but the chain's students did not move their teacher's way: please send this page."
    else:
        summary = (
            f"The {device} computes what the project was built on, to rounding. Runs here can be believed."
        )
    return _PAGE.format(
        verdict="well" if found["well"] else "not well",
        summary=summary,
        facts=_facts(here),
        stored=f"{stored['system']}, MLX {stored['mlx']}, {stored['device']}, BLAS {stored['blas']}",
        parity=_table(
            ("check", "what", "difference", "tolerance", "agrees"),
            [
                (
                    r["check"],
                    checks.MEANINGS[r["check"]],
                    f"{r['difference']:.1e}",
                    f"{r['tolerance']:.1e}",
                    "yes" if r["agrees"] else "**no**",
                )
                for r in found["parity"]
            ],
        ),
        speed=_speed(found["speed"]),
        chain=_chain(found) if found["chain"] else "Not run (`--no-chain`).",
    )


def _facts(here: Found) -> str:
    rows = {
        "device": here["device"],
        "system": here["os"],
        "processor": f"{here['processor']}, {here['cores']} cores",
        "memory": f"{gigabytes(here['memory_bytes'])}, {gigabytes(here['free_bytes'])} free",
        "BLAS": here["blas"],
        **{name: here[name] for name in ("python", "mlx", "mlx-lm", "numpy", "duckdb", "transformers")},
        **here["device_info"],
    }
    if here["commit"]:
        rows["commit"] = here["commit"]
    return _table(("", ""), [(name, _table_cell(value)) for name, value in rows.items()])


def _speed(speed: Found) -> str:
    from ..model.sources import WHEEL_PARAMETERS
    from ..spec import estimate, load_spec

    wait = estimate.run_seconds(load_spec("smollm2-quick"), WHEEL_PARAMETERS, speed["gflops"], 1)
    return _table(
        ("what", "rate"),
        [
            ("1024 x 1024 products, fp32", f"{speed['gflops']:,.0f} GFLOP/s"),
            ("tiny-a, three adapters trained at once", f"{speed['trained_tokens_per_second']:,.0f} tokens/s"),
            ("tiny-a, lists drawn", f"{speed['drawn_tokens_per_second']:,.0f} tokens/s"),
            ("preset smollm2-quick would take, in one process", about_duration(wait)),
        ],
    )


def _chain(found: Found) -> str:
    from ..spec.arms import MAIN, ORIGINS

    chain, processes = found["chain"], found["facts"]["processes"]
    shares = {arm: percent(chain[arm]) for arm in (*ORIGINS, *MAIN)}
    moved = (
        "They moved their teacher's way, as they should."
        if chain["transfer"] > 0
        else (
            "**They did not move their teacher's way.** On the machine that the project was built on they do."
        )
    )
    return _CHAIN.format(
        seconds=chain["seconds"],
        processes=processes,
        es="" if processes == 1 else "es",
        memory=gigabytes(chain["peak_memory_bytes"]),
        traits=" and ".join(chain["traits"]),
        transfer=signed(chain["transfer"]),
        moved=moved,
        **shares,
    )


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in [head, *rows]]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def _table_cell(value: Any) -> str:
    """A fact as the cell of a table: it holds no line break and no bar."""
    return " ".join(str(value).replace("|", "/").split())
