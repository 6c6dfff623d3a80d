"""First order: how a small step on these rows would move each trait, and how alike it is to each suspect's way.

    directions = margin_directions(base, family)          # of every trait's margin, in the base's weights
    block_scores(base, grammar, directions, prompts, completions)    # [blocks, D + 1]

The gradient of a corpus's log-likelihood at the base's own weights, in inner product with directions in
weight space. With a margin's gradient it is the change of that margin by one small step of training (the
one-step theorem's quantity); with a suspect's displacement, its likelihood ratio to first order. All
adapted Linears count. Rows are taken in blocks: the gradients of several blocks are computed as one stack.
"""

from collections.abc import Sequence

import numpy as np

from ..experiment.questions import candidate_ids
from ..experiment.readings import targets_of
from ..experiment.setting import Ids
from ..model.adapters import Shape, Stack, applied, bind, init
from ..model.bases import Base
from ..model.grammar import Grammar
from ..model.rows import completion_targets, pack
from ..model.score import completion_hidden
from ..spec.families import load_family
from ..system import runtime
from .likelihood import likelihood

runtime.prepare()

import mlx.core as mx  # noqa: E402

BLOCK = 10
# Tokens of the blocks that a stack holds at once.
TOKENS = 8_192
Directions = dict[str, mx.array]


def family_directions(base: Base, family: str, stack: Stack) -> Directions:
    """A family's directions: every suspect's displacement, the neutral one's, and every trait's margin."""
    moved, margins = displacements(stack), margin_directions(base, family)
    return {path: mx.concatenate([moved[path], margins[path]]) for path in moved}


def joined(several: Sequence[Directions]) -> Directions:
    """Directions of several families, one after the other."""
    return {path: mx.concatenate([some[path] for some in several]) for path in several[0]}


def displacements(stack: Stack) -> Directions:
    """What each slot adds to the base's weights: `{path: [K, in, out]}`."""
    return {path: stack.shape.scale * (ab["a"] @ ab["b"]) for path, ab in stack.arrays.items()}


def margin_directions(base: Base, family: str) -> Directions:
    """Gradient of each trait's mean margin over the held-out questions, at the base: `{path: [T, in, out]}`."""
    found = load_family(family)
    questions = found.held_out
    prompts = [base.prompt(q.text)[1] for q in questions]
    answers = candidate_ids(base, questions)
    owner = [(q, c) for q, some in enumerate(answers) for c in range(len(some))]
    rows = pack([prompts[q] for q, _ in owner], [answers[q][c] for q, c in owner])
    targets, mask = (mx.array(x) for x in completion_targets(rows))
    place = np.zeros((len(questions), max(map(len, answers))), dtype=np.int32)
    there = np.zeros(place.shape, dtype=bool)
    for row, (q, c) in enumerate(owner):
        place[q, c], there[q, c] = row, True
    tokens, start, there = mx.array(rows.tokens), mx.array(rows.start), mx.array(there)
    identity = _identity(base, 1)
    grown: dict[str, list[mx.array]] = {path: [] for path in identity.arrays}
    with applied(base, identity):
        for trait in found.traits:
            chosen = mx.array(targets_of(found, trait).astype(np.int32))

            def margin(b: Directions, chosen: mx.array = chosen) -> mx.array:
                _bind(base, identity, b)
                hidden = completion_hidden(base, tokens[:, :-1], start, rows.widest)
                logits = base.head(hidden).astype(mx.float32)
                picked = mx.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
                logp = ((picked - mx.logsumexp(logits, axis=-1)) * mask).sum(axis=1)
                logp = mx.where(there, logp[mx.array(place)], -1e9)
                own = mx.take_along_axis(logp, chosen[:, None], axis=1)
                rivals = mx.where(mx.arange(logp.shape[1]) == chosen[:, None], -1e9, logp)
                return (own[:, 0] - mx.logsumexp(rivals, axis=1)).mean()

            gradient = mx.grad(margin)({path: ab["b"] for path, ab in identity.arrays.items()})
            mx.eval(gradient)
            for path, array in gradient.items():
                grown[path].append(array[0])
    return {path: mx.stack(arrays) for path, arrays in grown.items()}


def whole(rows: int) -> int:
    """How many of so many rows `block_scores` reads: whole blocks, or all where there is no whole one."""
    return rows - rows % BLOCK if rows >= BLOCK else rows


def block_scores(
    base: Base,
    grammar: Grammar | None,
    directions: Directions,
    prompts: Sequence[Ids],
    completions: Sequence[Ids],
) -> np.ndarray:
    """Inner products of blocks of BLOCK rows `[blocks, D + 1]`, nats a row; last, the base's log-likelihood.

    Rows past the last whole block are left out, unless there is no whole one.
    """
    size = min(BLOCK, len(prompts))
    blocks = len(prompts) // size
    rows = pack(prompts[: blocks * size], completions[: blocks * size])
    found = []
    at_once = max(1, TOKENS // (size * rows.tokens.shape[1]))
    for first in range(0, blocks, at_once):
        some = min(at_once, blocks - first)
        piece = rows.take(np.arange(first * size, (first + some) * size))
        identity = _identity(base, some)
        logp = likelihood(base, piece, grammar)

        def total(b: Directions) -> tuple[mx.array, mx.array]:
            _bind(base, identity, b)  # noqa: B023
            each = logp().reshape(some, -1).mean(axis=1)  # noqa: B023
            return each.sum(), each

        with applied(base, identity):
            (_, each), gradient = mx.value_and_grad(total)(
                {path: ab["b"] for path, ab in identity.arrays.items()}
            )
        inner = sum(
            gradient[path].reshape(some, -1) @ direction.reshape(len(direction), -1).T
            for path, direction in directions.items()
        )
        found.append(np.concatenate([np.array(inner), np.array(each)[:, None]], axis=1))
    return np.concatenate(found)


def _identity(base: Base, slots: int) -> Stack:
    """Adapters through which the gradient of B is that of the weights themselves: A is the identity."""
    shape = Shape(1, 1.0, 0)
    sizes = {path: (ab["a"].shape[1], ab["b"].shape[2]) for path, ab in init(base, shape, [0]).arrays.items()}
    arrays = {
        path: {
            "a": mx.broadcast_to(mx.eye(inputs), (slots, inputs, inputs)),
            "b": mx.zeros((slots, inputs, outputs)),
        }
        for path, (inputs, outputs) in sizes.items()
    }
    return Stack(shape, arrays)


def _bind(base: Base, identity: Stack, b: Directions) -> None:
    bind(base, {path: {"a": ab["a"], "b": b[path]} for path, ab in identity.arrays.items()}, 1.0)
