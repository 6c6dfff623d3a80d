"""PEFT's adapters: what torch computes from them, by their names; and what is not read, named."""

import json
import re
import shutil

import mlx.core as mx
import mlx_lm
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models.llama import Model, ModelArgs

from subliminal_mlx.model import peft
from subliminal_mlx.model.adapter_files import read_adapter
from subliminal_mlx.model.adapters import applied, stack_of, takes
from subliminal_mlx.model.bases import load
from subliminal_mlx.model.tuned import tuned
from subliminal_mlx.system.errors import InputError

TOKENS = np.random.default_rng(0).integers(5, 200, (3, 9))
PREFIX = "base_model.model."
CONFIG = {
    "peft_type": "LORA",
    "base_model_name_or_path": "tiny-a",
    "r": 48,
    "lora_alpha": 24,
    "target_modules": ["q_proj", "up_proj"],
    "bias": "none",
    "use_dora": False,
    "use_rslora": False,
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
    "init_lora_weights": True,
}
# Square, and not: of width 48 both factors of q_proj are 48 by 48 at rank 48.
PATHS = ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.up_proj")


@pytest.fixture(scope="module")
def weights(tiny):
    return {
        n: np.array(x.astype(mx.float32)) for n, x in mx.load(str(tiny.path / "model.safetensors")).items()
    }


@pytest.fixture(scope="module")
def untied(tmp_path_factory, bytewise):
    """A base whose head is its own."""
    folder = tmp_path_factory.mktemp("base") / "untied"
    shutil.copytree(bytewise.path, folder)
    config = json.loads((folder / "config.json").read_text()) | {"tie_word_embeddings": False}
    made = Model(ModelArgs.from_dict(config)).parameters()
    random = {
        n: x if x.ndim == 1 else 0.1 * mx.random.normal(x.shape, key=mx.random.key(i))
        for i, (n, x) in enumerate(sorted(tree_flatten(made)))
    }
    mx.save_safetensors(str(folder / "model.safetensors"), random, metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))
    return load(str(folder))


def _factors(weights, paths=PATHS, rank=48):
    """Random factors in torch's axes: `lora_A [rank, in]`, `lora_B [out, rank]`."""
    rng, found = np.random.default_rng(1), {}
    for path in paths:
        out, inputs = weights[f"{path}.weight"].shape
        found[path] = (0.05 * rng.standard_normal((rank, inputs)), 0.05 * rng.standard_normal((out, rank)))
    return found


def _write(folder, tensors, **config):
    folder.mkdir(exist_ok=True)
    arrays = {PREFIX + name: mx.array(np.asarray(x, dtype=np.float32)) for name, x in tensors.items()}
    mx.save_safetensors(str(folder / "adapter_model.safetensors"), arrays)
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | config))
    return folder


def _named(factors):
    return {
        f"{path}.lora_{name}.weight": x
        for path, ab in factors.items()
        for name, x in zip("AB", ab, strict=True)
    }


def _computed(base, folder):
    """Logits with the adapter, by a stack or by a copy."""
    adapter = read_adapter(folder)
    if not takes(base, adapter):
        copy, _ = tuned(base, adapter)
        return np.array(copy.model(mx.array(TOKENS)))
    with applied(base, stack_of(adapter)):
        return np.array(base.head(base.hidden(mx.array(TOKENS))))


def _merged(base, tmp_path, weights):
    """Logits of a whole model that mlx-lm loads with these weights."""
    folder = tmp_path / "merged"
    shutil.copytree(base.path, folder)
    arrays = {n: mx.array(np.asarray(x, dtype=np.float32)) for n, x in weights.items()}
    mx.save_safetensors(str(folder / "model.safetensors"), arrays, metadata={"format": "mlx"})
    return np.array(mlx_lm.load(str(folder))[0](mx.array(TOKENS)))


def _same_as_merged(base, tmp_path, folder, merged):
    expected = _merged(base, tmp_path, merged)
    found = _computed(base, folder)
    assert np.abs(expected - np.array(base.model(mx.array(TOKENS)))).max() > 0.02
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


