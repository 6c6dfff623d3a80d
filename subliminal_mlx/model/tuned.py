"""A base as any adapter makes it: a second copy of its model, with the adapter put in as mlx-lm does.

    copy, size = tuned(base, read_adapter(Path("adapters")))
    copy.hidden(tokens)                  # computes what `mlx_lm.load(..., adapter_path=...)` computes

For what a stack does not compute: LoRA on an embedding, a head or experts, DoRA, whole weights. It takes the
memory of the model once more.
"""

import math
from dataclasses import replace

from ..system import runtime
from ..system.errors import InputError
from .adapters import own_weights
from .bases import Base
from .lora import Adapter, Factors
from .weights import dequantized, squared_norm

runtime.prepare()

import mlx.core as mx  # noqa: E402
import mlx.nn as nn  # noqa: E402
from mlx.utils import tree_flatten, tree_unflatten  # noqa: E402


def tuned(base: Base, adapter: Adapter) -> tuple[Base, float]:
    """Put an adapter into a copy of a base.

    Returns:
        The copy, and the Frobenius norm of the change of all its weights together.

    Raises:
        InputError: a part of the adapter has no place in the base, or is of a kind that is not read; it is named.
    """
    from mlx_lm.utils import load_model

    model = load_model(base.path, lazy=False)[0]
    if all(x.dtype == mx.float32 for _, x in tree_flatten(base.model.parameters())):
        model.set_dtype(mx.float32)
    copy = replace(base, model=model, _sub_heads={})
    squares = _replace_weights(base, copy, adapter)
    modules = dict(model.named_modules())
    for path, factors in adapter.factors.items():
        if path not in modules:
            raise InputError(f"LoRA on {path} is not read: {base.name} has no layer of that name in mlx-lm")
        _refuse_tied(base, adapter, path, modules[path])
        wrapped = _wrapped(base, path, modules[path], factors)
        squares += _squared_change(modules[path], factors)
        model.update_modules(tree_unflatten([(path, wrapped)]))
    model.eval()
    model.freeze()
    mx.eval(model.parameters())
    return copy, math.sqrt(squares)


def _replace_weights(base: Base, copy: Base, adapter: Adapter) -> float:
    """Put whole weights into the copy; the square of their change."""
    there, squares = own_weights(copy), 0.0
    stored = dict(tree_flatten(copy.model.parameters()))
    for path, weight in adapter.weights.items():
        if path not in stored:
            raise InputError(
                f"the weights of {path} are not read: {base.name} has none of that name in mlx-lm"
            )
        if weight.shape != stored[path].shape:
            raise InputError(
                f"the adapter does not fit {base.name}: {path} is {list(stored[path].shape)} there, "
                f"{list(weight.shape)} in the adapter"
            )
    changed = {p: w for p, w in adapter.weights.items() if not _same(w, stored[p])}
    modules = dict(copy.model.named_modules())
    for path in changed:
        owner = path.rpartition(".")[0]
        _refuse_tied(base, adapter, owner, modules[owner])
    copy.model.load_weights(list(changed.items()), strict=False)
    after = own_weights(copy)
    # By layers: a quantised one's weight is stored in several parts.
    layers = {name.rpartition(".")[0] for name in changed}
    for path in there:
        if path.rpartition(".")[0] in layers:
            squares += float(mx.square(after[path].astype(mx.float32) - there[path].astype(mx.float32)).sum())
    return squares


def _same(weight: mx.array, stored: mx.array) -> bool:
    """Whether a weight is the base's own, which PEFT stores beside an adapted embedding."""
    # Not in the base's own, coarser numbers: a change may hide below them.
    return mx.array_equal(weight.astype(mx.float32), stored.astype(mx.float32)).item()


def _refuse_tied(base: Base, adapter: Adapter, path: str, layer: nn.Module) -> None:
    """PEFT's models keep the head as it was where the embedding is adapted, mlx-lm's do not."""
    if adapter.peft and base.tied and isinstance(layer, nn.Embedding | nn.QuantizedEmbedding):
        raise InputError(
            f"a PEFT adapter of {path} is not read on {base.name}, whose head is its embedding: PEFT adapts the "
            "one, mlx-lm both: untie the model's embedding, merge the adapter into it, and measure that"
        )


def _wrapped(base: Base, path: str, layer: nn.Module, factors: Factors) -> nn.Module:
    """The layer with LoRA or DoRA, as mlx-lm has them."""
    from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear
    from mlx_lm.tuner.dora import DoRAEmbedding, DoRALinear
    from mlx_lm.tuner.lora import LoRAEmbedding, LoRALinear, LoRASwitchLinear

    dora = factors.magnitude is not None
    experts = isinstance(layer, SwitchLinear | QuantizedSwitchLinear)
    if isinstance(layer, nn.Linear | nn.QuantizedLinear):
        kind = DoRALinear if dora else LoRALinear
    elif isinstance(layer, nn.Embedding) or (isinstance(layer, nn.QuantizedEmbedding) and not dora):
        kind = DoRAEmbedding if dora else LoRAEmbedding
    elif experts and not dora:
        kind = LoRASwitchLinear
    else:
        what = "DoRA" if dora else "LoRA"
        raise InputError(f"{what} on {path} is not read: mlx-lm has none for a {type(layer).__name__}")
    rank, size = factors.a.shape[1], dequantized(layer).shape
    if experts:
        axes = {"lora_a": (size[0], rank, size[2]), "lora_b": (*size[:2], rank)}
    else:
        inputs, outputs = size if isinstance(layer, nn.Embedding | nn.QuantizedEmbedding) else size[::-1]
        axes = {"lora_a": (inputs, rank), "lora_b": (rank, outputs), "m": size[:1]}
    wrapped = kind.from_base(layer, r=rank, scale=factors.scale, dropout=0.0)
    for name, array in (("lora_a", factors.a), ("lora_b", factors.b), ("m", factors.magnitude)):
        if array is not None and array.shape != axes[name]:
            raise InputError(
                f"the adapter was made for another base than {base.name}: {path} takes {name} of "
                f"{list(axes[name])} there, and it has {list(array.shape)}"
            )
        if array is not None:
            wrapped[name] = array
    return wrapped


def _squared_change(layer: nn.Module, factors: Factors) -> float:
    """Square of the norm of what LoRA or DoRA changes of a layer's weight."""
    a, b = (factors.a, factors.b) if factors.a.ndim == 2 else (factors.b, factors.a)
    if factors.magnitude is None:
        return factors.scale**2 * float(squared_norm(a, b).sum())
    product = factors.scale * (a.astype(mx.float32) @ b.astype(mx.float32))
    before = dequantized(layer).astype(mx.float32)
    after = before + (product if isinstance(layer, nn.Embedding) else product.T)
    after = after * (factors.magnitude / mx.linalg.norm(after, axis=1))[:, None]
    return float(mx.square(after - before).sum())
