"""Whether a base will do for an experiment, told before one is begun.

    found = check(load("smollm2-135m"))
    found["problems"]                      # one line each; none where it will do

Looks at the chat template, the families' candidates in its tokens, the channel's grammar, the layers
that take LoRA, memory, and whether rows in company are computed as alone. Trains nothing and samples nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..model import chat, memory
from ..model.adapters import Shape, init
from ..model.agreement import agreement
from ..model.bases import Base
from ..spec.corpus import DEFAULT, Corpus
from ..spec.families import Family, load_family, shipped_families
from ..system.errors import InputError
from .channels import channel, example
from .setting import unreadable

# Sizes that memory is told for: a step as in the preset for SmolLM2, rows as a corpus is sampled.
STEP_ROWS, SAMPLED_ROWS, RANK = 8, 64, 8
# Of several lengths, with a beginning that they share.
ALONE_AND_TOGETHER = (
    "Name an animal that you like.",
    "Name an animal that you like best of all others.",
    "Name an animal that lives in the sea.",
)

Row = dict[str, Any]


def check(base: Base, families: Sequence[str] = (), of: str = DEFAULT) -> Row:
    """What an experiment on this base can count on.

    Args:
        families: names or files to look at; all shipped ones where empty.
        of: the channel whose rows it would write.

    Returns:
        name, parameters, dtype, chat, families, channel, lora, company (as `agreement`), memory (bytes) and
        problems (lines).
    """
    problems: list[str] = []
    recipe = example(of)
    row: Row = {"name": base.name, "parameters": base.parameters, "dtype": _dtype(base)}
    row["chat"] = _chat(base, problems)
    looked_at = [load_family(name) for name in families or shipped_families()]
    row["families"] = {family.name: _family(base, family) for family in looked_at}
    if not any(found["usable"] for found in row["families"].values()):
        problems.append("its tokenizer lacks words of every family's answers")
    row["channel"] = _channel(base, recipe, problems)
    row["lora"] = _lora(base, problems)
    row["company"] = _company(base, problems)
    row["memory"] = _memory(base, recipe, row) if row["chat"] and row["channel"] else None
    return row | {"problems": problems}


def _dtype(base: Base) -> str:
    from mlx.utils import tree_flatten

    kinds = [str(array.dtype).removeprefix("mlx.core.") for _, array in tree_flatten(base.model.parameters())]
    common = max(set(kinds), key=kinds.count)
    packed = next((m.bits for m in base.model.modules() if hasattr(m, "bits")), None)
    return f"{common}, weights in {packed} bits" if packed else common


def _chat(base: Base, problems: list[str]) -> Row | None:
    try:
        rendered, ids = base.prompt("Name an animal.")
    except InputError as error:
        problems.append(str(error).partition(": ")[2])
        return None
    return {
        "system_role": chat.takes_system(base.name, base.tokenizer),
        "own_system_message": chat.inserts_system(base.name, base.tokenizer),
        "end_of_turn": base.tokenizer.decode([base.eos]),
        "example": rendered,
        "tokens": len(ids),
    }


def _family(base: Base, family: Family) -> Row:
    """Candidates in tokens; unusable where one has a word that the tokenizer lacks, or two are one."""
    missing, alike = unreadable(base, family)
    texts = dict.fromkeys(text for q in family.questions for text in q.candidates)
    lengths = [len(base.encode(text)) for text in texts]
    return {
        "questions": len(family.questions),
        "held_out": len(family.held_out),
        "per_question": max(len(q.candidates) for q in family.held_out),
        "candidates": len(texts),
        "single_token": sum(length == 1 for length in lengths),
        "longest": max(lengths),
        "missing": missing[:5],
        "alike": alike,
        "usable": not missing and not alike,
    }


def _channel(base: Base, recipe: Corpus, problems: list[str]) -> Row | None:
    try:
        found = channel(recipe.channel).grammar(base, recipe)
    except InputError as error:
        problems.append(str(error).partition(": ")[2])
        return None
    if found is None:
        return {
            "name": recipe.channel,
            "tokens": len(base.tokenizer.get_vocab()),
            "longest": recipe.max_tokens,
        }
    return {"name": recipe.channel, "tokens": len(found.tokens), "longest": found.longest}


def _lora(base: Base, problems: list[str]) -> Row | None:
    try:
        stack = init(base, Shape(RANK), [0])
    except InputError as error:
        problems.append(str(error))
        return None
    names = dict.fromkeys(path.rpartition(".")[2] for path in stack.arrays)
    weights = sum(array.size for ab in stack.arrays.values() for array in ab.values())
    return {
        "linears": len(stack.arrays),
        "blocks": len(base.layers),
        "names": list(names),
        "weights": weights,
    }


def _company(base: Base, problems: list[str]) -> Row:
    """Whether rows that are computed together come out as alone: no readout means anything where they do not."""
    found = agreement(base, [base.encode(text) for text in ALONE_AND_TOGETHER])
    for way, largest in found["ways"].items():
        if largest is None or largest > found["bound"]:
            most = "no number" if largest is None else f"{largest:.2g} nats"
            problems.append(
                f"a row {way} is not computed as alone: log-probabilities differ by {most}, rounding by "
                f"{found['bound']:g} at most"
            )
    return found


def _memory(base: Base, recipe: Corpus, row: Row) -> Row | None:
    """Bytes at each peak, with what the machine has left."""
    import psutil

    fp32 = str(row["dtype"]).startswith("float32")
    shape = memory.dimensions(base.path, fp32)
    if shape is None:
        return None
    texts = channel(recipe.channel).prompts(8, 0, recipe)
    prompt = int(np.max([len(base.prompt(text)[1]) for text in texts]))
    longest = row["channel"]["longest"]
    family = next((f for f in row["families"].values() if f["usable"]), next(iter(row["families"].values())))
    reads = (family["held_out"], row["chat"]["tokens"] + 8, family["per_question"], family["longest"])
    parts = {
        "training": memory.training(shape, STEP_ROWS, prompt + longest, longest, RANK),
        "sampling": memory.sampling(shape, SAMPLED_ROWS, prompt, longest, row["channel"]["tokens"]),
        "reading": memory.reading(shape, *reads),
    }
    return {**parts, "process": memory.PROCESS, "available": psutil.virtual_memory().available}
