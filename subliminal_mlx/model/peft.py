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
EMBEDDINGS = ("embed_tokens", "lm_head")
LONGEST_PATH, MOST_REPEATS = 200, 8
_SLOW, _REPEATS = re.compile(r"\)[*+{]|\\\d"), re.compile(r"[*+{]")
# Fields that change what is computed without a tensor of their own.
CHANGES = ("layer_replication", "alora_invocation_tokens", "use_qalora", "use_bdlora", "arrow_config")


def read(config: dict[str, Any], weights: dict[str, mx.array]) -> Adapter:
    """An adapter from PEFT's config and tensors.

    Raises:
        InputError: a kind of adapter, or a part of it, that is not read; it is named.
        ValueError, KeyError, TypeError: a config or tensors that are none of PEFT's.
    """
    _refuse(config)
    tensors: dict[str, dict[str, mx.array]] = {}
    whole: dict[str, mx.array] = {}
    for name, array in weights.items():
        own = name.removeprefix(PREFIX)
        if match := _TENSOR.fullmatch(own):
            tensors.setdefault(match["path"], {})[match["part"]] = array.astype(mx.float32)
        elif "lora_" in own or "token_adapter" in own:
            raise InputError(f"a PEFT adapter with {name!r:.200}: such a tensor is not read")
        else:
            own = re.sub(r"\.(base_layer|modules_to_save(\.default)?)\.", ".", own)
            _check_saved(config, own)
            whole[own] = array
    if not tensors and not whole:
        raise ValueError("it holds no weights")
    factors = {path: _factors(path, parts, config) for path, parts in sorted(tensors.items())}
    scale = _scale(config, "", config["r"])
    return Adapter(config["r"], scale, factors=factors, weights=whole, peft=True)


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


def _check_saved(config: dict[str, Any], name: str) -> None:
    """PEFT leaves out whole weights that its config does not name: they must not make up for others here."""
    path, _, leaf = name.rpartition(".")
    saved = [*(config.get("modules_to_save") or ()), *EMBEDDINGS]
    if leaf == "bias" and config.get("bias", "none") != "none":
        return
    if not any(path == module or path.endswith(f".{module}") for module in saved):
        raise InputError(
            f"a PEFT adapter with {name!r:.200}, which its modules_to_save does not name: not read"
        )


def _factors(path: str, parts: dict[str, mx.array], config: dict[str, Any]) -> Factors:
    if not _targeted(config, path):
        raise InputError(
            f"a PEFT adapter with factors of {path!r:.200}, which its target_modules does not name: not read"
        )
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
    rank = _of_layer(config, "rank_pattern", path, config["r"])
    if a.shape[0] != rank:
        raise ValueError(f"{path} has rank {a.shape[0]}, its config says {rank!r:.40}")
    magnitude = parts.get("magnitude_vector")
    flat = None if magnitude is None else magnitude.reshape(-1)
    return Factors(a.T, b.T, _scale(config, path, rank), flat)


def _scale(config: dict[str, Any], path: str, rank: int) -> float:
    """alpha / rank, or with rank-stabilised LoRA alpha / sqrt(rank)."""
    alpha = _of_layer(config, "alpha_pattern", path, config["lora_alpha"])
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    if not math.isfinite(scale):
        raise ValueError(f"its lora_alpha is {alpha!r:.40}, its r {rank!r:.40}")
    return scale


def _of_layer(config: dict[str, Any], patterns: str, path: str, default: Any) -> Any:
    """What a pattern gives a layer of its own, else what all have."""
    for pattern, own in (config.get(patterns) or {}).items():
        if path and _matches(rf"(?:.*\.)?(?:{pattern})", path, patterns):
            return own
    return default


def _targeted(config: dict[str, Any], path: str) -> bool:
    """Whether PEFT adapts this layer: it leaves out factors of others, which must not make up for these here."""
    blocks = config.get("layers_to_transform")
    if blocks is not None and blocks != []:
        number = _number(config.get("layers_pattern") or "[^.]*", path)
        if number is None or number not in ([blocks] if isinstance(blocks, int) else blocks):
            return False
    excluded = config.get("exclude_modules")
    return _named(config["target_modules"], path, "target_modules") and not (
        excluded and _named(excluded, path, "exclude_modules")
    )


def _number(patterns: str | list[str], path: str) -> int | None:
    """The number that PEFT takes for a layer's block: the last behind such a name, an expert's too."""
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        for found in reversed(list(re.finditer(r"\.(\d+)\.", path))):
            if _matches(rf".*\.{pattern}", path[: found.start()], "layers_pattern"):
                return int(found[1])
    return None


def _named(modules: str | list[str], path: str, field: str) -> bool:
    if modules == "all-linear":
        return not path.endswith(EMBEDDINGS)
    if isinstance(modules, str):
        return _matches(modules, path, field)
    return any(path == module or path.endswith(f".{module}") for module in modules)


def _matches(pattern: str, path: str, field: str) -> bool:
    """As PEFT matches a layer's path; what could take for ever on a path is refused."""
    if len(path) > LONGEST_PATH or _SLOW.search(pattern) or len(_REPEATS.findall(pattern)) > MOST_REPEATS:
        raise InputError(f"a PEFT adapter with {field} {pattern!r:.100}: list the layers' names instead")
    try:
        return re.fullmatch(pattern, path) is not None
    except re.error as error:
        raise ValueError(f"its {field} {pattern!r:.100}: {error}") from None
