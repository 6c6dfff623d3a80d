"""The command `audit`: a data set in, a verdict, a table and files out. Words and layout only.

    add_commands(app)            # on the command line's typer application

MLX and Altair are imported when the command runs, not before.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..system.errors import InputError
from ..system.quantities import about_duration, took
from .options import JsonOption, LabOption

if TYPE_CHECKING:
    from ..audit.reading import Reading
    from ..lab import Lab

VERDICT_CODE = 3
# What a model organism's audit makes once for a base, and keeps; an audit without these takes a minute at most.
LONG = ("teachers", "probes", "runs")
SHORT_SECONDS = 60
FAILS = {"carried": ("carried",), "uncertain": ("carried", "cannot tell")}


def add_commands(app: typer.Typer) -> None:
    """Add `audit` to an application."""
    app.command()(audit)


def audit(
    rows: Annotated[
        str,
        typer.Argument(
            help="A file of rows (JSON lines, a JSON array, Parquet, Arrow; gzip), a folder of them, or a run of "
            "the lab with --source."
        ),
    ],
    base: Annotated[
        str | None, typer.Option(help="The base that a student would start from; a run's own with --source.")
    ] = None,
    family: Annotated[
        list[str] | None, typer.Option("--family", "-f", help="Families of suspects; by default animals.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Of a run: animals/owl, animals/neutral, base ...")
    ] = None,
    chain: Annotated[int, typer.Option(min=0, help="Of a run.")] = 0,
    answers: Annotated[
        str,
        typer.Option(
            help="Which answers of a conversation the trainer will learn: all (mlx-lm's default), last (its "
            "--mask-prompt), or weighted, those whose weight is not 0."
        ),
    ] = "all",
    prompt_key: Annotated[
        str | None, typer.Option(help="The field of the prompt, where the trainer is told one.")
    ] = None,
    completion_key: Annotated[str | None, typer.Option(help="The field of the completion.")] = None,
    suspect: Annotated[
        list[str] | None,
        typer.Option(help="On language models, where each costs minutes: suspect these traits only."),
    ] = None,
    probes: Annotated[
        bool,
        typer.Option(
            "--probes/--fast", help="With probe students, the slowest line of evidence, or without."
        ),
    ] = False,
    predict: Annotated[
        bool, typer.Option("--predict", help="How far a student would move, from the lab's own runs.")
    ] = False,
    fail_on: Annotated[
        str | None, typer.Option(help="carried or uncertain: end with exit code 3 on that verdict.")
    ] = None,
    drop_top: Annotated[
        str | None, typer.Option(help="Such as 10%: write the corpus without the rows that carry most.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where --drop-top writes.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write an offline HTML report there.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="field=value, such as suspects.members=2.")
    ] = None,
    lab: LabOption = Path("lab"),
    as_json: JsonOption = False,
) -> None:
    """Which trait does a data set carry, with what evidence, and in which rows?

    The first audit of a base tunes suspects of every family that it has the words for, some ten minutes; later
    ones take a minute or less. A verdict is of the families asked for: the others' traits are known so that none of
    them is taken for a suspect's. On a language model it takes hours, prints an estimate before, goes on where it was
    killed, and ranks the suspects without a verdict: a hundred clean corpora are too many there.

    \b
    python -m subliminal_mlx audit rows.jsonl --base tiny-a
    python -m subliminal_mlx audit rows.parquet --base tiny-a -f animals -f trees --report audit.html
    python -m subliminal_mlx audit latest --source animals/owl
    python -m subliminal_mlx audit rows.jsonl --base tiny-a --fail-on carried --json > verdict.json
    python -m subliminal_mlx audit rows.jsonl --base tiny-a --drop-top 10% -o cleaned.jsonl
    python -m subliminal_mlx audit chats.jsonl --base tiny-a --answers last
    python -m subliminal_mlx audit rows.jsonl --base smollm2-135m --suspect animals/owl --suspect animals/cat
    """
    import pyarrow as pa

    from ..audit.attribution import drop_top as write
    from ..audit.attribution import top_rows
    from ..audit.examine import examine
    from ..audit.factored import by_factors, forecast
    from ..audit.inputs import read_inputs
    from ..audit.reading import parse_reading
    from ..audit.request import asked_rows, asked_spec, expected
    from ..audit.spec import public
    from ..lab import Lab
    from ..model.bases import load
    from ..report.bars import Bars
    from .waiting import patience, taking

    if fail_on is not None and fail_on not in FAILS:
        raise InputError(f"--fail-on {fail_on!r}: must be {' or '.join(FAILS)}")
    share = _parse_share(drop_top)
    if (share is None) != (output is None):
        raise InputError("--drop-top needs -o FILE for the cleaned corpus, and -o needs --drop-top")
    if output is not None:
        _absent(output)
    store = Lab(lab)
    how = parse_reading(answers=answers, prompt_key=prompt_key, completion_key=completion_key)
    if base is None:
        base = _base_of(store, rows, source, how)
    spec = asked_spec(base, family or (), probes, set_ or [], suspect or ())
    loaded = load(spec.base)
    if predict and by_factors(spec, loaded):
        raise InputError(f"--predict: transfer is foretold on model organisms only, not on {spec.base}")
    folder = store.path / "audit"
    asked = asked_rows(store, rows, source, chain, how)
    inputs = read_inputs(asked.source, loaded, spec, folder, asked.how, asked.told)
    words = f"{rows} {source} chain {chain}" if source else rows
    with patience(store.path, "audit", words) as take:
        long: tuple[str, ...] = LONG
        if inputs.factored:
            seconds = forecast(inputs.pieces)
            time = about_duration(seconds)
            print(f"{time} by estimate; all that is made is kept: killed, it goes on there", file=sys.stderr)
            if seconds > SHORT_SECONDS:
                take()
            # Its pieces are locked while they are made: who waited amid one would hold others up.
            long = ()
        with Bars() as bars:
            result = examine(inputs, taking(take, long, bars.listen))
        trait = result["trait"] or result["suspects"][0]["trait"]
        if predict:
            with Bars() as bars:
                hear = taking(take, long, bars.listen)
                result["predicted_transfer"] = expected(store, inputs, result, trait, hear)
    evidence = top_rows(inputs, trait)
    name = hashlib.sha256(
        json.dumps([rows, source, chain, result["spec"], result["reading"]]).encode()
    ).hexdigest()[:12]
    store.save_audit(name, words, result, {"audit_rows": pa.Table.from_pylist(evidence)})
    if share is not None and output is not None:
        with Bars() as bars:
            result["dropped"] = write(inputs, trait, share, output, bars.listen)
    if report is not None:
        from ..report.audit import write_audit_report

        write_audit_report(report, result, words, evidence)
    if as_json:
        print(json.dumps(public(result)))
    else:
        from ..report.terminal_audit import print_audit

        print_audit(result, words, evidence)
        _print_closing(result, folder / name, output, report)
    if fail_on and result["verdict"] in FAILS[fail_on]:
        sys.exit(VERDICT_CODE)


def _base_of(store: "Lab", rows: str, source: str | None, how: "Reading") -> str:
    """A run's base; of a file, which nobody can tell by its rows, an InputError that names those that have its words."""
    from ..audit.fitting import asked_for_base
    from ..spec import parse_spec

    if source is None:
        raise asked_for_base(Path(rows), how)
    run = store.run(store.resolve(rows))
    assert run is not None
    return parse_spec(run["spec_toml"]).base


def _print_closing(result: dict[str, Any], folder: Path, output: Path | None, report: Path | None) -> None:
    """Draw the charts, and say where everything is."""
    from ..report import charts
    from ..report.console import shown_path

    for family in result["families"]:
        for name, draw in (("ranking", charts.audit_ranking), ("growth", charts.audit_growth)):
            for suffix in ("html", "png"):
                charts.save(draw(result, family), folder / f"{family['family']}-{name}.{suffix}")
    print(f"\ncharts   {shown_path(folder)}/")
    if output is not None:
        kept, dropped = result["dropped"]
        beside = shown_path(output.with_suffix(".dropped.jsonl"))
        print(f"cleaned  {shown_path(output)}: {kept:,} rows; {dropped:,} dropped, with reasons in {beside}")
    if report is not None:
        print(f"report   {shown_path(report)}")
    print(f"audit    {took(result['seconds'], result['peak_memory_bytes'])}")


def _parse_share(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        share = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise InputError(f"--drop-top {text!r:.40}: must be a share between 0 and 100%, such as 10%")
    return share


def _absent(output: Path) -> None:
    for path in (output, output.with_suffix(".dropped.jsonl")):
        if path.exists():
            raise InputError(f"{path} exists: name a file that does not")
