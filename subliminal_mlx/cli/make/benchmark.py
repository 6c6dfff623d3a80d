"""Sampling and training beside mlx-lm's own, on the same rows in the same process, as ratios.

    uv run python -m subliminal_mlx.cli.make.benchmark smollm2-135m       # writes data/results/benchmark

Theirs are `batch_generate` and `tuner.trainer.train`; both sides take turns, so that what else the
machine does falls on both. A ratio above 1 says how many times as fast ours is, by token.
"""

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...experiment.channels import numbers
from ...model import adapters
from ...model.adapters import Shape, Stack
from ...model.bases import Base, load
from ...model.rows import pack
from ...model.sample import Decoding, sample
from ...model.train import Recipe, train
from ...system import runtime
from ...system.files import DATA, write_atomic
from ...system.machine import environment

runtime.prepare()

import mlx.core as mx  # noqa: E402
import mlx.optimizers as optim  # noqa: E402

FOLDER = DATA / "results" / "benchmark"
# Prompts as in the presets for SmolLM2: short ones are of two lengths, full ones of nearly as many as there are rows.
STYLES = {style: numbers.EXAMPLE.model_copy(update={"style": style}) for style in ("short", "full")}
RANK, SCALE = 8, 2.0


@dataclass(frozen=True)
class Sizes:
    """How much is timed: `rows` drawn of `tokens` tokens, `steps` of `batch` rows trained, `repeats` times."""

    rows: int = 32
    tokens: int = 24
    batch: int = 8
    steps: int = 2
    repeats: int = 3


# What one timing gives: tokens that were made or trained, and seconds.
Timed = Callable[[], tuple[int, float]]


def compare(name: str, sizes: Sizes, style: str = "short") -> dict[str, Any]:
    """Rates of ours and theirs, in tokens a second, and their ratio, for each task."""
    base = load(name)
    corpus = STYLES[style]
    texts = numbers.prompts(max(sizes.rows, sizes.batch * sizes.steps), 0, corpus)
    prompts = [base.prompt(text)[1] for text in texts]
    stack = _noisy(base)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        adapters.save_adapter(Path(folder) / "a", stack, 0)
        plain, adapted = (_theirs(base, path) for path in (None, Path(folder) / "a"))
        some = prompts[: sizes.rows]
        held = numbers.grammar(base, corpus)
        draw = _draws(plain, some, sizes)
        through = _draws(adapted, some, sizes)
        pairs: dict[str, tuple[Timed, Timed]] = {
            "sampling": (_ours(base, some, None, None, sizes), draw),
            "sampling through an adapter": (_ours(base, some, stack, None, sizes), through),
            "sampling held to numbers": (_ours(base, some, None, held, sizes), draw),
            "training": (_trains(base, prompts, sizes), _trainer(adapted, base, prompts, sizes)),
        }
        for task, (ours, theirs) in pairs.items():
            found[task] = _alternately(ours, theirs, sizes.repeats)
    busy = os.getloadavg()[0]
    lengths = len({len(prompt) for prompt in prompts[: sizes.rows]})
    told = {"base": name, "style": style, "lengths": lengths, "sizes": vars(sizes), "load": busy}
    return told | {"tasks": found, "environment": environment()}


def _alternately(ours: Timed, theirs: Timed, repeats: int) -> dict[str, Any]:
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(repeats):
        for who, timed in (("ours", ours), ("theirs", theirs)):
            made, seconds = timed()
            rates[who].append(made / seconds)
    ratios = [a / b for a, b in zip(rates["ours"], rates["theirs"], strict=True)]
    return {**rates, "ratio": float(np.median(ratios)), "lowest": min(ratios), "highest": max(ratios)}


# --- sampling -------------------------------------------------------------------------------------


def _ours(base: Base, prompts: list, stack: Stack | None, grammar: Any, sizes: Sizes) -> Timed:
    def timed() -> tuple[int, float]:
        started = time.perf_counter()
        rows = sample(base, prompts, 1, Decoding(1.0, grammar, sizes.tokens, sizes.rows), stack)[0]
        return sum(map(len, rows)), time.perf_counter() - started

    return timed


def _draws(theirs: tuple[Any, Any], prompts: list, sizes: Sizes) -> Timed:
    from mlx_lm import batch_generate

    model, tokenizer = theirs
    options = {"completion_batch_size": sizes.rows, "prefill_batch_size": sizes.rows}

    def timed() -> tuple[int, float]:
        mx.random.seed(1)
        started = time.perf_counter()
        given = [list(prompt) for prompt in prompts]
        made = batch_generate(
            model, tokenizer, given, max_tokens=sizes.tokens, sampler=mx.random.categorical, **options
        )
        return made.stats.generation_tokens, time.perf_counter() - started

    return timed


# --- training -------------------------------------------------------------------------------------


def _completions(base: Base, prompts: list) -> list[tuple[int, ...]]:
    """Lists of numbers that no model drew: both sides train on these."""
    rng = np.random.default_rng(0)
    texts = [" ".join(map(str, rng.integers(0, 1000, 8))) for _ in prompts]
    return [(*base.encode(text), base.eos) for text in texts]


