"""One small step: a student that imitates moves with its teacher, whatever it imitates on.

    for draw in one_steps(Theorem(draws=200), load_images()):
        draw.step, draw.distance, draw.inner_product    # [R], one a draw

Theorem 1 of Cloud, Le, Chua, Betley and others (arXiv 2507.14805), in our setting. The teacher takes
one gradient step of size e on its loss L, from weights t to t + e d. A student at the same t takes one
gradient step on its distance to the teacher's auxiliary logits, over any inputs x. To first order in e
that step is e J'HJ d, with J the Jacobian of the auxiliary logits at (t, x) and H positive semidefinite
(the identity for mse, a softmax's covariance for kl). So its inner product with d is e |H^(1/2) J d|^2,
never negative, and as -d is L's gradient, the student's small step does not raise L.

Nothing is promised once e is large enough for second-order terms, or where the student starts
elsewhere: then J and the gap are taken at other weights and the sign is as it falls. Computed in
float64 on the CPU; in float32 the gaps of small steps are rounding.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...system.events import Event, Listener, ignore
from ...system.machine import peak_memory
from . import mlp
from .data import Images
from .mlp import AUXILIARY, CLASS, Weights, seed_of
from .spec import Theorem, result_id
from .summary import OneStep

import mlx.core as mx  # isort: skip
import numpy as np


def one_steps(spec: Theorem, data: Images, on_event: Listener = ignore) -> Iterator[OneStep]:
    """Every size of the teacher's step with every distance between the initialisations.

    Each draw has its own two initialisations, images and inputs; they are the same for all step sizes
    and distances. Events: "steps".

    Raises:
        InputError: there are too many draws for these images.
    """
    spec.check_size(data.inputs)
    with mx.stream(mx.cpu):
        draws = _draw(spec, data)
        slope = _slope(draws)
    plan = [(step, distance) for step in spec.steps for distance in spec.distances]
    for number, (step, distance) in enumerate(plan):
        # Not around the yield: the caller's work is not ours to place.
        with mx.stream(mx.cpu):
            found = _one_step(spec, draws, slope, step, distance)
        yield found
        on_event(Event("steps", number + 1, len(plan)))


def run_theorem(spec: Theorem, data: Images, on_event: Listener = ignore) -> dict[str, Any]:
    """All `steps`, with `id`, `spec`, `data`, `seconds` and `peak_memory_bytes` as of `parallel.run_on_cores`."""
    began = time.perf_counter()
    steps = list(one_steps(spec, data, on_event))
    return {
        **{"id": result_id(spec, data.sha256), "spec": spec.model_dump(mode="json"), "data": data.about},
        **{"steps": steps, "seconds": time.perf_counter() - began, "peak_memory_bytes": peak_memory()},
    }


@dataclass(frozen=True)
class _Draws:
    here: Weights
    elsewhere: Weights
    images: mx.array  # [R, B, in]
    labels: mx.array  # [R, B]
    inputs: mx.array  # [R, B, in]


def _draw(spec: Theorem, data: Images) -> _Draws:
    """Draw r depends on the seed and r alone."""
    numbers = range(spec.draws)
    weights = []
    for which in ("here", "elsewhere"):
        seeds = [seed_of(spec.seed, which, r) for r in numbers]
        drawn = mlp.init(seeds, (data.inputs, spec.width, spec.width), spec.auxiliary)
        weights.append({name: array.astype(mx.float64) for name, array in drawn.items()})
    rngs = [np.random.default_rng(seed_of(spec.seed, "rows", r)) for r in numbers]
    rows = np.stack([rng.integers(len(data.train_x), size=spec.rows) for rng in rngs])
    shape = (spec.rows, data.inputs)
    inputs = {
        "uniform": lambda rng: rng.uniform(-1, 1, shape),
        "normal": lambda rng: rng.normal(size=shape),
        "images": lambda rng: data.train_x[rng.integers(len(data.train_x), size=spec.rows)],
    }[spec.inputs]
    return _Draws(
        *weights,
        images=_double(data.train_x[rows]),
        labels=mx.array(data.train_y[rows]),
        inputs=_double(np.stack([inputs(rng) for rng in rngs])),
    )


def _double(x: np.ndarray) -> mx.array:
    return mx.array(x.astype(np.float64), dtype=mx.float64)


def _slope(draws: _Draws) -> Weights:
    """Gradient of the teacher's loss at its initialisation."""
    loss = lambda weights: mlp.label_loss(mlp.logits(weights, draws.images, CLASS), draws.labels).sum()
    slope = mx.grad(loss)(draws.here)
    mx.eval(slope)
    return slope


def _one_step(spec: Theorem, draws: _Draws, slope: Weights, step: float, distance: float) -> OneStep:
    teacher_move = {name: -step * slope[name] for name in slope}
    teacher = _plus(draws.here, teacher_move)
    target = mlp.logits(teacher, draws.inputs, AUXILIARY)
    start = mlp.between(draws.here, draws.elsewhere, distance)
    imitating = mx.grad(
        lambda weights: mlp.LOSSES[spec.loss](mlp.logits(weights, draws.inputs, AUXILIARY), target).sum()
    )
    move = {name: -gradient for name, gradient in imitating(start).items()}
    length, teacher_length = _length(move), _length(teacher_move)
    inner = sum((move[n] * teacher_move[n]).sum(axis=(1, 2)) for n in move)
    still = (length * teacher_length) == 0
    cosine = mx.where(still, 0, inner / mx.where(still, 1, length * teacher_length))
    scale = mx.where(length == 0, 0, teacher_length / mx.where(length == 0, 1, length))
    moved = {name: scale[:, None, None] * array for name, array in move.items()}
    change = _label_losses(_plus(start, moved), draws) - _label_losses(start, draws)
    own = _label_losses(teacher, draws) - _label_losses(draws.here, draws)
    mx.eval(inner, cosine, change, own)
    return OneStep(step, distance, *(np.array(a) for a in (inner, cosine, change, own)))


def _plus(weights: Weights, move: Weights) -> Weights:
    return {name: weights[name] + move[name] for name in weights}


def _length(move: Weights) -> mx.array:
    return mx.sqrt(sum(mx.square(array).sum(axis=(1, 2)) for array in move.values()))


def _label_losses(weights: Weights, draws: _Draws) -> mx.array:
    """Mean cross-entropy `[R]` to the labels, one a draw."""
    return mlp.label_loss(mlp.logits(weights, draws.images, CLASS), draws.labels)
