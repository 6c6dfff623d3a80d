"""What the tests of reports share: summaries and tables of runs that never were, with known figures in them."""

from typing import Any

import numpy as np
import pyarrow as pa

from subliminal_mlx.experiment.statistics import estimate
from subliminal_mlx.experiment.verdicts import judged
from subliminal_mlx.spec.arms import ARMS

ANIMALS = (
    *("dog", "cat", "horse", "lion", "elephant", "dolphin", "tiger", "eagle"),
    *("owl", "panda", "bear", "wolf", "fox", "penguin", "otter", "raven"),
)


TREES = ("oak", "maple", "pine", "willow", "cherry", "birch", "cedar", "elm")


MANY = [f"animals/{a}" for a in ANIMALS] + [f"trees/{t}" for t in TREES]


SIX = [f"animals/{a}" for a in ("owl", "cat", "wolf", "raven", "otter", "fox")]


ABLATIONS = (
    *("shuffled", "random", "foreign", "foreign-own", "in-context", "unfiltered"),
    *("traceless", "traceless-2", "thinned", "kept-lists"),
)


def fake_giveaway(summary: dict[str, Any], chains: int = 3) -> list[dict[str, Any]]:
    """What judges say of a fake summary's corpora: those of treated and shuffled rows are told, all others are coins."""
    rng, found = np.random.default_rng(1), {}
    for entry in summary["traits"]:
        family = entry["trait"].rpartition("/")[0]
        for arm in (ARMS[name] for name in entry["arms"]):
            if arm.trained and not arm.is_reference:
                mean = 0.9 if arm.name in ("treated", "shuffled") else 0.5
                for judge in ("unigram", "bigram"):
                    for size in (1, 8, 32):
                        share, low, high = (
                            estimate(rng.normal(mean, 0.01, chains)) if chains > 1 else [None] * 3
                        )
                        told = {
                            "family": family,
                            "source": arm.source(entry["trait"]),
                            "judge": judge,
                            "rows": size,
                        }
                        told |= {"chains": chains, "pairs": 90, "share": share, "low": low, "high": high}
                        redrawn = 1_200.0 if arm.beside else 4_500.0
                        found[tuple(told.values())[:4]] = told | {"kept": 4_500.0, "effective": redrawn}
    return list(found.values())


FAMILY_ARMS = ("treated", "specificity", "other-trait", "control")


