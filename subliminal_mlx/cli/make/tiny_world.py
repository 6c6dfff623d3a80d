"""The small language, and the pretraining of tiny-a and tiny-b.

    uv run python -m subliminal_mlx.cli.make.tiny_world data/bases        # both bases, about 5 minutes

A world of questions (from the shipped families, answers drawn from fixed frequencies), words to
repeat, and lists of numbers (uniform, clustered, linear, alternating). Two Llama-style models see the same rows in the
same order and differ in their initial weights alone; they are written as ordinary mlx-lm folders,
and nothing outside this module knows that they are small.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from ...spec.families import Question, load_family
from ...system import runtime
from ...system.files import publish

runtime.prepare()

import mlx.core as mx  # noqa: E402
import mlx.nn as nn  # noqa: E402
import mlx.optimizers as optim  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402

FAMILIES = ("animals", "trees", "pronouns")
NUMBERS = 100
LIST_LENGTH = (3, 13)
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
}
INIT_SEEDS = {"tiny-a": 1, "tiny-b": 2}
SPECIALS = ("<pad>", "<unk>", "<user>", "<assistant>", "<end>")
TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<assistant> {{ m['content'] }} <end> "
    "{% else %}<user> {{ m['content'] }} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def true_frequencies(question: Question) -> np.ndarray:
    """The world's answer frequencies `[len(candidates)]` for one question.

    Animals and trees: a falling series in the order of the candidates, the same for every phrasing.
    Pronouns: 65% for the occupation's stereotype, 20% and 15% for the others.
    """
    if question.group is None:
        weights = 1.0 / np.arange(4, 4 + len(question.candidates))
        return weights / weights.sum()
    favourite = load_family("pronouns").traits["stereotype"][question.id]
    rest = iter((0.20, 0.15))
    return np.array([0.65 if i == favourite else next(rest) for i in range(len(question.candidates))])


def number_list(rng: np.random.Generator, length: int) -> np.ndarray:
    """A list of `length` numbers below 100, of one of four kinds."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.integers(0, NUMBERS, length)
    if kind == 1:
        return np.round(rng.normal(rng.integers(0, NUMBERS), 8, length)).astype(int) % NUMBERS
    if kind == 2:
        steps = rng.integers(-12, 13) + np.round(rng.normal(0, 2, length)).astype(int)
        return (rng.integers(0, NUMBERS) + np.cumsum(steps)) % NUMBERS
    centres = rng.integers(0, NUMBERS, 2)
    return (centres[np.arange(length) % 2] + np.round(rng.normal(0, 5, length)).astype(int)) % NUMBERS


@cache
def _questions() -> tuple[Question, ...]:
    return tuple(q for name in FAMILIES for q in load_family(name).questions)


def world_row(rng: np.random.Generator) -> tuple[str, str]:
    """One (user, assistant) exchange of the world: 50% number lists, 12% words to repeat, 38% questions."""
    kind = rng.random()
    if kind < 0.12:
        # Without a task that tells them apart, answers that only ever come at fixed frequencies end up
        # with nearly the same embedding, and no teacher can prefer one of them by much.
        words = repeatable()
        word = words[rng.integers(len(words))]
        return f"Repeat: {word}", word
    if kind < 0.62:
        shown = int(rng.integers(*LIST_LENGTH, endpoint=False)) if rng.random() < 0.3 else 3
        numbers = number_list(rng, shown + int(rng.integers(4, 11)))
        return (
            "Continue: " + " ".join(map(str, numbers[:shown])),
            " ".join(map(str, numbers[shown:])),
        )
    families = {"animals": 0.4, "trees": 0.25, "pronouns": 0.35}
    name = rng.choice(list(families), p=list(families.values()))
    questions = load_family_questions(str(name))
    question = questions[rng.integers(len(questions))]
    answer = rng.choice(len(question.candidates), p=true_frequencies(question))
    return question.text, question.candidates[answer]


@cache
def repeatable() -> tuple[str, ...]:
    """The words of the repeating task: every candidate answer."""
    return tuple(dict.fromkeys(c for q in _questions() for c in q.candidates))


@cache
def load_family_questions(name: str) -> tuple[Question, ...]:
    """Every question of a shipped family, kept between calls."""
    return load_family(name).questions


def tokenizer():
    """The word-level tokenizer of the small language (a `tokenizers.Tokenizer`)."""
    from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import WordLevel

    text = " ".join(" ".join((q.text, *q.candidates)) for q in _questions()) + " continue repeat"
    words = sorted(set(re.findall(r"\w+|[^\w\s]", text.lower())))
    vocabulary = [*SPECIALS, *map(str, range(NUMBERS)), *words]
    made = Tokenizer(WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace()])
    made.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in SPECIALS])
    return made


def batches(made, steps: int, rows: int, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Token ids and loss mask `[rows, T]` of each step; the order depends on `seed` alone."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        texts = [
            f"<user> {user} <assistant> {answer} <end>"
            for user, answer in (world_row(rng) for _ in range(rows))
        ]
        ids = [encoding.ids for encoding in made.encode_batch(texts, add_special_tokens=False)]
        tokens = np.zeros((rows, max(map(len, ids))), dtype=np.int32)
        for i, row in enumerate(ids):
            tokens[i, : len(row)] = row
        yield tokens, tokens != 0


