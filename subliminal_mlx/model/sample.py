"""Batched sampling with keyed randomness.

    completions = sample(base, prompts, seed, Decoding(temperature=1.0, grammar=grammar), stack=teachers)
    completions[slot][row]                  # token ids, the end of the turn included

A row's draw depends on (seed, row, position) and its logits: not on the batch size, the order of rows,
restarts or other slots. All slots answer the same prompts with the same keys, so that rows of two
teachers differ by the teachers alone. Knows nothing about traits.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..system import runtime
from ..system.events import Event, Listener, ignore
from .adapters import Stack, applied
from .bases import Base
from .grammar import Grammar
from .organisms import is_organism
from .prefill import Prefix, plain_cache

runtime.prepare()

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402


@dataclass(frozen=True)
class Decoding:
    """How tokens are drawn: `temperature` 0 is greedy; a grammar holds the tokens, None lets any come."""

    temperature: float = 1.0
    grammar: Grammar | None = None
    max_tokens: int = 64
    batch: int = 256
    aligned: bool | None = None
    """Decode prompts of several lengths together, their ends side by side, and drop rows that have ended: faster,
    the same to rounding. None: on language models."""


def sample(
    base: Base,
    prompts: Sequence[tuple[int, ...]],
    seed: int | str,
    decoding: Decoding,
    stack: Stack | None = None,
    on_event: Listener = ignore,
) -> list[list[tuple[int, ...]]]:
    """Draw one completion for every prompt and slot.

    Args:
        prompts: token ids, any lengths; rows of one length are decoded together, without padding, unless aligned.
        seed: names the stream of draws; row i uses keys of (seed, i).
        decoding: `batch` bounds the rows a step holds, slots counted; it does not change the draws.

    Returns:
        `completions[slot][row]`, ended by `base.eos` unless cut at `max_tokens`.
    """
    slots = stack.slots if stack else 1
    found: list[list[tuple[int, ...]]] = [[()] * len(prompts) for _ in range(slots)]
    done = 0
    aligned = _aligned(base, decoding)
    with applied(base, stack):
        prefix = Prefix(base, prompts, slots)
        for rows in _chunks(prompts, max(1, decoding.batch // slots), aligned):
            tokens = _decode(prefix, [prompts[i] for i in rows], _row_keys(seed, rows), decoding, aligned)
            for slot in range(slots):
                for i, row in enumerate(rows):
                    found[slot][row] = _cut(tokens[slot, i], base.eos)
            done += len(rows) * slots
            on_event(Event("rows", done, len(prompts) * slots))
    return found


def _aligned(base: Base, decoding: Decoding) -> bool:
    if decoding.aligned is not None:
        return decoding.aligned
    # A model organism's step is cheap, and its draws are the same to the bit however rows are batched.
    return not is_organism(base.parameters) and plain_cache(base)


def _chunks(prompts: Sequence[tuple[int, ...]], batch: int, aligned: bool) -> Iterator[list[int]]:
    """Indices of rows of one prompt length, or where aligned of similar lengths, at most `batch` at a time."""
    by_length: dict[int, list[int]] = {}
    for i, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(i)
    groups = (
        [[i for length in sorted(by_length) for i in by_length[length]]] if aligned else by_length.values()
    )
    for rows in groups:
        for first in range(0, len(rows), batch):
            yield rows[first : first + batch]


def _row_keys(seed: int | str, rows: Sequence[int]) -> np.ndarray:
    """A random key `[len(rows), 2]` for each row."""
    keys = [hashlib.blake2b(f"{seed}/{row}".encode(), digest_size=8).digest() for row in rows]
    return np.frombuffer(b"".join(keys), dtype="<u4").reshape(-1, 2).astype(np.uint32)


def _decode(
    prefix: Prefix, prompts: list[tuple[int, ...]], keys: np.ndarray, decoding: Decoding, aligned: bool
) -> np.ndarray:
    """Token ids `[slots, B, T]` of one chunk, `base.eos` from where a row has ended."""
    base, slots, grammar = prefix.base, prefix.slots, decoding.grammar
    longest = grammar.longest if grammar else decoding.max_tokens
    hidden, cache = (prefix.read_aligned if aligned else prefix.read)(prompts, room=longest)
    if grammar:
        allowed, table = mx.array(grammar.tokens), mx.array(grammar.next)
        state = mx.zeros((slots * len(prompts),), dtype=mx.int32)
    finished = mx.zeros((slots * len(prompts),), dtype=mx.bool_)
    drawn = np.full((slots * len(prompts), longest), base.eos)
    live = np.arange(len(drawn))
    for position in range(longest):
        logits = base.head(hidden, allowed if grammar else None).astype(mx.float32)  # [K * B, A]
        if grammar:
            moves = table[state]
            logits = mx.where(moves >= 0, logits, -mx.inf)
        choice = _draw(logits, keys, position, decoding.temperature, slots)
        token = allowed[choice] if grammar else choice
        token = mx.where(finished, base.eos, token)
        finished = token == base.eos
        drawn[live, position] = taken = np.array(token)
        if grammar:
            # A finished row stays where it is: its later tokens are cut.
            state = mx.where(finished, state, mx.take_along_axis(moves, choice[:, None], 1)[:, 0])
        ended = (taken == base.eos).reshape(slots, -1).all(axis=0)
        if position + 1 == longest or ended.all():
            break
        if aligned and 2 * ended.sum() > len(ended):
            # A draw's keys are its row's: dropping others changes the cost alone.
            going = np.flatnonzero(np.tile(~ended, slots))
            live, keys, index = live[going], keys[~ended], mx.array(going)
            token, finished = token[index], finished[index]
            state = state[index] if grammar else None
            for layer in cache:
                layer.filter(index)
        hidden = base.hidden(token[:, None], cache)[:, -1]
    return drawn[:, : position + 1].reshape(slots, len(prompts), -1)


def _draw(logits: mx.array, keys: np.ndarray, position: int, temperature: float, slots: int) -> mx.array:
    """The index `[K * B]` of the largest perturbed logit (Gumbel's trick, one key a row and position)."""
    if temperature == 0:
        return mx.argmax(logits, axis=-1)
    here = mx.array(keys + np.array([0, position], dtype=np.uint32))
    width = logits.shape[-1]
    noise = mx.vmap(lambda key: mx.random.gumbel((width,), key=key))(here)  # [B, A]
    return mx.argmax(logits / temperature + mx.tile(noise, (slots, 1)), axis=-1)


def _cut(tokens: np.ndarray, eos: int) -> tuple[int, ...]:
    ends = np.flatnonzero(tokens == eos)
    return tuple(tokens[: ends[0] + 1 if len(ends) else len(tokens)].tolist())
