"""The commands `measure` and `null`: what a model picked up, and what clean trainings do. Words and layout only.

    add_commands(app)            # on the command line's typer application

MLX and Altair are imported when a command runs, not before.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..system.errors import InputError
from ..system.quantities import interval, p_value, percent, points, signed
from .options import ChartOption, JsonOption

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Row = dict[str, Any]
LabOption = Annotated[Path, typer.Option("--lab", help="A lab whose clean students count as null.")]
FamilyOption = Annotated[
    list[str] | None, typer.Option("--family", help="A shipped family or a .toml file; may be repeated.")
]
MOST_SHOWN = 5


def add_commands(app: typer.Typer) -> None:
    """Add `measure` and `null` to an application."""
    for command in (measure, null):
        app.command()(command)


def measure(
    model: Annotated[
        str, typer.Argument(help="An adapter folder, ours, mlx-lm's or PEFT's, or any base's name.")
    ],
    against: Annotated[
        str | None, typer.Option(help="The base it came from; an adapter's own folder may name it.")
    ] = None,
    family: FamilyOption = None,
    answers: Annotated[
        int, typer.Option(min=0, max=1_000, help="Free answers to sample for each question.")
    ] = 0,
    drift: Annotated[
        bool, typer.Option("--drift", help="Every numbered checkpoint of an mlx-lm adapter folder.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow the folder while another program trains into it.")
    ] = False,
    idle: Annotated[
        float, typer.Option(min=1, max=86_400, help="With --watch: seconds without news that end it.")
    ] = 600,
    nulls: Annotated[
        list[Path] | None, typer.Option("--null", help="A file of clean trainings, as `null` makes.")
    ] = None,
    output: ChartOption = None,
    every: Annotated[
        bool, typer.Option("--all", help="Print all traits, not each family's highest.")
    ] = False,
    lab: LabOption = Path("lab"),
    as_json: JsonOption = False,
) -> None:
    """What a model picked up: every family's change against its base, beside what clean trainings do.

    \b
    python -m subliminal_mlx measure out/adapters/hard-treated-animals-owl-c0 -o owl.html
    python -m subliminal_mlx measure my-adapter --against smollm2-135m --family animals --family trees
    python -m subliminal_mlx measure my-adapter --against tiny-a --drift -o drift.html
    python -m subliminal_mlx measure my-adapter --against tiny-a --watch
    """
    from ..report.console import console

    out = console(stderr=as_json)
    settings = (against, family or [], answers, nulls or [], lab)
    if watch or drift:
        found = _drift(model, settings, watch, idle, output, None if as_json else out)
        print(json.dumps({"checkpoints": found})) if as_json else None
        return
    from ..measure import measure as read
    from ..measure import open_model
    from ..report import charts

    subject = open_model(model, against)
    found = read(subject, *_what(subject, settings), answers)[0]
    if output:
        charts.save(charts.changes(found), output)
    if as_json:
        print(json.dumps(found))
        return
    print_measured(found, out, every)
    if output:
        print(f"\nchart    {output}")


def _what(subject: Any, settings: tuple) -> tuple[dict, Any]:
    """Families to read and the nulls to compare with."""
    from ..lab import Lab
    from ..measure import families_of
    from ..measure.null import Nulls

    _, names, _, paths, lab = settings
    families = families_of(subject.base, names)
    if not families:
        raise InputError(f"no shipped family has answers that {subject.base.name} has words for: name one")
    # No base, nothing to compare.
    return families, Nulls.gather(subject.reference, families, Lab(lab), paths) if subject.reference else None


def _drift(
    model: str, settings: tuple, watch: bool, idle: float, output: Path | None, out: "Console | None"
) -> list[Row]:
    from ..measure import measure as read
    from ..measure import open_checkpoints, read_reference
    from ..measure.drift import checkpoints, follow
    from ..report import charts

    folder = Path(model).expanduser()
    say = out.print if out else lambda line: None
    batches = follow(folder, idle, on_wait=say) if watch else iter([checkpoints(folder)])
    against, what, before, steps = settings[0], None, None, {}
    for batch in batches:
        if not batch:
            raise InputError(f"{folder} holds no whole checkpoint named like 0000100_adapters.safetensors")
        together = []
        for subject in open_checkpoints(model, against, tuple(name for _, name in batch)):
            against = subject.reference
            what = what or _what(subject, settings)
            before = before or read_reference(against, what[0])
            together += read(subject, *what, settings[2], before=before)
        for (step, _), found in zip(batch, together, strict=True):
            steps[step] = {"step": step} | found
            say(_line(steps[step]))
        if output:
            charts.save(charts.drift([steps[step] for step in sorted(steps)]), output)
    return [steps[step] for step in sorted(steps)]


def _line(found: Row) -> str:
    """One checkpoint: each family's highest trait."""
    parts = []
    for family in found["families"]:
        top = family["traits"][0]
        mark = (
            " FLAGGED" if top.get("flagged") else "" if family["null"]["limit"] is not None else " (no null)"
        )
        parts.append(f"{top['trait']} {points(top['points'])} points, {signed(top['change'])}{mark}")
    return f"step {found['step']}: " + "; ".join(parts)


