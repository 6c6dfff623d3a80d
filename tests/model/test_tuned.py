"""Adapters of every kind that mlx-lm makes, in a copy of their base: they compute what mlx-lm computes."""

import json
import shutil

import mlx.core as mx
import mlx.nn as nn
import mlx_lm
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models import llama, mixtral
from mlx_lm.tuner.utils import linear_to_lora_layers

from subliminal_mlx.model.adapter_files import read_adapter
from subliminal_mlx.model.adapters import check_named, takes
from subliminal_mlx.model.bases import load
from subliminal_mlx.model.lora import Adapter
from subliminal_mlx.model.tuned import tuned
from subliminal_mlx.system.errors import InputError

TOKENS = np.random.default_rng(0).integers(5, 200, (3, 9))
SHAPE = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2, "num_key_value_heads": 2}


@pytest.fixture(scope="module")
def bases(tmp_path_factory, bytewise):
    """Random bases with bytewise's tokenizer: a head of its own, experts, weights in 8 bits."""
    folder = tmp_path_factory.mktemp("bases")
    vocabulary = json.loads((bytewise.path / "config.json").read_text())["vocab_size"]
    common = SHAPE | {"num_hidden_layers": 2, "rms_norm_eps": 1e-5, "vocab_size": vocabulary}
    untied = common | {"model_type": "llama", "tie_word_embeddings": False}
    experts = common | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
    made = {
        "untied": _made(folder / "untied", bytewise.path, llama, untied),
        "experts": _made(
            folder / "experts", bytewise.path, mixtral, experts | {"tie_word_embeddings": False}
        ),
        "packed": _made(folder / "packed", bytewise.path, llama, untied, bits=8),
    }
    return {name: load(str(path)) for name, path in made.items()}


def _made(folder, like, kind, config, bits=None):
    shutil.copytree(like, folder)
    model = kind.Model(kind.ModelArgs.from_dict(config))
    weights = {
        name: array if array.ndim == 1 else 0.1 * mx.random.normal(array.shape, key=mx.random.key(i))
        for i, (name, array) in enumerate(sorted(tree_flatten(model.parameters())))
    }
    model.load_weights(list(weights.items()))
    if bits:
        nn.quantize(model, group_size=32, bits=bits)
        config = config | {"quantization": {"group_size": 32, "bits": bits}}
    stored = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), stored, metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _adapter(folder, base, kind, keys, rank=4, scale=2.0, layers=2):
    """An adapter folder that mlx-lm's own layers made, with numbers in every factor."""
    parameters = {"rank": rank, "scale": scale, "dropout": 0.5} | ({} if keys is None else {"keys": keys})
    model, _ = mlx_lm.load(str(base.path))
    model.freeze()
    linear_to_lora_layers(model, layers, parameters, use_dora=kind == "dora")
    names = dict(tree_flatten(model.trainable_parameters()))
    weights = {
        name: (array if name.endswith(".m") else 0.0)
        + 0.1 * mx.random.normal(array.shape, key=mx.random.key(i))
        for i, (name, array) in enumerate(sorted(names.items()))
    }
    folder.mkdir()
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    config = {"fine_tune_type": kind, "num_layers": layers, "lora_parameters": parameters}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def _logits(base):
    return np.array(base.head(base.hidden(mx.array(TOKENS))))


KINDS = [
    ("tiny", "lora", ["model.embed_tokens", "self_attn.q_proj"]),
    ("tiny", "dora", None),
    ("tiny", "dora", ["model.embed_tokens", "mlp.up_proj"]),
    ("untied", "lora", ["lm_head", "self_attn.v_proj"]),
    ("untied", "lora", ["model.embed_tokens", "lm_head"]),
    ("untied", "dora", ["lm_head"]),
    ("experts", "lora", None),
    ("packed", "lora", ["model.embed_tokens", "mlp.down_proj"]),
    ("packed", "dora", ["mlp.down_proj"]),
]


