import json
import shutil

import mlx.core as mx
import mlx.nn as nn
import mlx_lm
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers, load_adapters

from subliminal_mlx.model.adapters import Shape, Stack, applied, concatenate, init, load_adapter, save_adapter
from subliminal_mlx.model.bases import load as load_base
from subliminal_mlx.system.errors import InputError

LINEARS = 7  # in a Llama's block: q, k, v, o, gate, up, down


@pytest.fixture(scope="module")
def tokens(tiny):
    """Token ids [4, 12]."""
    return np.random.default_rng(0).integers(5, 200, (4, 12))


def logits(base, tokens, stack=None):
    with applied(base, stack):
        return np.array(base.head(base.hidden(mx.array(np.ascontiguousarray(tokens)))))


def test_a_slot_computes_what_its_adapter_computes_alone(tiny, make_stack, tokens, same):
    stack = make_stack([1, 2, 3])
    rows = [tokens, tokens[::-1], tokens + 1]
    together = logits(tiny, np.concatenate(rows), stack)
    for slot in range(3):
        alone = logits(tiny, rows[slot], stack.select([slot]))
        assert same(together[4 * slot : 4 * slot + 4], alone)
        assert np.abs(alone - logits(tiny, rows[slot])).max() > 1, "the adapters do something"
    assert np.abs(logits(tiny, tokens, stack.select([0])) - logits(tiny, tokens, stack.select([1]))).max() > 1


def test_slots_may_stand_in_any_order(tiny, make_stack, tokens):
    stack = make_stack([1, 2, 3])
    forwards, backwards = (
        logits(tiny, np.tile(tokens, (3, 1)), stack),
        logits(tiny, np.tile(tokens, (3, 1)), stack.select([2, 1, 0])),
    )
    assert (forwards.reshape(3, 4, 12, -1) == backwards.reshape(3, 4, 12, -1)[::-1]).all()
    again = concatenate([make_stack([1]), make_stack([2, 3])])
    assert again.slots == 3 and (logits(tiny, np.tile(tokens, (3, 1)), again) == forwards).all()


def test_adapters_of_different_shapes_do_not_stack(tiny, make_stack, one_line):
    for other in (Shape(rank=4), Shape(scale=1.0), Shape(layers=1)):
        with pytest.raises(InputError) as error:
            concatenate([make_stack([1]), make_stack([1], other)])
        one_line(error)


def test_without_a_stack_the_base_is_itself_to_the_bit(fresh, make_stack, tokens):
    untouched = logits(fresh, tokens)
    stack = make_stack([1, 2], base=fresh)
    assert (logits(fresh, tokens) == untouched).all()
    changed = logits(fresh, np.tile(tokens, (2, 1)), stack)
    assert np.abs(changed[:4] - untouched).max() > 1
    assert (logits(fresh, tokens) == untouched).all()
    assert (np.array(fresh.model(mx.array(tokens))) == untouched).all()


def test_an_exception_inside_leaves_the_base_as_it_was(tiny, make_stack, tokens):
    untouched = logits(tiny, tokens)
    with pytest.raises(KeyboardInterrupt), applied(tiny, make_stack([1])):
        raise KeyboardInterrupt
    assert (logits(tiny, tokens) == untouched).all()


def test_a_stack_that_does_not_fit_leaves_the_base_as_it_was(tiny, make_stack, tokens, one_line):
    untouched, stack = logits(tiny, tokens), make_stack([1])
    stray = Stack(
        stack.shape, stack.arrays | {"model.layers.9.mlp.up_proj": next(iter(stack.arrays.values()))}
    )
    with pytest.raises(InputError, match="up_proj") as error, applied(tiny, stray):
        pass
    one_line(error)
    assert (logits(tiny, tokens) == untouched).all()


def test_the_last_stack_applied_is_the_one_that_counts(tiny, make_stack, tokens):
    """As when a readout looks at other adapters, or at none, in the middle of a training."""
    outer, inner = make_stack([1]), make_stack([2], Shape(rank=4, layers=1))
    expected = {id(stack): logits(tiny, tokens, stack) for stack in (outer, inner, None)}
    with applied(tiny, outer):
        for stack in (inner, None, outer):
            assert (logits(tiny, tokens, stack) == expected[id(stack)]).all()
        # And the block goes on with its own.
        assert (np.array(tiny.model(mx.array(tokens))) == expected[id(outer)]).all()
    assert (logits(tiny, tokens) == expected[id(None)]).all()


def test_a_fresh_adapter_changes_nothing(tiny, tokens):
    assert (logits(tiny, tokens, init(tiny, Shape(), [5])) == logits(tiny, tokens)).all()


