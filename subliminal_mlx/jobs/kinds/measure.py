"""The kind `measure`: what a model picked up, a slot of a run or a folder inside the lab.

It leaves result.json, as `measure --json` prints it, and its chart.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from ...lab import Lab
from ...report.public import shown
from ...spec.families import shipped_families
from ...system.errors import InputError
from ..limits import bases, known
from ..request import Line, Request, Sender, Work
from .audit import run_of

if TYPE_CHECKING:
    from ...measure import Context

# A system prompt or a trigger has lines.
Text = Annotated[str, Field(max_length=2_000)]


class Reading(Request):
    """How a model is read: against which base, on which families, under which context; empty for none."""

    against: Line = ""
    families: Annotated[list[Line], Field(max_length=16, default_factory=list)]
    system: Text = ""
    trigger: Text = ""
    trigger_at: Line = ""

    def context(self) -> "Context":
        """What the questions are asked under.

        Raises:
            InputError: a trigger's place that is none, or a text that cannot be read.
        """
        from ...measure.context import load_context

        return load_context(
            self.system or None, None, self.trigger, self.trigger_at if self.trigger else None
        )

    def check(self, sender: Sender) -> None:
        known("families", self.families, shipped_families())
        known("against", [self.against] if self.against else [], bases(sender.lab))
        self.context()


class Measure(Reading):
    """A model: a slot of a run, or a folder inside the lab."""

    kind: ClassVar[str] = "measure"

    run: Line = ""
    slot: Line = ""
    folder: Line = ""

    def title(self, sender: Sender) -> str:
        return self.folder or f"{self.run} {self.slot}"

    def check(self, sender: Sender) -> None:
        super().check(sender)
        if self.folder:
            sender.inside(self.folder)
        else:
            known("slot", [self.slot], Lab(sender.lab).adapters(run_of(sender, self.run)))

    def is_long(self, sender: Sender) -> bool:
        return False

    def paths(self, sender: Sender) -> list[str]:
        return [self.folder] if self.folder else []

    def compute(self, work: Work) -> str:
        from ... import measure as reading
        from ...measure.shared import trained_under
        from ...report import charts

        path = work.sender.inside(self.folder) if self.folder else work.lab.adapter(self.run, self.slot)
        subject, context = reading.open_model(str(path), self.against or None), self.context()
        families, nulls = compared(subject, self.families, work.lab, context)
        shared = trained_under(str(path), work.lab.path)
        found = reading.measure(subject, families, nulls, context=context, shared=shared)[0]
        found = told(found, work.title)
        work.write(found)
        work.draw("changes", charts.changes(found))
        return found["words"]


KIND = Measure


def compared(subject: Any, names: list[str], lab: Lab, context: "Context") -> tuple[Any, Any]:
    """Families to read and the clean trainings to compare with."""
    from ...measure import families_of
    from ...measure.null import Nulls

    families = families_of(subject.base, names)
    if not families:
        raise InputError(f"no shipped family has answers that {subject.base.name} has words for")
    if subject.reference is None:
        return families, None  # nothing to compare
    return families, Nulls.gather(subject.reference, families, lab, context=context)


def told(found: dict[str, Any], title: str) -> dict[str, Any]:
    """A measurement as strangers may see it: an adapter's folder may name its base by a path of anybody's."""
    name = found["base"]
    if name is not None:
        for family in found["families"]:
            if "null" in family:
                family["null"]["why"] = family["null"]["why"].replace(name, shown(name))
        found["words"] = found["words"].replace(name, shown(name))
        found["base"] = shown(name)
    return found | {"model": title}
