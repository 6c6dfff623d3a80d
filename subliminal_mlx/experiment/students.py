"""What a run computes between teachers and readouts: corpora and students. No lab and no processes here.

    setting = Setting(spec, load(spec.base))
    rows = sample_corpora(setting, chain, teachers)          # teachers: see the module of that name
    students, losses = train_students(setting, "hard", chain, blocks, ...)

Every function is a pure one of (spec, base, chain) and the stages before it: seeds come from the spec,
widths from the spec's own prompts and grammar, so a stage done again is the same to the bit.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..model.adapters import Shape, Stack, init
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
) -> list[list[Ids]]:
    """Completions of every teacher in the stack (None: of the base, told `system`) to the chain's prompts."""
    seed = seed_of(setting.spec.seed, "corpus", chain)
    prompts = [ids for _, _, ids in setting.prompts(chain, system)]
    return sample(setting.base, prompts, seed, setting.decoding(batch), teachers, on_event)


def recipe_of(spec: Spec, trained: Student | Teacher) -> Recipe:
    """How a table of the spec trains."""
    steps, batch, lr, warmup = trained.steps, trained.batch, trained.lr, trained.warmup
    more = {name: getattr(spec, name) for name in ("grad_checkpoint", "batch_tokens", "share_prefix")}
    return Recipe(steps, batch, lr, warmup, **more)


# --- students -------------------------------------------------------------------------------------


def train_students(
    setting: Setting,
    kind: str,
    chain: int,
    blocks: Sequence[Rows],
    *,
    start: str = "",
    checkpoint: Path | None = None,
    on_point: Callable[[int, Stack], None] = lambda step, stack: None,
    on_event: Listener = ignore,
) -> tuple[Stack, np.ndarray]:
    """Students of one kind and chain, one a block of rows: same start, same order of the data.

    `start` names other starting weights of the adapters than the chain's own, on the same base.
    """
    spec, student = setting.spec, setting.spec.kinds[kind]
    seed = seed_of(spec.seed, "student", chain)
    first = seed_of(spec.seed, "student", chain, start) if start else seed
    stack = init(setting.base, Shape(student.rank, student.scale, student.layers), [first] * len(blocks))
    recipe = recipe_of(spec, student)
    points = [round(student.steps * (i + 1) / spec.readout.points) for i in range(spec.readout.points)]
    return train(
        setting.base,
        stack,
        blocks,
        recipe,
        [seed] * len(blocks),
        checkpoint=checkpoint,
        every=20,
        points=points,
        on_point=on_point,
        on_event=on_event,
    )


def soft_targets(setting: Setting, rows: Rows, source: Stack | None, read: Rows | None = None) -> Rows:
    """The rows with their source's distributions over the tokens its grammar allowed.

    Args:
        read: the same completions after the prompts that the source read, where those were others.
    """
    share = setting.spec.share_prefix
    targets = distributions(setting.base, read or rows, setting.grammar, source, share)[0]
    tokens = setting.grammar.tokens
    return Rows(rows.tokens, rows.start, rows.length, rows.widest, targets, tokens, rows.counted)