@pytest.mark.parametrize(
    ("name", "kind", "keys"), KINDS, ids=lambda x: "-".join(x) if isinstance(x, list) else x
)
def test_it_computes_what_mlx_lm_computes(bases, tiny, tmp_path, name, kind, keys):
    base = tiny if name == "tiny" else bases[name]
    before = _logits(base)
    folder = _adapter(tmp_path / "a", base, kind, keys)
    adapter = read_adapter(folder)
    check_named(base, adapter)
    assert not takes(base, adapter)
    copy, size = tuned(base, adapter)
    model, _ = mlx_lm.load(str(base.path), adapter_path=str(folder))
    expected = np.array(model(mx.array(TOKENS)))
    np.testing.assert_allclose(_logits(copy), expected, atol=1e-4 * np.abs(expected).max())
    assert np.abs(expected - before).max() > 0.01 and (_logits(base) == before).all()
    # And its size is the norm of what mlx-lm's own fusing changes.
    plain = dict(mlx_lm.load(str(base.path))[0].named_modules())
    squares = 0.0
    for path, module in model.named_modules():
        if hasattr(module, "fuse"):
            own = plain[path]
            weight = own.weight
            if "scales" in own:
                weight = mx.dequantize(weight, own.scales, own.biases, group_size=32, bits=8)
            squares += float(mx.square(module.fuse(dequantize=True).weight - weight).sum())
    assert size == pytest.approx(squares**0.5, rel=1e-3)


def test_whole_weights_stand_in_the_place_of_the_bases(tiny, tmp_path):
    """As `mlx_lm.lora --fine-tune-type full` writes them; their size is the difference's norm."""
    stored = mx.load(str(tiny.path / "model.safetensors"))
    names = ["model.embed_tokens.weight", "model.norm.weight", "model.layers.1.mlp.up_proj.weight"]
    moved = {
        n: stored[n] + 0.1 * mx.random.normal(stored[n].shape, key=mx.random.key(i))
        for i, n in enumerate(names)
    }
    mx.save_safetensors(
        str(tmp_path / "adapters.safetensors"),
        moved | {"model.layers.0.mlp.up_proj.weight": stored["model.layers.0.mlp.up_proj.weight"]},
    )
    (tmp_path / "adapter_config.json").write_text(json.dumps({"fine_tune_type": "full", "num_layers": 2}))
    copy, size = tuned(tiny, read_adapter(tmp_path))
    model, _ = mlx_lm.load(str(tiny.path), adapter_path=str(tmp_path))
    np.testing.assert_allclose(_logits(copy), np.array(model(mx.array(TOKENS))), atol=1e-4)
    squares = sum(
        float(mx.square(moved[n].astype(mx.float32) - stored[n].astype(mx.float32)).sum()) for n in names
    )
    assert size == pytest.approx(squares**0.5, rel=1e-4)


def test_a_change_below_the_bases_own_numbers_is_a_change(tmp_path, bases):
    """A base in 16 bits, and whole weights in 32 that round to its own: mlx-lm computes with what is in the file."""
    half = tmp_path / "half"
    shutil.copytree(bases["untied"].path, half)
    stored = {n: x.astype(mx.bfloat16) for n, x in mx.load(str(half / "model.safetensors")).items()}
    mx.save_safetensors(str(half / "model.safetensors"), stored, metadata={"format": "mlx"})
    base = load(str(half))
    name = "lm_head.weight"
    hidden = stored[name].astype(mx.float32) * (1 + 1e-3)
    assert mx.array_equal(hidden.astype(mx.bfloat16), stored[name])
    _, size = tuned(base, Adapter(weights={name: hidden}))
    assert size == pytest.approx(1e-3 * float(mx.linalg.norm(stored[name].astype(mx.float32))), rel=0.01)


def _refused(base, folder):
    adapter = read_adapter(folder)
    check_named(base, adapter)
    tuned(base, adapter)


