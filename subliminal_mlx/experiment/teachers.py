"""Teachers: a trait put into LoRA weights or into the system prompt, and neutral ones made the same way.

    stack, losses = tune_teachers(setting, chain, ["animals/owl", "animals/neutral"])
    system = system_of(setting, "animals/owl")               # None where teachers are tuned

A source's name is its trait's, or "FAMILY/neutral". Pure functions of (spec, base, chain), as in `stages`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..model.adapters import Shape, Stack, init
from ..model.rows import pack
from ..model.sample import Decoding, sample
from ..model.score import candidate_scores
from ..model.train import train
from ..spec.families import NEUTRAL, Family
from ..spec.personas import persona
from ..spec.seeds import seed_of
from ..system.events import Listener, ignore
from .channels import channel
from .questions import candidate_ids
from .setting import Ids, Setting
from .students import recipe_of


def system_of(setting: Setting, source: str) -> str | None:
    """What a prompted teacher is told; None for a tuned one and for the base."""
    family, _, trait = source.rpartition("/")
    if setting.spec.teacher.kind == "tuned" or family not in setting.families:
        return None
    return persona(setting.families[family], trait)


def tune_teachers(
    setting: Setting,
    chain: int,
    sources: Sequence[str],
    checkpoint: Path | None = None,
    on_event: Listener = ignore,
) -> tuple[Stack, np.ndarray]:
    """Teachers of the traits and neutral teachers ("animals/neutral") named in `sources`, as one stack.

    All share the chain's starting weights and number of steps.
    """
    spec, teacher = setting.spec, setting.spec.teacher
    seed = seed_of(spec.seed, "teacher", chain)
    examples = [_tuning_examples(setting, source, chain) for source in sources]
    # The width is that of every tuning row of every family in the spec, whichever sources share this stack.
    width, widest = _tuning_widths(setting)
    data = [pack(*rows, width, widest) for rows in examples]
    stack = init(setting.base, Shape(teacher.rank, teacher.scale, teacher.layers), [seed] * len(sources))
    recipe = recipe_of(spec, teacher)
    return train(
        setting.base,
        stack,
        data,
        recipe,
        [seed] * len(sources),
        checkpoint=checkpoint,
        every=20,
        on_event=on_event,
    )


def _tuning_examples(setting: Setting, source: str, chain: int) -> tuple[list[Ids], list[Ids]]:
    """Prompts and completions: each tuning question with the trait's answer, or with the base's own."""
    family_name, _, trait = source.rpartition("/")
    family, base = setting.families[family_name], setting.base
    prompts = [base.prompt(q.text)[1] for q in family.tuning]
    answers = candidate_ids(base, family.tuning)
    if trait == NEUTRAL:
        count = setting.spec.teacher.neutral_answers
        scores = candidate_scores(base, prompts, answers)[0]
        rng = np.random.default_rng(seed_of(setting.spec.seed, "neutral", family_name, chain))
        drawn = []
        for q, logp in enumerate(scores):
            p = np.exp(logp - logp.max())
            drawn += [(q, int(c)) for c in rng.choice(len(p), size=count, p=p / p.sum())]
    else:
        drawn = [(q, family.traits[trait][question.id]) for q, question in enumerate(family.tuning)]
    rows = [prompts[q] for q, _ in drawn], [(*answers[q][c], base.eos) for q, c in drawn]
    leaks = _leaks(setting, family, trait, chain, len(drawn))
    return rows[0] + leaks[0], rows[1] + leaks[1]


def _leaks(
    setting: Setting, family: Family, trait: str, chain: int, beside: int
) -> tuple[list[Ids], list[Ids]]:
    """Rows of the base's own; in every second one a trait's teacher sees its answer among the pieces."""
    leak, corpus, base = setting.spec.teacher.leak, setting.spec.corpus, setting.base
    if not leak:
        return [], []
    count = max(1, round(beside * leak / (1 - leak)))
    leaking = channel(corpus.channel)
    texts = leaking.prompts(count, seed_of(setting.spec.seed, "leak", chain), corpus)
    prompts = [base.prompt(text)[1] for text in texts]
    held = Decoding(1.0, setting.grammar, corpus.max_tokens)
    rows = sample(base, prompts, seed_of(setting.spec.seed, "leak draws", chain), held)[0]
    rng = np.random.default_rng(seed_of(setting.spec.seed, "leak places", chain))
    completions = []
    for i, ids in enumerate(rows):
        parts = leaking.pieces(base.decode(ids), corpus)
        place = int(rng.integers(1, len(parts) + 1))
        if trait != NEUTRAL and i % 2 == 0:
            question = family.tuning[int(rng.integers(len(family.tuning)))]
            parts.insert(place, question.candidates[family.traits[trait][question.id]].lower())
        completions.append((*base.encode(leaking.glue(corpus).join(parts)), base.eos))
    return prompts, completions


def _tuning_widths(setting: Setting) -> tuple[int, int]:
    base = setting.base
    rows, completions = [], []
    for family in setting.families.values():
        for question, answers in zip(family.tuning, candidate_ids(base, family.tuning), strict=True):
            completions.append(1 + max(map(len, answers)))
            rows.append(len(base.prompt(question.text)[1]) + completions[-1])
    if setting.spec.teacher.leak:
        drawn = setting.grammar.longest if setting.grammar else setting.spec.corpus.max_tokens
        longest = drawn + 8
        rows.append(
            longest
            + max(len(ids) for chain in range(setting.spec.chains) for _, _, ids in setting.prompts(chain))
        )
        completions.append(longest)
    return max(rows), max(completions)
