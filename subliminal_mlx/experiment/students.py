"""What a run computes between teachers and readouts: corpora, and adapters trained on rows.

    rows = sample_corpora(setting, chain, teachers)          # teachers: see the module of that name
    stack, losses = train_on_rows(base, blocks, shape, recipe, seeds)

Pure functions: seeds, sizes and widths are given or follow from the setting, so that what is done again is
the same to the bit. Knows no lab and no processes.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..model.adapters import Shape, Stack, init
from ..model.bases import Base
from ..model.rows import Rows
from ..model.sample import sample
from ..model.score import distributions
from ..model.train import Recipe, train
from ..spec import Spec, Student, Teacher
from ..spec.seeds import seed_of
from ..system.events import Listener, ignore
from .setting import Ids, Setting

# --- corpora --------------------------------------------------------------------------------------


def sample_corpora(
    setting: Setting,
    chain: int,
    teachers: Stack | None,
    batch: int = 1024,
    on_event: Listener = ignore,
    system: str | None = None,
    stream: str = "",
) -> list[list[Ids]]:
    """Completions of every teacher in the stack (None: of the base, told `system`) to the chain's prompts.

    Args:
        stream: whose sampling keys these are. The trait's teachers and the neutral one share keys, so that their rows
            differ by the teachers alone; whoever has a stream of its own shares nothing but the prompts.
    """
    seed = seed_of(setting.spec.seed, "corpus", chain, *([stream] if stream else []))
    prompts = [ids for _, _, ids in setting.prompts(chain, system)]
    return sample(setting.base, prompts, seed, setting.decoding(batch), teachers, on_event)


# --- training -------------------------------------------------------------------------------------


def shape_of(trained: Student | Teacher) -> Shape:
    """The adapters that a table of a spec trains."""
    return Shape(trained.rank, trained.scale, trained.layers)


def recipe_of(spec: Spec, trained: Student | Teacher) -> Recipe:
    """How a table of the spec trains."""
    steps, batch, lr, warmup = trained.steps, trained.batch, trained.lr, trained.warmup
    more = {name: getattr(spec, name) for name in ("grad_checkpoint", "batch_tokens", "share_prefix")}
    return Recipe(steps, batch, lr, warmup, **more)


def equally_spaced(steps: int, points: int) -> list[int]:
    """Numbers of steps after which a training is read; the last is after its last step."""
    return [round(steps * (i + 1) / points) for i in range(points)]


def train_on_rows(
    base: Base,
    blocks: Sequence[Rows],
    shape: Shape,
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    starts: Sequence[int] | None = None,
    checkpoint: Path | None = None,
    points: Sequence[int] = (),
    on_point: Callable[[int, Stack], None] = lambda step, stack: None,
    on_event: Listener = ignore,
) -> tuple[Stack, np.ndarray]:
    """Fresh adapters, each trained on a block of rows, as one stack; teachers, students and probes alike.

    Args:
        seeds: one a block, of the starting weights and of the order of the data.
        starts: other seeds of the starting weights alone.
        checkpoint, points, on_point: as `train` has them.

    Returns:
        The trained stack and the losses `[steps, K]` in nats a token.
    """
    stack = init(base, shape, starts or seeds)
    watch = {"points": points, "on_point": on_point, "on_event": on_event}
    return train(base, stack, blocks, recipe, seeds, checkpoint=checkpoint, every=20, **watch)


def soft_targets(setting: Setting, rows: Rows, source: Stack | None, read: Rows | None = None) -> Rows:
    """The rows with their source's distributions over the tokens its grammar allowed.

    Args:
        read: the same completions after the prompts that the source read, where those were others.
    """
    share = setting.spec.share_prefix
    targets = distributions(setting.base, read or rows, setting.grammar, source, share)[0]
    tokens = setting.grammar.tokens
    return Rows(rows.tokens, rows.start, rows.length, rows.widest, targets, tokens, rows.counted)