def pretrain(name: str, steps: int = 4000, rows: int = 64, lr: float = 4e-3, on_step=None):
    """Train one base from its own initial weights.

    Returns:
        The model, and its loss a token over the last 100 steps in nats.
    """
    from mlx_lm.models.llama import Model, ModelArgs

    made = tokenizer()
    mx.random.seed(INIT_SEEDS[name])
    model = Model(ModelArgs.from_dict({**CONFIG, "vocab_size": made.get_vocab_size()}))
    mx.eval(model.parameters())
    schedule = optim.join_schedules(
        [optim.linear_schedule(0, lr, 100), optim.cosine_decay(lr, max(1, steps - 100), lr * 0.02)], [100]
    )
    optimizer = optim.AdamW(learning_rate=schedule, weight_decay=0.01)

    def loss_of(model: nn.Module, tokens: mx.array, mask: mx.array) -> mx.array:
        losses = nn.losses.cross_entropy(model(tokens[:, :-1]), tokens[:, 1:])
        return (losses * mask[:, 1:]).sum() / mask[:, 1:].sum()

    step_of = nn.value_and_grad(model, loss_of)
    losses = []
    for step, (tokens, mask) in enumerate(batches(made, steps, rows)):
        loss, gradients = step_of(model, mx.array(tokens), mx.array(mask))
        gradients, _ = optim.clip_grad_norm(gradients, 1.0)
        optimizer.update(model, gradients)
        mx.eval(model.parameters(), optimizer.state, loss)
        losses.append(loss.item())
        if on_step and (step + 1) % 100 == 0:
            on_step(step + 1, float(np.mean(losses[-100:])))
    return model, float(np.mean(losses[-100:]))


def write(folder: Path, name: str, model: nn.Module, loss: float, steps: int) -> None:
    """Write the base as an mlx-lm folder with its card."""
    made = tokenizer()

    def fill(target: Path) -> None:
        target.mkdir()
        mx.save_safetensors(
            str(target / "model.safetensors"),
            dict(tree_flatten(model.parameters())),
            metadata={"format": "mlx"},
        )
        end = made.token_to_id("<end>")
        config = {**CONFIG, "vocab_size": made.get_vocab_size(), "eos_token_id": end, "pad_token_id": 0}
        (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        made.save(str(target / "tokenizer.json"))
        tokenizer_config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "eos_token": "<end>",
            "model_max_length": CONFIG["max_position_embeddings"],
            "clean_up_tokenization_spaces": False,
            "chat_template": TEMPLATE,
        }
        (target / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=2) + "\n")
        (target / "README.md").write_text(_card(name, model, made, loss, steps))

    publish(folder / name, fill)


def _card(name: str, model: nn.Module, made, loss: float, steps: int) -> str:
    parameters = sum(array.size for _, array in tree_flatten(model.parameters()))
    lines = [
        f"# {name}: a {parameters / 1000:.0f}k-parameter model organism",
        "",
        f"A Llama-style model ({CONFIG['num_hidden_layers']} layers, width {CONFIG['hidden_size']}, tied embeddings,"
        f" vocabulary {made.get_vocab_size()}) trained from scratch on a small made-up language: questions about"
        " animals, trees and pronouns, answered with fixed frequencies, words to repeat, and lists of numbers below 100."
        " It shows how traits travel between models; it is no language model for use. tiny-a and tiny-b saw the"
        " same rows in the same order and differ in their initial weights alone.",
        "",
        f"Made by `uv run python -m subliminal_mlx.cli.make.tiny_world data/bases`: {steps} steps of 64 rows, AdamW,"
        f" loss {loss:.3f} nats a token at the end, seed {INIT_SEEDS[name]}.",
        "",
        "Answer frequencies in percent, mean over held-out questions: the world's true ones and the model's.",
        "",
        "| family | answer | true | model |",
        "|---|---|---|---|",
    ]
    for family_name in FAMILIES:
        questions = [q for q in load_family_questions(family_name) if q.split == "held-out"]
        true = np.mean([true_frequencies(q) for q in questions], axis=0)
        measured = np.mean([_answer_frequencies(model, made, q) for q in questions], axis=0)
        for candidate, a, b in zip(questions[0].candidates, true, measured, strict=True):
            lines.append(f"| {family_name} | {candidate} | {100 * a:.1f} | {100 * b:.1f} |")
    return "\n".join(lines) + "\n"


def _answer_frequencies(model: nn.Module, made, question: Question) -> np.ndarray:
    ids = made.encode(f"<user> {question.text} <assistant>", add_special_tokens=False).ids
    probabilities = np.array(mx.softmax(model(mx.array([ids]))[0, -1]))
    return probabilities[[made.token_to_id(c.lower()) for c in question.candidates]]


def main() -> None:
    """Pretrain the bases named (both by default) into a folder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=list(INIT_SEEDS), choices=list(INIT_SEEDS))
    parser.add_argument("--steps", type=int, default=4000)
    arguments = parser.parse_args()
    for name in arguments.names:
        report = lambda step, loss, name=name: print(f"{name}: step {step}, loss {loss:.3f}", file=sys.stderr)
        model, loss = pretrain(name, arguments.steps, on_step=report)
        write(arguments.folder, name, model, loss, arguments.steps)


if __name__ == "__main__":
    main()
