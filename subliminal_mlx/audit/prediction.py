"""How far a student of these rows would move, from a calibration over the lab's runs.

    points = measured(lab, base, spec, folder)            # one a run and trait: what an audit sees, what came
    model = fit(points)
    predict(model, "animals/owl", {"ratios": 0.21}, rows=1_000)

What an audit sees of a trait is how much of what its suspects' rows show is in the rows, and with probes how far those
rose; how many rows there are says how often a student meets the same ones. Least squares on these, and an
interval from the residuals of traits that were held out. It holds for students trained as those runs' hard
students were. How well it does: `agreement`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec import parse_spec
from ..spec.arms import TREATED
from ..system import files
from ..system.errors import MachineError
from ..system.events import Event, Listener, ignore
from .spec import AuditSpec, family_print, key

if TYPE_CHECKING:
    from ..lab import Lab
    from ..model.bases import Base

FEWEST = 20
LINES = ("ratios", "probes")
Point = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """Weights of `terms` and the residuals of held-out traits."""

    lines: tuple[str, ...]
    weights: np.ndarray
    residuals: np.ndarray
    points: int


def measured(
    lab: "Lab", base: "Base", spec: AuditSpec, folder: Path, on_event: Listener = ignore
) -> list[Point]:
    """Every trait of the spec's families in the lab's finished runs on the base, hard students, first chain.

    What an audit sees of a run's corpora is kept in the folder, a file a run.
    """
    wanted = []
    for run in lab.runs() if lab.exists else []:
        if run["status"] != "done" or not run["summary"]:
            continue
        of = parse_spec(run["spec_toml"])
        if of.base == spec.base and of.hard is not None and set(of.families) & set(spec.families):
            wanted.append((run, of))
    found: list[Point] = []
    for number, (run, of) in enumerate(wanted):
        found += _of_run(lab, run, of, base, spec, folder)
        on_event(Event("runs", number + 1, len(wanted)))
    return found


def _of_run(
    lab: "Lab", run: dict[str, Any], of: Any, base: "Base", spec: AuditSpec, folder: Path
) -> list[Point]:
    prints = [family_print(family) for family in spec.families]
    parts = [run["id"], base.sha256, prints, spec.suspects, spec.reference_rows, spec.decoys]
    if spec.lines == "all":
        parts += [spec.probes]
    path = folder / f"prediction-{key('prediction', *parts)}.json"
    if not path.exists():
        files.write_atomic(path, json.dumps(_seen(lab, run, of, base, spec, folder)))
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise MachineError(f"{path} cannot be read, remove it: {error}") from None


def _seen(
    lab: "Lab", run: dict[str, Any], of: Any, base: "Base", spec: AuditSpec, folder: Path
) -> list[Point]:
    from .examine import effects
    from .inputs import read_inputs
    from .reading import read_run

    points = []
    for entry in run["summary"]["traits"]:
        family = entry["trait"].rpartition("/")[0]
        if entry["student"] != "hard" or family not in spec.families:
            continue
        source = lambda trait=entry["trait"]: read_run(lab, run["id"], trait, 0)
        one = spec.model_copy(update={"families": (family,)})
        seen, rows = effects(read_inputs(source, base, one, folder))
        points.append(
            {
                "run": run["id"],
                "trait": entry["trait"],
                "rows": rows,
                "temperature": of.corpus.temperature,
                "measured": entry["arms"][TREATED]["transfer"],
                **seen[entry["trait"]],
            }
        )
    return points


def fit(points: Sequence[Point]) -> Model | None:
    """The calibration, or None with fewer than FEWEST points."""
    if len(points) < FEWEST:
        return None
    lines, values = lines_of(points), _measured(points)
    x = lambda some: terms(some, lines)
    return Model(lines, _solve(x(points), values), values - held_out(points, x), len(points))


def predict(model: Model, trait: str, seen: dict[str, float], rows: int) -> dict[str, Any]:
    """Expected transfer in log-odds with a 95% interval, for a student trained as the runs' students were."""
    estimate = float((terms([{"rows": rows, **seen}], model.lines) @ model.weights)[0])
    # Conformal: as far off as 95% of the held-out traits were, one more counted as further off.
    sizes = np.sort(np.abs(model.residuals))
    half = float(sizes[min(len(sizes), int(np.ceil(0.95 * (len(sizes) + 1)))) - 1])
    return {
        "trait": trait,
        "estimate": estimate,
        "low": estimate - half,
        "high": estimate + half,
        "points": model.points,
    }


def lines_of(points: Sequence[Point]) -> tuple[str, ...]:
    """The lines of evidence that all points hold."""
    return tuple(line for line in LINES if all(line in p for p in points))


def terms(points: Sequence[Point], lines: Sequence[str]) -> np.ndarray:
    """What the prediction is linear in: every line, and the same with the number of rows."""
    size = np.log10([p["rows"] for p in points]) - 3
    seen = [np.array([p[line] for p in points]) for line in lines]
    return np.stack([np.ones(len(points)), *(x for one in seen for x in (one, one * size))], axis=1)


def held_out(points: Sequence[Point], terms_of: Callable[[Sequence[Point]], np.ndarray]) -> np.ndarray:
    """Each point's prediction by a fit to the other traits' points."""
    x, values = terms_of(points), _measured(points)
    traits = np.array([p["trait"] for p in points])
    found = np.zeros(len(points))
    for trait in np.unique(traits):
        out = traits == trait
        found[out] = x[out] @ _solve(x[~out], values[~out])
    return found


def _solve(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(x, values, rcond=None)[0]


def _measured(points: Sequence[Point]) -> np.ndarray:
    return np.array([p["measured"] for p in points])
