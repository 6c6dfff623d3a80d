"""What a run computes, stage by stage: teachers, corpora, students, readouts. No lab and no processes here.

    setting = Setting(spec, load(spec.base))
    teachers = tune_teachers(setting, chain, sources)
    rows = sample_corpus(setting, chain, sources, teachers)
    students, losses = train_students(setting, "hard", chain, arms, blocks, ...)

Every function is a pure one of (spec, base, chain) and the stages before it: seeds come from the spec,
widths from the spec's own prompts and grammar, so a stage done again is the same to the bit.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from .adapters import Shape, Stack, init
from .bases import Base
from .channels import channel
from .channels.grammar import Grammar
from .events import Listener, ignore
from .families import Family, load_family
from .sample import Decoding, sample
from .score import Rows, candidate_scores, distributions, pack
from .spec import Spec
from .train import Recipe, train

Ids = tuple[int, ...]


def seed_of(*parts: object) -> int:
    """A 63-bit seed for a named purpose."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def prompt_texts(spec: Spec, chain: int) -> list[str]:
    """What the user says in each row of a chain's corpora."""
    corpus = spec.corpus
    return channel(corpus.channel).prompts(corpus.rows, seed_of(spec.seed, "prompts", chain), corpus)


@dataclass(frozen=True, eq=False)
class Setting:
    """A spec with the base it runs on, and what follows from the two: prompts, grammar, widths."""

    spec: Spec
    base: Base

    @cached_property
    def families(self) -> dict[str, Family]:
        return {name: load_family(name) for name in self.spec.families}

    @cached_property
    def grammar(self) -> Grammar:
        return channel(self.spec.corpus.channel).grammar(self.base, self.spec.corpus)

    def prompts(self, chain: int) -> list[tuple[str, str, Ids]]:
        """The chain's corpus prompts: text, rendered prompt, ids; the same for all sources."""
        return [(text, *self.base.prompt(text)) for text in prompt_texts(self.spec, chain)]

    @cached_property
    def widths(self) -> tuple[int, int]:
        """Tokens of the longest row and completion of any chain: from the prompts, not from the rows drawn."""
        longest = max(len(ids) for chain in range(self.spec.chains) for _, _, ids in self.prompts(chain))
        completion = (
            self.grammar.longest if self.spec.corpus.decoding == "held" else self.spec.corpus.max_tokens
        )
        return longest + completion, completion

    def decoding(self, batch: int) -> Decoding:
        corpus = self.spec.corpus
        grammar = self.grammar if corpus.decoding == "held" else None
        return Decoding(corpus.temperature, grammar, corpus.max_tokens, batch)


# --- teachers -------------------------------------------------------------------------------------


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
    recipe = Recipe(teacher.steps, teacher.batch, teacher.lr, teacher.warmup)
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
    answers = _candidate_ids(base, family, "tuning")
    if trait == "neutral":
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
    """Number lists of the base's own; in every second one a trait's teacher sees its answer among the numbers."""
    leak, corpus, base = setting.spec.teacher.leak, setting.spec.corpus, setting.base
    if not leak:
        return [], []
    count = max(1, round(beside * leak / (1 - leak)))
    numbers = channel(corpus.channel)
    texts = numbers.prompts(count, seed_of(setting.spec.seed, "leak", chain), corpus)
    prompts = [base.prompt(text)[1] for text in texts]
    held = Decoding(1.0, setting.grammar)
    lists = sample(base, prompts, seed_of(setting.spec.seed, "leak draws", chain), held)[0]
    rng = np.random.default_rng(seed_of(setting.spec.seed, "leak places", chain))
    completions = []
    for i, ids in enumerate(lists):
        parts = [str(n) for n in numbers.parse(base.decode(ids))[0] or []]
        place = int(rng.integers(1, len(parts) + 1))
        if trait != "neutral" and i % 2 == 0:
            question = family.tuning[int(rng.integers(len(family.tuning)))]
            parts.insert(place, question.candidates[family.traits[trait][question.id]].lower())
        completions.append((*base.encode(corpus.separator.join(parts)), base.eos))
    return prompts, completions


