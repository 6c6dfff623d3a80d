"""K LoRA adapters over one frozen base, computed together.

    stack = init(base, Shape(rank=8, scale=2.0), seeds=[1, 2, 3])
    with applied(base, stack):
        base.hidden(tokens)                  # [K * B, T]: slot k owns rows k * B to (k + 1) * B
    save_adapter(folder, stack, slot=0)      # an ordinary mlx-lm adapter folder

A slot computes what the same adapter would compute alone. The base's own modules are wrapped once
and never changed: with no stack applied, the model is the base, to the bit. Knows nothing about
training, traits or files other than adapters.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ..system import runtime
from ..system.errors import InputError
from .adapter_files import read_adapter
from .bases import Base
from .lora import Adapter
from .weights import dequantized

runtime.prepare()

import mlx.core as mx  # noqa: E402
import mlx.nn as nn  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402


@dataclass(frozen=True)
class Shape:
    """An adapter's shape. `scale` is the multiplier itself (alpha / rank); `layers` counts the last
    blocks that are adapted, 0 for all of them. Every Linear of a block is adapted, as in mlx-lm."""

    rank: int = 8
    scale: float = 2.0
    layers: int = 0


@dataclass(frozen=True)
class Stack:
    """Adapters of one shape: `arrays[path] = {"a": [K, in, rank], "b": [K, rank, out]}`, fp32."""

    shape: Shape
    arrays: dict[str, dict[str, mx.array]]

    @property
    def slots(self) -> int:
        return next(iter(self.arrays.values()))["a"].shape[0]

    def select(self, slots: Sequence[int]) -> "Stack":
        """The stack of just these slots, in this order."""
        index = mx.array(list(slots))
        return Stack(self.shape, {p: {n: x[index] for n, x in ab.items()} for p, ab in self.arrays.items()})


class _Adapted(nn.Module):
    """A Linear of the base with room for a stack's arrays; without them it is the Linear."""

    def __init__(self, linear: nn.Module):
        super().__init__()
        self.linear = linear
        self.lora = _Arrays()

    def __call__(self, x: mx.array) -> mx.array:
        y = self.linear(x)
        a, b, scale = self.lora.a, self.lora.b, self.lora.scale
        if a is None or b is None:
            return y
        z = (x.reshape(a.shape[0], -1, a.shape[1]).astype(a.dtype) @ a) @ b
        return y + (scale * z).reshape(y.shape).astype(y.dtype)


class _Arrays:
    """Holds arrays where nn.Module does not count them among the model's own parameters."""

    def __init__(self) -> None:
        self.a: mx.array | None = None
        self.b: mx.array | None = None
        self.scale = 0.0


def init(base: Base, shape: Shape, seeds: Sequence[int]) -> Stack:
    """Fresh adapters, one a seed: A uniform in +-1/sqrt(in), B zero (mlx-lm's own start).

    A matrix depends on (seed, path) alone, not on the other slots or on which layers are adapted.
    """
    arrays = {}
    for path, module in _wrap(base).items():
        if _adapts(path, shape, len(base.layers)):
            inputs, outputs = _dimensions(module.linear)
            bound = inputs**-0.5
            a = [
                mx.random.uniform(-bound, bound, (inputs, shape.rank), key=_key(seed, path)) for seed in seeds
            ]
            arrays[path] = {"a": mx.stack(a), "b": mx.zeros((len(seeds), shape.rank, outputs))}
    mx.eval(arrays)
    return Stack(shape, arrays)


def concatenate(stacks: Sequence[Stack]) -> Stack:
    """One stack of all slots, in order; shapes must agree."""
    first = stacks[0]
    if any(stack.shape != first.shape for stack in stacks):
        raise InputError("adapters of different shapes cannot be stacked")
    return Stack(
        first.shape,
        {p: {n: mx.concatenate([s.arrays[p][n] for s in stacks]) for n in ("a", "b")} for p in first.arrays},
    )


@contextmanager
def applied(base: Base, stack: Stack | None) -> Iterator[None]:
    """Let the base compute with `stack` inside the block, or as it is with None; blocks may be nested.

    Raises:
        InputError: the stack has a path or a width that the base does not.
    """
    wrappers = _wrap(base) if stack else _wrapped(base)
    before = {path: vars(module.lora).copy() for path, module in wrappers.items()}
    try:
        for module in wrappers.values():
            module.lora.a = module.lora.b = None
        if stack:
            bind(base, stack.arrays, stack.shape.scale)
        yield
    finally:
        for path, module in wrappers.items():
            vars(module.lora).update(before[path])


def bind(base: Base, arrays: dict[str, dict[str, mx.array]], scale: float) -> None:
    """Put arrays (or the tracers of a gradient) into the base's wrappers; `applied` takes them out."""
    wrappers = _wrap(base)
    for path, ab in arrays.items():
        widths = _dimensions(wrappers[path].linear) if path in wrappers else None
        if widths != (ab["a"].shape[1], ab["b"].shape[2]):
            found = f"{widths[0]} by {widths[1]} there" if widths else "not there"
            raise InputError(f"the adapter was made for another base than {base.name}: {path} is {found}")
        lora = wrappers[path].lora
        lora.a, lora.b, lora.scale = ab["a"], ab["b"], scale


def arrays_of(block: nn.Module) -> list[_Arrays]:
    """What holds the arrays of a block's wrapped Linears; `bind` fills them."""
    return [module.lora for _, module in block.named_modules() if isinstance(module, _Adapted)]