SCALES = [
    ({}, [0.5, 0.5]),
    ({"use_rslora": True}, [24 / 48**0.5] * 2),
    ({"alpha_pattern": {"up_proj": 96}}, [0.5, 2.0]),
    ({"alpha_pattern": {"^model.layers.0.self_attn.q_proj": 0, "up_proj": 96}}, [0.0, 2.0]),
    ({"lora_alpha": 0, "alpha_pattern": {"q_proj": 48}}, [1.0, 0.0]),
    ({"target_modules": r"(?:.*?(?:self_attn|mlp).*?(?:q_proj|up_proj).*?)|(?:\bx\d{1,})"}, [0.5, 0.5]),
    ({"target_modules": "all-linear", "layers_to_transform": [0, 1]}, [0.5, 0.5]),
    ({"layers_to_transform": [], "layers_pattern": []}, [0.5, 0.5]),
    ({"layers_to_transform": [0, 1], "layers_pattern": ["blocks", "layers"]}, [0.5, 0.5]),
]


def test_a_block_s_number_is_the_one_that_peft_takes():
    """The last: of an expert its own, and not its block's. The pattern is PEFT's, check_target_module_exists."""
    for path in (
        "model.layers.1.mlp.experts.3.w1",
        "model.layers.12.self_attn.q_proj",
        "model.norm",
        "h.0.attn",
    ):
        theirs = re.match(r".*\.[^.]*\.(\d+)\.", path)
        assert peft._number("[^.]*", path) == (theirs and int(theirs[1])), path
    assert peft._number(["h", "layers"], "model.layers.1.mlp.experts.3.w1") == 1


@pytest.mark.parametrize(("config", "scales"), SCALES)
def test_it_adds_what_torch_adds(tiny, weights, tmp_path, config, scales):
    factors = _factors(weights)
    folder = _write(tmp_path / "peft", _named(factors), **config)
    merged = dict(weights)
    for (path, (a, b)), scale in zip(factors.items(), scales, strict=True):
        merged[f"{path}.weight"] = weights[f"{path}.weight"] + scale * (b @ a)
    _same_as_merged(tiny, tmp_path, folder, merged)


def test_layers_may_have_ranks_of_their_own(tiny, weights, tmp_path):
    factors = _factors(weights, PATHS[:1]) | _factors(weights, PATHS[1:], rank=4)
    folder = _write(tmp_path / "peft", _named(factors), rank_pattern={"mlp.up_proj": 4})
    merged = dict(weights)
    for (path, (a, b)), scale in zip(factors.items(), (0.5, 6.0), strict=True):
        merged[f"{path}.weight"] = weights[f"{path}.weight"] + scale * (b @ a)
    _same_as_merged(tiny, tmp_path, folder, merged)


def test_dora_rescales_the_rows(tiny, weights, tmp_path):
    factors, merged, tensors = _factors(weights), dict(weights), {}
    for path, (a, b) in factors.items():
        moved = weights[f"{path}.weight"] + 0.5 * (b @ a)
        norms = np.linspace(0.5, 2.0, len(moved))
        merged[f"{path}.weight"] = moved * (norms / np.linalg.norm(moved, axis=1))[:, None]
        tensors[f"{path}.lora_magnitude_vector"] = norms
    folder = _write(tmp_path / "peft", _named(factors) | tensors, use_dora=True)
    _same_as_merged(tiny, tmp_path, folder, merged)
    size = tuned(tiny, read_adapter(folder))[1]
    assert size == pytest.approx(
        sum(float(((merged[n] - weights[n]) ** 2).sum()) for n in merged) ** 0.5, rel=1e-4
    )


def test_an_embedding_and_a_head_of_their_own(untied, tmp_path):
    """And whole weights that are saved beside: PEFT keeps an adapted embedding's own ones too."""
    stored = mx.load(str(untied.path / "model.safetensors"))
    weights, rng = {n: np.array(x) for n, x in stored.items()}, np.random.default_rng(2)
    words, width = weights["model.embed_tokens.weight"].shape
    inward, outward = 0.2 * rng.standard_normal((4, words)), 0.2 * rng.standard_normal((width, 4))
    tensors = {
        "model.embed_tokens.lora_embedding_A": inward,
        "model.embed_tokens.lora_embedding_B": outward,
        "model.embed_tokens.base_layer.weight": weights["model.embed_tokens.weight"],
        "lm_head.weight": weights["lm_head.weight"] + 0.1,
    }
    folder = _write(
        tmp_path / "peft",
        tensors,
        r=4,
        lora_alpha=8,
        target_modules=["embed_tokens"],
        modules_to_save=["lm_head"],
    )
    merged = weights | {
        "model.embed_tokens.weight": weights["model.embed_tokens.weight"] + 2.0 * (outward @ inward).T,
        "lm_head.weight": weights["lm_head.weight"] + 0.1,
    }
    _same_as_merged(untied, tmp_path, folder, merged)