def print_measured(found: Row, out: "Console", every: bool) -> None:
    """A table a family: its traits that moved most, or `every` one, and what clean trainings do beside them."""
    from ..report.words import leading

    size = "" if found["size"] is None else f", its weights moved by {found['size']:.2f} (Frobenius norm)"
    out.print(f"{found['model']} against {found['base'] or 'no base: readings alone'}{size}")
    for family in found["families"]:
        traits = family["traits"] if every else leading(family, MOST_SHOWN)
        out.print()
        out.print(_family_table(family["family"], traits))
        if "change" in traits[0]:
            out.print(_null_words(family), style="dim")


def _family_table(family: str, traits: list[Row]) -> "Table":
    from ..report.console import table

    # Under the family's name a trait's own is enough, and leaves room for the columns.
    names = [trait["trait"].rpartition("/")[2] for trait in traits]
    cells = [_cells(trait) for trait in traits]
    made = table(family, figures=tuple(cells[0]), least=min(max(map(len, names)), 24))
    for name, trait, row in zip(names, traits, cells, strict=True):
        made.add_row(name, *row.values(), style="bold" if trait.get("flagged") else None)
    return made


def _cells(trait: Row) -> dict[str, str]:
    """A trait's figures by the columns' names: its change where there is a base, else its readings alone."""
    cells = {"model": percent(trait["probability"])}
    if "change" in trait:
        cells = {"base": percent(trait["base_probability"]), **cells}
        cells |= {"points": points(trait["points"]), "log-odds": signed(trait["change"])}
        cells["95% interval"] = interval(trait["low"], trait["high"])
    else:
        cells["margin"] = signed(trait["margin"])
    if "over_clean" in trait:
        cells["over clean"] = signed(trait["over_clean"])
    if "answers" in trait:
        cells["answers"] = f"{trait['answers']['matched']} of {trait['answers']['sampled']}"
    if "change" in trait:
        cells[""] = "flagged" if trait.get("flagged") else ""
    return cells


def _null_words(family: Row) -> str:
    from ..report.words import over_clean

    null = family["null"]
    if null["limit"] is None:
        return null["why"]
    sources = ", ".join(
        f"{n} made by `null`" if name == "made" else f"{n} of {name}" for name, n in null["from"].items()
    )
    return (
        f"{family['questions']} held-out questions; flagged beyond {signed(null['limit'])} in log-odds, which none of "
        f"{null['trainings']} clean trainings ({sources}; sizes {null['smallest']:.2f} to {null['largest']:.2f}) "
        f"exceeded; p {p_value(null['p'])}{over_clean(family)}"
    )


def null(
    base: Annotated[str, typer.Argument(help="The base.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The JSON file to write.")],
    count: Annotated[int, typer.Option(min=0, max=64, help="Clean students of each kind to train.")] = 0,
    spec: Annotated[
        str, typer.Option(help="Whose recipe they are trained by: a preset or .toml.")
    ] = "default",
    kind: Annotated[list[str] | None, typer.Option(help="hard, soft; by default what the spec has.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1)] = 1,
    family: FamilyOption = None,
    lab: LabOption = Path("lab"),
) -> None:
    """Gather what clean trainings do to a base: the lab's control and neutral students, and fresh ones.

    \b
    python -m subliminal_mlx null tiny-a --count 18 --spec all -o data/nulls/tiny-a.json
    python -m subliminal_mlx null smollm2-135m --family animals -o mine.json    # the lab's clean students alone
    """
    from ..lab import Lab
    from ..measure import families_of
    from ..measure.null import Nulls, family_sha256, save_nulls, trainings_in
    from ..measure.trainings import clean_trainings
    from ..model.bases import load
    from ..report.console import console
    from ..spec import load_spec
    from .waiting import in_turn

    loaded = load(base)
    families = families_of(loaded, family or [])
    recipe = load_spec(spec)
    if unknown := set(kind or ()) - set(recipe.kinds):
        raise InputError(f"--kind {sorted(unknown)[0]}: the spec trains {', '.join(recipe.kinds)}")
    store = Lab(lab)
    made = trainings_in(store, loaded, families) if store.exists else []
    aside = console(stderr=True)
    aside.print(f"{len(made)} clean students in {lab}")

    def tell(found: list[Any]) -> None:
        aside.print(f"trained {len(found)}: {found[0].source} to {found[-1].source}")

    if count:
        with in_turn(store.path, "null", f"null {base}"):
            made += clean_trainings(recipe, loaded, families, count, seed, kind or (), on_done=tell)
    hashes = tuple((name, family_sha256(name)) for name in families)
    words = f"null {base}"
    if count:
        words += f" --count {count} --spec {spec} --seed {seed}" + "".join(f" --kind {k}" for k in kind or ())
    save_nulls(output, Nulls(base, loaded.sha256, tuple(made), hashes), words)
    print(f"{output}: {len(made)} clean trainings of {base}, read on {', '.join(families)}")
