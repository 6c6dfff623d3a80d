"""Gradient checkpointing: a block's inner values are computed again in the backward pass, not kept.

    with recomputed(base):                   # around a training, whose memory falls and whose time grows
        train step

Chen and others (2016), "Training Deep Nets with Sublinear Memory Cost". mlx-lm's own way patches a
model's class for good and takes gradients of a module's parameters; here the adapters' arrays are passed
through, and the class is as before after the block. It saves what it should only where MLX computes
depth first, see `runtime.depth_first`: in its usual order, second forwards of many blocks run at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..system import runtime
from .adapters import arrays_of
from .bases import Base

runtime.prepare()

import mlx.core as mx  # noqa: E402


@contextmanager
def recomputed(base: Base) -> Iterator[None]:
    """Checkpoint every block of the base inside the `with`; its adapters must be bound by then at each call."""
    holders = {id(block): arrays_of(block) for block in base.layers}
    classes = {type(block): type(block).__call__ for block in base.layers}

    def patched(plain: Any) -> Any:
        def call(block: Any, x: mx.array, *args: Any, **kwargs: Any) -> Any:
            adapted = [held for held in holders.get(id(block), ()) if held.a is not None]
            given = [array for held in adapted for array in (held.a, held.b)]

            def inner(x: mx.array, *arrays: mx.array) -> Any:
                for i, held in enumerate(adapted):
                    held.a, held.b = arrays[2 * i : 2 * i + 2]
                try:
                    return plain(block, x, *args, **kwargs)
                finally:
                    # The graph is built twice, forward and again backward: neither leaves its arrays behind.
                    for i, held in enumerate(adapted):
                        held.a, held.b = given[2 * i : 2 * i + 2]

            return mx.checkpoint(inner)(x, *given)

        return call

    try:
        for kind, plain in classes.items():
            kind.__call__ = patched(plain)
        yield
    finally:
        for kind, plain in classes.items():
            kind.__call__ = plain
