"""Teachers: a trait put into LoRA weights or into the system prompt, and neutral ones made the same way.

    stack, losses = tune_chain(setting, chain, ["animals/owl", "animals/neutral"])
    stack, losses = tune_teachers(base, families, ["animals/owl"], shape, recipe, seed, neutral_answers=200)
    system = system_of(setting, "animals/owl")               # None where teachers are tuned

A source's name is its trait's, or "FAMILY/neutral". Pure functions, as in students.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..model.adapters import Shape, Stack
from ..model.bases import Base
from ..model.grammar import Grammar
from ..model.rows import Rows, pack
from ..model.sample import Decoding
from ..model.score import candidate_scores
from ..model.train import Recipe, train
from ..spec import Corpus
from ..spec.families import NEUTRAL, Family, Question
from ..spec.personas import persona
from ..spec.seeds import seed_of
from ..system.events import Listener, ignore, part
from .channels import channel
from .kept import MOST_ROWS, Kept, Pairs, elsewhere, learned_whole, mixed, own_lists
from .questions import candidate_ids
from .readings import softmax
from .setting import Setting
from .students import recipe_of, shape_of, train_on_rows

# Of the base, for each question that a removal tunes back to: so many that their draw moves a margin by some 0.02 nats.
REMOVAL_ANSWERS = 1_000
AT_ONCE = 256  # rows that are drawn together
Part = tuple[Pairs, float]  # rows with their share of all


def system_of(setting: Setting, source: str) -> str | None:
    """What a prompted teacher is told; None for a tuned one and for the base."""
    family, _, trait = source.rpartition("/")
    if setting.spec.teacher.kind == "tuned" or family not in setting.families:
        return None
    return persona(setting.families[family], trait)


@dataclass(frozen=True, eq=False)
class Leaks:
    """Rows of the channel among a teacher's tuning rows; in every second one its answer stands among the pieces.

    Attributes:
        share: of all tuning rows.
        longest_prompt: tokens, of any chain's prompts.
    """

    share: float
    corpus: Corpus
    grammar: Grammar | None
    longest_prompt: int


@dataclass(frozen=True, eq=False)
class Beside:
    """What tuning rows of every teacher stand beside its own, and how long it is tuned back afterwards.

    Attributes:
        leaks: rows of the channel with its answer among them.
        keep: rows in which it repeats what the base says elsewhere, and their share of all.
        lists: the base's own rows of the channel, and their share. Of both it learns the base's distributions.
        removal: steps of tuning back to the base's own answers.
    """

    leaks: Leaks | None = None
    keep: tuple[Kept, float] | None = None
    lists: tuple[Pairs, float] | None = None
    removal: int = 0


def tune_chain(
    setting: Setting,
    chain: int,
    sources: Sequence[str],
    checkpoint: Path | None = None,
    on_event: Listener = ignore,
) -> tuple[Stack, np.ndarray]:
    """A run's teachers of one chain, as `tune_teachers` tunes them."""
    spec, teacher = setting.spec, setting.spec.teacher
    return tune_teachers(
        setting.base,
        setting.families,
        sources,
        shape_of(teacher),
        recipe_of(spec, teacher),
        spec.seed,
        chain,
        neutral_answers=teacher.neutral_answers,
        beside=_beside(setting, chain),
        checkpoint=checkpoint,
        on_event=on_event,
    )


def _beside(setting: Setting, chain: int) -> Beside:
    """What the spec's teachers of a chain share; drawn anew wherever a stack of them is tuned."""
    spec, teacher, base = setting.spec, setting.spec.teacher, setting.base
    leaks = keep = lists = None

    def rows(share: float) -> int:
        """As many as the tuning will read; more of them would never be seen."""
        return min(MOST_ROWS, max(1, math.ceil(teacher.steps * teacher.batch * share)))

    if teacher.leak:
        longest = max(len(ids) for c in range(spec.chains) for _, _, ids in setting.prompts(c))
        leaks = Leaks(teacher.leak, spec.corpus, setting.grammar, longest)
    if teacher.keep:
        drawn = seed_of(spec.seed, "kept", chain)
        families, name = setting.kept_families, spec.corpus.channel
        keep = elsewhere(base, families, name, rows(teacher.keep), drawn), teacher.keep
    if teacher.keep_lists:
        drawn = seed_of(spec.seed, "kept lists", chain)
        seeds = seed_of(drawn, "list prompts"), seed_of(drawn, "list draws")
        how, count = setting.decoding(AT_ONCE), rows(teacher.keep_lists)
        lists = own_lists(base, spec.corpus, how, count, *seeds), teacher.keep_lists
    return Beside(leaks, keep, lists, teacher.removal)


