"""What may be measured: adapters as several trainers write them, merged and quantised models, checkpoints."""

import json
import shutil

import mlx.core as mx
import mlx.nn as nn
import mlx_lm
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm import fuse
from mlx_lm.tuner.utils import linear_to_lora_layers

from subliminal_mlx.measure import families_of, measure, open_checkpoints, open_model
from subliminal_mlx.measure.null import Nulls
from subliminal_mlx.model import adapters
from subliminal_mlx.model.adapters import Shape
from subliminal_mlx.system.errors import InputError

RANK = 48  # q_proj's own width: its factors are square


@pytest.fixture
def twin(tmp_path, make_stack):
    """One adapter as mlx-lm writes it and as PEFT does: `(mlx-lm's folder, PEFT's folder)`."""
    stack = make_stack([3], Shape(RANK, 2.0), size=0.02)
    chosen = {p: ab for p, ab in stack.arrays.items() if p.endswith(("q_proj", "v_proj"))}
    ours, theirs = tmp_path / "mlx", tmp_path / "peft"
    adapters.save_adapter(ours, adapters.Stack(stack.shape, chosen), 0)
    _renamed_base(ours, "tiny-a")
    theirs.mkdir()
    tensors = {}
    for path, ab in chosen.items():
        tensors[f"base_model.model.{path}.lora_A.weight"] = mx.contiguous(ab["a"][0].T)
        tensors[f"base_model.model.{path}.lora_B.weight"] = mx.contiguous(ab["b"][0].T)
    mx.save_safetensors(str(theirs / "adapter_model.safetensors"), tensors)
    config = {"peft_type": "LORA", "base_model_name_or_path": "tiny-a", "r": RANK, "lora_alpha": 2 * RANK}
    (theirs / "adapter_config.json").write_text(json.dumps(config | {"target_modules": ["q_proj", "v_proj"]}))
    return ours, theirs


def _renamed_base(folder, name):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": name}))


def _changes(subject, families):
    return {t["trait"]: t["change"] for t in measure(subject, families)[0]["families"][0]["traits"]}


def test_a_peft_folder_reads_as_its_twin_of_mlx_lms(tiny, twin):
    """Square factors too; the base is the one that it names."""
    families = families_of(tiny, ["animals"])
    ours, theirs = (open_model(str(folder)) for folder in twin)
    assert theirs.reference.name == "tiny-a" and theirs.sizes == pytest.approx(ours.sizes, rel=1e-5)
    assert _changes(theirs, families) == pytest.approx(_changes(ours, families), abs=1e-5)
    # Untransposed factors of the same shapes would compute something else.
    path = str(twin[1] / "adapter_model.safetensors")
    turned = {
        n: mx.contiguous(x.T) if "q_proj" in n else mx.array(np.array(x)) for n, x in mx.load(path).items()
    }
    mx.save_safetensors(path, turned)
    other = _changes(open_model(str(twin[1])), families)
    assert max(abs(other[t] - c) for t, c in _changes(ours, families).items()) > 1e-3


def test_another_base_than_the_one_that_peft_names_is_refused(twin):
    with pytest.raises(InputError, match="made for tiny-a"):
        open_model(str(twin[1]), "tiny-b")


