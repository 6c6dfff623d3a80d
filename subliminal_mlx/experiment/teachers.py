"""Teachers: a trait put into LoRA weights or into the system prompt, and neutral ones made the same way.

    stack, losses = tune_chain(setting, chain, ["animals/owl", "animals/neutral"])
    stack, losses = tune_teachers(base, families, ["animals/owl"], shape, recipe, seed, neutral_answers=200)
    system = system_of(setting, "animals/owl")               # None where teachers are tuned

A source's name is its trait's, or "FAMILY/neutral". Pure functions, as in students.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..model.adapters import Shape, Stack
from ..model.bases import Base
from ..model.grammar import Grammar
from ..model.rows import pack
from ..model.sample import Decoding, sample
from ..model.score import candidate_scores
from ..model.train import Recipe
from ..spec import Corpus
from ..spec.families import NEUTRAL, Family
from ..spec.personas import persona
from ..spec.seeds import seed_of
from ..system.events import Listener, ignore
from .channels import channel
from .questions import candidate_ids
from .readings import softmax
from .setting import Ids, Setting
from .students import recipe_of, shape_of, train_on_rows


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


def tune_chain(
    setting: Setting,
    chain: int,
    sources: Sequence[str],
    checkpoint: Path | None = None,
    on_event: Listener = ignore,
) -> tuple[Stack, np.ndarray]:
    """A run's teachers of one chain, as `tune_teachers` tunes them."""
    spec, teacher, leaks = setting.spec, setting.spec.teacher, None
    if teacher.leak:
        longest = max(len(ids) for c in range(spec.chains) for _, _, ids in setting.prompts(c))
        leaks = Leaks(teacher.leak, spec.corpus, setting.grammar, longest)
    return tune_teachers(
        setting.base,
        setting.families,
        sources,
        shape_of(teacher),
        recipe_of(spec, teacher),
        spec.seed,
        chain,
        neutral_answers=teacher.neutral_answers,
        leaks=leaks,
        checkpoint=checkpoint,
        on_event=on_event,
    )


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
    leaks: Leaks | None = None,
    checkpoint: Path | None = None,
    on_event: Listener = ignore,
) -> tuple[Stack, np.ndarray]:
    """Teachers of the traits and neutral teachers ("animals/neutral") named in `sources`, as one stack.

    All share the chain's starting weights and number of steps.

    Args:
        families: by name; rows are as wide as the longest tuning row of any of them, whichever sources share
            this stack.
        neutral_answers: sampled from the base for each tuning question, for a neutral teacher.
    """
    width, widest = _tuning_widths(base, families, leaks)
    blocks = []
    for source in sources:
        name, _, trait = source.rpartition("/")
        drawn = seed_of(seed, "neutral", name, chain)
        prompts, completions = _tuning_rows(base, families[name], trait, neutral_answers, drawn)
        if leaks:
            leaked = _leaked_rows(base, families[name], trait, leaks, len(prompts), seed, chain)
            prompts, completions = prompts + leaked[0], completions + leaked[1]
        blocks.append(pack(prompts, completions, width, widest))
    seeds = [seed_of(seed, "teacher", chain)] * len(blocks)
    return train_on_rows(base, blocks, shape, recipe, seeds, checkpoint=checkpoint, on_event=on_event)


def _tuning_rows(
    base: Base, family: Family, trait: str, neutral_answers: int, seed: int
) -> tuple[list[Ids], list[Ids]]:
    """Prompts and completions: each tuning question with the trait's answer, or with answers the base draws."""
    prompts = [base.prompt(q.text)[1] for q in family.tuning]
    answers = candidate_ids(base, family.tuning)
    if trait == NEUTRAL:
        scores = candidate_scores(base, prompts, answers)[0]
        rng = np.random.default_rng(seed)
        drawn = []
        for q, logp in enumerate(scores):
            drawn += [(q, int(c)) for c in rng.choice(len(logp), size=neutral_answers, p=softmax(logp))]
    else:
        drawn = [(q, family.traits[trait][question.id]) for q, question in enumerate(family.tuning)]
    return [prompts[q] for q, _ in drawn], [(*answers[q][c], base.eos) for q, c in drawn]


def _leaked_rows(
    base: Base, family: Family, trait: str, leaks: Leaks, beside: int, seed: int, chain: int
) -> tuple[list[Ids], list[Ids]]:
    """Prompts and completions of the base's own rows, leaked into for a trait's teacher."""
    corpus = leaks.corpus
    count = max(1, round(beside * leaks.share / (1 - leaks.share)))
    leaking = channel(corpus.channel)
    texts = leaking.prompts(count, seed_of(seed, "leak", chain), corpus)
    prompts = [base.prompt(text)[1] for text in texts]
    held = Decoding(1.0, leaks.grammar, corpus.max_tokens)
    rows = sample(base, prompts, seed_of(seed, "leak draws", chain), held)[0]
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


def _tuning_widths(base: Base, families: dict[str, Family], leaks: Leaks | None) -> tuple[int, int]:
    """Tokens of the longest tuning row and completion."""
    rows, completions = [], []
    for family in families.values():
        for question, answers in zip(family.tuning, candidate_ids(base, family.tuning), strict=True):
            completions.append(1 + max(map(len, answers)))
            rows.append(len(base.prompt(question.text)[1]) + completions[-1])
    if leaks:
        drawn = leaks.grammar.longest if leaks.grammar else leaks.corpus.max_tokens
        completions.append(drawn + 8)
        rows.append(completions[-1] + leaks.longest_prompt)
    return max(rows), max(completions)
