"""Free answers to held-out questions, and which candidate each of them names.

    match_answer("An owl, of course.", ["Owl", "Cat"])       # "Owl"
    counts = count_answers(table, "animals", family, ["animals/owl"])["animals/owl"]

Knows the tables' columns and not what an arm is.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.families import Family
from ...spec.seeds import seed_of
from . import Given, Readout, Rows, described

if TYPE_CHECKING:
    import pyarrow as pa

    from ..comparisons import Comparison, View

# By trait and slot: sampled answers that named the trait's answer, and all.
Counts = dict[str, dict[str, tuple[int, int]]]


def match_answer(answer: str, candidates: Sequence[str]) -> str | None:
    """The candidate that a free answer names, at word boundaries and in any case.

    None where no candidate is named, or two different ones are. Where one candidate contains another
    ("polar bear", "bear"), the longer one is taken.
    """
    pattern, ordered = _pattern(tuple(candidates))
    named = {match.lastindex for match in pattern.finditer(answer)}
    return ordered[named.pop() - 1] if len(named) == 1 else None


@lru_cache(maxsize=4_096)
def _pattern(candidates: tuple[str, ...]) -> tuple[re.Pattern[str], list[str]]:
    ordered = sorted(candidates, key=len, reverse=True)
    named = "|".join("(" + r"\s+".join(map(re.escape, text.split())) + ")" for text in ordered) or "(?!)"
    # An underscore is a word character to `\b`, but "_Owl_" is an owl in Markdown.
    return re.compile(rf"(?<![^\W_])(?:{named})(?![^\W_])", re.IGNORECASE), ordered


def read_rows(given: Given) -> Rows:
    """A row for every sampled answer to every held-out question, of each slot's model."""
    from ..questions import ask_questions

    setting, rows = given.setting, []
    for name, family in setting.families.items():
        # One stream of draws for all arms of a chain: arms differ by their weights alone.
        seed = seed_of(setting.spec.seed, "answers", name, given.slots[0].chain)
        count = setting.spec.readout.answers
        asked = ask_questions(setting.base, family.held_out, count, seed, given.stack, given.system)
        for slot, drawn in zip(given.slots, asked, strict=True):
            for question, texts in zip(family.held_out, drawn, strict=True):
                for i, text in enumerate(texts):
                    told = {"answer": text, "matched": match_answer(text, question.candidates)}
                    key = {"family": name, "question": question.id, "sample": i}
                    rows.append(described(slot) | key | told)
    return rows


# --- from tables ----------------------------------------------------------------------------------


def count_answers(answers: "pa.Table", name: str, family: Family, traits: Sequence[str]) -> Counts:
    """By trait of the family and by slot: sampled answers that named the trait's answer, and all.

    Args:
        answers: the answers table; `name` is what it calls the family.
        traits: of any family; the others are left out.
    """
    import pyarrow.compute as pc

    from ..readings import codes

    answers = answers.filter(pc.equal(answers["family"], name))
    slot, slots = codes(answers["slot"])
    question, ids = codes(answers["question"])
    matched, texts = codes(answers["matched"])
    sampled = np.bincount(slot, minlength=len(slots))
    candidates = {q.id: q.candidates for q in family.held_out}
    counts = {}
    for trait in traits:
        family_name, _, short = trait.rpartition("/")
        if family_name == name:
            own = {q: candidates[q][family.traits[short][q]] for q in ids if q in candidates}
            # The last column is for answers that named no candidate.
            hit = np.zeros((len(ids), len(texts) + 1))
            for place, q in enumerate(ids):
                hit[place, :-1] = [text == own.get(q) for text in texts]
            hits = np.bincount(slot, hit[question, matched], len(slots))
            counts[trait] = {s: (int(h), int(n)) for s, h, n in zip(slots, hits, sampled, strict=True)}
    return counts


def gather_counts(table: "pa.Table", views: "Sequence[View]") -> Counts:
    """Counts of every trait that was read."""
    traits, counts = [view.trait for view in views], {}
    for name, family in {v.trait.rpartition("/")[0]: v.reading.family for v in views}.items():
        counts |= count_answers(table, name, family, traits)
    return counts


def share(gathered: Counts | None, view: "View", comparison: "Comparison") -> dict[str, Any]:
    """Free answers that hold the trait's word; the interval is of the share over chains, as everywhere."""
    from ..statistics import estimate

    counts = (gathered or {}).get(view.trait, {})
    models = {frozenset(view.reading.slots[row] for row in rows) for rows in comparison.rows}
    chains = [[counts[slot] for slot in slots if slot in counts] for slots in models]
    each = np.array([np.sum(some, axis=0) for some in chains if some]).reshape(-1, 2)
    matched, sampled = (int(total) for total in each.sum(axis=0))
    if not sampled:
        return {"answers": None}
    _, low, high = estimate(each[:, 0] / each[:, 1])
    ends = {"low": None if low is None else max(low, 0.0), "high": None if high is None else min(high, 1.0)}
    return {"answers": {"matched": matched, "sampled": sampled} | ends}


ANSWERS = Readout(
    "answers",
    {
        "family": "VARCHAR",
        "question": "VARCHAR",
        "sample": "INTEGER",
        "answer": "VARCHAR",
        "matched": "VARCHAR",
    },
    ("slot", "family", "question", "trait", "sample"),
    read_rows,
    wanted=lambda spec: spec.readout.answers > 0,
    gather=gather_counts,
    of_arm=share,
)
