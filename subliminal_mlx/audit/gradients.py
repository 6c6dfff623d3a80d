"""First order: how much likelier rows become as the base is moved a little in each direction of its weights.

    directions = displacements(stack)                                # what each teacher adds to the base's weights
    block_scores(base, grammar, directions, prompts, completions, temperature)       # [blocks, PARTS, D + 2]

The gradient of a corpus's log-likelihood at the base's own weights, in inner product with directions in weight space:
with a teacher's displacement it is the likelihood ratio to first order. All adapted Linears count. Rows are taken in
blocks, and every part of their completions apart: the gradients of several are computed as one stack.
"""

from collections.abc import Sequence

import numpy as np

from ..experiment.setting import Ids
from ..model.adapters import Shape, Stack, applied, bind, init
from ..model.bases import Base
from ..model.grammar import Grammar
from ..model.rows import pack
from ..system import runtime
from .likelihood import Tempered, tempered
from .scan import BLOCK, PARTS

runtime.prepare()

import mlx.core as mx  # noqa: E402

# Tokens of the blocks that a stack holds at once.
TOKENS = 65_536
Directions = dict[str, mx.array]


def joined(several: Sequence[Directions]) -> Directions:
    """Directions of several stacks, one after the other; 0 along paths that a stack does not adapt."""
    sizes = {path: array.shape[1:] for some in several for path, array in some.items()}
    counts = [len(next(iter(some.values()))) for some in several]
    return {
        path: mx.concatenate(
            [
                some[path] if path in some else mx.zeros((count, *size))
                for some, count in zip(several, counts, strict=True)
            ]
        )
        for path, size in sizes.items()
    }


def displacements(stack: Stack) -> Directions:
    """What each slot adds to the base's weights: `{path: [K, in, out]}`."""
    return {path: stack.shape.scale * (ab["a"] @ ab["b"]) for path, ab in stack.arrays.items()}


def whole(rows: int) -> int:
    """How many of so many rows `block_scores` reads: whole blocks, or all where there is no whole one."""
    return rows - rows % BLOCK if rows >= BLOCK else rows


def block_scores(
    base: Base,
    grammar: Grammar | None,
    directions: Directions,
    prompts: Sequence[Ids],
    completions: Sequence[Ids],
    temperature: float = 1.0,
) -> np.ndarray:
    """Inner products of blocks of BLOCK rows `[blocks, PARTS, D + 2]`, nats a row, each part's tokens apart.

    The gradient is that of the log-likelihood under the base at `temperature`. Under that model every entry has mean
    zero whatever the prompts are, and so have the last two: the derivative by 1 / temperature, and how much larger
    numbers are than expected (in hundreds). Rows past the last whole block are left out, unless there is no whole one.
    """
    size = min(BLOCK, len(prompts))
    blocks = len(prompts) // size
    flat = {path: some.reshape(len(some), -1).T for path, some in directions.items()}
    values = mx.array(_values(base, grammar))
    longest = max(map(len, completions))
    found = np.zeros((blocks, len(PARTS), len(next(iter(directions.values()))) + 2))
    for part, low in enumerate(PARTS):
        # What comes after a part is not read for it.
        high = PARTS[part + 1] if part + 1 < len(PARTS) else longest
        if low >= longest:
            break
        some = range(blocks * size)
        rows = pack(
            [prompts[i] for i in some], [completions[i][:high] for i in some], widest=min(high, longest)
        )
        at_once = max(1, TOKENS // (size * rows.tokens.shape[1]))
        for first in range(0, blocks, at_once):
            piece = rows.take(np.arange(first * size, min(first + at_once, blocks) * size))
            read = tempered(base, piece, grammar, temperature, low, values)
            found[first : first + at_once, part] = _slopes(base, read, len(piece) // size, size, flat)
    return found


def _slopes(base: Base, read: Tempered, blocks: int, size: int, flat: Directions) -> np.ndarray:
    """Of `blocks` blocks of `size` rows, the slopes in each direction and what is read beside `[blocks, D + 2]`."""
    identity = _identity(base, blocks)

    def total(b: Directions) -> tuple[mx.array, mx.array, mx.array]:
        _bind(base, identity, b)
        logp, hotter, larger = (each.reshape(blocks, size).mean(axis=1) for each in read())
        return logp.sum(), hotter, larger

    with applied(base, identity):
        (_, *beside), gradient = mx.value_and_grad(total)(
            {path: ab["b"] for path, ab in identity.arrays.items()}
        )
    inner = sum(gradient[path].reshape(blocks, -1) @ side for path, side in flat.items())
    return np.concatenate([np.array(inner), *(np.array(each)[:, None] for each in beside)], axis=1)


def _values(base: Base, grammar: Grammar | None) -> np.ndarray:
    """The number that each token spells, in hundreds; 0 of those that spell none."""
    tokens = grammar.tokens.tolist() if grammar else range(len(base.tokenizer.get_vocab()))
    texts = [base.decode((int(token),)).strip() for token in tokens]
    return np.array(
        [int(text) / 100 if text.isascii() and text.isdigit() else 0.0 for text in texts], np.float32
    )


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
