"""What a model picked up: every family's margins and probabilities, and their change against its base.

    found = measure(open_model("out/adapters/x", "tiny-a"), families, nulls)[0]
    found["families"][0]["traits"][0]["change"]         # log-odds, largest first
    found["verdict"], found["words"]                    # "flagged", "flagged: animals/owl rose by ..."

Intervals are over a family's held-out questions: they say how evenly the change is spread over them, for
this one model. Whether a clean training would have moved as far is what `nulls` are asked (null.py), and a reading
holds for its context alone (context.py).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..experiment.questions import ask_questions, read_candidates
from ..experiment.readings import margins, softmax, targets_of
from ..experiment.readouts.answers import match_answer
from ..experiment.statistics import binomial_interval, estimate
from ..model.adapters import Stack
from ..model.bases import Base
from ..spec.families import Family, load_family, shipped_families
from ..system.errors import InputError
from .context import BARE, Context
from .likeness import unlike
from .models import Subject, open_checkpoints, open_model
from .null import Nulls
from .shared import Shared
from .verdict import add_verdict

__all__ = [
    "BARE",
    "Context",
    "Subject",
    "families_of",
    "measure",
    "open_checkpoints",
    "open_model",
    "read_reference",
]

# By family: log-probabilities `[Q, C]` of the candidates of the held-out questions.
Readings = dict[str, np.ndarray]


def families_of(base: Base, names: Sequence[str] = ()) -> dict[str, Family]:
    """The families asked for, or all shipped ones whose answers the base's tokenizer has words for.

    Raises:
        InputError: no such family, or the base cannot tell its answers apart.
    """
    found = {name: load_family(name) for name in names or shipped_families()}
    unknown = {name: word for name, family in found.items() if (word := _unknown(base, family))}
    if names and unknown:
        name, word = next(iter(unknown.items()))
        raise InputError(
            f"family {name}: {base.name} has no word of its own for {word!r}: choose another family"
        )
    return {name: family for name, family in found.items() if name not in unknown}


def read_reference(base: Base, families: dict[str, Family], context: Context = BARE) -> Readings:
    """What several models' changes are read against: `measure` takes it, so that their base is read once."""
    return {name: readings[0] for name, readings in _read(base, families, context, None).items()}


def measure(
    subject: Subject,
    families: dict[str, Family],
    nulls: Nulls | None = None,
    answers: int = 0,
    seed: int = 0,
    before: Readings | None = None,
    context: Context = BARE,
    shared: Shared | None = None,
) -> list[dict[str, Any]]:
    """Read the subject, once for each slot of its stack.

    Args:
        answers: free answers sampled for each held-out question, of the model and of its base.
        before: its reference's `read_reference`, where that is known already, under the same context.
        context: what stands around every question.
        shared: what its training rows stand under: where that was not read, nothing flagged is no all-clear.

    Returns:
        One dict a slot: model, base, size, context, and `families` (family, questions, largest, null, traits); and
        where there is a null what `add_verdict` says: verdict, trait, beside, unread, words.
        A trait has margin, probability (0 to 1) and, where the base is known, base_margin,
        base_probability, change with low and high (log-odds), points with points_low and points_high
        (percentage points); `answers` where they were sampled. Largest change first. Where there is a null,
        over_clean: the change less the clean trainings' mean change of this trait, which takes off what any
        tuned teacher leaves behind; largest_over_clean: the trait that leads by it.

    Raises:
        InputError: a reading is not finite.
    """
    logp = _read(subject.base, families, context, subject.stack)
    if subject.reference and before is None:
        before = read_reference(subject.reference, families, context)
    said = _answers(subject, families, context, answers, seed) if answers else {}
    told = context.to_json(subject.base)
    slots = subject.stack.slots if subject.stack else 1
    asked = [q for family in families.values() for q in context.questions(family.held_out)]
    otherwise = unlike(subject, [text for q in asked for text in (q.text, *q.candidates)])
    unread = "; ".join(filter(None, (otherwise, shared.unread([context]) if shared else "")))
    found = []
    for slot in range(slots):
        size = subject.sizes[slot] if subject.sizes else None
        rows = []
        for name, family in families.items():
            row = _family(name, family, logp[name][slot], before[name] if before else None)
            if before and nulls is not None:
                row["null"] = nulls.judge(name, size, row["traits"][0]["change"])
                _hold_against(row)
            for trait in row["traits"] if name in said else ():
                trait["answers"] = _counted(said[name][slot], family, trait["trait"])
                if before:
                    trait["base_answers"] = _counted(said[name][-1], family, trait["trait"])
            rows.append(row)
        reference = subject.reference.name if subject.reference else None
        one = {"model": subject.name, "base": reference, "size": size, "context": told}
        found.append(add_verdict(one | {"families": rows}, unread))
    return found


