"""What untreated bases answer to the families' held-out questions: the rates that a trait starts from.

    uv run python -m subliminal_mlx.cli.make.base_rates            # makes data/families/README.md and base_rates.json anew

    rates(load("tiny-a"), load_family("animals"))["labels"]        # {"Owl": 0.049, ...}

Probabilities are among a question's candidates, mean over held-out questions; `mass` is what the base
gives to all candidates together, so that a small one warns of questions that it answers otherwise.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...experiment.base_check import check
from ...experiment.questions import read_candidates
from ...experiment.readings import softmax
from ...model.bases import Base, load
from ...spec.families import FOLDER, Family, load_family, shipped_families
from ...system.files import write_atomic

BASES = ("tiny-a", "smollm2-135m")
CARD, STORED = FOLDER / "README.md", FOLDER / "base_rates.json"
_HEAD = """# The families, and what untreated bases answer

Made by `uv run python -m subliminal_mlx.cli.make.base_rates`. A share is the probability of an answer among a question's
candidates, mean over the held-out questions, in percent; in brackets the lowest and highest question. *Candidates
hold*: what a base gives to all candidates together, by the sum of their tokens' probabilities; where that is small,
the base would rather say something else, and shares are of the little that is left. `tiny-a` is read where it knows
the words. Traits start from these rates: a trait whose answer a base gives nearly always, or nearly never, is hard
to see move.
"""


def rates(base: Base, family: Family) -> dict[str, Any]:
    """Mean share of every label over the held-out questions that offer it, with the lowest and highest.

    Returns:
        questions, mass (mean), labels: {label: {"mean", "low", "high"}}, all from 0 to 1.
    """
    logp = read_candidates(base, family.held_out)[0]
    shares: dict[str, list[float]] = {}
    for question, row in zip(family.held_out, softmax(logp), strict=True):
        for label, share in zip(question.labels, row, strict=False):
            shares.setdefault(label, []).append(float(share))
    labels = {
        label: {"mean": float(np.mean(of)), "low": min(of), "high": max(of)} for label, of in shares.items()
    }
    return {
        "questions": len(family.held_out),
        "mass": float(np.exp(logp).sum(axis=1).mean()),
        "labels": labels,
    }


def measure_rates(names: Sequence[str] = BASES) -> dict[str, dict[str, Any]]:
    """Rates of every shipped family on the bases named, by family and base, where a base knows the words."""
    found: dict[str, dict[str, Any]] = {name: {} for name in shipped_families()}
    for name in names:
        base = load(name)
        usable = {family for family, seen in check(base)["families"].items() if seen["usable"]}
        for family in usable:
            found[family][name] = rates(base, load_family(family))
    return found


def card(measured: dict[str, dict[str, Any]]) -> str:
    """The families' card in Markdown."""
    parts = [_HEAD]
    for name, of_bases in measured.items():
        family = load_family(name)
        counts = f"{len(family.tuning)} tuning and {len(family.held_out)} held-out questions"
        parts.append(
            f"\n## {name}: {family.title}\n\n{family.description}\n\nTraits: "
            f"{', '.join(family.traits)}. {counts}.\n"
        )
        bases = list(of_bases)
        labels = list(next(iter(of_bases.values()))["labels"])
        lines = ["| answer | " + " | ".join(bases) + " |", "|---" * (len(bases) + 1) + "|"]
        for label in labels:
            lines.append(
                f"| {label} | " + " | ".join(_top_share(of_bases[b]["labels"][label]) for b in bases) + " |"
            )
        held = " | ".join(f"{100 * of_bases[b]['mass']:.1f}%" for b in bases)
        parts.append("\n".join([*lines, f"| *candidates hold* | {held} |"]) + "\n")
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _top_share(of: dict[str, float]) -> str:
    return f"{100 * of['mean']:.1f}% ({100 * of['low']:.1f} to {100 * of['high']:.1f})"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    """Measure the bases and write both files anew."""
    argparse.ArgumentParser(description=main.__doc__).parse_args()
    measured = _rounded(measure_rates())
    write_atomic(STORED, json.dumps(measured, indent=1) + "\n")
    write_atomic(CARD, card(measured))


if __name__ == "__main__":
    main()
