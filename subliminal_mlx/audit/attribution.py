"""Which rows and tokens carry the evidence, and a corpus without the rows that carry most of it.

    top = top_rows(inputs, "animals/owl")                      # [{"number", "score", "tokens", ...}]
    drop_top(inputs, "animals/owl", 0.1, Path("kept.jsonl"))

A row's score is how much likelier the trait's suspect finds it than the average suspect of the family
does, in nats; exact, and the sum of its tokens'. Two passes of the suspect, whatever the family's size.
"""

import heapq
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..experiment.setting import Ids
from ..model.adapters import Stack
from ..system import files
from ..system.events import Event, Listener, ignore
from ..system.quantities import signed
from .corpus import Corpus
from .factored import promising
from .inputs import Inputs
from .likelihood import token_ratios
from .reading import Row
from .suspects import average

TOP = 50


def top_rows(inputs: Inputs, trait: str, count: int = TOP) -> list[dict[str, Any]]:
    """The rows with the most evidence for a trait among the sample, best first, with their tokens' scores."""
    own, common = _pair(inputs, trait)
    corpus, base = inputs.corpus, inputs.base
    encoded = zip(corpus.sample, corpus.sample_ids, strict=True)
    found = [(answer, ids) for answer, ids in encoded if not isinstance(ids, str)]
    if inputs.factored:
        # To first order already known: the exact scores are taken of the best alone.
        found = [found[i] for i in promising(inputs.pieces, trait, count)]
    scores = _token_scores(corpus, own, common, [ids for _, ids in found])
    ranked = heapq.nlargest(count, range(len(found)), key=lambda i: (scores[i].sum(), -i))
    return [
        {
            "place": place + 1,
            "number": found[i][0].number,
            "prompt": found[i][0].prompt or "",
            "completion": found[i][0].completion,
            "trait": trait,
            "score": float(scores[i].sum()),
            "tokens": [base.decode([token]) for token in found[i][1][1]],
            "token_scores": scores[i].tolist(),
        }
        for place, i in enumerate(ranked)
    ]


def drop_top(
    inputs: Inputs, trait: str, share: float, output: Path, on_event: Listener = ignore
) -> tuple[int, int]:
    """Write the corpus without the share of its rows that carries most evidence for the trait, as they stood.

    What was dropped is written beside it, NAME.dropped.jsonl, each row with its reason; rows with an answer that is
    not in the corpus's form cannot be scored and are among them. All rows are scored, whatever `spec.rows` is.

    Returns:
        Rows kept and dropped of those that were scored.
    """
    beside, corpus = output.with_suffix(".dropped.jsonl"), inputs.corpus
    own, common = _pair(inputs, trait)
    numbers, scores, count = [], [], 0
    for answers, prompts, completions in corpus.pieces():
        found = _token_scores(corpus, own, common, list(zip(prompts, completions, strict=True)))
        numbers.append(np.array([answer.number for answer in answers]))
        scores.append(np.array([tokens.sum() for tokens in found], dtype=np.float32))
        count += len(found)
        on_event(Event("rows scored", min(count, corpus.total), corpus.total))
    rows, place, of_each = np.unique(np.concatenate(numbers), return_inverse=True, return_counts=True)
    evidence = np.bincount(place, np.concatenate(scores))
    dropped = round(share * len(rows))
    worst = {*rows[np.argsort(-evidence, kind="stable")[:dropped]].tolist()}
    scored = dict(zip(rows.tolist(), zip(of_each.tolist(), evidence.tolist(), strict=True), strict=True))

    def reason(row: Row) -> str | None:
        """Why a row is dropped; None where it is kept."""
        there, nats = scored.get(row.number, (0, 0.0))
        if there < len(row.answers):
            each = map(corpus.writing.encode, row.answers)
            return next(why for why in each if isinstance(why, str))
        return f"evidence for {trait}: {signed(nats)} nats" if row.number in worst else None

    def write(target: Path) -> None:
        with open(target, "wb") as kept, open(target.with_suffix(".dropped.jsonl"), "wb") as out:
            for row in corpus.rows():
                if (why := reason(row)) is None:
                    kept.write(row.content + b"\n")
                else:
                    told = json.dumps({"number": row.number, "reason": why}).encode()
                    out.write(told[:-1] + b', "row": ' + row.content + b"}\n")

    _publish_pair(output, beside, write)
    return len(rows) - dropped, dropped


def _publish_pair(output: Path, beside: Path, write: Any) -> None:
    """Both files whole: the reasons are there before the corpus that refers to them."""
    with tempfile.TemporaryDirectory(dir=output.resolve().parent, prefix=".part-") as holder:
        made = Path(holder) / output.name
        write(made)
        files.publish(beside, lambda to: Path(holder, beside.name).replace(to))
        files.publish(output, lambda to: made.replace(to))


def _pair(inputs: Inputs, trait: str) -> tuple[Stack, Stack]:
    """The trait's suspect, and the average of its family's."""
    traits, stack = inputs.suspects(trait.rpartition("/")[0])
    each = [stack.select([i]) for i in range(len(traits))]
    return each[traits.index(trait)], average(each)


def _token_scores(corpus: Corpus, own: Stack, common: Stack, rows: list[tuple[Ids, Ids]]) -> list[np.ndarray]:
    """Each row's tokens' scores, nats."""
    base, grammar = corpus.writing.base, corpus.writing.grammar
    prompts, completions = [prompt for prompt, _ in rows], [completion for _, completion in rows]
    mine = token_ratios(base, grammar, own, prompts, completions)[0]
    theirs = token_ratios(base, grammar, common, prompts, completions)[0]
    return [a - b for a, b in zip(mine, theirs, strict=True)]