def own_weights(base: Base) -> dict[str, mx.array]:
    """The base's own parameters by the paths that they were loaded under, wrapped or not, quantised ones unpacked."""
    found = dict(tree_flatten(base.model.parameters()))
    for path, module in base.model.named_modules():
        if "scales" in module:
            for part in ("scales", "biases", "global_scale"):
                found.pop(f"{path}.{part}", None)
            found[f"{path}.weight"] = dequantized(module)
    for path in _wrapped(base):
        inside = f"{path}.linear."
        for name in [name for name in found if name.startswith(inside)]:
            found[f"{path}.{name.removeprefix(inside)}"] = found.pop(name)
    return found


def save_adapter(folder: Path, stack: Stack, slot: int) -> None:
    """Write one slot in mlx-lm's adapter format into an existing or new folder (not atomic: see files)."""
    folder.mkdir(exist_ok=True)
    paths = sorted(stack.arrays)
    blocks = {path.split("layers.")[1].split(".")[0] for path in paths}
    keys = sorted({path.split("layers.")[1].split(".", 1)[1] for path in paths})
    weights = {}
    for path in paths:
        weights[f"{path}.lora_a"] = stack.arrays[path]["a"][slot]
        weights[f"{path}.lora_b"] = stack.arrays[path]["b"][slot]
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    config = {
        "fine_tune_type": "lora",
        "num_layers": len(blocks),
        "lora_parameters": {
            "rank": stack.shape.rank,
            "scale": stack.shape.scale,
            "dropout": 0.0,
            "keys": keys,
        },
        "subliminal_mlx": asdict(stack.shape),
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def load_adapter(folder: Path, file: str | None = None) -> Stack:
    """A stack of one slot from an adapter folder; `file` may be a checkpoint in it.

    Raises:
        InputError: as `read_adapter`; or an adapter of another kind than LoRA.
    """
    adapter = read_adapter(folder, file)
    if adapter.weights or any(f.magnitude is not None or f.a.ndim > 2 for f in adapter.factors.values()):
        raise InputError(f"{folder.name} is no plain LoRA adapter: it holds DoRA, experts or whole weights")
    return stack_of(adapter)


def stack_of(adapter: Adapter) -> Stack:
    """A stack of one slot from plain LoRA factors."""
    scale = adapter.scale or 1.0
    arrays = {}
    for path, found in sorted(adapter.factors.items()):
        # A layer's own scale goes into its factor: a stack has one.
        b = found.b if found.scale == scale else found.b * (found.scale / scale)
        arrays[path] = {"a": found.a[None], "b": b[None]}
    return Stack(Shape(adapter.rank, scale, adapter.layers), arrays)


def check_named(base: Base, adapter: Adapter) -> None:
    """See that an adapter's own config names every layer that it has factors of.

    mlx-lm refuses the others, and older ones of it leave them out: they must not make up for the rest here.

    Raises:
        InputError: it does not.
    """
    if adapter.peft:
        return  # its reader has seen to it
    keys = adapter.keys or ()
    first = max(0, len(base.layers) - adapter.blocks) if adapter.blocks > 0 else 0
    places = {
        id(module): (number, name)
        for number, block in enumerate(base.layers)
        for name, module in block.named_modules()
    }
    for path, module in base.model.named_modules():
        number, name = places.get(id(module), (-1, ""))
        inside = number >= first and (adapter.keys is None or name in keys)
        if path in adapter.factors and not inside and path not in keys:
            raise InputError(
                f"an adapter with factors of {path}, which its config does not name: mlx-lm refuses it"
            )


def takes(base: Base, adapter: Adapter) -> bool:
    """Whether an adapter is LoRA on Linears of the base's blocks alone, which a stack computes."""
    linears = _wrap(base)
    plain = all(path in linears and f.magnitude is None for path, f in adapter.factors.items())
    return plain and not adapter.weights


def _wrap(base: Base) -> dict[str, _Adapted]:
    """The base's wrapped Linears by path; wraps them on the first call, finds them on later ones."""
    if found := _wrapped(base):
        return found
    linears = [
        (path, module)
        for path, module in base.model.named_modules()
        if "layers." in path and isinstance(module, nn.Linear | nn.QuantizedLinear)
    ]
    if not linears:
        raise InputError(f"{base.name} has no Linear layers that take LoRA")
    for path, module in linears:
        parent = base.model
        *parts, last = path.split(".")
        for part in parts:
            parent = parent[int(part)] if part.isdigit() else getattr(parent, part)
        setattr(parent, last, _Adapted(module))
    return _wrapped(base)


def _wrapped(base: Base) -> dict[str, _Adapted]:
    """In one order always: sums over an adapter's arrays would round differently in another."""
    found = {path: module for path, module in base.model.named_modules() if isinstance(module, _Adapted)}
    return dict(sorted(found.items()))


def _adapts(path: str, shape: Shape, layers: int) -> bool:
    block = int(path.split("layers.")[1].split(".")[0])
    return shape.layers == 0 or block >= layers - shape.layers


def _dimensions(linear: nn.Module) -> tuple[int, int]:
    outputs, inputs = linear.weight.shape
    if isinstance(linear, nn.QuantizedLinear):
        inputs = inputs * 32 // linear.bits
    return inputs, outputs


def _key(seed: int, path: str) -> mx.array:
    digest = hashlib.blake2b(f"{seed}/{path}".encode(), digest_size=8).digest()
    return mx.array(
        [int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")], dtype=mx.uint32
    )
