"""The kind `measure`: what a model picked up, a slot of a run or a folder inside the lab.

It leaves result.json, as `measure --json` prints it, and its chart.
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from ...lab import Lab
from ...report.public import shown
from ...spec.families import shipped_families
from ...system.errors import InputError
from ...system.quantities import points, signed
from ..limits import bases, known
from ..request import Line, Request, Sender, Work
from .audit import run_of

Families = Annotated[list[Line], Field(max_length=16, default_factory=list)]


class Measure(Request):
    """A model: a slot of a run, or a folder inside the lab."""

    kind: ClassVar[str] = "measure"

    run: Line = ""
    slot: Line = ""
    folder: Line = ""
    against: Line = ""
    families: Families

    def title(self, sender: Sender) -> str:
        return self.folder or f"{self.run} {self.slot}"

    def check(self, sender: Sender) -> None:
        check_names(self.families, self.against, sender)
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
        from ...report import charts

        path = work.sender.inside(self.folder) if self.folder else work.lab.adapter(self.run, self.slot)
        subject = reading.open_model(str(path), self.against or None)
        found = told(reading.measure(subject, *compared(subject, self.families, work.lab))[0], work.title)
        work.write(found)
        work.draw("changes", charts.changes(found))
        return moved(found)


KIND = Measure


def check_names(families: list[str], against: str, sender: Sender) -> None:
    """Raise InputError where a family does not ship, or a base is not here."""
    known("families", families, shipped_families())
    known("against", [against] if against else [], bases(sender.lab))


def compared(subject: Any, names: list[str], lab: Lab) -> tuple[Any, Any]:
    """Families to read and the clean trainings to compare with."""
    from ...measure import families_of
    from ...measure.null import Nulls

    families = families_of(subject.base, names)
    if not families:
        raise InputError(f"no shipped family has answers that {subject.base.name} has words for")
    # No base, nothing to compare.
    return families, Nulls.gather(subject.reference, families, lab) if subject.reference else None


def told(found: dict[str, Any], title: str) -> dict[str, Any]:
    """A measurement as strangers may see it: an adapter's folder may name its base by a path of anybody's."""
    name = found["base"]
    if name is not None:
        for family in found["families"]:
            if "null" in family:
                family["null"]["why"] = family["null"]["why"].replace(name, shown(name))
        found["base"] = shown(name)
    return found | {"model": title}


def moved(found: dict[str, Any]) -> str:
    """The traits that are flagged, or the one that moved most."""
    traits = [trait for family in found["families"] for trait in family["traits"]]
    if "change" not in traits[0]:
        return "no base is named: readings alone"
    highest = sorted(traits, key=_change, reverse=True)
    if flagged := [trait for trait in highest if trait.get("flagged")]:
        more = f", and {len(flagged) - 1} more" if len(flagged) > 1 else ""
        return f"flagged: {_moved_by(flagged[0])}{more}, beyond what clean trainings of that size did"
    judged = any(family["null"]["limit"] is not None for family in found["families"])
    why = (
        "within what clean trainings of that size did"
        if judged
        else "with no clean trainings to compare with"
    )
    return f"nothing flagged: {_moved_by(highest[0])} moved most, {why}"


def _change(trait: dict[str, Any]) -> float:
    return trait["change"]


def _moved_by(trait: dict[str, Any]) -> str:
    return f"{trait['trait']} by {points(trait['points'])} points, {signed(trait['change'])} log-odds"
