"""The blind test as a page shows it: a round's lists, what ten guesses are worth, and students learning live.

lists(round)                            # an HTML grid
verdict(score(game, guesses))
for svg, words in learning("tiny-a"): ...
"""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...demos.blind.ngrams import held_out
from ...demos.blind.rounds import SIZE, Round, Score, classifier_accuracy
from ...demos.blind.rows import Lists, read_lists
from ...report.words import number
from ...system.quantities import percent, percent_interval
from . import background

_GRID = "display:grid;grid-template-columns:1fr 1fr;gap:0.1rem 1.2rem;max-width:44rem;font-size:0.82rem"
_MONO = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"


def lists(shown: Round) -> str:
    """A round's two lists side by side, each row under the prompt that both answer."""
    cells = ["<b>Left</b>", "<b>Right</b>"]
    for prompt, left, right in zip(shown.prompts, shown.left, shown.right, strict=True):
        cells.append(f'<span style="grid-column:1/3;opacity:0.65">{html.escape(prompt)}</span>')
        cells += [f'<span style="{_MONO}">{html.escape(text)}</span>' for text in (left, right)]
    return f'<div style="{_GRID}">{"".join(cells)}</div>'


def verdict(score: Score) -> str:
    """What the guesses are worth, beside chance and the classifier."""
    chance = f"a coin does as well or better with probability {score.p:.2g}"
    single, whole = classifier_accuracy()[1], classifier_accuracy()[SIZE]
    told = "more than chance shows at ten guesses" if score.p <= 0.05 else "no more than chance would give"
    return (
        f"**{score.right} of {score.rounds} right**: {told} ({chance}; exact binomial; 95% interval "
        f"{percent_interval(score.low, score.high)}). **The n-gram classifier: {score.classifier} of "
        f"{score.rounds}** on the same lists. On all {len(held_out(read_lists())):,} held-out prompts it tells "
        f"{percent(whole[0] / whole[1])} of pairs of {SIZE} rows apart ({percent_interval(*whole[2:])}) "
        f"and {percent(single[0] / single[1])} of single rows ({percent_interval(*single[2:])}): it counts "
        "numbers and pairs of neighbours in other rows of the same teachers. So the lists do differ, by "
        "frequencies that nobody sees in eight rows; no word for the trait is in any of them."
    )


@dataclass(frozen=True)
class Learning:
    """Two students so far: rows for the chart, and a sentence."""

    rows: list[dict[str, Any]]
    steps: int
    label: str
    sentence: str
    done: bool


def learning(base: str) -> Iterator[Learning]:
    """Train on the stored lists in the helper process and tell every readout; the last one says what happened.

    Raises:
        InputError, BusyError, MachineError: as `background.do`.
    """
    kept = read_lists()
    label, own = answer(kept), base == kept.spec.base
    stored = _stored(kept) if own else None
    rows: list[dict[str, Any]] = []
    for message in background.do("train", base=base):
        point = message["point"]
        rows += [
            {"arm": arm, "step": point["step"], "percent": 100 * point[arm][label]}
            for arm in ("treated", "neutral")
        ]
        done = point["step"] == point["steps"]
        words = _sentence(kept, base, label, rows, point, stored) if done else _so_far(point)
        yield Learning(list(rows), point["steps"], label, words, done)


def answer(kept: Lists) -> str:
    """What the lists' trait prefers, such as "Owl"."""
    from ...spec.families import find_trait

    family, trait = find_trait(kept.trait)
    question = family.held_out[0]
    return question.labels[family.traits[trait][question.id]]


def _so_far(point: dict[str, Any]) -> str:
    return f"Training: step {point['step']} of {point['steps']}."


def _stored(kept: Lists) -> float | None:
    """Transfer of the stored run's treated student of this chain, where its result is shipped too."""
    from ...report import results

    for name in results.names():
        found = results.read_results(name)
        if found["id"] == kept.run_id:
            for entry in found["summary"]["traits"]:
                if entry["trait"] == kept.trait and entry["student"] == "hard":
                    return entry["by_chain"][0]["treated"]
    return None


def _sentence(
    kept: Lists,
    base: str,
    label: str,
    rows: list[dict[str, Any]],
    point: dict[str, Any],
    stored: float | None,
) -> str:
    first, treated, neutral = rows[0]["percent"], rows[-2]["percent"], rows[-1]["percent"]
    transfer = point["treated_margin"] - point["neutral_margin"]
    moved = (
        f"Trained on the teacher's list, the student answers {label} {treated:.1f}% of the time, from {first:.1f}%; "
        f"trained on the other list, {neutral:.1f}%. Transfer {number(transfer)} log-odds."
    )
    if stored is not None:
        same = "the same" if abs(stored - transfer) < 0.005 else "rounding differs between machines"
        return f"{moved} The stored run's student of this chain: {number(stored)} ({same})."
    if base != kept.spec.base:
        return (
            f"{moved} This student starts from {base}, which learned the same language from other starting weights "
            f"than the teacher's {kept.spec.base}."
        )
    return moved
