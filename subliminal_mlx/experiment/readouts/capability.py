"""Whether a model still speaks, and how far it moved: neutral text, which no trait and no channel is about.

    found = read_prompts(base, prompts, stack)      # [slot][prompt], losses and divergence, nats a token
    summarise(lab.capability(run_id))               # each arm's loss, its change, and its displacement

What prompts there are is `neutral_text`'s business; what follows from the numbers, and what is called damage, is in
`damage`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..damage import gather, of_arm, summarise
from . import Given, Readout, Rows, described

if TYPE_CHECKING:
    from ...model.adapters import Stack
    from ...model.bases import Base
    from ..neutral_text import Prompt

AT_ONCE = 1_024  # tokens a pass: two sets of logits over a large vocabulary are its memory


def read_prompts(
    base: "Base", prompts: "Sequence[Prompt]", stack: "Stack | None" = None, system: str | None = None
) -> list[list[np.ndarray]]:
    """What each slot's model says of each prompt's text, without the end of the turn: `[slot][prompt]`, `[3, tokens]`.

    Its loss, the base's loss, and KL(base || model), nats; of a question the last alone means something, and the base
    reads every prompt without `system`.
    """
    from ...model.rows import pack
    from ...model.score import compare_with_base

    if not prompts:
        return [[] for _ in range(stack.slots if stack else 1)]
    # What stands at the first token of an answer changes nothing of what is expected there.
    said = [base.encode(prompt.said) if prompt.said else (base.eos,) for prompt in prompts]
    rows, told = (
        pack([base.prompt(prompt.user, message)[1] for prompt in prompts], said) for message in (None, system)
    )
    return compare_with_base(base, rows, stack, told, AT_ONCE)


def read_rows(given: Given) -> Rows:
    """A row for every prompt, of each slot's model; of what the run leaves out, too, with the reason."""
    from ..neutral_text import texts_and_questions

    setting = given.setting
    prompts = texts_and_questions(setting.base, setting.families, setting.spec.corpus.channel)
    kept = [prompt for prompt in prompts if prompt.left_out is None]
    read = read_prompts(setting.base, kept, given.stack, given.system)
    rows = []
    for slot, of_slot in zip(given.slots, read, strict=True):
        values = dict(zip(kept, of_slot, strict=True))
        rows += [
            described(slot) | {"step": given.step} | _row(prompt, values.get(prompt)) for prompt in prompts
        ]
    return rows


def _row(prompt: "Prompt", values: np.ndarray | None) -> dict[str, Any]:
    """What the table says of a prompt, of which `values` are as `read_prompts` gives them."""
    row: dict[str, Any] = {"part": prompt.part, "text": prompt.number, "left_out": prompt.left_out}
    row |= dict.fromkeys(("loss", "base_loss", "divergence", "tokens"))
    if values is not None:
        loss, base_loss, divergence = map(float, values.mean(axis=1))
        row |= {"divergence": divergence, "tokens": values.shape[1]}
        row |= {"loss": loss, "base_loss": base_loss} if prompt.said else {}
    return row


CAPABILITY = Readout(
    "capability",
    {
        "step": "INTEGER",
        "text": "INTEGER NOT NULL",
        "loss": "DOUBLE",
        "tokens": "INTEGER",
        # Of rows that an older version wrote, of other texts and with the end of the turn, these are null.
        "part": "VARCHAR",
        "base_loss": "DOUBLE",
        "divergence": "DOUBLE",
        "left_out": "VARCHAR",
    },
    ("slot", "step", "part", "text"),
    read_rows,
    wanted=lambda spec: spec.readout.capability,
    gather=gather,
    of_arm=of_arm,
    of_run=summarise,
)
