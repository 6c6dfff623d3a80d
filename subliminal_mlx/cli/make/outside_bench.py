"""How `measure` judges adapters that mlx-lm's own trainer made: clean ones, and students of traits' teachers.

    python -m subliminal_mlx.cli.make.outside_bench adapters --clean 20 --traits 8 -o outside.json    # tiny-a: minutes

The adapters are kept in the folder: killed, it goes on there, and another null judges them in seconds.
Rates, steps, ranks and numbers of rows are drawn anew, LoRA and DoRA in turn; no null is made of these trainings. Of
the clean ones at most 1 in 20 should be flagged, of the others the trait of their rows should come first.
"""

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ...system import files
from ...system.quantities import signed

SEED = 20_261  # no null's


def main(
    folder: Annotated[Path, typer.Argument(help="Where the adapters are kept.")],
    base: Annotated[str, typer.Option(help="The base.")] = "tiny-a",
    clean: Annotated[int, typer.Option(min=0, help="Clean adapters.")] = 20,
    traits: Annotated[int, typer.Option(min=0, help="Students of teachers with a trait.")] = 0,
    spec: Annotated[str, typer.Option(help="Whose corpora and teachers.")] = "all",
    null: Annotated[
        list[Path] | None, typer.Option(help="Files of clean trainings beside the shipped.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A JSON file to write.")] = None,
) -> None:
    """Train, measure and count."""
    found = []
    for one in trained(folder, base, clean, traits, spec, tuple(null or ())):
        found.append(one)
        print(f"{one['rows']}, {one['recipe']}, size {one['size']:.2f}: {one['words']}", flush=True)
        if output:
            files.write_atomic(
                output, json.dumps({"base": base, "spec": spec, "adapters": found}, indent=1) + "\n"
            )
    for name, own in (
        ("clean", [x for x in found if not x["trait"]]),
        ("traits'", [x for x in found if x["trait"]]),
    ):
        counts = Counter(one["verdict"] for one in own)
        right = sum(one["flagged"] == one["trait"] for one in own if one["trait"])
        named = f"; the right trait first: {right}" if name != "clean" else ""
        print(
            f"{len(own)} {name}: {', '.join(f'{verdict} {n}' for verdict, n in sorted(counts.items()))}{named}"
        )


def trained(
    folder: Path, base: str, clean: int, traits: int, spec: str, nulls: tuple[Path, ...]
) -> Iterator[dict[str, Any]]:
    """Every adapter as it is measured: trait of its rows or None, rows, recipe, size, verdict, flagged, beside, words."""
    import numpy as np

    from ...measure import families_of, measure, open_model, read_reference
    from ...measure.mlx_lm_trainings import RATES, Outside, messages_of, train_by_mlx_lm
    from ...measure.null import Nulls
    from ...measure.trainings import clean_setting, clean_source
    from ...model.bases import load
    from ...spec import load_spec
    from ...spec.seeds import seed_of

    loaded, rng = load(base), np.random.default_rng(SEED)
    families = families_of(loaded)
    held, before = Nulls.gather(loaded, families, None, nulls), read_reference(loaded, families)
    setting = clean_setting(load_spec(spec), loaded, SEED, clean + traits)
    wanted = setting.spec.traits
    for number in range(clean + traits):
        trait = wanted[(number - clean) * 5 % len(wanted)] if number >= clean else None
        count, rate = int(rng.choice([500, 1_000, 2_000])), float(np.exp(rng.uniform(*np.log(RATES))))
        kind = ("lora", "dora")[number // 2 % 2]
        outside = Outside(kind, rate, int(rng.choice([150, 400, 1_000])), int(rng.choice([8, 16])))
        source, place = trait or clean_source(setting, number), folder / f"{number:03d}"
        if not place.exists():
            rows = messages_of(setting, number, trait)[1][:count]
            seed = seed_of(SEED, number) % 2**32
            files.publish(place, partial(train_by_mlx_lm, loaded, rows, outside=outside, seed=seed))
        one = measure(open_model(str(place), loaded), families, held, before=before)[0]
        top = {f["family"]: f"{f['largest']} {signed(f['traits'][0]['change'])}" for f in one["families"]}
        told = {
            "trait": trait,
            "rows": f"{count} rows of {source}",
            "recipe": outside.words,
            "largest": top,
        }
        kept = {"size": one["size"], "verdict": one["verdict"], "flagged": one["trait"]}
        yield told | kept | {"beside": one["beside"], "words": one["words"]}


if __name__ == "__main__":
    typer.run(main)