def test_a_depends_on_seed_and_path_alone(tiny, fresh):
    together, alone = init(tiny, Shape(), [1, 2, 3]), init(fresh, Shape(), [2])
    assert set(together.arrays) == set(alone.arrays)
    last = init(load_base("tiny-b"), Shape(layers=1), [2])
    assert 0 < len(last.arrays) < len(alone.arrays)
    for path, ab in alone.arrays.items():
        assert mx.array_equal(together.arrays[path]["a"][1], ab["a"][0])
        if path in last.arrays:
            assert mx.array_equal(last.arrays[path]["a"], ab["a"])
    drawn = [np.array(a).tobytes() for ab in together.arrays.values() for a in ab["a"]]
    assert len(set(drawn)) == len(drawn), "every seed and path has numbers of its own"


def test_a_is_uniform_and_b_is_zero(tiny):
    for path, ab in init(tiny, Shape(rank=64), [1, 2]).arrays.items():
        a, inputs = np.array(ab["a"]), ab["a"].shape[1]
        bound = inputs**-0.5
        # Uniform in +-bound has a standard deviation of bound / sqrt(3), known here to under 1%.
        assert np.abs(a).max() <= bound and a.std() == pytest.approx(bound / 3**0.5, rel=0.05), path
        assert not ab["b"].any().item() and a.dtype == np.float32


def test_arrays_come_in_one_order_whatever_was_done_before(fresh):
    """Training sums over them: another order would round differently in a resumed process."""
    first, second = init(fresh, Shape(), [1]), init(fresh, Shape(), [1])
    assert list(first.arrays) == list(second.arrays)


@pytest.mark.parametrize(
    ("rank", "layers", "blocks"), [(8, 0, {0, 1}), (3, 1, {1}), (1, 2, {0, 1}), (2, 9, {0, 1})]
)
def test_rank_and_layers_are_respected(tiny, make_stack, tokens, rank, layers, blocks):
    stack = make_stack([1, 2], Shape(rank, 2.0, layers))
    assert {int(path.split(".")[2]) for path in stack.arrays} == blocks
    assert len(stack.arrays) == LINEARS * len(blocks) and stack.slots == 2
    model = dict(tree_flatten(mlx_lm.load(str(tiny.path))[0].parameters()))
    for path, ab in stack.arrays.items():
        outputs, inputs = model[f"{path}.weight"].shape
        assert ab["a"].shape == (2, inputs, rank) and ab["b"].shape == (2, rank, outputs)
    if blocks == {1}:
        # What the first block computes is the base's: its output is the second one's input.
        with applied(tiny, stack):
            seen = tiny.model.layers[0](
                tiny.model.model.embed_tokens(mx.array(np.tile(tokens, (2, 1)))), mask="causal"
            )
        expected = tiny.model.layers[0](
            tiny.model.model.embed_tokens(mx.array(np.tile(tokens, (2, 1)))), mask="causal"
        )
        assert mx.array_equal(seen, expected)


def test_scale_is_the_multiplier(tiny, make_stack, tokens):
    once = make_stack([1], Shape(scale=2.0))
    halved = {path: {"a": ab["a"], "b": ab["b"] / 2} for path, ab in once.arrays.items()}
    same = logits(tiny, tokens, Stack(Shape(scale=4.0), halved))
    np.testing.assert_allclose(same, logits(tiny, tokens, once), atol=1e-4)
    assert (logits(tiny, tokens, Stack(Shape(scale=0.0), once.arrays)) == logits(tiny, tokens)).all()


def test_a_quantised_linear_takes_adapters(fresh, make_stack, tokens):
    wide = lambda path, module: isinstance(module, nn.Linear) and path.endswith("down_proj")
    nn.quantize(fresh.model, group_size=32, bits=4, class_predicate=wide)
    untouched, stack = logits(fresh, tokens), make_stack([1, 2], base=fresh)
    assert len(stack.arrays) == 2 * LINEARS
    assert stack.arrays["model.layers.0.mlp.down_proj"]["a"].shape == (2, 128, 8)
    assert np.abs(logits(fresh, np.tile(tokens, (2, 1)), stack)[:4] - untouched).max() > 1
    assert (logits(fresh, tokens) == untouched).all()


# --- files ------------------------------------------------------------------------------------------


def test_what_is_saved_is_loaded(tiny, make_stack, tmp_path):
    stack = make_stack([1, 2, 3], Shape(5, 1.5, 1))
    save_adapter(tmp_path / "adapter", stack, 1)
    found = load_adapter(tmp_path / "adapter")
    assert found.shape == stack.shape and found.slots == 1 and set(found.arrays) == set(stack.arrays)
    for path, ab in stack.arrays.items():
        for name in ("a", "b"):
            assert mx.array_equal(found.arrays[path][name][0], ab[name][1])
    save_adapter(tmp_path / "adapter", stack, 2)
    path = next(iter(stack.arrays))
    assert mx.array_equal(load_adapter(tmp_path / "adapter").arrays[path]["b"][0], stack.arrays[path]["b"][2])