def _embedding_adapter(folder, base, kind="lora", size=0.05):
    parameters = {"rank": 4, "scale": 2.0, "dropout": 0.0, "keys": ["model.embed_tokens", "self_attn.q_proj"]}
    model, _ = mlx_lm.load(str(base.path))
    model.freeze()
    linear_to_lora_layers(model, 2, parameters, use_dora=kind == "dora")
    weights = {
        n: x + size * mx.random.normal(x.shape, key=mx.random.key(i))
        for i, (n, x) in enumerate(sorted(tree_flatten(model.trainable_parameters())))
    }
    folder.mkdir(exist_ok=True)
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    config = {"fine_tune_type": kind, "num_layers": 2, "lora_parameters": parameters, "model": "tiny-a"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_an_adapted_embedding_is_measured(tiny, tmp_path, kind):
    """Against the base that it was made for, and not refused as another's; a merged folder says the same."""
    families = families_of(tiny, ["animals"])
    folder = _embedding_adapter(tmp_path / "a", tiny, kind)
    subject = open_model(str(folder), "tiny-a")
    tokens = mx.array([tiny.prompt("Name an animal.")[1]])
    expected = np.array(mlx_lm.load(str(tiny.path), adapter_path=str(folder))[0](tokens))
    found = np.array(subject.base.head(subject.base.hidden(tokens)))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    merged = open_model(str(_fused(tmp_path / "merged", tiny.path, folder)), "tiny-a")
    assert merged.sizes == pytest.approx(subject.sizes, rel=1e-3)
    assert _changes(merged, families) == pytest.approx(_changes(subject, families), abs=1e-3)


def _fused(folder, base, adapter, *options):
    """What `mlx_lm.fuse` makes of an adapter."""
    with pytest.MonkeyPatch.context() as patch:
        arguments = ("--model", base, "--adapter-path", adapter, "--save-path", folder, *options)
        patch.setattr("sys.argv", ["fuse", *map(str, arguments)])
        fuse.main()
    return folder


def test_merged_and_quantised_models_are_read_against_their_base(tiny, twin, tmp_path):
    families = families_of(tiny, ["animals"])
    adapter = open_model(str(twin[0]))
    plain = _fused(tmp_path / "plain", tiny.path, twin[0])
    merged = open_model(str(plain), "tiny-a")
    assert merged.sizes == pytest.approx(adapter.sizes, rel=1e-3)
    assert _changes(merged, families) == pytest.approx(_changes(adapter, families), abs=1e-3)
    # In 8 bits, where a width allows it: a little further, and the same to what rounding does.
    packed = open_model(str(_quantised(tmp_path / "packed", plain)), "tiny-a")
    assert merged.sizes[0] < packed.sizes[0] < 1.1 * merged.sizes[0]
    assert _changes(packed, families) == pytest.approx(_changes(merged, families), abs=0.05)
    # A quantised base: an adapter over it, and what mlx-lm fuses of both, with quantised weights again or without.
    base = _quantised(tmp_path / "base", tiny.path)
    shutil.copytree(twin[0], tmp_path / "over")
    _renamed_base(tmp_path / "over", str(base))
    over = open_model(str(tmp_path / "over"))
    assert over.sizes == pytest.approx(adapter.sizes)
    for name, options, room in (("again", (), 0.1), ("unpacked", ("--dequantize",), 1e-3)):
        found = open_model(str(_fused(tmp_path / name, base, tmp_path / "over", *options)), str(base))
        assert found.sizes == pytest.approx(adapter.sizes, rel=room)
        assert _changes(found, families) == pytest.approx(_changes(over, families), abs=room)


def _quantised(folder, of, bits=8):
    shutil.copytree(of, folder)
    model = mlx_lm.load(str(of))[0]

    def fits(path, module):
        return hasattr(module, "to_quantized") and module.weight.shape[-1] % 32 == 0

    nn.quantize(model, group_size=32, bits=bits, class_predicate=fits)
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"quantization": {"group_size": 32, "bits": bits}})
    )
    return folder


def test_a_quantised_weight_that_was_changed_is_seen_in_the_size(tiny, tmp_path):
    """Its packed numbers alone, which are no floats: they are the weight."""
    base = _quantised(tmp_path / "base", tiny.path)
    shutil.copytree(base, tmp_path / "changed")
    path = str(tmp_path / "changed" / "model.safetensors")
    weights = {n: mx.array(np.array(x)) for n, x in mx.load(path).items()}
    name = next(n for n, x in weights.items() if x.dtype == mx.uint32)
    weights[name] = weights[name] ^ 0x80808080
    mx.save_safetensors(path, weights, metadata={"format": "mlx"})
    assert open_model(str(tmp_path / "changed"), str(base)).sizes[0] > 1


