"""What the digits experiment looks like in a terminal: tables and lines. Words and layout only."""

from ...report.console import console, table
from ...system.quantities import percent, percent_interval, signed
from .spec import Theorem
from .summary import Row, Summary, finals, sentences

ROLES = {
    "teacher": "learns from labels",
    "student": "same start",
    "other initialisation": "control",
    "untrained teacher": "control",
    "shuffled logits": "control",
    "real images": "instead of noise",
    "class logits": "ordinary distillation",
}


def print_summary(summary: Summary) -> None:
    """Every arm's accuracy with its interval, and what that shows."""
    spec, data = summary["spec"], summary["data"]
    shape = "-".join(map(str, (data["inputs"], spec["width"], spec["width"])))
    out = console()
    out.print(
        f"{data['name']}, {shape}-(10 + {spec['auxiliary']}), {spec['replicas']} replicas", style="bold"
    )
    arms = table("arm", figures=("right", "95% interval", "sd", "cosine"), notes=("",))
    for row in finals(summary):
        ends = percent_interval(row["low"], row["high"])
        cosine = "" if row["agreement"] is None else signed(row["agreement"])
        arms.add_row(
            row["arm"], percent(row["accuracy"]), ends, percent(row["sd"]), cosine, ROLES[row["arm"]]
        )
    out.print(arms)
    out.print()
    for sentence in sentences(summary):
        out.print(sentence, soft_wrap=True)
    note = (
        "right: of unseen digits; sd: over replicas; cosine: of what the hidden layers moved "
        "by and what the teacher's did"
    )
    out.print(note, style="dim", soft_wrap=True)


def print_theorem(spec: Theorem, rows: list[Row]) -> None:
    """A line for every step size and distance: how many draws went against the theorem."""
    out = console()
    out.print(f"{spec.draws} draws of a teacher's step and a student's, {spec.inputs} inputs", style="bold")
    draws = table(
        "step", figures=("distance", "against", "95% interval", "cosine", "loss rose", "loss change")
    )
    for row in rows:
        draws.add_row(
            *(f"{row['step']:g}", f"{row['distance']:g}", str(row["against_count"])),
            percent_interval(row["against_low"], row["against_high"]),
            *(signed(row["cosine"]), str(row["raised_count"]), f"{row['change']:+.2g}"),
        )
    out.print(draws)
    note = (
        "against: draws in which the student moved against its teacher; the theorem says 0 of them at distance 0 "
        "and a small enough step; loss: the teacher's, at the student's weights, which took a step as long as the teacher's"
    )
    out.print(note, style="dim", soft_wrap=True)
