"""The kind `drift`: what a training picks up, and when, from an adapter folder inside the lab with checkpoints.

It leaves result.json, as `measure --drift --json` prints it, and its chart.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from ...system.errors import InputError
from ...system.events import Event
from ..request import Line, Sender, Work
from .measure import Reading, compared, told


class Drift(Reading):
    """An adapter folder inside the lab with numbered checkpoints."""

    kind: ClassVar[str] = "drift"

    folder: Annotated[Line, Field(min_length=1)]

    def title(self, sender: Sender) -> str:
        return self.folder

    def check(self, sender: Sender) -> None:
        super().check(sender)
        sender.inside(self.folder)

    def is_long(self, sender: Sender) -> bool:
        return False

    def paths(self, sender: Sender) -> list[str]:
        return [self.folder]

    def compute(self, work: Work) -> str:
        from ... import measure as reading
        from ...measure.drift import checkpoints
        from ...measure.shared import trained_under
        from ...report import charts

        folder = work.sender.inside(self.folder)
        there = checkpoints(folder)
        if not there:
            raise InputError(
                f"{self.folder} holds no whole checkpoint named like 0000100_adapters.safetensors"
            )
        work.on_event(Event("checkpoints", 0, len(there)))
        context, shared, found, what = self.context(), trained_under(str(folder), work.lab.path), [], None
        for subject in reading.open_checkpoints(
            str(folder), self.against or None, tuple(name for _, name in there)
        ):
            what = what or compared(subject, self.families, work.lab, context)
            found += reading.measure(subject, *what, context=context, shared=shared)
        work.on_event(Event("checkpoints", len(there), len(there)))
        steps = [
            {"step": step} | told(read, work.title) for (step, _), read in zip(there, found, strict=True)
        ]
        work.write({"checkpoints": steps})
        work.draw("drift", charts.drift(steps))
        return f"{len(steps)} checkpoints; at the last, step {steps[-1]['step']:,}: {steps[-1]['words']}"


KIND = Drift
