"""Estimates of memory beside what MLX measured."""

import gc
import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from subliminal_mlx.model import memory
from subliminal_mlx.model.adapters import Shape, init
from subliminal_mlx.model.bases import Base
from subliminal_mlx.model.rows import pack
from subliminal_mlx.model.sample import Decoding, sample
from subliminal_mlx.model.score import candidate_scores
from subliminal_mlx.model.train import Recipe, train

CONFIG = dict(
    model_type="llama",
    hidden_size=96,
    num_hidden_layers=4,
    intermediate_size=256,
    num_attention_heads=6,
    num_key_value_heads=2,
    rms_norm_eps=1e-5,
    vocab_size=3_000,
    tie_word_embeddings=True,
    torch_dtype="float32",
)


def near(measured, rel):
    """Estimates are fitted to a CPU; on a GPU, whose buffers for so small a model are mostly spare room, tenfold."""
    return pytest.approx(measured, rel=rel if mx.default_device() == mx.cpu else 0.9)


def random_base(config):
    from mlx_lm.models.llama import Model, ModelArgs

    model = Model(ModelArgs.from_dict(config))
    mx.eval(model.parameters())
    model.freeze()
    return Base("random", model, None, None, "", 0, 0, True)


def shape_of(base, config):
    size = sum(array.nbytes for _, array in tree_flatten(base.model.parameters()))
    return memory.of_config(config, size, fp32=True)


def step(base, seeds, **changes):
    """Peak of two training steps of 16 rows of 64 tokens, 8 of them scored, for each seed a slot."""
    rows = pack([tuple(range(1, 57))] * 16, [tuple(range(1, 9))] * 16)
    recipe = Recipe(steps=2, batch=16, lr=1e-3, **changes)
    stack = init(base, Shape(8), seeds)
    return peak(base, lambda: train(base, stack, [rows] * len(seeds), recipe, seeds))


def peak(base, work):
    """What the work takes beside the base's weights, and these; not what other tests' models hold.

    The largest of three times: what is freed while it runs depends on how the machine's threads take turns.
    """
    largest = 0
    for _ in range(3):
        # What other tests left must not go in the middle of it.
        gc.collect()
        mx.synchronize()
        mx.clear_cache()
        mx.reset_peak_memory()
        weights = sum(array.nbytes for _, array in tree_flatten(base.model.parameters()))
        others = mx.get_active_memory() - weights
        work()
        largest = max(largest, mx.get_peak_memory() - others)
    return largest


@pytest.fixture(scope="module")
def base():
    return random_base(CONFIG)


@pytest.fixture(scope="module")
def shape(base):
    return shape_of(base, CONFIG)


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("changes", [{}, {"batch_tokens": 512}], ids=str)
def test_training(base, shape, slots, changes):
    measured = step(base, list(range(slots)), **changes)
    assert memory.training(shape, 16, 64, 8, 8, slots, **changes) == near(measured, 0.25)


DEPTH_FIRST = """
from subliminal_mlx.system import runtime
runtime.depth_first()
runtime.prepare()
import sys, mlx.core as mx
sys.path.insert(0, "tests/model")
from test_memory import CONFIG, random_base, step
print(step(random_base(CONFIG | {"num_hidden_layers": 12}), [1], grad_checkpoint=True))
"""


def test_training_with_checkpointed_gradients():
    """In a process of its own, as a worker: MLX reads once in which order to compute."""
    config = CONFIG | {"num_hidden_layers": 12}
    child = subprocess.run([sys.executable, "-c", DEPTH_FIRST], capture_output=True, text=True, check=True)
    measured = int(child.stdout)
    deep = shape_of(random_base(config), config)
    expected = memory.training(deep, 16, 64, 8, 8, grad_checkpoint=True)
    assert expected == near(measured, 0.4)
    saved = 0.5 if mx.default_device() == mx.cpu else 0.9
    assert measured < saved * step(random_base(config), [1])


@pytest.mark.parametrize("rows", [16, 96])
def test_sampling(base, shape, rows):
    prompts = [tuple(np.random.default_rng(r).integers(5, 200, 40).tolist()) for r in range(rows)]
    measured = peak(base, lambda: sample(base, prompts, 1, Decoding(1.0, None, 8, rows)))
    assert memory.sampling(shape, rows, 40, 8) == near(measured, 0.3)


def test_reading(base, shape):
    rng = np.random.default_rng(0)
    prompts = [tuple(rng.integers(5, 200, 40).tolist()) for _ in range(24)]
    candidates = [[tuple(rng.integers(5, 200, 3).tolist()) for _ in range(8)] for _ in range(24)]
    measured = peak(base, lambda: candidate_scores(base, prompts, candidates))
    assert memory.reading(shape, 24, 40, 8, 3) == near(measured, 0.35)


def test_the_estimate_grows_with_everything_that_costs():
    big = memory.of_config(CONFIG | {"num_hidden_layers": 28, "vocab_size": 150_000}, 10**9, fp32=False)
    plain = memory.training(big, 66, 120, 40)
    assert memory.training(big, 66, 120, 40, grad_checkpoint=True) < plain
    assert memory.training(big, 66, 120, 40, layers=4) < plain
    assert memory.training(big, 66, 120, 40, batch_tokens=2_000) < plain
    assert memory.sampling(big, 64, 60, 40, choices=12) < memory.sampling(big, 64, 60, 40)
    assert memory.reading(big, 30, 40, 1, 1) < memory.reading(big, 30, 40, 16, 3)


def test_a_config_that_says_too_little_gives_no_estimate():
    assert memory.of_config({"model_type": "mamba"}, 1, True) is None
    inside = {"text_config": CONFIG, "model_type": "gemma3"}
    assert memory.of_config(inside, 5, True) == memory.of_config(CONFIG, 5, True)
