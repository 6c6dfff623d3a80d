"""Clean trainings and what they did to families' margins: the null that a measured change is held against.

    nulls = Nulls.gather(base, families, lab)             # the lab's, and what ships for this base
    nulls.judge("animals", size=6.4, change=1.7)          # {"trainings": 64, "limit": 0.31, "p": 0.015, ...}

A clean training is a student of the base's own rows or of a neutral teacher's; what is kept of it is how
far it moved the weights (its size) and every trait's change, with the context of the reading. `judging` says which of
them a model is compared with.
"""

import json
import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..experiment.readings import read
from ..lab import Lab
from ..model import adapters
from ..model.bases import Base, locate
from ..spec import parse_spec
from ..spec.arms import CLEAN
from ..spec.families import FOLDER as FAMILIES
from ..spec.families import Family
from ..spec.plan import UNTRAINED
from ..system import files
from ..system.errors import InputError, SubliminalError
from ..system.files import DATA
from .context import BARE, Context, parse_context
from .judging import Training, judge, nothing
from .models import delta_norms

__all__ = ["Nulls", "Training", "family_sha256", "load_nulls", "save_nulls", "trainings_in"]

FOLDER = DATA / "nulls"
FORMAT, LARGEST_FILE = 1, 64 << 20


@dataclass(frozen=True)
class Nulls:
    """Clean trainings of one base."""

    base: str
    base_sha256: str
    trainings: tuple[Training, ...] = ()
    """As they were found: one that is in two places is here twice, and counts once where it is judged by."""
    families: tuple[tuple[str, str], ...] = ()
    """Name and hash of every family's file that the changes were read on."""
    context: Context = BARE
    """What the questions were asked under: a change is compared with those of its own context alone."""

    @classmethod
    def gather(
        cls,
        base: Base,
        families: dict[str, Family],
        lab: Lab | None = None,
        paths: Sequence[Path] = (),
        context: Context = BARE,
    ) -> "Nulls":
        """All clean trainings of this base that were read on any of these families under this context: shipped, in
        `paths`, in `lab`, whose readouts are of bare questions.

        Raises:
            InputError: a file in `paths` is no null, or another base's.
        """
        wanted = {name: family_sha256(name) for name in families}
        found: list[Training] = []
        for path in [*sorted(FOLDER.glob("*.json")), *paths]:
            nulls = load_nulls(path)
            if nulls.base_sha256 != base.sha256:
                if path in paths:
                    raise InputError(f"null {path}: it is of {nulls.base}, another base than {base.name}")
                continue
            if nulls.context != context:
                continue
            # A family that was edited since asks other questions.
            same = {name for name, digest in nulls.families if wanted.get(name) == digest}
            found += _confined(nulls.trainings, same)
        if lab is not None and lab.exists and context.is_bare:
            found += trainings_in(lab, base, families)
        return cls(base.name, base.sha256, tuple(found), tuple(wanted.items()), context)

    def judge(self, family: str, size: float | None, change: float) -> dict[str, Any]:
        """How a family's largest change compares: see `judging.judge`."""
        known = self._once(family)
        if not known:
            under = (
                ""
                if self.context.is_bare
                else f" {self.context.words()}: `null` with the same options makes some"
            )
            return nothing(f"no null here: no clean training of {self.base} was read on {family}{under}")
        if size is None:
            return nothing("no null here: how far this training moved the weights is not known")
        return judge(known, family, size, change)

    def _once(self, family: str) -> list[Training]:
        """The trainings that were read on this family, each once.

        The same one may be in a file and in the lab, or in two runs, and with other families beside this one.
        """
        keyed: dict[tuple, Training] = {}
        for t in self.trainings:
            if changes := t.changes.get(family):
                # As a file keeps them.
                read = tuple(sorted((trait, round(x, 4)) for trait, x in changes.items()))
                keyed.setdefault((round(t.size, 4), read), t)
        return [*keyed.values()]