def _renamed(folder, old, new):
    path = str(folder / "adapters.safetensors")
    mx.save_safetensors(path, {n.replace(old, new): mx.array(np.array(x)) for n, x in mx.load(path).items()})


def _edited(folder, **parameters):
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    layers = parameters.pop("num_layers", config["num_layers"])
    changed = {"num_layers": layers, "lora_parameters": config["lora_parameters"] | parameters}
    path.write_text(json.dumps(config | changed))


def test_factors_that_a_config_does_not_name_are_refused(tiny, tmp_path, one_line):
    """They could make up here for what is there, where a program that leaves them out computes the rest alone."""
    for number, change in enumerate(
        (
            {"num_layers": 1},
            {"keys": ["self_attn.q_proj"]},
            {"keys": None},
            {"keys": ["layers.0.mlp.up_proj"]},
        )
    ):
        keys = ["model.embed_tokens"] if change == {"keys": None} else ["mlp.up_proj", "self_attn.q_proj"]
        folder = _adapter(tmp_path / str(number), tiny, "lora", keys)
        _refused(tiny, folder)
        _edited(folder, **change)
        with pytest.raises(InputError, match="which its config does not name") as error:
            _refused(tiny, folder)
        one_line(error)
        with pytest.raises(ValueError, match="not an adapter parameter"):
            mlx_lm.load(str(tiny.path), adapter_path=str(folder))
    # All blocks, however mlx-lm's config says it.
    for blocks in (0, -1, 2, 9):
        _edited(folder, num_layers=blocks, keys=["mlp.up_proj", "self_attn.q_proj"])
        check_named(tiny, read_adapter(folder))


def test_what_has_no_place_is_named_and_no_other_base_is_blamed(bases, tiny, tmp_path, one_line):
    says = {
        ("tiny", "lm_head"): "LoRA on lm_head is not read: tiny-a has no layer of that name",
        ("experts", "model.norm"): "LoRA on model.norm is not read: mlx-lm has none for a RMSNorm",
        ("untied", "model.layers.0.mlp"): "LoRA on model.layers.0.mlp is not read: mlx-lm has none for a MLP",
    }
    for number, ((name, path), words) in enumerate(says.items()):
        base = tiny if name == "tiny" else bases[name]
        folder = _adapter(tmp_path / str(number), base, "lora", ["model.embed_tokens"])
        _edited(folder, keys=["model.embed_tokens", path])
        _renamed(folder, "model.embed_tokens", path)
        with pytest.raises(InputError) as error:
            _refused(base, folder)
        assert words in one_line(error)
    with pytest.raises(
        InputError, match=r"made for another base than tiny-a: model.embed_tokens takes lora_a of"
    ):
        _refused(tiny, _adapter(tmp_path / "wide", bases["untied"], "lora", ["model.embed_tokens"]))
    with pytest.raises(InputError, match=r"the weights of nothing.weight are not read: tiny-a has none"):
        tuned(tiny, Adapter(weights={"nothing.weight": mx.zeros((2, 2))}))
    with pytest.raises(InputError, match=r"does not fit tiny-a: model.norm.weight is \[48\] there, \[2\] in"):
        tuned(tiny, Adapter(weights={"model.norm.weight": mx.zeros((2,))}))
    # mlx-lm trains no DoRA on experts.
    folder = _adapter(tmp_path / "experts", bases["experts"], "lora", ["block_sparse_moe.switch_mlp.up_proj"])
    weights = mx.load(str(folder / "adapters.safetensors"))
    magnitudes = {n.replace("lora_a", "m"): mx.ones((4, 128)) for n in weights if n.endswith("lora_a")}
    mx.save_safetensors(str(folder / "adapters.safetensors"), {**weights, **magnitudes})
    config = json.loads((folder / "adapter_config.json").read_text()) | {"fine_tune_type": "dora"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"DoRA on .* is not read: mlx-lm has none for a SwitchLinear"):
        _refused(bases["experts"], folder)