def _read(
    base: Base, families: dict[str, Family], context: Context, stack: Stack | None
) -> dict[str, np.ndarray]:
    """Log-probabilities `[K, Q, C]` of every family's held-out questions as the context has them asked."""
    told = context.system, context.history
    return {
        name: read_candidates(base, context.questions(family.held_out), stack, *told)
        for name, family in families.items()
    }


def _family(name: str, family: Family, logp: np.ndarray, before: np.ndarray | None) -> dict[str, Any]:
    """One family of one model; `logp` and `before` are `[Q, C]`."""
    readings = [logp] if before is None else [before, logp]
    questions = np.arange(len(family.held_out))
    traits = []
    for short in family.traits:
        trait = f"{name}/{short}"
        targets = targets_of(family, short)
        odds = [margins(reading, targets) for reading in readings]
        probabilities = [softmax(reading)[questions, targets] for reading in readings]
        if not np.isfinite(odds).all():
            raise InputError(
                f"family {name}: a margin of {short} is not finite: the model gives no probabilities"
            )
        row = {
            "trait": trait,
            "margin": float(odds[-1].mean()),
            "probability": float(probabilities[-1].mean()),
        }
        if before is not None:
            row |= {
                "base_margin": float(odds[0].mean()),
                "base_probability": float(probabilities[0].mean()),
            }
            row |= zip(("change", "low", "high"), estimate(odds[1] - odds[0]), strict=True)
            points = estimate(100 * (probabilities[1] - probabilities[0]))
            row |= zip(("points", "points_low", "points_high"), points, strict=True)
        traits.append(row)
    key = "margin" if before is None else "change"
    traits.sort(key=lambda row: -row[key])
    largest = None if before is None else traits[0]["trait"]
    return {"family": name, "questions": len(family.held_out), "largest": largest, "traits": traits}


def _hold_against(row: dict[str, Any]) -> None:
    """Every trait of a family beside the clean trainings of its null."""
    limit, clean = row["null"]["limit"], row["null"]["clean"]
    for trait in row["traits"]:
        trait["flagged"] = limit is not None and trait["change"] > limit
        if clean:
            trait["over_clean"] = trait["change"] - clean[trait["trait"].rpartition("/")[2]]
    if clean:
        row["largest_over_clean"] = max(row["traits"], key=lambda trait: trait["over_clean"])["trait"]


def _answers(
    subject: Subject, families: dict[str, Family], context: Context, count: int, seed: int
) -> dict[str, list[list[list[str]]]]:
    """Free answers `[slots + base][question][sample]` by family; the base's come last, where it is known."""
    found = {}
    for name, family in families.items():
        # One stream of draws for model and base: they differ by their weights alone.
        asked, told = (
            context.questions(family.held_out),
            {"system": context.system, "history": context.history},
        )
        found[name] = ask_questions(subject.base, asked, count, seed, subject.stack, **told)
        if subject.reference:
            found[name] += ask_questions(subject.reference, asked, count, seed, **told)
    return found


def _counted(said: list[list[str]], family: Family, trait: str) -> dict[str, Any]:
    """How many of one model's sampled answers name the trait's answer, with the exact interval of that rate."""
    short = trait.rpartition("/")[2]
    hits = sum(
        match_answer(text, q.candidates) == q.candidates[family.traits[short][q.id]]
        for q, drawn in zip(family.held_out, said, strict=True)
        for text in drawn
    )
    total = sum(map(len, said))
    low, high = binomial_interval(hits, total)
    return {"matched": hits, "sampled": total, "low": low, "high": high}


def _unknown(base: Base, family: Family) -> str | None:
    """An answer that the tokenizer has no tokens for, or cannot tell from another one; None where all are fine."""
    for question in family.held_out:
        seen = set()
        for candidate in question.candidates:
            ids = base.encode(candidate)
            if not ids or base.unknown in ids or ids in seen:
                return candidate
            seen.add(ids)
    return None
