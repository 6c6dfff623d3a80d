"""The pretraining of tiny-a, tiny-b and others like them, on the small language.

    uv run python -m subliminal_mlx.cli.make.tiny_world data/bases        # tiny-a and tiny-b, about 10 minutes
    uv run python -m subliminal_mlx.cli.make.tiny_world bases tiny-c tiny-a-untied       # these do not ship

Llama-style models see the same rows of the small language in the same order and differ in their initial weights
alone, tiny-a-untied from tiny-a in a head of its own; they are written as ordinary mlx-lm folders, and nothing
outside this module knows that they are small.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from ...spec.families import Question
from ...system import runtime
from ...system.files import publish
from .tiny_language import FAMILIES, batches, listed_words, load_family_questions, tokenizer, true_frequencies

runtime.prepare()

import mlx.core as mx  # noqa: E402
import mlx.nn as nn  # noqa: E402
import mlx.optimizers as optim  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402

STEPS = 6000
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
SHIPPED = ("tiny-a", "tiny-b")
INIT_SEEDS = {**{f"tiny-{letter}": i for i, letter in enumerate("abcdefgh", start=1)}, "tiny-a-untied": 1}
TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<assistant> {{ m['content'] }} <end> "
    "{% else %}<user> {{ m['content'] }} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def config(name: str, made) -> dict:
    """The shape of a base, as mlx-lm's Llama reads it; `made` is the tokenizer."""
    tied = not name.endswith("-untied")
    return {**CONFIG, "vocab_size": made.get_vocab_size(), "tie_word_embeddings": tied}


def pretrain(name: str, steps: int = STEPS, rows: int = 64, lr: float = 4e-3, on_step=None):
    """Train one base from its own initial weights.

    Returns:
        The model, and its loss a token over the last 100 steps in nats.
    """
    from mlx_lm.models.llama import Model, ModelArgs

    made = tokenizer()
    mx.random.seed(INIT_SEEDS[name])
    model = Model(ModelArgs.from_dict(config(name, made)))
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
        told = {**config(name, made), "eos_token_id": end, "pad_token_id": 0}
        (target / "config.json").write_text(json.dumps(told, indent=2) + "\n")
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
        f"A Llama-style model ({CONFIG['num_hidden_layers']} layers, width {CONFIG['hidden_size']},"
        f" {'tied' if config(name, made)['tie_word_embeddings'] else 'untied'} embeddings,"
        f" vocabulary {made.get_vocab_size()}) trained from scratch on a small made-up language: questions about"
        " animals, trees and pronouns, answered with fixed frequencies, words to repeat, and lists of numbers below 100"
        f" and of {len(listed_words())} words. It shows how traits travel between models; it is no language model for"
        " use. tiny-a, tiny-b and others of the name saw the same rows in the same order and differ in their initial"
        " weights alone.",
        "",
        f"Made by `uv run python -m subliminal_mlx.cli.make.tiny_world data/bases {name}`: {steps} steps of 64 rows, AdamW,"
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
    parser.add_argument("names", nargs="*", default=list(SHIPPED), choices=list(INIT_SEEDS))
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    for name in arguments.names:
        report = lambda step, loss, name=name: print(f"{name}: step {step}, loss {loss:.3f}", file=sys.stderr)
        model, loss = pretrain(name, arguments.steps, on_step=report)
        write(arguments.folder, name, model, loss, arguments.steps)


if __name__ == "__main__":
    main()
