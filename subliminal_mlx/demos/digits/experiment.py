"""A teacher learns digits; students imitate its auxiliary logits on noise; controls show why that works.

    result = run_digits(make("digits"), load_images(), on_event=print)

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

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...system.events import Event, Listener, ignore
from . import mlp
from .data import Images
from .mlp import AUXILIARY, CLASS, TRUNK, Training, Weights, seed_of
from .spec import CLASSES, Arm, Digits, result_id

import mlx.core as mx  # isort: skip
import numpy as np

Result = dict[str, Any]
LAYERS = (*TRUNK, CLASS, AUXILIARY)
# They see the same inputs and train the same head, so they are slots of one stack.
ALIKE: tuple[Arm, ...] = ("student", "other initialisation", "untrained teacher", "shuffled logits")


@dataclass(frozen=True)
class _Group:
    """Arms in training, slot by slot: where they began, what they are shown, what they shall say."""

    arms: tuple[Arm, ...]
    start: Weights
    training: Training
    inputs: mx.array  # [N, in]
    targets: mx.array  # [arms * R, N, m]


def run_digits(
    spec: Digits, data: Images, on_event: Listener = ignore, replicas: Sequence[int] | None = None
) -> Result:
    """Train teacher, student and controls of all replicas; read them before and after every epoch.

    Events: "teacher epochs", "teacher's answers", then "epochs" with the mean accuracy of every arm so
    far as figures.

    Args:
        replicas: numbers of those to compute, all of the spec's where not given. What a replica
            yields does not depend on the others.

    Returns:
        JSON-ready: `spec`, `data`, `id`, `seconds`; `teacher` with accuracy and, by layer, movement;
        by arm, `arms`, each with a list an epoch of accuracy (share of right test images), loss,
        agreement (cosine of what its trunk moved by and what its teacher's did) and movement (by
        layer, the length), all of them lists over replicas; `confusion`: counts [label][answer] an
        epoch, of the student over all replicas.

    Raises:
        InputError: the networks are too large for these images.
    """
    began = time.perf_counter()
    spec.check_size(data.inputs)
    numbers = list(range(spec.replicas) if replicas is None else replicas)
    test_x, test_y = mx.array(data.test_x), data.test_y
    initial = _initial(spec, data, numbers, "init")
    teacher = _teach(spec, data, initial, on_event)
    teacher_move = _movement(initial, teacher)
    groups = _groups(spec, data, numbers, initial, teacher, on_event)
    fields = ("accuracy", "loss", "agreement", "movement")
    arms: dict[str, dict[str, list[Any]]] = {name: {field: [] for field in fields} for name in spec.arms}
    confusion: list[list[list[int]]] = []

    def read(group: _Group, losses: list[float | None]) -> None:
        said = mlp.answers(group.training.weights, test_x)
        moved = _movement(group.start, group.training.weights)
        for place, name in enumerate(group.arms):
            slots = slice(place * len(numbers), (place + 1) * len(numbers))
            own = {layer: vectors[slots] for layer, vectors in moved.items()}
            arms[name]["accuracy"].append((said[slots] == test_y).mean(axis=1).tolist())
            arms[name]["loss"].append(losses[slots])
            arms[name]["agreement"].append(_cosines(own["trunk"], teacher_move["trunk"]))
            arms[name]["movement"].append(_lengths(own))
            if name == "student":
                confusion.append(_counts(test_y, said[slots]))

    for epoch in range(spec.epochs + 1):
        for group in groups:
            unread: list[float | None] = [None] * (len(group.arms) * len(numbers))
            read(group, group.training.epoch(_batches(group, spec, epoch - 1)) if epoch else unread)
        figures = {name: float(np.mean(record["accuracy"][-1])) for name, record in arms.items()}
        on_event(Event("epochs", epoch, spec.epochs, figures))
    accuracy = (mlp.answers(teacher, test_x) == test_y).mean(axis=1).tolist()
    return {
        **{"id": result_id(spec, data.sha256), "spec": spec.model_dump(mode="json")},
        "data": data.about,
        "teacher": {"accuracy": accuracy, "movement": _lengths(teacher_move)},
        **{"arms": arms, "confusion": confusion, "seconds": time.perf_counter() - began},
    }


def _initial(spec: Digits, data: Images, numbers: list[int], which: str) -> Weights:
    seeds = [seed_of(spec.seed, which, number) for number in numbers]
    return mlp.init(seeds, spec.sizes(data.inputs), spec.auxiliary)


def _teach(spec: Digits, data: Images, initial: Weights, on_event: Listener) -> Weights:
    x, y = mx.array(data.train_x), mx.array(data.train_y)
    training = Training(initial, CLASS, mlp.label_loss, spec.teacher_lr)
    for epoch in range(spec.teacher_epochs):
        order = _order(spec, "teacher", epoch, len(x), spec.teacher_batch)
        losses = training.epoch((x[rows][None], y[rows][None]) for rows in order)
        on_event(Event("teacher epochs", epoch + 1, spec.teacher_epochs, {"loss": float(np.mean(losses))}))
    return training.weights


def _groups(
    spec: Digits,
    data: Images,
    numbers: list[int],
    initial: Weights,
    teacher: Weights,
    on_event: Listener,
) -> list[_Group]:
    key = mx.random.key(seed_of(spec.seed, "noise"))
    noise = mx.random.uniform(-1, 1, (spec.noise, data.inputs), key=key)
    # As many images as there is noise, so that all arms take as many steps.
    images = lambda: mx.array(data.train_x[np.arange(spec.noise) % len(data.train_x)])
    said = mlp.all_logits(teacher, noise, AUXILIARY)
    other = _initial(spec, data, numbers, "other")
    shuffled = np.random.default_rng(seed_of(spec.seed, "shuffle")).permutation(spec.noise)
    untrained = lambda: mlp.all_logits(_initial(spec, data, numbers, "untrained"), noise, AUXILIARY)
    # Of each arm: where it starts, and what it shall say.
    makers: dict[Arm, Callable[[mx.array], tuple[Weights, mx.array]]] = {
        "student": lambda x: (mlp.between(initial, other, spec.distance), said),
        "other initialisation": lambda x: (other, said),
        "untrained teacher": lambda x: (initial, untrained()),
        "shuffled logits": lambda x: (initial, said[:, mx.array(shuffled)]),
        "real images": lambda x: (initial, mlp.all_logits(teacher, x, AUXILIARY)),
        "class logits": lambda x: (other, mlp.all_logits(teacher, x, CLASS)),
    }
    groups, done = [], 0
    for together in (ALIKE, ("real images",), ("class logits",)):
        arms = tuple(arm for arm in together if arm in spec.arms)
        if not arms:
            continue
        inputs = images() if arms == ("real images",) else noise
        starts, targets = zip(*(makers[arm](inputs) for arm in arms), strict=True)
        start, target = mlp.joined(starts), mx.concatenate(targets)
        mx.eval(start, inputs, target)
        head = CLASS if arms == ("class logits",) else AUXILIARY
        training = Training(start, head, mlp.LOSSES[spec.loss], spec.lr)
        groups.append(_Group(arms, start, training, inputs, target))
        done += len(arms)
        on_event(Event("teacher's answers", done, len(spec.arms)))
    return groups


def _order(spec: Digits, what: str, epoch: int, rows: int, batch: int) -> Iterator[mx.array]:
    """Batches of row numbers: a function of seed and epoch; the last one may be smaller."""
    order = np.random.default_rng(seed_of(spec.seed, what, "order", epoch)).permutation(rows)
    for start in range(0, rows, batch):
        yield mx.array(order[start : start + batch])


def _batches(group: _Group, spec: Digits, epoch: int) -> Iterator[tuple[mx.array, mx.array]]:
    for rows in _order(spec, "student", epoch, len(group.inputs), spec.batch):
        yield group.inputs[rows][None], group.targets[:, rows]


def _movement(start: Weights, end: Weights) -> dict[str, mx.array]:
    """What each layer moved by, with its bias, `[R, P]`; and the trunk as a whole."""
    moved = {name: end[name] - start[name] for name in start}
    by_layer = {layer: mlp.flat(moved, (layer, f"{layer} bias")) for layer in LAYERS}
    return {"trunk": mx.concatenate([by_layer[layer] for layer in TRUNK], axis=1)} | by_layer


def _lengths(moved: dict[str, mx.array]) -> dict[str, list[float]]:
    return {layer: mx.sqrt(mx.square(v).sum(axis=1)).tolist() for layer, v in moved.items()}


def _cosines(a: mx.array, b: mx.array) -> list[float | None]:
    """Of the rows of two `[R, P]`; None where one did not move."""
    lengths = mx.sqrt(mx.square(a).sum(axis=1) * mx.square(b).sum(axis=1)).tolist()
    products = (a * b).sum(axis=1).tolist()
    return [p / n if n else None for p, n in zip(products, lengths, strict=True)]


def _counts(labels: np.ndarray, said: np.ndarray) -> list[list[int]]:
    """How often each label `[N]` got each answer `[R, N]`."""
    counts = np.zeros((CLASSES, CLASSES), dtype=int)
    np.add.at(counts, (np.broadcast_to(labels, said.shape), said), 1)
    return counts.tolist()