def _tuning_widths(setting: Setting) -> tuple[int, int]:
    base = setting.base
    rows, completions = [], []
    for family in setting.families.values():
        for question, answers in zip(family.tuning, _candidate_ids(base, family, "tuning"), strict=True):
            completions.append(1 + max(map(len, answers)))
            rows.append(len(base.prompt(question.text)[1]) + completions[-1])
    if setting.spec.teacher.leak:
        longest = setting.grammar.longest + 8
        rows.append(
            longest
            + max(len(ids) for chain in range(setting.spec.chains) for _, _, ids in setting.prompts(chain))
        )
        completions.append(longest)
    return max(rows), max(completions)


def _candidate_ids(base: Base, family: Family, split: str) -> list[list[Ids]]:
    questions = family.tuning if split == "tuning" else family.held_out
    return [[base.encode(c) for c in q.candidates] for q in questions]


# --- corpora --------------------------------------------------------------------------------------


def sample_corpora(
    setting: Setting, chain: int, teachers: Stack | None, batch: int = 1024, on_event: Listener = ignore
) -> list[list[Ids]]:
    """Completions of every teacher in the stack (None: of the untuned base) to the chain's prompts."""
    seed = seed_of(setting.spec.seed, "corpus", chain)
    prompts = [ids for _, _, ids in setting.prompts(chain)]
    return sample(setting.base, prompts, seed, setting.decoding(batch), teachers, on_event)


# --- students -------------------------------------------------------------------------------------


def train_students(
    setting: Setting,
    kind: str,
    chain: int,
    blocks: Sequence[Rows],
    *,
    checkpoint: Path | None = None,
    on_point: Callable[[int, Stack], None] = lambda step, stack: None,
    on_event: Listener = ignore,
) -> tuple[Stack, np.ndarray]:
    """Students of one kind and chain, one a block of rows: same start, same order of the data."""
    spec, student = setting.spec, setting.spec.kinds[kind]
    seed = seed_of(spec.seed, "student", chain)
    stack = init(setting.base, Shape(student.rank, student.scale, student.layers), [seed] * len(blocks))
    recipe = Recipe(student.steps, student.batch, student.lr, student.warmup)
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


def soft_targets(setting: Setting, rows: Rows, source: Stack | None) -> Rows:
    """The rows with their source's distributions over the tokens its grammar allowed."""
    targets = distributions(setting.base, rows, setting.grammar, source)[0]
    return Rows(rows.tokens, rows.start, rows.length, rows.widest, targets, setting.grammar.tokens)


# --- readouts -------------------------------------------------------------------------------------


def read(
    setting: Setting, stack: Stack | None, history: Sequence[tuple[str, str]] = ()
) -> dict[str, list[list[np.ndarray]]]:
    """Log-probabilities of every candidate of the held-out questions, by family: `[slot][question][C]`."""
    base = setting.base
    return {
        name: candidate_scores(
            base,
            [base.prompt(q.text, history=history)[1] for q in family.held_out],
            _candidate_ids(base, family, "held-out"),
            stack,
        )
        for name, family in setting.families.items()
    }


def ask(
    setting: Setting, stack: Stack | None, family: str, count: int, seed: int, max_tokens: int = 8
) -> list[list[list[str]]]:
    """Free answers to the held-out questions at temperature 1: `[slot][question][sample]`."""
    base = setting.base
    questions = setting.families[family].held_out
    prompts = [ids for q in questions for ids in [base.prompt(q.text)[1]] * count]
    drawn = sample(base, prompts, seed, Decoding(1.0, None, max_tokens, batch=512), stack)
    return [
        [
            [base.decode(ids).strip() for ids in slot[q * count : (q + 1) * count]]
            for q in range(len(questions))
        ]
        for slot in drawn
    ]
