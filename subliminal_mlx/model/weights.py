"""Weights as numbers, however they are stored.

    dequantized(layer)               # [out, in]
    squared_norm(a, b)               # of a product of two thin factors, never the whole product

Knows nothing about bases or adapters.
"""

from ..system import runtime

runtime.prepare()

import mlx.core as mx  # noqa: E402
import mlx.nn as nn  # noqa: E402


def dequantized(layer: nn.Module, rows: mx.array | None = None) -> mx.array:
    """A layer's weight, or `rows` of it, unpacked where it is quantised; computed when it is asked for."""
    weight, scales, offsets = layer.weight, layer.get("scales"), layer.get("biases")
    if rows is not None:
        weight, scales, offsets = (x if x is None else x[rows] for x in (weight, scales, offsets))
    if scales is None:
        return weight
    form = {"group_size": layer.group_size, "bits": layer.bits, "mode": layer.mode}
    if (whole := layer.get("global_scale")) is not None:
        # mlx-lm gives each expert its own.
        parts = [
            mx.dequantize(w, s, None, global_scale=g, **form)
            for w, s, g in zip(weight, scales, whole, strict=True)
        ]
        return mx.stack(parts)
    return mx.dequantize(weight, scales, offsets, **form)


def squared_norm(a: mx.array, b: mx.array) -> mx.array:
    """Sum of the squares `[...]` of `a [..., n, rank] @ b [..., rank, m]`."""
    a, b = a.astype(mx.float32), b.astype(mx.float32)
    # |AB|^2 = trace(A'A BB'): never the whole product.
    total = (mx.swapaxes(a, -1, -2) @ a * (b @ mx.swapaxes(b, -1, -2))).sum(axis=(-2, -1))
    return mx.maximum(total, 0.0)
