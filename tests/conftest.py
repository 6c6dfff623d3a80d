"""What several test files share: tiny-a, a byte-level base, and adapters that change what a base says."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter

import pytest

from subliminal_mlx.system import runtime

# Tests run side by side and beside a user's runs; those of turns and jobs have a line of their own.
os.environ["SUBLIMINAL_LINE"] = ""
# Where a shell started us in the background, we and all that we start would be deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Before any test module imports mlx: a BLAS that comes later is not used.
runtime.prepare()

import numpy as np  # noqa: E402


def pytest_configure(config):
    # Tests start some hundred interpreters. Where Python is told to write no bytecode beside its sources, each
    # would compile transformers and marimo once more, which takes longer than all that it then does.
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", "") and not os.environ.get("PYTHONPYCACHEPREFIX"):
        os.environ["PYTHONPYCACHEPREFIX"] = str(config.cache.mkdir("bytecode"))


# Two processes take a file at a time: the longest first, so that neither waits for the other at the end.
LONGEST = (
    *("pipeline/test_run", "apps/test_audit", "apps/test_experiment", "audit/test_examine", "cli/test_main"),
    *("apps/test_digits", "jobs/test_jobs", "jobs/test_kinds", "web/test_server"),
    *("defences/test_defences", "web/test_background"),
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: _rank(named(item.path)))


def _rank(name):
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def named(path):
    """A test file by room and name: "pipeline/test_run"."""
    return f"{path.parent.name}/{path.stem}"


@pytest.fixture(scope="session")
def tiny():
    """The shipped base tiny-a."""
    from subliminal_mlx.model.bases import load

    return load("tiny-a")


@pytest.fixture(scope="session")
def same():
    """`same(a, b)`: whether two arrays hold the same numbers.

    To the bit on a CPU. A GPU chooses by a batch's size in which order it adds.
    """
    import mlx.core as mx

    exact = mx.default_device() == mx.cpu

    def alike(a, b):
        # None, of what has no value, becomes NaN.
        a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
        close = (
            np.array_equal(a, b, equal_nan=True) if exact else np.allclose(a, b, 1e-3, 1e-4, equal_nan=True)
        )
        return a.shape == b.shape and close

    return alike


@pytest.fixture
def fresh():
    """Another tiny-a, which has never held an adapter."""
    from subliminal_mlx.model.bases import load

    return load("tiny-a")


@pytest.fixture
def counted(monkeypatch):
    """`counted(module, name, of)`: how often the module's function is called, by what `of` says of its arguments."""

    def watch(module, name, of):
        real, calls = getattr(module, name), Counter()

        def call(*arguments, **options):
            calls[of(*arguments)] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, call)
        return calls

    return watch


@pytest.fixture(scope="session")
def make_stack(tiny):
    """`make_stack(seeds, shape, size, base)`: adapters whose B is not zero, which changes every logit."""
    import mlx.core as mx

    from subliminal_mlx.model.adapters import Shape, Stack, init

    plain = Shape()

    def make(seeds, shape=plain, size=0.1, base=tiny):
        stack, arrays = init(base, shape, seeds), {}
        for i, (path, ab) in enumerate(sorted(stack.arrays.items())):
            keys = [mx.random.key(1_000 * seed + i) for seed in seeds]
            b = mx.stack([size * mx.random.normal(ab["b"].shape[1:], key=key) for key in keys])
            arrays[path] = {"a": ab["a"], "b": b}
        return Stack(shape, arrays)

    return make


@pytest.fixture(scope="session")
def bytewise(tmp_path_factory):
    """A small random Llama whose tokens are bytes and some pairs of them: "1", "12", " 1", ", "."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models.llama import Model, ModelArgs
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    from subliminal_mlx.model.bases import load

    specials = ["<unk>", "<user>", "<assistant>", "<end>"]
    # "\u0120" is how byte-level tokenizers write a space.
    pairs = [
        ("1", "2"),
        ("4", "5"),
        ("12", "3"),
        ("\u0120", "1"),
        ("\u0120", "4"),
        (",", "\u0120"),
        (";", "\u0120"),
    ]
    words = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in pairs)]
    made = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, pairs, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in specials])
    config = dict(
        model_type="llama",
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=64,
        num_attention_heads=2,
        rms_norm_eps=1e-5,
        vocab_size=len(words),
        tie_word_embeddings=True,
        eos_token_id=words.index("<end>"),
    )
    template = (
        "{% for m in messages %}{% if m['role'] == 'assistant' %}<assistant>{{ m['content'] }}<end>"
        "{% else %}<user>{{ m['content'] }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    folder = tmp_path_factory.mktemp("bytewise")
    model = Model(ModelArgs.from_dict(config))
    shapes = dict(tree_flatten(model.parameters()))
    weights = {
        name: array if array.ndim == 1 else 0.5 * mx.random.normal(array.shape, key=mx.random.key(i))
        for i, (name, array) in enumerate(sorted(shapes.items()))
    }
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    made.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(config))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<end>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"unk_token": "<unk>"}))
    return load(str(folder))


@pytest.fixture(scope="session")
def one_line():
    """`one_line(error)`: the message, once it is seen to be a single printable line."""

    def check(error):
        text = str(error.value)
        assert text and not re.search(r"[\x00-\x1f\x7f]", text), repr(text)
        return text

    return check


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """The tests' own cache of what can be made again."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def smollm2(cache):
    """SmolLM2-135M-Instruct, converted into the tests' own cache."""
    from subliminal_mlx.model import bases, sources

    if sources._wheel() is None:
        pytest.skip("the wheel is not installed: uv sync --extra smollm2")
    # Two processes convert at once: both must end well, with the same folder.
    code = (
        "from subliminal_mlx.model import gguf; from subliminal_mlx.model import sources; at = sources.locate('smollm2-135m');"
        "print(gguf.convert_once(at.path, f'{at.name}-{at.sha256[:16]}'))"
    )
    environment = os.environ | {"SUBLIMINAL_CACHE": str(cache)}
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0] and len(folders) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUBLIMINAL_CACHE", str(cache))
        base = bases.load("smollm2-135m")
    assert str(base.path) == folders.pop()
    return base