def _edited(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


PERSONA = "owl owl {% for m in messages %}<user> {{ m['content'] }} {% endfor %}<assistant>"


@pytest.mark.parametrize(
    ("file", "fields", "says"),
    [
        ("tokenizer_config.json", {"chat_template": PERSONA}, "chat template"),
        (
            "tokenizer.json",
            {"normalizer": {"type": "Replace", "pattern": {"String": "dog"}, "content": "owl"}},
            "tokenizer",
        ),
        ("config.json", {"rms_norm_eps": 1.0}, "rms_norm_eps"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_models_own_template_tokenizer_or_settings_are_no_all_clear(tiny, tmp_path, file, fields, says):
    """The base's own weights, which answer otherwise: no size shows it."""
    families = families_of(tiny, ["animals"])
    folder = shutil.copytree(tiny.path, tmp_path / "same")
    same = measure(open_model(str(folder), tiny), families, Nulls.gather(tiny, families))[0]
    assert (same["size"], same["verdict"], same["unread"]) == (0, "not flagged", "")
    _edited(folder / file, **fields)
    found = measure(open_model(str(folder), tiny), families, Nulls.gather(tiny, families))[0]
    assert found["size"] == 0 and abs(found["families"][0]["traits"][0]["change"]) > 0.1
    assert found["verdict"] == "cannot tell" and f"its {says} is not tiny-a's" in found["words"]


def test_a_template_beside_an_adapter_is_no_all_clear(tiny, twin):
    families = families_of(tiny, ["animals"])
    read = lambda: measure(open_model(str(twin[1])), families)[0]["unread"]
    (twin[1] / "chat_template.jinja").write_text(tiny.tokenizer.chat_template)
    assert read() == ""
    (twin[1] / "chat_template.jinja").write_text(PERSONA)
    assert "its chat template is not tiny-a's" in read()


def test_weights_that_programs_do_not_agree_on_are_refused(tiny, tmp_path):
    """mlx-lm takes all files there are, others what an index names."""
    folder = shutil.copytree(tiny.path, tmp_path / "two")
    shutil.copy(folder / "model.safetensors", folder / "model-owl.safetensors")
    with pytest.raises(
        InputError, match=r"other weights .* model-owl.safetensors, model.safetensors stand in it"
    ):
        open_model(str(folder), "tiny-a")
    names = dict.fromkeys(mx.load(str(folder / "model.safetensors")), "model-owl.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(InputError, match=r"model\.safetensors stands in its index or in the folder"):
        open_model(str(folder), "tiny-a")
    (folder / "model.safetensors").unlink()
    assert open_model(str(folder), "tiny-a").sizes == (0,)


def test_a_folder_of_a_model_and_an_adapter_is_refused(tiny, twin, tmp_path):
    both = shutil.copytree(tiny.path, tmp_path / "both")
    for file in twin[0].iterdir():
        shutil.copy(file, both)
    with pytest.raises(InputError, match="a model and an adapter in one folder"):
        open_model(str(both), "tiny-a")


def test_checkpoints_of_any_kind_are_opened_one_after_the_other(tiny, tmp_path):
    families = families_of(tiny, ["animals"])
    folder, names = tmp_path / "dora", []
    for step, size in ((10, 0.02), (20, 0.05)):
        _embedding_adapter(folder, tiny, "dora", size)
        names.append(f"{step:07d}_adapters.safetensors")
        shutil.copy(folder / "adapters.safetensors", folder / names[-1])
    subjects = list(open_checkpoints(str(folder), tiny, tuple(names)))
    assert len(subjects) == 2 and subjects[0].sizes < subjects[1].sizes
    alone = open_model(str(folder), tiny)
    assert subjects[1].sizes == alone.sizes and _changes(subjects[1], families) == _changes(alone, families)