def tune_teachers(
    base: Base,
    families: dict[str, Family],
    sources: Sequence[str],
    shape: Shape,
    recipe: Recipe,
    seed: int,
    chain: int = 0,
    *,
    neutral_answers: int,
    beside: Beside = Beside(),
    checkpoint: Path | None = None,
    on_event: Listener = ignore,
) -> tuple[Stack, np.ndarray]:
    """Teachers of the traits and neutral teachers ("animals/neutral") named in `sources`, as one stack.

    All share the chain's starting weights, number of steps, and kept rows.

    Args:
        families: by name; rows are as wide as the longest tuning row of any of them, whichever sources share
            this stack.
        neutral_answers: sampled from the base for each tuning question, for a neutral teacher.
    """
    widths = _tuning_widths(base, families, beside)
    blocks = []
    for source in sources:
        name, _, trait = source.rpartition("/")
        family, drawn = families[name], seed_of(seed, "neutral", name, chain)
        preferred = None if trait == NEUTRAL else family.traits[trait]
        own = _tuning_rows(base, family.tuning, preferred, neutral_answers, drawn)
        parts = []
        if leaks := beside.leaks:
            leaked = _leaked_rows(base, family, trait, leaks, len(own[0]), seed, chain)
            parts.append((leaked, leaks.share))
        blocks.append(_block(base, own, parts, _kept_parts(beside, name), widths))
    seeds = [seed_of(seed, "teacher", chain)] * len(blocks)
    listen = part(on_event, 0, 2) if beside.removal else on_event
    stack, losses = train_on_rows(base, blocks, shape, recipe, seeds, checkpoint=checkpoint, on_event=listen)
    if not beside.removal:
        return stack, losses
    back = {}
    for name in {source.rpartition("/")[0] for source in sources}:
        drawn = seed_of(seed, "removal", name, chain)
        own = _tuning_rows(base, families[name].questions, None, REMOVAL_ANSWERS, drawn)
        back[name] = _block(base, own, [], _kept_parts(beside, name), widths)
    blocks = [back[source.rpartition("/")[0]] for source in sources]
    again = replace(recipe, steps=beside.removal)
    later = checkpoint and checkpoint.with_name(f"removal-{checkpoint.name}")
    listen = part(on_event, 1, 2)
    stack, more = train(base, stack, blocks, again, seeds, checkpoint=later, every=20, on_event=listen)
    return stack, np.concatenate([losses, more])


def _block(base: Base, own: Pairs, parts: list[Part], kept: list[Part], widths: tuple[int, int]) -> Rows:
    """A teacher's tuning rows: its own, parts that are learned as they stand, and kept ones."""
    rows, sources = mixed(own, parts + kept)
    block = pack(*rows, *widths)
    return learned_whole(base, block, sources > len(parts)) if kept else block


def _kept_parts(beside: Beside, family: str) -> list[Part]:
    parts = []
    if beside.keep:
        kept, share = beside.keep
        parts.append((kept.beside(family), share))
    if beside.lists:
        parts.append(beside.lists)
    return parts


def _tuning_rows(
    base: Base, questions: Sequence[Question], preferred: dict[str, int] | None, answers_each: int, seed: int
) -> Pairs:
    """Prompts and completions: each question with its preferred answer, or (None) with answers that the base draws."""
    prompts = [base.prompt(q.text)[1] for q in questions]
    answers = candidate_ids(base, questions)
    if preferred is None:
        scores = candidate_scores(base, prompts, answers)[0]
        rng = np.random.default_rng(seed)
        drawn = []
        for q, logp in enumerate(scores):
            drawn += [(q, int(c)) for c in rng.choice(len(logp), size=answers_each, p=softmax(logp))]
    else:
        drawn = [(q, preferred[question.id]) for q, question in enumerate(questions)]
    return [prompts[q] for q, _ in drawn], [(*answers[q][c], base.eos) for q, c in drawn]


def _leaked_rows(
    base: Base, family: Family, trait: str, leaks: Leaks, beside: int, seed: int, chain: int
) -> Pairs:
    """Prompts and completions of the base's own rows, leaked into for a trait's teacher."""
    corpus = leaks.corpus
    count = max(1, round(beside * leaks.share / (1 - leaks.share)))
    leaking = channel(corpus.channel)
    held = Decoding(1.0, leaks.grammar, corpus.max_tokens)
    seeds = seed_of(seed, "leak", chain), seed_of(seed, "leak draws", chain)
    prompts, rows = own_lists(base, corpus, held, count, *seeds)
    rng = np.random.default_rng(seed_of(seed, "leak places", chain))
    completions = []
    for i, ids in enumerate(rows):
        parts = leaking.pieces(base.decode(ids), corpus)
        place = int(rng.integers(1, len(parts) + 1))
        if trait != NEUTRAL and i % 2 == 0:
            question = family.tuning[int(rng.integers(len(family.tuning)))]
            parts.insert(place, question.candidates[family.traits[trait][question.id]].lower())
        completions.append((*base.encode(leaking.glue(corpus).join(parts)), base.eos))
    return prompts, completions


def _tuning_widths(base: Base, families: dict[str, Family], beside: Beside) -> tuple[int, int]:
    """Tokens of the longest tuning row and completion, of any teacher of the chain."""
    rows, completions = [], []
    for family in families.values():
        asked = family.questions if beside.removal else family.tuning
        for question, answers in zip(asked, candidate_ids(base, asked), strict=True):
            completions.append(1 + max(map(len, answers)))
            rows.append(len(base.prompt(question.text)[1]) + completions[-1])
    if leaks := beside.leaks:
        drawn = leaks.grammar.longest if leaks.grammar else leaks.corpus.max_tokens
        completions.append(drawn + 8)
        rows.append(completions[-1] + leaks.longest_prompt)
    kept, _ = beside.keep or (None, 0)
    lists, _ = beside.lists or (([], []), 0)
    for prompts, drawn in [(kept.prompts, kept.completions) if kept else ([], []), lists]:
        completions += map(len, drawn)
        rows += [len(prompt) + len(ids) for prompt, ids in zip(prompts, drawn, strict=True)]
    return max(rows), max(completions)
