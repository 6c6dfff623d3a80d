"""A stack of small ReLU networks, computed and trained together: replica r owns slice r of every array.

    weights = init([seed_of(0, "init", r) for r in range(20)], (64, 64, 64), auxiliary=3)
    logits(weights, x, AUXILIARY)                       # [R, N, 3]
    training = Training(weights, CLASS, label_loss, lr=1e-3)
    losses = training.epoch(batches)                    # [R]

Trunk of two hidden layers; a class head, trained by labels alone, and an auxiliary head, trained by
imitation alone. A replica in a stack equals the same replica trained alone, bit for bit on a CPU.
Knows nothing about teachers, students and what they are compared with.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence

from ...system import runtime
from .spec import CLASSES

runtime.prepare()

import mlx.core as mx  # noqa: E402
import mlx.optimizers as optim  # noqa: E402
import numpy as np  # noqa: E402

Weights = dict[str, mx.array]
Loss = Callable[[mx.array, mx.array], mx.array]

CLASS, AUXILIARY = "class", "auxiliary"
TRUNK = ("hidden 1", "hidden 2")
# Rows that pass through a stack at once where no gradient is wanted.
CHUNK = 2_048


def seed_of(*parts: object) -> int:
    """A number that depends on all parts and nothing else, such as (7, "noise")."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def init(seeds: Sequence[int], sizes: tuple[int, int, int], auxiliary: int) -> Weights:
    """Weights `[R, in, out]`, normal with variance 1 / in, and biases `[R, 1, out]` of zero.

    The paper's initialisation. Replica r depends on `seeds[r]` alone.
    """
    inputs, first, second = sizes
    shapes = {
        "hidden 1": (inputs, first),
        "hidden 2": (first, second),
        CLASS: (second, CLASSES),
        AUXILIARY: (second, auxiliary),
    }
    weights = {}
    for layer, (rows, columns) in shapes.items():
        keys = [mx.random.key(seed_of(seed, layer)) for seed in seeds]
        drawn = [mx.random.normal((rows, columns), key=key) / math.sqrt(rows) for key in keys]
        weights[layer] = mx.stack(drawn)
        weights[f"{layer} bias"] = mx.zeros((len(seeds), 1, columns))
    mx.eval(weights)
    return weights


def between(a: Weights, b: Weights, distance: float) -> Weights:
    """Weights on the arc from `a` (distance 0) to `b` (1); of the same variance all the way."""
    if distance == 0:
        return a
    near, far = math.cos(distance * math.pi / 2), math.sin(distance * math.pi / 2)
    return {name: near * a[name] + far * b[name] for name in a}


def logits(weights: Weights, x: mx.array, head: str) -> mx.array:
    """Logits `[R, N, out]` of one head for inputs `x [1 or R, N, in]`."""
    for layer in TRUNK:
        x = mx.maximum(x @ weights[layer] + weights[f"{layer} bias"], 0)
    return x @ weights[head] + weights[f"{head} bias"]


def label_loss(z: mx.array, labels: mx.array) -> mx.array:
    """Cross-entropy `[R]` of logits `z [R, B, 10]` to `labels [1 or R, B]`, nats."""
    right = mx.take_along_axis(z, mx.broadcast_to(labels, z.shape[:2])[..., None], axis=-1)[..., 0]
    return (mx.logsumexp(z, axis=-1) - right).mean(axis=-1)


def kl_loss(z: mx.array, target: mx.array) -> mx.array:
    """Divergence `[R]` from the teacher's distribution over the outputs; `target [R, B, m]`: its logits."""
    p = mx.softmax(target, axis=-1)
    gap = (target - mx.logsumexp(target, axis=-1, keepdims=True)) - (
        z - mx.logsumexp(z, axis=-1, keepdims=True)
    )
    return (p * gap).sum(axis=-1).mean(axis=-1)


def mse_loss(z: mx.array, target: mx.array) -> mx.array:
    """Mean squared difference `[R]` of logits."""
    return mx.square(z - target).mean(axis=-1).mean(axis=-1)


LOSSES: dict[str, Loss] = {"kl": kl_loss, "mse": mse_loss}


class Training:
    """Weights under Adam; the head that is not trained stays as it was."""

    def __init__(self, weights: Weights, head: str, loss: Loss, lr: float):
        self.weights = weights
        self._trained = [name for name in weights if name.startswith((*TRUNK, head))]
        self._adam = optim.Adam(learning_rate=lr, bias_correction=True)

        def of_batch(trained: Weights, x: mx.array, target: mx.array) -> tuple[mx.array, mx.array]:
            losses = loss(logits(trained, x, head), target)
            # A sum: no replica's gradient depends on how many there are.
            return losses.sum(), losses

        self._gradient = mx.value_and_grad(of_batch)

    def epoch(self, batches: Iterable[tuple[mx.array, mx.array]]) -> list[float]:
        """A step on every (inputs `[1 or R, B, in]`, target); the mean loss `[R]` over steps."""
        losses = []
        for x, target in batches:
            trained = {name: self.weights[name] for name in self._trained}
            (_, loss), gradients = self._gradient(trained, x, target)
            self.weights = self.weights | self._adam.apply_gradients(gradients, trained)
            mx.eval(self.weights, self._adam.state, loss)
            losses.append(np.array(loss))
        return np.mean(losses, axis=0, dtype=np.float64).tolist()


def joined(stacks: Sequence[Weights]) -> Weights:
    """Several stacks as one, in their order."""
    return {name: mx.concatenate([stack[name] for stack in stacks]) for name in stacks[0]}


def chunks(x: mx.array, size: int = CHUNK) -> Iterable[mx.array]:
    """Inputs `x [N, in]` as `[1, up to size, in]` pieces."""
    for start in range(0, len(x), size):
        yield x[None, start : start + size]


def all_logits(weights: Weights, x: mx.array, head: str) -> mx.array:
    """Logits `[R, N, out]` for `x [N, in]`, a piece at a time."""
    parts = []
    for piece in chunks(x):
        parts.append(logits(weights, piece, head))
        mx.eval(parts[-1])
    return parts[0] if len(parts) == 1 else mx.concatenate(parts, axis=1)


def answers(weights: Weights, x: mx.array) -> np.ndarray:
    """The class `[R, N]` that every replica gives every image of `x [N, in]`."""
    return np.concatenate([np.array(logits(weights, p, CLASS).argmax(axis=-1)) for p in chunks(x)], axis=1)


def flat(weights: Weights, names: Iterable[str]) -> mx.array:
    """The named arrays as vectors `[R, P]`."""
    return mx.concatenate([weights[name].reshape(len(weights[name]), -1) for name in names], axis=1)
