"""HTML of a run that goes on, and of what models answer: bars and tables that Markdown has no words for."""

from collections.abc import Sequence
from typing import Any

from ..charts.style import ARMS
from ..report.tables import table, text
from .watch import Watch

_BAR = (
    '<div style="height:0.5rem;border-radius:4px;background:rgba(128,128,128,0.25);min-width:8rem">'
    '<div style="height:100%;border-radius:4px;background:{color};width:{percent:.1f}%"></div></div>'
)
SHOWN = 8
# The arm of a model, by which it is coloured.
_ARM_OF = {"base": "untrained"}


def stages(seen: Watch) -> str:
    """A bar for every stage, and one for the whole."""
    rows = [("all", seen.fraction, f"{100 * seen.fraction:.0f}%", seen.rate)]
    rows += [
        (name, done / max(1, total), f"{done:.0f} of {total}", live)
        for name, done, total, live in seen.stages
    ]
    cells = "".join(
        f"<span>{text(name)}</span>{_BAR.format(color='#30638e', percent=100 * min(1, share))}"
        f"<span>{text(count)}</span><span>{text(live)}</span>"
        for name, share, count, live in rows
    )
    grid = "display:grid;grid-template-columns:auto minmax(6rem,18rem) auto auto;gap:0.3rem 0.9rem"
    return f'<div style="{grid};align-items:center;justify-content:start;font-size:0.85rem">{cells}</div>'


def answers(found: Sequence[dict[str, Any]]) -> str:
    """Models side by side: probabilities of the likeliest candidates, and what was said most.

    Args:
        found: model, probabilities by candidate (0 to 1), samples by text, of every model.
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
    return table(head, [*body, ["<b>said</b>", *said]], words=len(head))


def _arm(model: str) -> str:
    return _ARM_OF.get(model, model.removesuffix(" student"))


def _model(model: str) -> str:
    color = ARMS.get(_arm(model), ARMS["neutral"])
    dot = (
        f'<i style="display:inline-block;width:0.7em;height:0.7em;border-radius:50%;background:{color}"></i>'
    )
    return f"{dot} {text(model)}"


def _share(share: float, model: str) -> str:
    color = ARMS.get(_arm(model), ARMS["neutral"])
    return f"{100 * share:.1f}%{_BAR.format(color=color, percent=100 * share)}"
