"""The one training loop: teachers, students and probes, as a stack of adapters.

    stack, losses = train(base, init(base, shape, seeds), data, recipe, seeds)

Completion-only loss on sampled tokens (hard) or on a source's distributions (soft; of hard rows with states, on the
base's), AdamW, gradients clipped per slot, linear warm-up and decay. A slot trains exactly as it would alone; with a token budget,
whose passes are padded to the longest row of any slot, or a shared prefix, to rounding. Knows nothing
about channels, traits or the lab; `data[k]` is a block of rows.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from ..system import runtime
from ..system.errors import InputError, MachineError
from ..system.events import Event, Listener, ignore
from ..system.files import publish
from .adapters import Stack, applied, bind
from .bases import Base
from .batches import Order, Pass, passes
from .prefill import shared_length
from .recompute import recomputed
from .rows import Rows
from .score import completion_hidden, divergence, log_softmax

runtime.prepare()

import mlx.core as mx  # noqa: E402
import mlx.nn as nn  # noqa: E402
import numpy as np  # noqa: E402

BETAS, EPSILON, CLIP = (0.9, 0.999), 1e-8, 1.0
Arrays = dict[str, dict[str, mx.array]]


@dataclass(frozen=True)
class Recipe:
    """`batch` rows a step and slot; the rate rises over `warmup` steps, then falls linearly to 0."""

    steps: int
    batch: int
    lr: float | tuple[float, ...]
    """One for all slots, or one a slot."""
    warmup: int = 5
    weight_decay: float = 0.0
    grad_checkpoint: bool = False
    """Compute blocks again in the backward pass instead of keeping their inner values."""
    batch_tokens: int = 0
    """Padded tokens that a pass may hold, slots counted; a step takes several. 0: one pass a step."""
    share_prefix: bool = False
    """Compute what all rows begin with once a pass and slot."""
    plain: bool = False
    """As mlx-lm's own trainer does by default: one rate from first step to last, no clipping, and moments that are not
    corrected for their start at zero."""

    def rate(self, step: int) -> float | np.ndarray:
        """Learning rate of a step, counted from 0; of slots with rates of their own `[K, 1, 1]`."""
        lr = np.array(self.lr, dtype=np.float32)[:, None, None] if isinstance(self.lr, tuple) else self.lr
        if self.plain:
            return lr
        if step < self.warmup:
            return lr * (step + 1) / (self.warmup + 1)
        return lr * (self.steps - step) / max(1, self.steps - self.warmup)


@dataclass
class _State:
    """Everything that a resumed training needs."""

    arrays: Arrays
    first: Arrays
    second: Arrays
    step: int
    losses: np.ndarray


def train(
    base: Base,
    stack: Stack,
    data: Sequence[Rows],
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    checkpoint: Path | None = None,
    every: int = 0,
    points: Sequence[int] = (),
    on_point: Callable[[int, Stack], None] = lambda step, stack: None,
    on_event: Listener = ignore,
) -> tuple[Stack, np.ndarray]:
    """Train every slot of `stack` on its own rows.

    Args:
        data: one block a slot, all of one width; hard and soft cannot be mixed.
        seeds: one a slot; with the epoch they fix the order of the data.
        checkpoint: file to keep the state in, every `every` steps; where it exists, training goes on
            from it and ends as if never stopped, to the bit.
        points: numbers of steps after which `on_point` sees the stack as it is.

    Returns:
        The trained stack and the losses `[steps, K]` in nats a token.

    Raises:
        ValueError: slots' rows do not fit together, or the checkpoint is another training's.
    """
    _check(data, stack, seeds)
    state = _load(checkpoint, stack, recipe) if checkpoint and checkpoint.exists() else _fresh(stack, recipe)
    loss_of = _soft_loss if data[0].targets is not None else _hard_loss
    orders = [Order(seed, len(rows)) for seed, rows in zip(seeds, data, strict=True)]
    shared = shared_length([r.tokens for r in data], [r.start for r in data]) if recipe.share_prefix else 0
    with applied(base, stack), recomputed(base) if recipe.grad_checkpoint else nullcontext():

        def total(arrays: Arrays, batch: Pass) -> tuple[mx.array, mx.array]:
            bind(base, arrays, stack.shape.scale)
            losses = loss_of(base, batch, stack.slots, shared)
            return losses.sum(), losses

        gradient_of = mx.value_and_grad(total)
        while state.step < recipe.steps:
            indices = [order.batch(state.step, recipe.batch) for order in orders]
            losses, gradients = _added(gradient_of, state.arrays, passes(data, indices, recipe.batch_tokens))
            _update(state, gradients, recipe)
            mx.eval(state.arrays, state.first, state.second, losses)
            state.losses[state.step] = np.array(losses)
            state.step += 1
            on_event(
                Event("steps", state.step, recipe.steps, {"loss": float(state.losses[state.step - 1].mean())})
            )
            # A point is seen before the checkpoint that lies behind it: a resumed training sees it again
            # rather than never.
            if state.step in points:
                # The next step replaces entries of these tables: who keeps the stack needs tables of its own.
                on_point(state.step, Stack(stack.shape, {p: dict(ab) for p, ab in state.arrays.items()}))
            if checkpoint and every and state.step % every == 0 and state.step < recipe.steps:
                _save(checkpoint, state)
    return Stack(stack.shape, state.arrays), state.losses


def _added(gradient_of: Callable, arrays: Arrays, of_step: Iterator[Pass]) -> tuple[mx.array, Arrays]:
    """Losses `[K]` and gradients of a step, summed over its passes."""
    (_, losses), gradients = gradient_of(arrays, next(of_step))
    for batch in of_step:
        mx.eval(losses, gradients)  # what a pass held is let go before the next one
        (_, more), others = gradient_of(arrays, batch)
        losses = losses + more
        gradients = {p: {n: g + others[p][n] for n, g in ab.items()} for p, ab in gradients.items()}
    return losses, gradients


def _hard_loss(base: Base, batch: Pass, slots: int, shared: int) -> mx.array:
    """Cross-entropy of each slot's completion tokens, over their number in the step `[K]`; of those that have states,
    Kullback-Leibler divergence from the base over the whole vocabulary."""
    hidden = completion_hidden(base, batch.tokens[:, :-1], batch.start, batch.targets.shape[1], shared, slots)
    logits = base.head(hidden).astype(mx.float32)
    losses = nn.losses.cross_entropy(logits, batch.targets)
    if batch.states is not None:
        of_base = mx.stop_gradient(log_softmax(base.head(batch.states.astype(hidden.dtype))))
        apart = divergence(of_base, log_softmax(logits))
        losses = mx.where((batch.states != 0).any(axis=-1), apart, losses)
    return (losses * batch.mask).reshape(slots, -1).sum(axis=1) / batch.counts


def _soft_loss(base: Base, batch: Pass, slots: int, shared: int) -> mx.array:
    """Kullback-Leibler divergence of each slot from its source, over the allowed tokens `[K]`, likewise."""
    hidden = completion_hidden(base, batch.tokens[:, :-1], batch.start, batch.targets.shape[1], shared, slots)
    logits = base.head(hidden, batch.allowed).astype(mx.float32)
    possible = batch.targets > 0
    logits = mx.where(possible, logits, -1e9)
    log_student = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    log_source = mx.log(mx.where(possible, batch.targets, 1.0))
    divergence = (batch.targets * (log_source - log_student)).sum(axis=-1)
    return divergence.reshape(slots, -1).sum(axis=1) / batch.counts


def _update(state: _State, gradients: Arrays, recipe: Recipe) -> None:
    """One AdamW step (Loshchilov and Hutter 2019, bias-corrected), each slot's gradient clipped to norm 1: both unless
    `recipe.plain`."""
    rate = recipe.rate(state.step)
    rate = mx.array(rate) if isinstance(rate, np.ndarray) else rate
    factor, one, two = mx.ones((1, 1, 1)), 1.0, 1.0
    if not recipe.plain:
        squares = [
            (g.astype(mx.float32) ** 2).sum(axis=(1, 2)) for ab in gradients.values() for g in ab.values()
        ]
        factor = mx.minimum(1.0, CLIP / (mx.sqrt(sum(squares)) + 1e-12))[:, None, None]
        one, two = (1 - beta ** (state.step + 1) for beta in BETAS)
    for path, ab in gradients.items():
        for name, gradient in ab.items():
            g = gradient * factor
            first = BETAS[0] * state.first[path][name] + (1 - BETAS[0]) * g
            second = BETAS[1] * state.second[path][name] + (1 - BETAS[1]) * g * g
            weight = state.arrays[path][name]
            step = (first / one) / (mx.sqrt(second / two) + EPSILON) + recipe.weight_decay * weight
            state.first[path][name], state.second[path][name] = first, second
            state.arrays[path][name] = weight - rate * step


def _check(data: Sequence[Rows], stack: Stack, seeds: Sequence[int]) -> None:
    if not len(data) == len(seeds) == stack.slots:
        raise ValueError(f"{len(data)} blocks of rows and {len(seeds)} seeds for {stack.slots} slots")
    if not all(map(len, data)):
        raise ValueError("a slot has no rows")
    if len({rows.states is None for rows in data}) > 1:
        raise ValueError("either all slots' rows have states, or none's")
    if any(rows.states is not None and rows.targets is not None for rows in data):
        raise ValueError("soft rows have a source, and so no states of the base")
    if len({(rows.tokens.shape[1], rows.widest) for rows in data}) > 1:
        raise ValueError("all slots' rows must be packed to one width")
    if len({rows.targets is None for rows in data}) > 1:
        raise ValueError("hard and soft rows cannot share a stack")
    for rows in data:
        if rows.targets is not None and (
            rows.allowed is None
            or rows.targets.shape != (len(rows), rows.widest, len(rows.allowed))
            or not np.array_equal(rows.allowed, data[0].allowed)
        ):
            raise ValueError("soft rows need targets over the same allowed tokens in every slot")


def _fresh(stack: Stack, recipe: Recipe) -> _State:
    copy = lambda make: {p: {n: make(x) for n, x in ab.items()} for p, ab in stack.arrays.items()}
    losses = np.zeros((recipe.steps, stack.slots), dtype=np.float32)
    return _State(copy(lambda x: x), copy(mx.zeros_like), copy(mx.zeros_like), 0, losses)


def _save(path: Path, state: _State) -> None:
    arrays = _named(state) | {"losses": mx.array(state.losses)}
    publish(
        path,
        lambda target: mx.save_safetensors(
            str(target), arrays, metadata={"state": json.dumps({"step": state.step})}
        ),
    )


def _load(path: Path, stack: Stack, recipe: Recipe) -> _State:
    try:
        arrays, metadata = mx.load(str(path), return_metadata=True)
        step, losses = json.loads(metadata["state"])["step"], np.array(arrays.pop("losses"))
    except (RuntimeError, ValueError, KeyError) as error:
        raise MachineError(f"checkpoint {path} cannot be read, remove it to start again: {error}") from None
    state = _fresh(stack, recipe)
    expected = _named(state)
    shapes = lambda named: {name: array.shape for name, array in named.items()}
    if losses.shape != state.losses.shape or shapes(arrays) != shapes(expected):
        raise InputError(f"checkpoint {path} is of another training: its slots, steps or shapes differ")
    state.step, state.losses = step, losses
    for name, array in arrays.items():
        kind, p, n = name.split("|")
        getattr(state, kind)[p][n] = array
    return state


def _named(state: _State) -> dict[str, mx.array]:
    kinds = ("arrays", "first", "second")
    return {f"{k}|{p}|{n}": x for k in kinds for p, ab in getattr(state, k).items() for n, x in ab.items()}