def trainings_in(lab: Lab, base: Base, families: dict[str, Family]) -> list[Training]:
    """Control and neutral students of the lab's finished runs on this base, from their stored readouts."""
    found = []
    for run in lab.runs():
        if run["status"] != "done":
            continue
        try:
            spec = parse_spec(run["spec_toml"], where=f"run {run['id']}")
            shared = {name: families[name] for name in spec.families if name in families}
            if not shared or locate(spec.base).sha256 != base.sha256:
                continue
            readings = read(lab.readouts(run["id"], [*CLEAN, UNTRAINED.arm]), shared)
        except SubliminalError:
            continue  # its base is gone, or its family's file changed: no null for this one
        found += _of_run(lab, run["id"], readings)
    return found


def _of_run(lab: Lab, run_id: str, readings: dict[str, Any]) -> list[Training]:
    changes: dict[str, dict[str, dict[str, float]]] = {}
    for name, reading in readings.items():
        untrained = reading.rows(UNTRAINED.kind, UNTRAINED.arm, UNTRAINED.trait)[0]
        for trait in reading.family.traits:
            margins = reading.margins(f"{name}/{trait}").mean(axis=1)
            for kind, arm, source in reading.index:
                if kind in ("hard", "soft") and arm in CLEAN:
                    for row in reading.rows(kind, arm, source).values():
                        change = float(margins[row] - margins[untrained])
                        changes.setdefault(reading.slots[row], {}).setdefault(name, {})[trait] = change
    found = []
    for slot in sorted(changes.keys() & set(lab.adapters(run_id))):
        with suppress(InputError):  # its files were removed to save space
            size = delta_norms(adapters.load_adapter(lab.adapter_folder(run_id, slot)))[0]
            found.append(Training(f"run {run_id}/{slot}", size, changes[slot]))
    return found


def load_nulls(path: Path) -> Nulls:
    """A null from its file.

    Raises:
        InputError: it is none.
    """
    try:
        content = files.read_object(Path(path), LARGEST_FILE)
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}, this version reads {FORMAT}")
        trainings = tuple(
            Training(str(t["source"]), float(t["size"]), {f: dict(c) for f, c in t["changes"].items()})
            for t in content["trainings"]
        )
        if not all(0 < t.size < math.inf for t in trainings):
            raise ValueError("a size is no finite number above 0")
        if not all(math.isfinite(x) for t in trainings for c in t.changes.values() for x in c.values()):
            raise ValueError("a change is not finite")
        families = tuple((str(n), str(d)) for n, d in content["families"].items())
        context = parse_context(content.get("context"))
        return Nulls(str(content["base"]), str(content["base_sha256"]), trainings, families, context)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(
            f"null {path}: no file of clean trainings: {type(error).__name__}: {error}"
        ) from None


def save_nulls(path: Path, nulls: Nulls, command: str) -> None:
    """Write a null, with the command that made it; four digits are more than it means."""
    rows = [
        asdict(
            replace(
                t,
                size=round(t.size, 4),
                changes={f: {k: round(x, 4) for k, x in c.items()} for f, c in t.changes.items()},
            )
        )
        for t in nulls.trainings
    ]
    head = {"format": FORMAT, "base": nulls.base, "base_sha256": nulls.base_sha256, "command": command}
    if not nulls.context.is_bare:
        head["context"] = nulls.context.to_json()
    head["families"] = dict(nulls.families)
    lines = [json.dumps(k) + ": " + json.dumps(v) for k, v in head.items()]
    body = ",\n  ".join(json.dumps(row) for row in rows)
    files.write_atomic(path, "{" + ",\n ".join([*lines, f'"trainings": [\n  {body}]']) + "}\n")


def family_sha256(name: str) -> str:
    """Hash of a family's file, shipped or the user's own."""
    return files.sha256(Path(name) if name.endswith(".toml") else FAMILIES / f"{name}.toml")


def _confined(trainings: Iterable[Training], families: set[str]) -> list[Training]:
    """The trainings with the changes of these families alone."""
    kept = [replace(t, changes={f: c for f, c in t.changes.items() if f in families}) for t in trainings]
    return [t for t in kept if t.changes]