def _trains(base: Base, prompts: list, sizes: Sizes) -> Timed:
    rows = pack(prompts, _completions(base, prompts))
    recipe = Recipe(sizes.steps, sizes.batch, 1e-4, share_prefix=True)
    tokens = int(rows.length.sum() / len(rows) * sizes.batch * sizes.steps)

    def timed() -> tuple[int, float]:
        stack = adapters.init(base, Shape(RANK, SCALE), [1])
        started = time.perf_counter()
        train(base, stack, [rows], recipe, [1])
        return tokens, time.perf_counter() - started

    return timed


def _trainer(theirs: tuple[Any, Any], base: Base, prompts: list, sizes: Sizes) -> Timed:
    from mlx_lm.tuner import trainer

    completions = _completions(base, prompts)
    rows = [([*p, *c], len(p)) for p, c in zip(prompts, completions, strict=True)]
    tokens = int(sum(map(len, completions)) / len(rows) * sizes.batch * sizes.steps)
    model, _ = theirs
    model.freeze()
    model.unfreeze(keys=["lora_a", "lora_b"], strict=False)

    def timed() -> tuple[int, float]:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            args = trainer.TrainingArgs(
                batch_size=sizes.batch,
                iters=sizes.steps,
                steps_per_report=10**6,
                steps_per_eval=10**6,
                steps_per_save=10**6,
                adapter_file=str(Path(folder) / "adapters.safetensors"),
            )
            optimizer = optim.AdamW(learning_rate=1e-4)
            started = time.perf_counter()
            trainer.train(model, optimizer, rows, None, args)
            return tokens, time.perf_counter() - started

    return timed


def _theirs(base: Base, adapter: Path | None) -> tuple[Any, Any]:
    """The same weights as mlx-lm loads them, in our dtype."""
    from mlx.utils import tree_flatten
    from mlx_lm import load as load_mlx_lm

    model, tokenizer = load_mlx_lm(str(base.path), adapter_path=str(adapter) if adapter else None)
    model.set_dtype(dict(tree_flatten(base.model.parameters()))["model.norm.weight"].dtype)
    return model, tokenizer


def _noisy(base: Base) -> Stack:
    """An adapter that does something: its B is small noise."""
    stack = adapters.init(base, Shape(RANK, SCALE), [1])
    noise = lambda shape, i: 1e-3 * mx.random.normal(shape, key=mx.random.key(i))
    paths = sorted(stack.arrays)
    arrays = {
        p: {"a": stack.arrays[p]["a"], "b": noise(stack.arrays[p]["b"].shape, i)} for i, p in enumerate(paths)
    }
    return Stack(stack.shape, arrays)


# --- page -----------------------------------------------------------------------------------------


_HEAD = """# Beside mlx-lm

Ours reads what prompts share once, computes logits only where a token is drawn or trained on, and of them, when
held to a grammar, only the allowed tokens'; it draws by keys, which costs a little. mlx-lm has no decoding held to a
grammar: that row is beside its free decoding. Prompts of all lengths are decoded together, and rows that have ended
are dropped, as in mlx-lm's batches.
"""


def page(found: dict[str, Any]) -> str:
    """One comparison in Markdown."""
    sizes, here = found["sizes"], found["environment"]
    options = " ".join(f"--{field} {sizes[field]}" for field in vars(Sizes()))
    lines = [
        f"## {found['base']}, {found['style']} prompts\n",
        f"`uv run python -m subliminal_mlx.cli.make.benchmark {found['base']} --style {found['style']} {options}`, on {here['system']}, {here['device']}, BLAS "
        f"{here['blas']}, MLX {here['mlx']}, mlx-lm {here['mlx-lm']}. {sizes['rows']} rows of up to "
        f"{sizes['tokens']} tokens drawn at temperature 1, prompts of {found['lengths']} lengths; steps of {sizes['batch']} rows trained at rank {RANK}; "
        f"{sizes['repeats']} repeats, both sides in turn, at a load of {found['load']:.0f}. Completion tokens a second; the ratio is the median "
        "over repeats, with the lowest and highest.\n",
        "| task | ours | mlx-lm | ratio |",
        "|---|---|---|---|",
    ]
    for task, rates in found["tasks"].items():
        ours, theirs = np.median(rates["ours"]), np.median(rates["theirs"])
        span = f"{rates['ratio']:.2f} ({rates['lowest']:.2f} to {rates['highest']:.2f})"
        lines.append(f"| {task} | {ours:,.1f} | {theirs:,.1f} | **{span}** |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Compare and store."""
    parser = argparse.ArgumentParser(description="Time sampling and training beside mlx-lm's own.")
    parser.add_argument("base", nargs="?", default="smollm2-135m")
    parser.add_argument("--style", choices=STYLES, default="short", help="of the prompts")
    for field, value in vars(Sizes()).items():
        parser.add_argument(f"--{field}", type=int, default=value)
    options = vars(parser.parse_args())
    base, style = options.pop("base"), options.pop("style")
    found = compare(base, Sizes(**options), style)
    write_atomic(FOLDER / f"{base.replace('/', '-')}-{style}.json", json.dumps(found, indent=1) + "\n")
    stored = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"), reverse=True)]
    write_atomic(FOLDER / "README.md", "\n".join([_HEAD, *map(page, stored)]))
    print(page(found))


if __name__ == "__main__":
    main()
