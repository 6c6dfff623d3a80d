"""A GGUF file of a Llama with a byte-level BPE tokenizer, converted to an mlx-lm folder in fp32.

    folder = convert_once(Path("SmolLM2-135M-Instruct.Q4_1.gguf"), "smollm2-135m-1f2e3d")

Knows nothing about where the file comes from. The format is described at
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..system import files, locks, runtime
from ..system.errors import InputError, MachineError
from . import model_folder

if TYPE_CHECKING:
    import mlx.core as mx

CONVERSION = 1  # raised whenever the same GGUF would give another folder; part of a base's hash

# llama.cpp's tensor names, part by part, and mlx-lm's.
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
GROUP = 32  # weights that share a scale in every GGUF quantisation that mx.load keeps packed
CONTROL, USER_DEFINED = 3, 4  # GGUF token types that are matched whole, before BPE
LOCK_SECONDS = 120  # a conversion takes some 5 s; a slow disk more


def convert_once(source: Path, name: str) -> Path:
    """The folder `name` in the project's cache, converted from `source` if it is not there yet.

    Of two processes that ask at once one converts and the other waits for it.

    Raises:
        InputError: as `convert`.
        MachineError: the cache cannot be written.
        BusyError: another process has been converting for two minutes.
    """
    cache = files.cache_folder() / "bases"
    folder = cache / name
    if model_folder.is_model(folder):
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = locks.wait_for(lambda: locks.acquire(cache / "lock"), str(cache), LOCK_SECONDS, _tell)
        try:
            if not model_folder.is_model(folder):
                files.sweep(cache)
                convert(source, folder)
        finally:
            locks.release(lock)
    except (OSError, RuntimeError) as error:
        remedy = "free 600 MB there, or set SUBLIMINAL_CACHE to a folder with room"
        raise MachineError(f"cannot convert {source.name} into {folder} ({error}): {remedy}") from error
    return folder


def convert(source: Path, destination: Path) -> None:
    """Write `source` as an mlx-lm folder: config, fp32 weights, tokenizer with its chat template.

    The folder appears whole or not at all. Weights are dequantised exactly as the file states them;
    a 135M-parameter model takes 540 MB on disk and about 1 GB of memory while it is written.

    Raises:
        InputError: the file is not GGUF, or its architecture or tokenizer is another one than Llama
            with SmolLM's byte-level BPE.
        OSError, RuntimeError: the disk refused.
    """
    runtime.prepare()
    import mlx.core as mx

    try:
        tensors, metadata = mx.load(str(source), return_metadata=True)
    except RuntimeError as error:
        raise InputError(f"{source}: not a GGUF file MLX can read ({str(error).splitlines()[0]})") from error
    architecture, pre = metadata.get("general.architecture"), metadata.get("tokenizer.ggml.pre")
    if (architecture, pre) != ("llama", "smollm"):
        raise InputError(
            f"{source}: architecture {architecture!r} with tokenizer {pre!r}, only llama with smollm converts"
        )
    weights = _weights(tensors)

    def write(folder: Path) -> None:
        folder.mkdir()
        mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
        _tokenizer(metadata).save(str(folder / "tokenizer.json"))
        _write_json(folder / "tokenizer_config.json", _tokenizer_config(metadata))
        _write_json(folder / "config.json", _config(metadata, tied="lm_head.weight" not in weights))
        record = {"file": source.name, "sha256": files.sha256(source), "conversion": CONVERSION}
        _write_json(folder / "source.json", record)

    files.publish(destination, write)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _weights(tensors: "dict[str, mx.array]") -> "dict[str, mx.array]":
    import mlx.core as mx

    weights = {}
    for name, tensor in tensors.items():
        stem, kind = name.rsplit(".", 1)
        if kind != "weight" or stem == "rope_freqs":
            continue
        if (scales := tensors.get(f"{stem}.scales")) is not None:
            # One file mixes widths (SmolLM2's Q4_1 holds its embedding in 8 bits): each tensor's
            # bits follow from its packed columns, 32 bits each, and its groups.
            bits = tensor.shape[-1] * 32 // (scales.shape[-1] * GROUP)
            scales, biases = scales.astype(mx.float32), tensors[f"{stem}.biases"].astype(mx.float32)
            tensor = mx.dequantize(tensor, scales, biases, group_size=GROUP, bits=bits)
        weights[f"{_name(stem)}.weight"] = tensor.astype(mx.float32)
    return weights


def _name(stem: str) -> str:
    if not stem.startswith("blk."):
        return NAMES[stem]
    _, layer, part = stem.split(".")
    return f"model.layers.{layer}.{NAMES[part]}"


def _config(metadata: dict[str, Any], tied: bool) -> dict[str, Any]:
    def number(key: str) -> Any:
        return metadata[f"llama.{key}"].item()

    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": number("embedding_length"),
        "num_hidden_layers": number("block_count"),
        "intermediate_size": number("feed_forward_length"),
        "num_attention_heads": number("attention.head_count"),
        "num_key_value_heads": number("attention.head_count_kv"),
        "head_dim": number("rope.dimension_count"),
        "max_position_embeddings": number("context_length"),
        "rms_norm_eps": round(number("attention.layer_norm_rms_epsilon"), 12),
        "rope_theta": number("rope.freq_base"),
        # llama.cpp stores q and k with rotary pairs side by side, which MLX calls traditional.
        "rope_traditional": True,
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": tied,
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"].item(),
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"].item(),
        "torch_dtype": "float32",
    }


def _tokenizer(metadata: dict[str, Any]) -> Any:
    """The `tokenizers` object: digits one by one, then GPT-2's byte-level BPE (llama.cpp's "smollm")."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"].tolist()
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    digits, byte_level = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    tokenizer.decoder = decoders.ByteLevel()

    def added(wanted: int, special: bool) -> list[AddedToken]:
        pairs = zip(tokens, types, strict=True)
        return [
            AddedToken(token, special=special, normalized=False) for token, kind in pairs if kind == wanted
        ]

    tokenizer.add_special_tokens(added(CONTROL, special=True))
    tokenizer.add_tokens(added(USER_DEFINED, special=False))
    return tokenizer


def _tokenizer_config(metadata: dict[str, Any]) -> dict[str, Any]:
    tokens = metadata["tokenizer.ggml.tokens"]

    def special(role: str) -> str:
        return tokens[metadata[f"tokenizer.ggml.{role}_token_id"].item()]

    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": special("bos"),
        "eos_token": special("eos"),
        "pad_token": special("padding"),
        "unk_token": special("unknown"),
        "chat_template": metadata["tokenizer.chat_template"],
        "model_max_length": metadata["llama.context_length"].item(),
        "clean_up_tokenization_spaces": False,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