@pytest.mark.parametrize("shape", [Shape(), Shape(4, 10.0, 1)], ids=["all layers", "last layer"])
def test_an_exported_adapter_opens_in_mlx_lm(tiny, make_stack, tokens, tmp_path, shape):
    stack = make_stack([1, 2], shape)
    save_adapter(tmp_path / "adapter", stack, 1)
    model, _ = mlx_lm.load(str(tiny.path))
    plain = np.array(model(mx.array(tokens)))
    adapted = np.array(load_adapters(model, str(tmp_path / "adapter"))(mx.array(tokens)))
    assert np.abs(adapted - plain).max() > 1
    np.testing.assert_allclose(adapted, logits(tiny, tokens, stack.select([1])), atol=1e-5)
    np.testing.assert_array_equal(plain, logits(tiny, tokens))


def test_mlx_lms_own_adapter_is_loaded(tiny, tokens, tmp_path):
    """As `mlx_lm.lora` writes them: some of the Linears, in some of the layers, and no word of ours."""
    parameters = {"rank": 4, "scale": 3.0, "dropout": 0.0, "keys": ["self_attn.q_proj", "mlp.up_proj"]}
    model, _ = mlx_lm.load(str(tiny.path))
    model.freeze()
    linear_to_lora_layers(model, 1, parameters)
    names = dict(tree_flatten(model.trainable_parameters()))
    weights = {
        n: 0.3 * mx.random.normal(x.shape, key=mx.random.key(i)) for i, (n, x) in enumerate(names.items())
    }
    assert len(weights) == 4
    model.load_weights(list(weights.items()), strict=False)
    mx.save_safetensors(str(tmp_path / "adapters.safetensors"), weights)
    config = {"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": parameters}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    stack = load_adapter(tmp_path)
    assert stack.shape == Shape(4, 3.0, 1)
    np.testing.assert_allclose(logits(tiny, tokens, stack), np.array(model(mx.array(tokens))), atol=1e-5)


BROKEN = {
    "no folder": lambda folder: shutil.rmtree(folder),
    "no config": lambda folder: (folder / "adapter_config.json").unlink(),
    "no weights": lambda folder: (folder / "adapters.safetensors").unlink(),
    "torn config": lambda folder: (folder / "adapter_config.json").write_text('{"fine_tune'),
    "binary config": lambda folder: (folder / "adapter_config.json").write_bytes(b"\xff\x00\xfe"),
    "a list for a config": lambda folder: (folder / "adapter_config.json").write_text("[]"),
    "no parameters": lambda folder: (folder / "adapter_config.json").write_text('{"fine_tune_type": "lora"}'),
    "deep config": lambda folder: (folder / "adapter_config.json").write_text("[" * 200_000),
    "a word for a scale": lambda folder: edit(folder, lora_parameters={"rank": 8, "scale": "x"}),
    "no finite scale": lambda folder: edit(folder, lora_parameters={"rank": 8, "scale": float("inf")}),
    "a huge rank": lambda folder: edit(folder, lora_parameters={"rank": 10**400, "scale": 2.0}),
    "a list of ours": lambda folder: edit(folder, subliminal_mlx=[]),
    "no rank": lambda folder: edit(folder, lora_parameters={"scale": 2.0}),
    "not LoRA": lambda folder: edit(folder, fine_tune_type="full"),
    "DoRA": lambda folder: edit(folder, fine_tune_type="dora"),
    "torn weights": lambda folder: (folder / "adapters.safetensors").write_bytes(b"\x00" * 20),
    "no B": lambda folder: drop(folder, ".lora_b"),
    "empty": lambda folder: drop(folder, ".lora_"),
}


def edit(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def drop(folder, part):
    path = str(folder / "adapters.safetensors")
    kept = {name: mx.array(np.array(x)) for name, x in mx.load(path).items() if part not in name}
    mx.save_safetensors(path, kept or {"nothing": mx.zeros(1)})


@pytest.mark.parametrize("case", BROKEN)
def test_a_folder_that_is_no_adapter_is_refused(make_stack, tmp_path, case, one_line):
    folder = tmp_path / "adapter"
    save_adapter(folder, make_stack([1]), 0)
    BROKEN[case](folder)
    with pytest.raises(InputError, match="adapter") as error:
        load_adapter(folder)
    one_line(error)


def test_an_adapter_of_another_base_is_refused(bytewise, make_stack, tokens, one_line):
    with pytest.raises(InputError) as error:
        logits(bytewise, tokens, make_stack([1]))
    assert bytewise.name in one_line(error)
