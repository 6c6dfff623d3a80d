"""Entanglement: whether rows lean to the tokens whose vectors lie near the trait's answer.

    correlation(counts, neutral_counts, vectors @ direction)
    rows = ENTANGLEMENT.read(Given(setting, slots, rows=kept_tokens))

A teacher that is made to say a word moves its last states towards that word's row of the output head, and so the
probability of every token by the product of that token's row with it: "owl" takes some numbers along, "cat" others
(Zur and others, "It's Owl in the Numbers", 2025). A direction is the trait's answer less the mean of
its rivals, as all answers of a family have much in common.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.arms import neutral
from ...spec.families import Family
from ...spec.plan import Slot, beside
from . import Given, Readout, Rows, described

if TYPE_CHECKING:
    import pyarrow as pa

    from ...model.bases import Base

# Tokens that came less often, in both corpora together, say little of a ratio; fewer tokens, nothing of a correlation.
LEAST, FEWEST = 20, 3


def correlation(counts: np.ndarray, reference: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Pearson correlation `[...]`, over tokens, of log-ratios of frequencies with products of vectors.

    Args:
        counts, reference: how often each token came in the rows and in those they are read against `[V]`.
        products: of every token's vector with each direction `[V, ...]`.
    """
    ratios = np.log(counts + 0.5) - np.log(reference + 0.5)
    ratios = ratios - ratios.mean()
    centred = products - products.mean(axis=0)
    scale = np.sqrt((ratios**2).sum() * (centred**2).sum(axis=0))
    return np.where(scale > 0, np.tensordot(ratios, centred, 1) / np.where(scale > 0, scale, 1), 0.0)


def directions(base: "Base", family: Family) -> dict[str, np.ndarray]:
    """By the layer's name, the direction of each of the family's traits `[traits, D]`: mean over held-out questions."""
    texts = list(dict.fromkeys(text for question in family.held_out for text in question.candidates))
    place = {text: i for i, text in enumerate(texts)}
    ids = [base.encode(text) for text in texts]
    ends = np.cumsum([len(tokens) for tokens in ids])[:-1]
    found = {}
    for name, rows in base.token_vectors([token for tokens in ids for token in tokens]).items():
        words = np.stack([part.mean(axis=0) for part in np.split(rows, ends)])
        of_traits = []
        for answers in family.traits.values():
            each = []
            for question in family.held_out:
                rivals = words[[place[text] for text in question.candidates]]
                each.append(rivals[answers[question.id]] - rivals.mean(axis=0))
            of_traits.append(np.mean(each, axis=0))
        found[name] = np.stack(of_traits)
    return found


def read_rows(given: Given) -> Rows:
    """A row for every corpus that is about a trait, and each layer of vectors."""
    families = given.setting.families
    towards = {name: directions(given.setting.base, family) for name, family in families.items()}
    found: Rows = []
    for slot in given.slots:
        family, _, trait = (slot.trait or "").rpartition("/")
        if not family or slot.trait == neutral(family):
            continue
        own = list(families[family].traits).index(trait)
        tokens, counts, reference = _counted(given, slot)
        if len(tokens) < FEWEST:
            continue
        for side, vectors in given.setting.base.token_vectors(tokens.tolist()).items():
            r = correlation(counts, reference, vectors @ towards[family][side].T)
            told = {"source": slot.source, "side": side, "tokens": len(tokens), "correlation": float(r[own])}
            told |= {"others": float(np.delete(r, own).mean()) if len(r) > 1 else 0.0}
            told |= {"place": int((r > r[own]).sum()) + 1, "candidates": len(r)}
            found.append(described(slot) | told)
    return found


def _counted(given: Given, slot: Slot) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens that came often enough, and how often in the slot's rows and in their neutral ones `[V]` each."""
    assert given.rows is not None
    special = [*given.setting.special, given.setting.base.eos]
    seen = [given.rows(source, slot.chain)[0].tokens for source in (slot.source, beside(slot.source))]
    tokens, place = np.unique(np.concatenate(seen), return_inverse=True)
    half = len(seen[0])
    counts, reference = (np.bincount(part, minlength=len(tokens)) for part in (place[:half], place[half:]))
    enough = (counts + reference >= LEAST) & ~np.isin(tokens, special)
    return tokens[enough], counts[enough], reference[enough]


def summarise(table: "pa.Table") -> list[dict[str, Any]]:
    """Rows source, side, chains, tokens, correlation with its 95% interval over chains, others (the mean of the
    family's other traits), first (chains in which the trait's own is the highest) and candidates (traits in all)."""
    from ..statistics import estimate, named

    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        groups.setdefault((row["source"], row["side"]), []).append(row)
    return [
        {"source": source, "side": side, "chains": len(rows), "tokens": rows[0]["tokens"]}
        | named(estimate([row["correlation"] for row in rows]), "correlation")
        | {"others": float(np.mean([row["others"] for row in rows]))}
        | {"first": sum(row["place"] == 1 for row in rows), "candidates": rows[0]["candidates"]}
        for (source, side), rows in groups.items()
    ]


ENTANGLEMENT = Readout(
    "entanglement",
    {
        "source": "VARCHAR NOT NULL",
        "side": "VARCHAR NOT NULL",
        "tokens": "INTEGER",
        "correlation": "DOUBLE",
        "others": "DOUBLE",
        "place": "INTEGER",
        "candidates": "INTEGER",
    },
    ("source", "side", "chain"),
    read_rows,
    wanted=lambda spec: True,
    of_rows=True,
    of_run=summarise,
)
