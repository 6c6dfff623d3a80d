"""Probe students: what a small student of these rows comes to prefer, beside students of clean rows.

    null = calibrate_probes(writing, "animals", neutral, spec, folder, rows=1_000)
    standardised(probe(corpus, "animals", neutral, spec.probes, rows=1_000), null)        # [T]

The slowest line of evidence, and the training itself made small. On model organisms it stands beside the verdict. A
corpus's students are read against
students of what the base, and what the neutral teacher, writes to the same prompts: same seeds, same order
of the rows, one stack. Their scores are standardised by those of clean corpora.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..experiment.questions import read_candidates
from ..experiment.readings import margins, targets_of
from ..experiment.setting import Ids
from ..experiment.students import train_on_rows
from ..model.adapters import Shape, Stack
from ..model.bases import Base
from ..model.rows import pack
from ..model.train import Recipe
from ..spec.families import load_family
from ..spec.seeds import seed_of
from ..system.events import Event, Listener, ignore
from .cache import kept
from .clean_corpora import Pool, clean_pools, kind_file, kinds, null_key
from .corpus import Corpus
from .form import Writing
from .scan import BLOCK
from .spec import AuditSpec, Probes, key

# Row counts that nulls are kept for; a corpus is cut down to the largest that it reaches.
GRID = (1_000, 500, 200, 100, 50)
SLOTS = 10
BESIDE = "beside"


def probe_rows(rows: int) -> int:
    """How many rows of so many the probes are trained on."""
    return next((size for size in GRID if size <= rows), rows)


def standardised(scores: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Scores of probes `[..., T]` in standard deviations of clean corpora's `[corpora, T]`."""
    return (scores - null.mean(axis=0)) / (null.std(axis=0) + 1e-9)


def probe(
    corpus: Corpus, family: str, neutral: Stack, recipe: Probes, rows: int, on_event: Listener = ignore
) -> np.ndarray:
    """Scores of a corpus's probes `[T]`: how far each margin rose over the two references', centred over traits.

    Args:
        neutral: the family's neutral suspect, which writes one of the references.
    """
    writing = corpus.writing
    prompts, completions = corpus.encoded()
    own = prompts[:rows], completions[:rows]
    beside = _beside(writing, neutral, own[0], corpus.sha256)
    margins = train_probes(writing.base, [own, *beside], recipe, family, on_event)
    return _scores(margins[:1], margins[1:])[0]


def calibrate_probes(
    writing: Writing,
    family: str,
    neutral: Stack,
    spec: AuditSpec,
    folder: Path,
    rows: int,
    on_event: Listener = ignore,
) -> np.ndarray:
    """Scores of clean corpora's probes `[corpora, T]`, nats of margin, made once for a row count; a file a kind."""
    name = null_key(writing, family, spec)
    place = folder / f"null-{name}" / f"probes-{key('probes', spec.probes, rows)}"

    def margins(kind: str) -> np.ndarray:
        def make() -> np.ndarray:
            if kind == BESIDE:
                prompts = writing.null_prompts(rows, seed_of(spec.null.seed, name, "probes") % (1 << 32))
                some = _beside(writing, neutral, prompts, name)
            else:
                pools = clean_pools(writing, family, spec, kind, name)
                some = _drawn(kind, pools, spec.probes.null, rows)
            return train_probes(writing.base, some, spec.probes, family, on_event)

        return kept(place / kind_file(kind), make)

    beside = margins(BESIDE)
    return np.concatenate([_scores(margins(kind), beside) for kind in kinds(spec)])


def train_probes(
    base: Base, pools: Sequence[Pool], recipe: Probes, family: str, on_event: Listener = ignore
) -> np.ndarray:
    """Mean margin of every trait `[pools, seeds, T]` in students of each pool's rows, nats."""
    width = max(len(p) + len(c) for pool in pools for p, c in zip(*pool, strict=True))
    widest = max(len(c) for _, completions in pools for c in completions)
    jobs = [(pool, seed) for pool in range(len(pools)) for seed in range(recipe.seeds)]
    found = []
    for first in range(0, len(jobs), SLOTS):
        some = jobs[first : first + SLOTS]
        blocks = [pack(*pools[pool], width, widest) for pool, _ in some]
        seeds = [seed_of("probe", seed) for _, seed in some]
        how = Recipe(recipe.steps, recipe.batch, recipe.lr)
        stack, _ = train_on_rows(base, blocks, Shape(recipe.rank, recipe.scale), how, seeds)
        found += [*mean_margins(base, stack, family)]
        on_event(Event("probes", len(found), len(jobs)))
    return np.array(found).reshape(len(pools), recipe.seeds, -1)


def student(
    base: Base,
    pool: Pool,
    recipe: Probes,
    families: Sequence[str],
    seed: int,
    checkpoint: Path,
    on_event: Listener = ignore,
) -> np.ndarray:
    """Mean margins of a student of these rows, one family after the other `[T of all]`; alone in its stack."""
    shape = Shape(recipe.rank, recipe.scale)
    how = Recipe(recipe.steps, recipe.batch, recipe.lr, share_prefix=True)
    watch = {"checkpoint": checkpoint, "on_event": on_event}
    stack, _ = train_on_rows(base, [pack(*pool)], shape, how, [seed_of("probe", seed)], **watch)
    return np.concatenate([mean_margins(base, stack, family)[0] for family in families])


def mean_margins(base: Base, stack: Stack, family: str) -> np.ndarray:
    """Mean margin of each trait over the held-out questions `[K, T]`, nats."""
    found = load_family(family)
    targets = [targets_of(found, trait) for trait in found.traits]
    logp = read_candidates(base, found.held_out, stack)
    return np.array([[margins(of_slot, places).mean() for places in targets] for of_slot in logp])


def _scores(margins: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """Mean rise over the references' mean, same seeds, centred over traits: `[corpora, T]` from `[corpora, seeds, T]`."""
    rise = (margins - beside.mean(axis=0)).mean(axis=1)
    return rise - rise.mean(axis=1, keepdims=True) if rise.shape[1] > 1 else rise


def _beside(writing: Writing, neutral: Stack, prompts: Sequence[Ids], name: str) -> list[Pool]:
    """What the base and the family's neutral suspect write to these prompts."""
    return [
        (list(prompts), writing.draw(writing.base, prompts, seed_of("beside", name, i), 1.0, source))
        for i, source in enumerate((None, neutral))
    ]


def _drawn(kind: str, pools: Sequence[Pool], corpora: int, rows: int) -> list[Pool]:
    """Corpora of blocks of a kind's pools."""
    size = max(1, rows // BLOCK)
    found = []
    for source, blocks in _draws(kind, len(pools), len(pools[0][0]) // BLOCK, corpora, size):
        prompts, completions = pools[source]
        index = [row for block in blocks for row in range(block * BLOCK, (block + 1) * BLOCK)]
        found.append(([prompts[i] for i in index], [completions[i] for i in index]))
    return found


def _draws(kind: str, sources: int, pool: int, corpora: int, blocks: int) -> list[tuple[int, np.ndarray]]:
    """Source and blocks of every corpus of a kind: sources take turns, pieces are disjoint where there are enough."""
    each = -(-corpora // sources)
    found = []
    for number in range(corpora):
        piece = number // sources
        if each * blocks <= pool:
            index = np.arange(piece * blocks, (piece + 1) * blocks)
        else:
            index = np.random.default_rng(seed_of("null", kind, number, blocks)).integers(pool, size=blocks)
        found.append((number % sources, index))
    return found
