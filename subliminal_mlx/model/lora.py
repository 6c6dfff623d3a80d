"""What an adapter does to a model's layers, whoever wrote it: LoRA's factors, DoRA's, whole weights.

    Factors(a, b, scale=2.0)             # a layer's change is scale * a @ b
    Adapter(rank=8, scale=2.0, factors={"model.layers.0.self_attn.q_proj": Factors(...)})

Which base it fits is seen where it is put into one (adapters.py, tuned.py). Knows no base and no file.
"""

from dataclasses import dataclass, field

from ..system import runtime

runtime.prepare()

import mlx.core as mx  # noqa: E402


@dataclass(frozen=True)
class Factors:
    """What LoRA adds to one layer, `scale` times the product, in mlx-lm's axes.

    Linear: `a [in, rank]`, `b [rank, out]`. Embedding: `a [vocabulary, rank]`, `b [rank, width]`. Experts:
    `a [experts, rank, in]`, `b [experts, out, rank]`. `magnitude`, with DoRA: the norm of each row of the weight.
    """

    a: mx.array
    b: mx.array
    scale: float
    magnitude: mx.array | None = None


@dataclass(frozen=True)
class Adapter:
    """An adapter: `factors` by a layer's path, and `weights` that stand in the place of the model's, by theirs.

    `rank` and `scale` are what its config says of all layers. mlx-lm's names what is adapted: `keys`, in the last
    `blocks`; None is every layer, 0 or less every block. `layers` is a stack's shape's. `peft`: who wrote it leaves
    a tied head as it was where the embedding is adapted.
    """

    rank: int = 0
    scale: float = 0.0
    layers: int = 0
    blocks: int = 0
    keys: tuple[str, ...] | None = None
    factors: dict[str, Factors] = field(default_factory=dict)
    weights: dict[str, mx.array] = field(default_factory=dict)
    peft: bool = False


def check_product(path: str, a: mx.array, b: mx.array) -> None:
    """Raise ValueError where two factors have no product, in the axes of `Factors`."""
    inner = (a.shape[-1], b.shape[-2]) if a.ndim == 2 else (a.shape[-2], b.shape[-1])
    if a.ndim not in (2, 3) or a.ndim != b.ndim or inner[0] != inner[1] or a.shape[:-2] != b.shape[:-2]:
        raise ValueError(
            f"{path} has lora_a {list(a.shape)} and lora_b {list(b.shape)}, which do not go together"
        )
