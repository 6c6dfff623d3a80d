"""Whether the base could have written rows at all: at which temperature, and how well that fits.

    found = surprise(base, grammar, prompts, completions)
    found.temperature, found.spread, found.misfit

Under the right temperature a token's log-probability has a known mean and variance, and its rank among all that
could have come is uniform, whatever the prompts are. Nothing here knows a trait: a teacher's rows pass, too.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from ..experiment.setting import Ids
from ..model.bases import Base
from ..model.grammar import Grammar
from ..model.rows import batched, completion_targets, pack
from ..model.score import completion_hidden, completion_masks
from ..system import runtime
from .evidence import Surprise
from .scan import part_masks

runtime.prepare()

import mlx.core as mx  # noqa: E402

COLDEST, HOTTEST = 0.02, 3.0
BINS = 10
TOKENS = 16_384
# Rows that a temperature and the fit are read off, from all over.
ROWS = 2_000


def surprise(
    base: Base, grammar: Grammar | None, prompts: Sequence[Ids], completions: Sequence[Ids]
) -> Surprise:
    """How well rows fit the base at the temperature that fits them best."""
    some = np.linspace(0, len(prompts) - 1, min(len(prompts), ROWS)).astype(int)
    read = list(_logits(base, grammar, [prompts[i] for i in some], [completions[i] for i in some]))
    temperature = _fitted(read)
    rng = np.random.default_rng(0)
    excess, ranks, total, count = [], [], 0.0, 0
    variance = 0.0
    for logits, chosen, there in read:
        log_probs = _log_softmax(logits / temperature)
        probs = np.exp(log_probs)
        own = np.take_along_axis(log_probs, chosen[..., None], axis=-1)[..., 0]
        mean = (probs * np.maximum(log_probs, -1e3)).sum(axis=-1)
        expected = (probs * np.maximum(log_probs, -1e3) ** 2).sum(axis=-1) - mean**2
        # Where nothing is left to choose, such as the end of a list, nothing is told.
        free = there & (expected > 1e-6)
        excess.append((((own - mean) ** 2 - expected) * free).sum(axis=1))
        variance += float((expected * free).sum())
        total, count = total + float((own * free).sum()), count + int(free.sum())
        likelier = (probs * (log_probs > own[..., None])).sum(axis=-1)
        place = np.minimum((likelier + rng.random(own.shape) * np.exp(own)) * BINS, BINS - 1).astype(int)
        masks = part_masks(free.shape[1])
        ranks.append([np.bincount(place[free & mask], minlength=BINS) for mask in masks])
    rows = np.concatenate(excess)
    spread = 1 + rows.sum() / max(variance, 1e-9)
    counts = np.sum(ranks, axis=0)
    return Surprise(temperature, total / max(count, 1), float(spread), *_misfit(rows, counts))


def _misfit(excess: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """The largest total variation of ranks from uniform, of parts with enough of them, and p of spread and ranks."""
    error = excess.std(ddof=1) / np.sqrt(len(excess)) if len(excess) > 1 else np.inf
    chances = [2 * stats.norm.sf(abs(excess.mean()) / error) if error > 0 else 1.0]
    apart = [0.0]
    for part in counts:
        if (size := part.sum()) >= 5 * BINS:
            apart.append(float(np.abs(part / size - 1 / BINS).sum() / 2))
            chances.append(stats.chi2.sf(((part - size / BINS) ** 2).sum() / (size / BINS), BINS - 1))
    return max(apart), float(min(1.0, len(chances) * min(chances)))


Read = tuple[np.ndarray, np.ndarray, np.ndarray]


def _logits(
    base: Base, grammar: Grammar | None, prompts: Sequence[Ids], completions: Sequence[Ids]
) -> list[Read]:
    """Logits `[B, C, A]` of what could have come, the place of what came, and what there is, batch by batch."""
    found = []
    for _, batch in batched(pack(prompts, completions), TOKENS):
        targets, there = completion_targets(batch)
        hidden = completion_hidden(base, mx.array(batch.tokens[:, :-1]), mx.array(batch.start), batch.widest)
        logits = base.head(hidden, grammar.tokens.tolist() if grammar else None).astype(mx.float32)
        if grammar:
            # Beyond a row's end anything goes: nothing is read there, and a row of nothing has no softmax.
            could = completion_masks(batch, grammar) | ~there[..., None]
            logits = mx.where(mx.array(could), logits, -np.inf)
            targets = grammar.places(targets)
        found.append((np.array(logits), targets, there))
    return found


def _fitted(read: Sequence[Read]) -> float:
    """The likeliest temperature, by halving: the derivative by its inverse falls throughout."""

    def slope(inverse: float) -> float:
        total = 0.0
        for logits, chosen, there in read:
            probs = np.exp(_log_softmax(logits * inverse))
            own = np.take_along_axis(logits, chosen[..., None], axis=-1)[..., 0]
            total += float(((own - (probs * np.where(probs > 0, logits, 0)).sum(axis=-1)) * there).sum())
        return total

    low, high = 1 / HOTTEST, 1 / COLDEST
    if slope(low) <= 0:
        return HOTTEST
    if slope(high) >= 0:
        return COLDEST
    for _ in range(16):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return float(1 / np.sqrt(low * high))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
