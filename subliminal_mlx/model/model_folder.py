"""What a model folder in mlx-lm's format says about itself, read without MLX.

    missing(folder)         # "" where it is complete
    parameters(folder)      # from the headers of its weights
    sha256(folder)          # of what decides its outputs

Also where the project keeps what it can make again: converted models and remembered hashes.
"""

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..system import files
from ..system.errors import InputError
from ..system.files import cache_folder

# What decides a model's outputs: a model card may change without making another base.
MODEL_FILES = ("*.json", "model*.safetensors", "*.jinja", "tokenizer.model", "*.txt", "*.tiktoken")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "*.tiktoken")
INDEX = "model.safetensors.index.json"
ADAPTER_CONFIG = "adapter_config.json"
# An adapter's weights as mlx-lm and as PEFT name them.
ADAPTER_FILES = ("adapters.safetensors", "adapter_model.safetensors")
# A checkpoint of a training, as mlx-lm names it.
NUMBERED = re.compile(r"(\d{1,12})_adapters\.safetensors")
LONGEST_NAME = 500  # characters of a base's name
REMEMBER_ABOVE = 16 << 20  # bytes from which a file's hash is remembered; less is read again in no time


def missing(folder: Path) -> str:
    """What keeps `folder` from being a model, in words; empty where nothing does."""
    index = read_json(folder / INDEX).get("weight_map")
    shards = {str(shard) for shard in index.values()} if isinstance(index, dict) else set()
    absent = [] if "model_type" in config(folder) else ["config.json with a model_type"]
    absent += [shard or "file of no name" for shard in sorted(shards) if not os.path.isfile(folder / shard)]
    if not shards and not any(folder.glob("model*.safetensors")):
        absent.append("model*.safetensors")
    if not any(path for pattern in TOKENIZER_FILES for path in folder.glob(pattern)):
        absent.append("tokenizer.json")
    return ", ".join(absent)


def is_model(folder: Path) -> bool:
    """Whether config, every weight file and a tokenizer are there."""
    return missing(folder) == ""


def config(folder: Path) -> dict[str, Any]:
    """Its config.json; empty where there is none that can be read."""
    return read_json(folder / "config.json")


def named_base(folder: Path) -> str | None:
    """The base that an adapter's folder says it was made for, as mlx-lm or PEFT writes it; None where it names none.

    Raises:
        InputError: what it names is longer than a name or a path can be, or no text.
    """
    path = folder / ADAPTER_CONFIG
    found = read_json(path)
    name = found.get("model") or found.get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        return None
    try:
        if len(name) > LONGEST_NAME:
            raise ValueError(f"over {LONGEST_NAME} characters")
        os.stat(name)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # a base that is not here has a name all the same
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: model {name!r:.60}: no base has such a name: {reason}") from None
    return name


def adapter_weights(folder: Path) -> Path:
    """The file of an adapter folder's weights.

    Raises:
        InputError: there is none, none that is read, or two, of which one program reads this and another that.
    """
    there = [folder / name for name in ADAPTER_FILES if (folder / name).is_file()]
    if len(there) > 1:
        raise InputError(
            f"{folder.name} holds {' and '.join(ADAPTER_FILES)}: keep one, in a folder of its own"
        )
    if there:
        return there[0]
    if (folder / "adapter_model.bin").is_file():
        raise InputError(
            f"{folder.name} holds adapter_model.bin, which may run code: save it with safe_serialization=True"
        )
    raise InputError(f"{folder.name} is no adapter folder: it has no {' or '.join(ADAPTER_FILES)}")


def has_chat_template(folder: Path) -> bool:
    """Whether the tokenizer brings a chat template, in any of the places where one is kept."""
    return bool(read_json(folder / "tokenizer_config.json").get("chat_template")) or any(
        folder.glob("chat_template*")
    )


def own_template(folder: Path) -> Any:
    """The chat template that a folder holds, as tokenizers read it; None where it holds none."""
    path = folder / "chat_template.jinja"
    if os.path.isfile(path):
        return path.read_text(encoding="utf-8", errors="replace")
    return read_json(folder / "tokenizer_config.json").get("chat_template")


def two_models(folder: Path) -> str:
    """What makes one program load these weights and another those, in words; "" where nothing does.

    mlx-lm takes every model*.safetensors in no order, others those that an index names, or the one of that name.
    """
    index = read_json(folder / INDEX).get("weight_map")
    shards = {str(shard) for shard in index.values()} if isinstance(index, dict) else set()
    there = {path.name for path in folder.glob("model*.safetensors")}
    if shards and shards != there:
        return f"{', '.join(sorted(shards ^ there)[:3])} stands in its index or in the folder, not in both"
    if not shards and len(there) > 1:
        return f"{', '.join(sorted(there)[:3])} stand in it, and no index that names them"
    return ""


def parameters(folder: Path) -> int | None:
    """Number of weights, counted from the safetensors headers; None where they cannot be read."""
    total = 0
    try:
        bits = (config(folder).get("quantization") or {}).get("bits")
        for path in folder.glob("model*.safetensors"):
            for name, entry in _header(path).items():
                packed = entry["dtype"] == "U32"  # mlx-lm packs quantised weights, and nothing else, so
                if not name.endswith((".scales", ".biases")):
                    total += math.prod(entry["shape"]) * (32 // bits if packed else 1)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
        return None
    return total


def weight_bytes(folder: Path) -> int:
    """Bytes of the weights as stored."""
    return sum(path.stat().st_size for path in folder.glob("model*.safetensors"))


def tensors_end(path: Path) -> int:
    """Bytes that a safetensors file has once it is whole, by its header.

    Raises:
        OSError, ValueError, KeyError, TypeError: its header cannot be read, as while it is being written.
    """
    with open(path, "rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
    return start + max((entry["data_offsets"][1] for entry in _header(path).values()), default=0)


def size(folder: Path) -> int:
    """Bytes on disk of the files that decide the model's outputs."""
    return sum(path.stat().st_size for path in _model_files(folder))


def sha256(folder: Path) -> str:
    """Hex digest of weights, config and tokenizer, names included."""
    parts = [part for path in _model_files(folder) for part in (path.name, file_sha256(path))]
    return digest(parts)


def file_sha256(path: Path) -> str:
    """Hex digest of a file; a large file's is remembered by path, size and time of change."""
    path = path.resolve()
    status = path.stat()
    if status.st_size < REMEMBER_ABOVE:
        return files.sha256(path)
    stamp = [str(path), status.st_size, status.st_mtime_ns]
    note = cache_folder() / "hashes" / f"{digest([str(path)])}.json"
    known = read_json(note)
    if known.get("stamp") == stamp:
        return known["sha256"]
    found = files.sha256(path)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not the answer
        files.write_atomic(note, json.dumps({"stamp": stamp, "sha256": found}))
    return found


def digest(parts: Sequence[str]) -> str:
    """Hex SHA-256 of strings that hold no NUL."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; empty where there is none that can be read."""
    try:
        return files.read_object(path)
    except (OSError, ValueError):
        return {}


def _model_files(folder: Path) -> list[Path]:
    return sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)})


def _header(path: Path) -> dict[str, Any]:
    """Name, dtype and shape of every tensor: https://huggingface.co/docs/safetensors, "Format"."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            raise ValueError(f"{path}: no safetensors file")
        header = files.json_object(file.read(length))
    header.pop("__metadata__", None)
    return header
