"""An adapter's folder, ours, mlx-lm's or PEFT's, read into what it does to a model's layers.

    adapter = read_adapter(Path("adapters"))
    adapter.factors["model.layers.0.self_attn.q_proj"].a     # [in, rank]

LoRA, DoRA and whole weights come out in one shape. Knows no base.
"""

import math
from pathlib import Path
from typing import Any

from ..system import files, runtime
from ..system.errors import InputError
from . import model_folder, peft
from .lora import Adapter, Factors, check_product

runtime.prepare()

import mlx.core as mx  # noqa: E402


def read_adapter(folder: Path, file: str | None = None) -> Adapter:
    """An adapter from its folder; `file` may be a checkpoint in it.

    Raises:
        InputError: no adapter there, one of a kind that is not read, or weights that do not go together.
    """
    try:
        path = folder / file if file else model_folder.adapter_weights(folder)
        config = files.read_object(folder / model_folder.ADAPTER_CONFIG)
        weights = mx.load(str(path))
        if "peft_type" in config:
            return peft.read(config, weights)
        return _read_mlx_lm(config, weights)
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{folder.name} is no adapter folder: {error}") from None


def _read_mlx_lm(config: dict[str, Any], weights: dict[str, mx.array]) -> Adapter:
    kind = config.get("fine_tune_type", "lora")
    blocks = config.get("num_layers", 0)
    layers = config.get("subliminal_mlx", {}).get("layers", blocks)
    if not isinstance(blocks, int) or not isinstance(layers, int):
        raise ValueError(f"its num_layers is {blocks!r:.40}")
    if kind == "full":
        if not weights:
            raise ValueError("it holds no weights")
        return Adapter(weights=weights)
    if kind not in ("lora", "dora"):
        raise ValueError(f"its fine_tune_type is {kind!r:.40}: lora, dora and full are read")
    rank, scale = config["lora_parameters"]["rank"], config["lora_parameters"]["scale"]
    if not all(isinstance(x, int | float) and math.isfinite(x) for x in (rank, scale)):
        raise ValueError(f"its rank is {rank!r:.40}, its scale {scale!r:.40}")
    paths = sorted({name.removesuffix(".lora_a") for name in weights if name.endswith(".lora_a")})
    leaves = ("lora_a", "lora_b", "m") if kind == "dora" else ("lora_a", "lora_b")
    if not paths or set(weights) != {f"{path}.{leaf}" for path in paths for leaf in leaves}:
        raise ValueError(f"its weights are not {', '.join(leaves)} of each layer")
    factors = {path: Factors(*(weights[f"{path}.{x}"] for x in leaves[:2]), scale) for path in paths}
    if kind == "dora":
        factors = {p: Factors(f.a, f.b, f.scale, weights[f"{p}.m"]) for p, f in factors.items()}
    for path, found in factors.items():
        check_product(path, found.a, found.b)
        if (own := found.a.shape[1]) != rank:
            raise ValueError(f"{path} has rank {own}, its config says {rank!r:.40}")
    keys = config["lora_parameters"].get("keys")
    return Adapter(rank, scale, layers, blocks, None if keys is None else tuple(keys), factors)
