"""Log-probabilities of given completions, and a source's distributions over rows.

    scores = candidate_scores(base, prompts, candidates, stack)      # [K, Q] of arrays [C]
    found = compare_with_base(base, rows, stack)                     # losses, the base's, and how far apart the two are
    targets = distributions(base, rows, grammar, stack)              # what soft students are trained on

Knows nothing about traits, teachers or the lab: token ids in, log-probabilities out.
"""

from collections.abc import Sequence

from ..system import runtime
from .adapters import Stack, applied
from .bases import Base
from .grammar import Grammar
from .prefill import Prefix, beginnings, extend, shared_length
from .rows import Rows, batched, completion_targets

runtime.prepare()

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402

Ids = tuple[int, ...]
# Rows that a readout holds at once, slots counted: logits over a large vocabulary are its memory.
ROWS_AT_ONCE = 512


def completion_hidden(
    base: Base, tokens: mx.array, start: mx.array, width: int, shared: int = 0, slots: int = 1
) -> mx.array:
    """Hidden states `[B, width, D]` from which the tokens at `start` to `start + width` are predicted.

    The head is the dearest part of a small step over a large vocabulary: only these positions need it.
    The first `shared` tokens, which all rows begin with, are computed once for each of the `slots`.
    """
    cache = None
    if shared:
        cache = beginnings(base)
        base.hidden(tokens[:: len(tokens) // slots, :shared], cache)
        tokens, start = tokens[:, shared:], start - shared
    hidden = base.hidden(tokens, cache)
    positions = mx.minimum(start[:, None] - 1 + mx.arange(width), tokens.shape[1] - 1)
    return mx.take_along_axis(hidden, positions[..., None], axis=1)


def base_states(base: Base, rows: Rows, batch_tokens: int = 16_384) -> np.ndarray:
    """The base's states from which it predicts each completion token `[N, C, D]`, fp32; zeros past a completion."""
    found = None
    with applied(base, None):
        for index, batch in batched(rows, batch_tokens):
            states = np.array(_hidden(base, batch, 1).astype(mx.float32))
            if found is None:
                found = np.zeros((len(rows), rows.widest, states.shape[2]), dtype=np.float32)
            exists = np.arange(batch.widest) < batch.length[:, None]
            found[index, : batch.widest] = states * exists[..., None]
    return found


def score(
    base: Base,
    rows: Rows,
    stack: Stack | None = None,
    batch_tokens: int = 16_384,
    grammar: Grammar | None = None,
) -> list[list[np.ndarray]]:
    """Log-probability in nats of every completion token, given all tokens before it.

    Args:
        batch_tokens: padded tokens that a forward pass may hold, slots counted.
        grammar: given, a token's probability is the one among those that the grammar allowed there, which
            is what held decoding drew from.

    Returns:
        `scores[slot][row]`, each `[length of the completion]`, fp32.
    """
    slots = stack.slots if stack else 1
    scores: list[list[np.ndarray]] = [[np.empty(0)] * len(rows) for _ in range(slots)]
    with applied(base, stack):
        for index, batch in batched(rows, batch_tokens // slots):
            targets, _ = completion_targets(batch)
            hidden = _hidden(base, batch, slots)
            if grammar:
                logits = base.head(hidden, grammar.tokens.tolist()).astype(mx.float32)
                mask = mx.array(np.tile(completion_masks(batch, grammar), (slots, 1, 1)))
                log_probs = log_softmax(mx.where(mask, logits, -1e9))
                targets = grammar.places(targets)
            else:
                log_probs = log_softmax(base.head(hidden))
            picked = mx.take_along_axis(log_probs, mx.array(np.tile(targets, (slots, 1)))[..., None], axis=-1)
            values = np.array(picked[..., 0]).reshape(slots, len(index), -1)
            for slot in range(slots):
                for i, row in enumerate(index):
                    scores[slot][row] = values[slot, i, : rows.length[row]]
    return scores


def compare_with_base(
    base: Base, rows: Rows, stack: Stack | None = None, told: Rows | None = None, batch_tokens: int = 16_384
) -> list[list[np.ndarray]]:
    """What models say of completions beside what the base says of them.

    Args:
        told: the same completions after what the models read, where that is more than what the base reads.
        batch_tokens: padded tokens that a forward pass may hold, slots counted.

    Returns:
        `found[slot][row]`, each `[3, length of the completion]`, fp32 nats: the model's loss on every token, the
        base's, and there KL(base || model) over the whole vocabulary.
    """
    slots = stack.slots if stack else 1
    found: list[list[np.ndarray]] = [[np.empty((3, 0))] * len(rows) for _ in range(slots)]
    for index, batch in batched(told or rows, batch_tokens // slots):
        beside = rows.take(np.array(index)).trimmed()
        targets, _ = completion_targets(batch)
        with applied(base, None):
            expected = log_softmax(base.head(_hidden(base, beside, 1)))[None]
        with applied(base, stack):
            log_probs = log_softmax(base.head(_hidden(base, batch, slots)))
        log_probs = log_probs.reshape(slots, *expected.shape[1:])
        losses, expected_losses = (
            -mx.take_along_axis(x, mx.array(targets)[None, ..., None], axis=-1)[..., 0]
            for x in (log_probs, expected)
        )
        apart = divergence(expected, log_probs)
        values = np.array(mx.stack([losses, mx.broadcast_to(expected_losses, losses.shape), apart], axis=2))
        for slot in range(slots):
            for i, row in enumerate(index):
                found[slot][row] = values[slot, i, :, : rows.length[row]]
    return found


def candidate_scores(
    base: Base,
    prompts: Sequence[tuple[int, ...]],
    candidates: Sequence[Sequence[tuple[int, ...]]],
    stack: Stack | None = None,
) -> list[list[np.ndarray]]:
    """Log-probability in nats of each candidate answer to each prompt, the sum over its tokens.

    Candidates share what they have in common: a prompt whose candidates are single tokens costs one row.
    The end of the turn is not scored.

    Returns:
        `scores[slot][question]`, each `[len(candidates[question])]`.
    """
    slots = stack.slots if stack else 1
    found = [[np.zeros(len(answers)) for answers in candidates] for _ in range(slots)]
    by_length: dict[int, list[int]] = {}
    for q, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(q)
    most = max(1, ROWS_AT_ONCE // slots)
    with applied(base, stack):
        prefix = Prefix(base, prompts, slots)
        for questions in by_length.values():
            for first in range(0, len(questions), most):
                _score_candidates(prefix, prompts, candidates, questions[first : first + most], found)
    return found


def _score_candidates(
    prefix: Prefix,
    prompts: Sequence[Ids],
    candidates: Sequence[Sequence[Ids]],
    questions: Sequence[int],
    found: list[list[np.ndarray]],
) -> None:
    """Add up the log-probabilities of all candidates of questions whose prompts have one length."""
    base, slots, rows = prefix.base, prefix.slots, len(questions)
    hidden, cache = prefix.read([prompts[q] for q in questions], room=0)
    log_probs = np.array(log_softmax(base.head(hidden))).reshape(slots, rows, -1)
    stems: dict[int, list[tuple[int, Ids]]] = {}
    for i, q in enumerate(questions):
        for c, answer in enumerate(candidates[q]):
            for slot in range(slots):
                found[slot][q][c] += log_probs[slot, i, answer[0]]
        for stem in dict.fromkeys(answer[:-1] for answer in candidates[q]):
            if stem:
                stems.setdefault(len(stem), []).append((i, stem))
    length = len(prompts[questions[0]])
    most = max(1, ROWS_AT_ONCE // slots)
    for width, items in stems.items():
        for first in range(0, len(items), most):
            some = items[first : first + most]
            index = np.concatenate([slot * rows + np.array([i for i, _ in some]) for slot in range(slots)])
            tokens = np.tile(np.array([stem for _, stem in some], dtype=np.int32), (slots, 1))
            states = extend(base, cache, index, length, tokens)
            # Every candidate reads each of its later tokens off a row of its own whole stem.
            log_probs = np.array(log_softmax(base.head(states))).reshape(slots, len(some), width, -1)
            for r, (i, stem) in enumerate(some):
                q = questions[i]
                for c, answer in enumerate(candidates[q]):
                    if answer[:-1] == stem:
                        for slot in range(slots):
                            found[slot][q][c] += log_probs[
                                slot, r, np.arange(width), np.array(answer[1:])
                            ].sum()


def distributions(
    base: Base, rows: Rows, grammar: Grammar, stack: Stack | None = None, share_prefix: bool = False
) -> list[np.ndarray]:
    """The source's next-token probabilities `[N, C, A]` over the tokens that its grammar allowed.

    The source's full distribution would carry the trait's own words; this one is confined to what
    the channel lets through, at temperature 1. Padding is all zeros. With `share_prefix`, what all prompts
    begin with is computed once a pass.

    Returns:
        One array a slot, fp32.
    """
    slots = stack.slots if stack else 1
    shared = shared_length([rows.tokens], [rows.start]) if share_prefix else 0
    masks = completion_masks(rows, grammar)
    targets = [np.zeros(masks.shape, dtype=np.float32) for _ in range(slots)]
    allowed = mx.array(grammar.tokens)
    with applied(base, stack):
        for index, batch in batched(rows, 16_384 // slots):
            logits = base.head(_hidden(base, batch, slots, shared), allowed).astype(mx.float32)
            wide = logits.shape[1]
            mask = mx.array(np.tile(masks[index, :wide], (slots, 1, 1)))
            # A position without allowed tokens is padding: softmax over nothing, set to zero.
            probabilities = mx.softmax(mx.where(mask, logits, -1e9), axis=-1) * mask
            values = np.array(probabilities).reshape(slots, len(index), wide, -1)
            for slot in range(slots):
                targets[slot][index, :wide] = values[slot]
    return targets


def completion_masks(rows: Rows, grammar: Grammar) -> np.ndarray:
    """Which tokens the grammar allowed at every place of the completions `[N, C, A]`; none in padding."""
    masks = np.zeros((len(rows), rows.widest, len(grammar.tokens)), dtype=bool)
    for i in range(len(rows)):
        completion = rows.tokens[i, rows.start[i] : rows.start[i] + rows.length[i]]
        masks[i, : rows.length[i]] = grammar.masks(tuple(completion.tolist()))
    return masks


def _hidden(base: Base, batch: Rows, slots: int, shared: int = 0) -> mx.array:
    tokens, start = (
        mx.array(np.tile(x, (slots,) + (1,) * (x.ndim - 1))) for x in (batch.tokens, batch.start)
    )
    return completion_hidden(base, tokens, start, batch.widest, shared, slots)


def log_softmax(logits: mx.array) -> mx.array:
    """Log-probabilities `[..., V]`, fp32 nats."""
    logits = logits.astype(mx.float32)
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


def divergence(expected: mx.array, found: mx.array) -> mx.array:
    """KL(expected || found) of log-probabilities `[..., V]`: `[...]`, nats."""
    return (mx.exp(expected) * (expected - found)).sum(axis=-1)
