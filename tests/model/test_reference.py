"""The converted SmolLM2 against transformers on the same dequantised weights (tests/model/reference)."""

from pathlib import Path

import mlx.core as mx
import numpy as np
import pyarrow.parquet as pq

from subliminal_mlx.model.bases import load

STORED = Path(__file__).parent / "reference" / "smollm2.parquet"


def test_smollm2_agrees_with_transformers_to_rounding():
    """20 prompts, every position: the same best token, and 64 log-probabilities within 2e-3 nats."""
    base = load("smollm2-135m")
    rows = pq.read_table(STORED).to_pylist()
    prompts = {row["prompt"]: row["ids"] for row in rows}  # the last position holds all ids
    assert len(prompts) == 20
    worst, best = 0.0, 0
    for prompt, ids in prompts.items():
        assert base.encode(prompt) == tuple(ids)
        logits = base.head(base.hidden(mx.array([ids])))[0].astype(mx.float32)
        logp = np.array(logits - mx.logsumexp(logits, axis=-1, keepdims=True))
        for position, row in enumerate(row for row in rows if row["prompt"] == prompt):
            stored = np.array(row["logp"])
            worst = max(worst, float(np.abs(logp[position, row["tokens"]] - stored).max()))
            # Two tokens closer than rounding may change places.
            best += logp[position].argmax() == row["tokens"][0] or stored[0] - stored[1] < 1e-3
    assert worst < 2e-3
    assert best == len(rows)
