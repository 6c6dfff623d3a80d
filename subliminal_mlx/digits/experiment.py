"""A teacher learns digits; students imitate its auxiliary logits on noise; controls show why that works.

    result = run(make("digits"), load(), on_event=print)

Teacher and student share their initialisation. The teacher is trained on labels, which touch its class
outputs alone; the student never sees a digit, a label or a class logit, and its class head is never
trained. Arms differ from the student in one thing each:

    other initialisation   an independent start
    untrained teacher      imitates a network of a third initialisation that never saw a label (its own
                           untrained teacher would be itself: nothing to learn)
    shuffled logits        each noise input is paired with another one's logits
    real images            the training images instead of noise
    class logits           ordinary distillation: the ten class logits, into another initialisation

After Cloud, Le, Chua, Betley and others (arXiv 2507.14805), section 6. Replicas differ in their
initialisations; noise and the order of rows are the same for all of them.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..events import Event, Listener, ignore
from . import mlp
from .data import Images
from .mlp import AUXILIARY, CLASS, TRUNK, Training, Weights, seed_of
from .spec import CLASSES, Digits, result_id

import mlx.core as mx  # isort: skip
import numpy as np

Result = dict[str, Any]
LAYERS = (*TRUNK, CLASS, AUXILIARY)


@dataclass
class _Arm:
    """A student in training: where it began, what it is shown, and what it shall say."""

    start: Weights
    training: Training
    inputs: mx.array  # [N, in]
    targets: mx.array  # [R, N, m]
    stopped: bool = False


def run(spec: Digits, data: Images, on_event: Listener = ignore) -> Result:
    """Train teacher, student and controls of all replicas; read them before and after every epoch.

    Events: "teacher epochs", "teacher's answers", then "epochs" with the mean accuracy of every arm so far as figures.

    Returns:
        JSON-ready: `spec`, `data`, `id`, `seconds`; `teacher` and, by arm, `arms`, each with accuracy
        (a list an epoch, of one share of right test images a replica), loss, agreement (cosine of
        what its trunk moved by and what its teacher's did) and movement by layer (length, cosine);
        `confusion`: counts [label][answer] an epoch, of the student over all replicas.
    """
    began = time.perf_counter()
    test_x, test_y = mx.array(data.test_x), data.test_y
    initial = _initial(spec, data.inputs, "init")
    teacher = _teach(spec, data, initial, on_event)
    result: Result = {
        **{"id": result_id(spec, data.sha256), "spec": spec.model_dump(mode="json")},
        "data": {"name": data.name, "sha256": data.sha256, "inputs": data.inputs, "test": len(test_y)},
        "teacher": {"accuracy": _accuracy(teacher, test_x, test_y)},
    }
    arms = _arms(spec, data, initial, teacher, on_event)
    records: dict[str, Any] = {
        name: {"accuracy": [], "loss": [], "agreement": [], "movement": []} for name in arms
    }
    confusion: list[list[list[int]]] = []
    teacher_move = _movement(initial, teacher)

    def read(losses: list[float | None]) -> None:
        for (name, arm), loss in zip(arms.items(), losses, strict=True):
            said = mlp.answers(arm.training.weights, test_x)
            record = records[name]
            record["accuracy"].append((said == test_y).mean(axis=1).tolist())
            record["loss"].append(loss)
            agreement, movement = _agreement(_movement(arm.start, arm.training.weights), teacher_move)
            record["agreement"].append(agreement)
            record["movement"].append(movement)
            if name == "student":
                counts = np.zeros((CLASSES, CLASSES), dtype=int)
                np.add.at(counts, (np.broadcast_to(test_y, said.shape), said), 1)
                confusion.append(counts.tolist())
        figures = {name: float(np.mean(record["accuracy"][-1])) for name, record in records.items()}
        on_event(Event("epochs", len(confusion) - 1, spec.epochs, figures))

    read([None] * len(arms))
    for epoch in range(spec.epochs):
        batches = lambda arm, epoch=epoch: _batches(arm, spec, epoch)
        read(_each(lambda arm, batches=batches: arm.training.epoch(batches(arm)), list(arms.values())))
    result |= {"arms": records, "confusion": confusion, "teacher_movement": _lengths(teacher_move)}
    return result | {"seconds": time.perf_counter() - began}


def _initial(spec: Digits, inputs: int, which: str) -> Weights:
    seeds = [seed_of(spec.seed, which, replica) for replica in range(spec.replicas)]
    return mlp.init(seeds, spec.sizes(inputs), spec.auxiliary)


def _teach(spec: Digits, data: Images, initial: Weights, on_event: Listener) -> Weights:
    x, y = mx.array(data.train_x), mx.array(data.train_y)
    training = Training(initial, CLASS, mlp.label_loss, spec.teacher_lr)
    for epoch in range(spec.teacher_epochs):
        order = _order(spec, "teacher", epoch, len(x), spec.teacher_batch)
        loss = training.epoch((x[rows][None], y[rows][None]) for rows in order)
        on_event(Event("teacher epochs", epoch + 1, spec.teacher_epochs, {"loss": loss}))
    return training.weights


def _arms(
    spec: Digits, data: Images, initial: Weights, teacher: Weights, on_event: Listener
) -> dict[str, _Arm]:
    key = mx.random.key(seed_of(spec.seed, "noise"))
    noise = mx.random.uniform(-1, 1, (spec.noise, data.inputs), key=key)
    targets = mlp.all_logits(teacher, noise, AUXILIARY)
    other = _initial(spec, data.inputs, "other")
    loss = mlp.LOSSES[spec.loss]

    def arm(start: Weights, inputs: mx.array, shown: mx.array, head: str = AUXILIARY) -> _Arm:
        mx.eval(start, inputs, shown)
        return _Arm(start, Training(start, head, loss, spec.lr), inputs, shown)

    def untrained() -> mx.array:
        return mlp.all_logits(_initial(spec, data.inputs, "untrained"), noise, AUXILIARY)

    def images() -> mx.array:
        # As many rows as there is noise, so that all arms take as many steps.
        return mx.array(data.train_x[np.arange(spec.noise) % len(data.train_x)])

    shuffled = np.random.default_rng(seed_of(spec.seed, "shuffle")).permutation(spec.noise)
    makers: dict[str, Callable[[], _Arm]] = {
        "student": lambda: arm(mlp.between(initial, other, spec.distance), noise, targets),
        "other initialisation": lambda: arm(other, noise, targets),
        "untrained teacher": lambda: arm(initial, noise, untrained()),
        "shuffled logits": lambda: arm(initial, noise, targets[:, mx.array(shuffled)]),
        "real images": lambda: arm(initial, x := images(), mlp.all_logits(teacher, x, AUXILIARY)),
        "class logits": lambda: arm(other, noise, mlp.all_logits(teacher, noise, CLASS), CLASS),
    }
    arms = {}
    for number, name in enumerate(spec.arms):
        arms[name] = makers[name]()
        on_event(Event("teacher's answers", number + 1, len(spec.arms)))
    return arms


def _order(spec: Digits, what: str, epoch: int, rows: int, batch: int) -> Iterator[mx.array]:
    """Batches of row numbers: a function of seed and epoch; the last one may be smaller."""
    order = np.random.default_rng(seed_of(spec.seed, what, "order", epoch)).permutation(rows)
    for start in range(0, rows, batch):
        yield mx.array(order[start : start + batch])


def _batches(arm: _Arm, spec: Digits, epoch: int) -> Iterator[tuple[mx.array, mx.array]]:
    for rows in _order(spec, "student", epoch, len(arm.inputs), spec.batch):
        if arm.stopped:
            return
        yield arm.inputs[rows][None], arm.targets[:, rows]


def _each(work: Callable[[_Arm], float], arms: list[_Arm]) -> list[float]:
    """Work on all arms: side by side on a CPU, where MLX computes each thread's arrays on one core."""
    one_by_one = mx.default_device() != mx.cpu
    try:
        return list(map(work, arms) if one_by_one else _threads().map(work, arms))
    except BaseException:
        # Ctrl-C reaches this thread alone; the others end with their step, not with their epoch.
        for arm in arms:
            arm.stopped = True
        raise


@cache
def _threads() -> ThreadPoolExecutor:
    """Kept for good: MLX starts a thread of its own for each of ours, and never ends it."""
    return ThreadPoolExecutor(min(6, os.cpu_count() or 1), thread_name_prefix="digits")


def _accuracy(weights: Weights, x: mx.array, y: np.ndarray) -> list[float]:
    return (mlp.answers(weights, x) == y).mean(axis=1).tolist()


def _movement(start: Weights, end: Weights) -> dict[str, mx.array]:
    """What each layer moved by, with its bias, `[R, P]`; and the trunk as a whole."""
    moved = {name: end[name] - start[name] for name in start}
    by_layer = {layer: mlp.flat(moved, (layer, f"{layer} bias")) for layer in LAYERS}
    return {"trunk": mx.concatenate([by_layer[layer] for layer in TRUNK], axis=1)} | by_layer


def _lengths(moved: dict[str, mx.array]) -> dict[str, list[float]]:
    return {layer: mx.sqrt(mx.square(v).sum(axis=1)).tolist() for layer, v in moved.items()}


def _agreement(
    moved: dict[str, mx.array], teacher: dict[str, mx.array]
) -> tuple[list[float | None], dict[str, float]]:
    """Cosines `[R]` of the trunk's movement with the teacher's (None before it moved); lengths by layer."""
    trunk, other = moved["trunk"], teacher["trunk"]
    lengths = mx.sqrt(mx.square(trunk).sum(axis=1) * mx.square(other).sum(axis=1)).tolist()
    products = (trunk * other).sum(axis=1).tolist()
    cosines = [p / n if n else None for p, n in zip(products, lengths, strict=True)]
    return cosines, {layer: float(np.mean(v)) for layer, v in _lengths(moved).items()}
