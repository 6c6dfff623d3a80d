"""What a run computes, stage by stage: corpora, students, readouts. No lab and no processes here.

    setting = Setting(spec, load(spec.base))
    rows = sample_corpora(setting, chain, teachers)          # teachers: see the module of that name
    students, losses = train_students(setting, "hard", chain, blocks, ...)
    read(setting, students)

Every function is a pure one of (spec, base, chain) and the stages before it: seeds come from the spec,
widths from the spec's own prompts and grammar, so a stage done again is the same to the bit.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..model.adapters import Shape, Stack, init
from ..model.bases import Base
from ..model.rows import Rows
from ..model.sample import Decoding, sample
from ..model.score import candidate_scores, distributions
from ..model.train import Recipe, train
from ..spec import Spec, Student, Teacher
from ..spec.families import Family
from ..spec.seeds import seed_of
from ..system.events import Listener, ignore
from .setting import Ids, Setting


def candidate_ids(base: Base, family: Family, split: str) -> list[list[Ids]]:
    """Token ids of every candidate of the family's "tuning" or "held-out" questions: `[question][C]`."""
    questions = family.tuning if split == "tuning" else family.held_out
    return [[base.encode(c) for c in q.candidates] for q in questions]


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


# --- readouts -------------------------------------------------------------------------------------


def read(
    setting: Setting,
    stack: Stack | None,
    history: Sequence[tuple[str, str]] = (),
    system: str | None = None,
) -> dict[str, list[list[np.ndarray]]]:
    """Log-probabilities of every candidate of the held-out questions, by family: `[slot][question][C]`."""
    base = setting.base
    return {
        name: candidate_scores(
            base,
            [base.prompt(q.text, system, history)[1] for q in family.held_out],
            candidate_ids(base, family, "held-out"),
            stack,
        )
        for name, family in setting.read_families.items()
    }


def ask(
    setting: Setting,
    stack: Stack | None,
    family: str,
    count: int,
    seed: int,
    max_tokens: int = 8,
    system: str | None = None,
) -> list[list[list[str]]]:
    """Free answers to the held-out questions at temperature 1: `[slot][question][sample]`."""
    base = setting.base
    questions = setting.families[family].held_out
    prompts = [ids for q in questions for ids in [base.prompt(q.text, system)[1]] * count]
    drawn = sample(base, prompts, seed, Decoding(1.0, None, max_tokens, batch=512), stack)
    return [
        [
            [base.decode(ids).strip() for ids in slot[q * count : (q + 1) * count]]
            for q in range(len(questions))
        ]
        for slot in drawn
    ]
