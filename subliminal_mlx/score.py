"""Log-probabilities of given completions, and a source's distributions over rows.

    scores = candidate_scores(base, prompts, candidates, stack)      # [K, Q] of arrays [C]
    targets = distributions(base, rows, grammar, stack)              # what soft students are trained on

Knows nothing about traits, teachers or the lab: token ids in, log-probabilities out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import runtime
from .adapters import Stack, applied
from .bases import Base
from .channels.grammar import Grammar
from .prefill import Prefix, beginnings, extend, shared_length

runtime.prepare()

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402

Ids = tuple[int, ...]
# Rows that a readout holds at once, slots counted: logits over a large vocabulary are its memory.
ROWS_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class Rows:
    """Prompts and completions as one padded block.

    `tokens [N, T]`: prompt, completion, padding on the right, where causal attention cannot see it.
    `start [N]`: index of the completion's first token; `length [N]`: tokens of the completion;
    `widest`: C, the tokens that a completion can have, here or in the block that the rows came from.
    `targets [N, C, A]`, for soft students: the source's probability of each of `allowed [A]` tokens.
    `counted [N, C]`: completion tokens that a training learns from; None for all of them.
    """

    tokens: np.ndarray
    start: np.ndarray
    length: np.ndarray
    widest: int
    targets: np.ndarray | None = None
    allowed: np.ndarray | None = None
    counted: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, index: np.ndarray) -> "Rows":
        """The rows at `index`."""
        targets = None if self.targets is None else self.targets[index]
        counted = None if self.counted is None else self.counted[index]
        return Rows(
            self.tokens[index],
            self.start[index],
            self.length[index],
            self.widest,
            targets,
            self.allowed,
            counted,
        )


def pack(
    prompts: Sequence[tuple[int, ...]],
    completions: Sequence[tuple[int, ...]],
    width: int | None = None,
    widest: int | None = None,
) -> Rows:
    """Rows padded to `width` tokens, completions to `widest`, or to the longest.

    What trains in one stack must be packed alike, from the spec and not from the rows at hand, or a
    slot's shapes would depend on its neighbours.

    Raises:
        ValueError: an empty prompt or completion, or a row longer than `width`; names the row.
    """
    if not prompts:
        raise ValueError("no rows to pack")
    lengths = [len(p) + len(c) for p, c in zip(prompts, completions, strict=True)]
    width = width or max(lengths)
    tokens = np.zeros((len(lengths), width), dtype=np.int32)
    for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        if not prompt or not completion:
            raise ValueError(f"row {i}: prompt and completion must each hold at least one token")
        if lengths[i] > width:
            raise ValueError(f"row {i}: {lengths[i]} tokens do not fit into {width}")
        if widest and len(completion) > widest:
            raise ValueError(f"row {i}: a completion of {len(completion)} tokens does not fit into {widest}")
        tokens[i, : lengths[i]] = prompt + completion
    length = np.array([len(c) for c in completions])
    return Rows(tokens, np.array([len(p) for p in prompts]), length, widest or int(length.max()))


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


def completion_targets(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Completion tokens `[N, C]` and the mask `[N, C]` of those that exist and count."""
    positions = np.minimum(rows.start[:, None] + np.arange(rows.widest), rows.tokens.shape[1] - 1)
    mask = np.arange(rows.widest) < rows.length[:, None]
    if rows.counted is not None:
        mask = mask & rows.counted
    return np.take_along_axis(rows.tokens, positions, axis=1), mask


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
                log_probs = _log_softmax(mx.where(mask, logits, -1e9))
                targets = grammar.places(targets)
            else:
                log_probs = _log_softmax(base.head(hidden))
            picked = mx.take_along_axis(log_probs, mx.array(np.tile(targets, (slots, 1)))[..., None], axis=-1)
            values = np.array(picked[..., 0]).reshape(slots, len(index), -1)
            for slot in range(slots):
                for i, row in enumerate(index):
                    scores[slot][row] = values[slot, i, : rows.length[row]]
    return scores


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
    log_probs = np.array(_log_softmax(base.head(hidden))).reshape(slots, rows, -1)
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
            log_probs = np.array(_log_softmax(base.head(states))).reshape(slots, len(some), width, -1)
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


def _log_softmax(logits: mx.array) -> mx.array:
    logits = logits.astype(mx.float32)
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


def batched(rows: Rows, batch_tokens: int) -> Iterator[tuple[list[int], Rows]]:
    """Indices and rows of similar length, trimmed to their longest, so that little is padding."""
    lengths = rows.start + rows.length
    order = np.argsort(lengths, kind="stable").tolist()
    while order:
        count = 1
        # Rows come shortest first: the newest one sets the padded length.
        while count < len(order) and (count + 1) * lengths[order[count]] <= batch_tokens:
            count += 1
        index, order = order[:count], order[count:]
        batch = rows.take(np.array(index))
        longest = int(lengths[index].max())
        yield index, Rows(batch.tokens[:, :longest], batch.start, batch.length, int(batch.length.max()))
