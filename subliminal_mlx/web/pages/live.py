"""HTML of a run that goes on, and of what models answer: bars and tables that Markdown has no words for."""

from collections.abc import Sequence
from typing import Any

from ...report.tables import table, text
from ...spec.arms import ARMS, NEUTRAL
from ...system.quantities import percent
from .figures import BAR, bars
from .watch import Watch

SHOWN = 8


def stages(seen: Watch) -> str:
    """A bar for every stage, and one for the whole."""
    rows = [("all", seen.fraction, percent(seen.fraction, 0), seen.rate)]
    rows += [
        (name, done / max(1, total), f"{done:.0f} of {total}", live)
        for name, done, total, live in seen.stages
    ]
    return bars(rows)


def answers(found: Sequence[dict[str, Any]]) -> str:
    """Models side by side: probabilities of the likeliest candidates, and what was said most.

    Args:
        found: model, probabilities by candidate (0 to 1), samples by text, of every model, and the context that it was asked under.
    """
    best = sorted(
        found[0]["probabilities"], key=lambda c: -max(answer["probabilities"][c] for answer in found)
    )[:SHOWN]
    head = ["", *(_model(answer["model"]) for answer in found)]
    body = [
        [text(candidate), *(_share(answer["probabilities"][candidate], answer["model"]) for answer in found)]
        for candidate in best
    ]
    said = [
        "<br>".join(
            f"{text(said, 80) or '(nothing)'} ×{n}" for said, n in list(answer["samples"].items())[:4]
        )
        for answer in found
    ]
    under = ", ".join(dict.fromkeys(text(answer["context"], 600) for answer in found))
    return f"<p>Asked {under}.</p>" + table(head, [*body, ["<b>said</b>", *said]], words=len(head))


def _color(model: str) -> str:
    """An arm's colour, by what `measure.talk` calls its model: base, teacher, or a student by its arm."""
    name = model.removesuffix(" student")
    return next(
        (arm.color for arm in ARMS.values() if name in (arm.name, arm.kind) and arm.color),
        ARMS[NEUTRAL].color,
    )


def _model(model: str) -> str:
    color = _color(model)
    dot = (
        f'<i style="display:inline-block;width:0.7em;height:0.7em;border-radius:50%;background:{color}"></i>'
    )
    return f"{dot} {text(model)}"


def _share(share: float, model: str) -> str:
    color = _color(model)
    return f"{percent(share)}{BAR.format(color=color, percent=100 * share)}"
