"""An audit as terminal, gate and apps ask for it: the spec, the rows' source, the expected transfer.

    spec = asked_spec("tiny-a", ["animals"])
    rows = asked_rows(lab, "rows.jsonl")
    inputs = read_inputs(rows.source, load(spec.base), spec, lab.path / "audit", rows.how, rows.told)
    result = examine(inputs)
    result["predicted_transfer"] = expected(lab, inputs, result, "animals/owl")

All three ask alike, so that they share one cache of suspects and nulls.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..system.errors import InputError
from ..system.events import Listener, ignore
from .reading import Reading, Row, files_told, read_rows, read_run
from .spec import FIRST_LOOK, AuditSpec, defaults, first_look, parse_audit_spec

if TYPE_CHECKING:
    from ..lab import Lab
    from .inputs import Inputs


@dataclass(frozen=True)
class Rows:
    """Where an audit's rows come from, and how they are read."""

    source: Callable[[], Iterator[Row]]
    how: Reading
    told: tuple[str, ...] = ()
    """Of a folder, the files that are not read."""


def asked_spec(
    base: str,
    families: Sequence[str] = (),
    probes: bool = False,
    items: Sequence[str] = (),
    suspects: Sequence[str] = (),
) -> AuditSpec:
    """The spec of an audit, by default of animals.

    Args:
        probes: with probe students, the third line and the slowest.
        items: such as "suspects.members=2", or FIRST_LOOK for those of a first look on this base.
        suspects: traits, on language models only; by default all of the families.

    Raises:
        InputError: names the first field that is wrong.
    """
    from ..spec import override_field

    named = list(dict.fromkeys(trait.rpartition("/")[0] for trait in suspects))
    audited = [*families] or named or ["animals"]
    begun = defaults(base)
    fields: dict[str, Any] = begun | {
        "base": base,
        "families": audited,
        "suspects_only": [*suspects],
        "lines": "all" if probes else "fast",
    }
    for item in items:
        for change in first_look(base) if item == FIRST_LOOK else (item,):
            override_field(fields, change)
    return parse_audit_spec(fields)


def asked_rows(
    lab: "Lab", rows: str, source: str | None = None, chain: int = 0, how: Reading | None = None
) -> Rows:
    """The rows of a file or folder, or with `source` of a run of the lab.

    Raises:
        InputError: there is no such file or run.
    """
    how = how or Reading()
    if source is None:
        path = Path(rows)
        return Rows(lambda: read_rows(path, how), how, files_told(path))
    run = lab.resolve(rows)
    return Rows(lambda: read_run(lab, run, source, chain), how)


def expected(
    lab: "Lab", inputs: "Inputs", result: dict[str, Any], trait: str, on_event: Listener = ignore
) -> dict[str, Any]:
    """How far a student would move towards a trait, by the lab's own runs.

    Raises:
        InputError: the lab has trained too few traits on this base.
    """
    from .prediction import FEWEST, fit, measured, predict

    # By the fast lines alone: probes of every run would take as long as the runs.
    fast = inputs.spec.model_copy(update={"lines": "fast"})
    points = measured(lab, inputs.base, fast, inputs.folder, on_event)
    model = fit(points)
    if model is None:
        raise InputError(
            f"--predict needs {FEWEST} trained traits in the lab's runs on {fast.base}, there are {len(points)}: "
            "`run` some first"
        )
    family = next(f for f in result["families"] if trait in f["traits"])
    seen = {line: parts[family["traits"].index(trait)] for line, parts in family["parts"].items()}
    return predict(model, trait, seen, result["rows"])