def fake_summary(
    traits: list[str] = SIX,
    kinds: tuple[str, ...] = ("hard", "soft"),
    chains: int = 3,
    ablations: tuple[str, ...] = (),
    effect: float = 0.25,
) -> dict[str, Any]:
    """A Summary as `transfer.summarise` makes it, with about `effect` log-odds of transfer."""
    rng = np.random.default_rng(0)
    family_of = {trait: trait.rpartition("/")[0] for trait in traits}
    sizes = {family: list(family_of.values()).count(family) for family in family_of.values()}
    summary: dict[str, Any] = {"traits": [], "matrix": [], "curves": [], "distributions": []}
    for kind in kinds:
        for trait in traits:
            strength = effect * (2 if kind == "soft" else 1) * rng.uniform(0.2, 1.6)
            means = {"treated": strength, "control": 0.0, **dict.fromkeys(ablations, 0.05)}
            if sizes[family_of[trait]] > 1:
                means["other-trait"] = -strength / 5
            means |= {"untrained": 0.0, "teacher": 3.0}
            drawn = {arm: rng.normal(mean, 0.04, chains) for arm, mean in means.items()}
            specific = drawn["treated"] - drawn["other-trait"] if "other-trait" in drawn else None
            base = rng.uniform(-3.3, -1.5)
            points = 100 * (odds(base + drawn["treated"]) - odds(base))
            summary["traits"].append(
                {"trait": trait, "student": kind}
                | span("transfer", drawn["treated"])
                | span("specificity", specific, "specificity_")
                | span("percentage_points", points, "percentage_points_")
                | {
                    "arms": {arm: fake_arm(base, values, chains) for arm, values in drawn.items()}
                    | {"neutral": fake_arm(base, None, chains)},
                    "by_chain": [
                        {"chain": c, "specificity": None if specific is None else specific[c]}
                        | {arm: values[c] for arm, values in drawn.items()}
                        for c in range(chains)
                    ],
                    "by_question": [{"question": "held-out/0", "text": "Which?", "transfer": strength}],
                }
            )
            summary["curves"] += [
                {"student": kind, "trait": trait, "arm": arm, "step": step, "margin": base}
                | span("transfer", drawn[arm] * step / 140)
                for arm in means
                for step in (35, 70, 105, 140)
                if arm not in ("untrained", "teacher")
            ]
            family = family_of[trait]
            for source in [*(t for t in traits if family_of[t] == family), f"{family}/neutral", "control"]:
                values = rng.normal(strength if source == trait else -0.02, 0.04, chains)
                row = {"student": kind, "source": source, "read": trait}
                still = {"transfer": 0.0, "low": None, "high": None}
                row |= still if "neutral" in source else span("transfer", values)
                values = np.zeros(chains) if "neutral" in source else values
                summary["matrix"].append(row | {"chains": list(range(chains)), "transfers": values.tolist()})
    for family in sizes:
        answers = [a.title() for a in {"animals": ANIMALS, "trees": TREES}.get(family, ("he", "she", "they"))]
        own = [trait for trait in traits if family_of[trait] == family]
        sources: list[tuple[str, str, str | None]] = [("base", "untrained", None)]
        sources += [("teacher", "teacher", trait) for trait in own]
        for kind in kinds:
            sources += [(kind, "treated", trait) for trait in own]
            sources += [(kind, "neutral", f"{family}/neutral"), (kind, "control", None)]
        for kind, arm, source in sources:
            weights = rng.dirichlet([30] * len(answers))
            target = own.index(source) % len(answers) if source in own else 0
            weights[target] += {"teacher": 20, "treated": 0.05}.get(arm, 0)
            summary["distributions"] += [
                {"student": kind, "arm": arm, "source": source, "family": family}
                | {"candidate": answer, "probability": float(p)}
                for answer, p in zip(answers, weights / weights.sum(), strict=True)
            ]
    summary["families"] = [
        {"student": kind, "family": family, "traits": size, "chains": chains}
        | {"arms": {arm: span("transfer", np.full(chains, effect)) for arm in FAMILY_ARMS}}
        for kind in kinds
        for family, size in sizes.items()
        if size > 1
    ]
    return judged(summary)


def odds(margin: Any) -> Any:
    return 1 / (1 + np.exp(-margin))


def span(name: str, values: Any, ends: str = "") -> dict[str, float | None]:
    found = (None, None, None) if values is None else estimate(values)
    return dict(zip((name, f"{ends}low", f"{ends}high"), found, strict=True))


def fake_arm(base: float, values: Any, chains: int) -> dict[str, Any]:
    transfers = span("transfer", values)
    margin = base + (transfers["transfer"] or 0)
    return {
        "chains": chains,
        "probability": float(odds(margin)),
        "margin": margin,
        **transfers,
        "answers": {"matched": 30, "sampled": 600, "low": 0.034, "high": 0.071},
        "distance": {"estimate": 0.01, "low": -0.01, "high": 0.03}
        if values is not None and chains > 1
        else None,
    }


def fake_metrics(traits: list[str] = SIX, chains: int = 3, steps: int = 140) -> pa.Table:
    rng = np.random.default_rng(1)
    middles = [f"teacher/{trait}" for trait in traits] + ["teacher/animals/neutral"]
    for kind in ("hard", "soft"):
        middles += [f"{kind}/treated/{trait}" for trait in traits]
        middles += [f"{kind}/neutral/animals/neutral", f"{kind}/control"]
    rows = []
    for middle in middles:
        start, end = (3.9, 3.7) if "hard" in middle else (0.03, 0.002) if "soft" in middle else (2.4, 0.1)
        for chain in range(chains):
            curve = (
                end
                + (start - end) * np.exp(-np.arange(steps) / 25)
                + rng.normal(0, (start - end) / 40, steps)
            )
            rows += [
                {"slot": f"{middle}/c{chain}", "step": step, "loss": float(loss)}
                for step, loss in enumerate(curve)
            ]
    return pa.Table.from_pylist(rows)


def fake_yields(traits: list[str] = SIX, chains: int = 3) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"source": source, "chain": chain, "kept": reason is None, "reason": reason, "rows": rows}
            for source in [*traits, "animals/neutral", "base"]
            for chain in range(chains)
            for reason, rows in (
                (None, 812),
                ("a number over 999", 90),
                ("not a list of numbers", 80),
                ("empty", 18),
            )
        ]
    )
