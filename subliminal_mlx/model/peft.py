"""A PEFT adapter in mlx-lm's axes: torch keeps a Linear's weight [out, in], so that both factors lie the other way.

    adapter = read(config, mx.load("adapter_model.safetensors"))

Which way is known by a tensor's name and never by its shape: square factors would say nothing. What changes
what the adapter computes and is not read here is refused by name. Format:
https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

import math
import re
from typing import Any

from ..system import runtime
from ..system.errors import InputError
from .lora import Adapter, Factors, check_product

runtime.prepare()

import mlx.core as mx  # noqa: E402

PREFIX = "base_model.model."
_TENSOR = re.compile(
    r"(?P<path>.+?)\.lora_(?P<part>A|B|embedding_A|embedding_B|magnitude_vector)(?:\.default)?(?:\.weight)?"
)
# How the factors begin; other ways (PiSSA, OLoRA, CorDA, LoftQ) take something off the base's own weights first.
STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
# Fields that change what is computed without a tensor of their own.
CHANGES = ("layer_replication", "alora_invocation_tokens", "use_qalora", "use_bdlora", "arrow_config")


def read(config: dict[str, Any], weights: dict[str, mx.array]) -> Adapter:
    """An adapter from PEFT's config and tensors.

    Raises:
        InputError: a kind of adapter, or a part of it, that is not read; it is named.
        ValueError, KeyError, TypeError: a config or tensors that are none of PEFT's.
    """
    _refuse(config)
    rank = config["r"]
    tensors: dict[str, dict[str, mx.array]] = {}
    whole: dict[str, mx.array] = {}
    for name, array in weights.items():
        own = name.removeprefix(PREFIX)
        if match := _TENSOR.fullmatch(own):
            tensors.setdefault(match["path"], {})[match["part"]] = array.astype(mx.float32)
        elif "lora_" in own or "token_adapter" in own:
            raise InputError(f"a PEFT adapter with {name!r:.200}: such a tensor is not read")
        else:
            whole[re.sub(r"\.(base_layer|modules_to_save(\.default)?|original_module)\.", ".", own)] = array
    if not tensors and not whole:
        raise ValueError("it holds no weights")
    factors = {path: _factors(path, parts, config) for path, parts in sorted(tensors.items())}
    return Adapter(rank, _scale(config, "", rank), 0, factors, whole, peft=True)


def _refuse(config: dict[str, Any]) -> None:
    kind = config["peft_type"]
    if kind != "LORA":
        raise InputError(f"a PEFT adapter of type {kind!r:.40} is not read: LORA is, DoRA with it")
    if (start := config.get("init_lora_weights", True)) not in STARTS:
        raise InputError(
            f"a PEFT adapter begun by init_lora_weights = {start!r:.40}, which changed the base's own weights too: "
            "merge it with merge_and_unload(), and measure the merged model"
        )
    for name in CHANGES:
        if config.get(name):
            raise InputError(f"a PEFT adapter with {name} is not read: it computes more than its weights say")


def _factors(path: str, parts: dict[str, mx.array], config: dict[str, Any]) -> Factors:
    embedding = "embedding_A" in parts
    wanted = {"embedding_A", "embedding_B"} if embedding else {"A", "B"}
    if config.get("use_dora"):
        if embedding:
            raise InputError(f"a PEFT adapter with DoRA on {path}, an embedding: it is not read")
        wanted |= {"magnitude_vector"}
    if set(parts) != wanted:
        raise ValueError(f"{path} has lora_{', lora_'.join(sorted(parts))}: not what makes an adapter")
    a, b = (parts[name] for name in (("embedding_A", "embedding_B") if embedding else ("A", "B")))
    if a.ndim != 2 or b.ndim != 2:
        raise InputError(f"a PEFT adapter with factors {list(a.shape)} on {path}: two axes are read")
    check_product(path, a.T, b.T)
    magnitude = parts.get("magnitude_vector")
    return Factors(
        a.T, b.T, _scale(config, path, a.shape[0]), None if magnitude is None else magnitude.reshape(-1)
    )


def _scale(config: dict[str, Any], path: str, rank: int) -> float:
    """alpha / rank, or with rank-stabilised LoRA alpha / sqrt(rank); a pattern may give a layer an alpha of its own."""
    alpha = config["lora_alpha"]
    for pattern, of_layer in (config.get("alpha_pattern") or {}).items() if path else ():
        if not re.fullmatch(r"[\w.^$\\]+", pattern):
            raise InputError(
                f"a PEFT adapter with alpha_pattern {pattern!r:.100}: layers' names are read there"
            )
        if re.match(rf"(.*\.)?({pattern})$", path):
            alpha = of_layer
            break
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    if not math.isfinite(scale):
        raise ValueError(f"its lora_alpha is {alpha!r:.40}, its r {rank!r:.40}")
    return scale