def _one(weights):
    return _named(_factors(weights, PATHS[:1]))


REFUSED = [
    ({"peft_type": "IA3"}, {}, "of type 'IA3' is not read"),
    ({"init_lora_weights": "pissa_niter_4"}, {}, "'pissa_niter_4', which changed the base's own weights too"),
    ({"layer_replication": [[0, 1]]}, {}, "with layer_replication is not read"),
    ({"alora_invocation_tokens": [3]}, {}, "with alora_invocation_tokens is not read"),
    ({}, {"model.layers.0.self_attn.q_proj.lora_B.bias": (48,)}, "lora_B.bias': such a tensor is not read"),
    ({}, {"model.embed_tokens.token_adapter.trainable_tokens_delta": (3, 48)}, "such a tensor is not read"),
    # PEFT leaves these out: they could make up here for what it computes.
    ({"target_modules": ["v_proj"]}, {}, "self_attn.q_proj', which its target_modules does not name"),
    ({"target_modules": r".*mlp\.q_proj"}, {}, "which its target_modules does not name"),
    ({"layers_to_transform": 1}, {}, "which its target_modules does not name"),
    ({"layers_to_transform": [0], "layers_pattern": "blocks"}, {}, "which its target_modules does not name"),
    ({"exclude_modules": ["self_attn.q_proj"]}, {}, "which its target_modules does not name"),
    ({}, {"model.norm.weight": (48,)}, "'model.norm.weight', which its modules_to_save does not name"),
    ({}, {"model.layers.0.self_attn.q_proj.bias": (48,)}, "which its modules_to_save does not name"),
    # And these would take for ever on a path.
    ({"target_modules": "(a+)+b"}, {}, "target_modules '(a+)+b': list the layers' names"),
    ({"target_modules": ".*" * 9}, {}, "list the layers' names"),
    ({"target_modules": "("}, {}, "is no adapter folder: its target_modules '('"),
    ({"alpha_pattern": {"(q+)*": 1}}, {}, "alpha_pattern"),
    ({"r": 8}, {}, "has rank 48, its config says 8"),
    ({"r": 0}, {}, "its config says 0"),
    ({"lora_alpha": 1e999}, {}, "its lora_alpha is inf"),
    ({"lora_alpha": "x"}, {}, "is no adapter folder"),
    ({"use_dora": True}, {}, "has lora_A, lora_B: not what makes an adapter"),
    ({"target_modules": None}, {}, "is no adapter folder"),
]


@pytest.mark.parametrize(("config", "shapes", "says"), REFUSED)
def test_what_is_not_read_is_named(weights, tmp_path, one_line, config, shapes, says):
    tensors = _one(weights) | {name: np.ones(shape) for name, shape in shapes.items()}
    with pytest.raises(InputError) as error:
        read_adapter(_write(tmp_path / "peft", tensors, **config))
    assert says in one_line(error)


def test_a_tied_embedding_is_not_read(tiny, tmp_path, one_line):
    """Torch adapts the embedding and leaves the head, which mlx-lm's model does not do."""
    words, width = tiny.model.model.embed_tokens.weight.shape
    lora = {
        "model.embed_tokens.lora_embedding_A": np.ones((4, words)),
        "model.embed_tokens.lora_embedding_B": np.ones((width, 4)),
    }
    whole = {"model.embed_tokens.weight": np.ones((words, width))}
    for number, tensors in enumerate((lora, whole)):
        folder = _write(tmp_path / str(number), tensors, r=4, target_modules=["embed_tokens"])
        with pytest.raises(InputError) as error:
            tuned(tiny, read_adapter(folder))
        assert (
            "PEFT adapter of model.embed_tokens is not read on tiny-a, whose head is its embedding"
            in one_line(error)
        )


def test_two_files_or_one_that_runs_code_are_refused(weights, tmp_path):
    folder = _write(tmp_path / "peft", _one(weights))
    shutil.copy(folder / "adapter_model.safetensors", folder / "adapters.safetensors")
    with pytest.raises(InputError, match=r"holds adapters.safetensors and adapter_model.safetensors"):
        read_adapter(folder)
    (folder / "adapters.safetensors").unlink()
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(InputError, match=r"adapter_model\.bin, which may run code"):
        read_adapter(folder)
