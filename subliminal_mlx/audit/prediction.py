"""How far a student of these rows would move, from a calibration over the lab's runs.

    points = measured(lab, spec, folder)                  # one a run and trait: what an audit sees, what came
    model = fit(points)
    predict(model, "animals/owl", {"ratios": 0.21, "gradients": 0.4}, rows=1_000)
    evaluate(points)                                      # traits held out: rank correlation, baseline beside it

What an audit sees of a trait is its own part of the two fast lines, a row; how many rows there are says how
often a student meets the same ones. Least squares on these, and an interval from the residuals of traits
that were held out. It holds for students trained as those runs' hard students were.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import files
from ..errors import MachineError
from ..events import Event, Listener, ignore
from ..spec import parse_spec
from .spec import AUDIT_VERSION, AuditSpec, key

if TYPE_CHECKING:
    from ..lab import Lab

FEWEST = 20
Point = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """Weights of `_terms` and the residuals of held-out traits."""

    weights: np.ndarray
    residuals: np.ndarray
    points: int


def measured(lab: "Lab", spec: AuditSpec, folder: Path, on_event: Listener = ignore) -> list[Point]:
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
        found += _of_run(lab, run, of, spec, folder)
        on_event(Event("runs", number + 1, len(wanted)))
    return found


def _of_run(lab: "Lab", run: dict[str, Any], of: Any, spec: AuditSpec, folder: Path) -> list[Point]:
    parts = (run["id"], spec.families, spec.suspects, spec.reference_rows)
    path = folder / f"prediction-{key('prediction', *parts)}.json"
    if not path.exists():
        files.write_atomic(path, json.dumps(_seen(lab, run, of, spec, folder)))
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise MachineError(f"{path} cannot be read, remove it: {error}") from None


def _seen(lab: "Lab", run: dict[str, Any], of: Any, spec: AuditSpec, folder: Path) -> list[Point]:
    from .examine import effects
    from .reading import read_run

    points = []
    for entry in run["summary"]["traits"]:
        family = entry["trait"].rpartition("/")[0]
        if entry["student"] != "hard" or family not in spec.families:
            continue
        source = lambda bad, trait=entry["trait"]: read_run(lab, run["id"], trait, 0)
        one = spec.model_copy(update={"families": (family,)})
        seen, rows = effects(source, one, folder)
        points.append(
            {
                "run": run["id"],
                "trait": entry["trait"],
                "rows": rows,
                "temperature": of.corpus.temperature,
                "measured": entry["arms"]["treated"]["transfer"],
                **seen[entry["trait"]],
            }
        )
    return points


def fit(points: Sequence[Point]) -> Model | None:
    """The calibration, or None with fewer than FEWEST points."""
    if len(points) < FEWEST:
        return None
    terms, values = _terms(points), _measured(points)
    return Model(_solve(terms, values), values - _held_out(points, _terms), len(points))


def predict(model: Model, trait: str, seen: dict[str, float], rows: int) -> dict[str, Any]:
    """Expected transfer in log-odds with a 95% interval, for a student trained as the runs' students were."""
    estimate = float((_terms([{"rows": rows, **seen}]) @ model.weights)[0])
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


def evaluate(points: Sequence[Point]) -> dict[str, Any]:
    """Predicted against measured, each trait predicted from the others alone.

    `rank` is Spearman's correlation over all points, `within` its mean over groups of fixed rows and
    temperature, `dose` the same of a baseline that knows rows and temperature only, and not the corpus.
    """
    values, guesses, doses = _measured(points), _held_out(points, _terms), _held_out(points, _doses)
    groups: dict[tuple, list[int]] = {}
    for i, point in enumerate(points):
        groups.setdefault((_size(point), point["temperature"]), []).append(i)
    within = [_spearman(guesses[g], values[g]) for g in groups.values() if len(g) > 2]
    return {
        "version": AUDIT_VERSION,
        "points": [
            dict(point) | {"predicted": float(guess)} for point, guess in zip(points, guesses, strict=True)
        ],
        "rank": _spearman(guesses, values),
        "within": float(np.mean(within)) if within else None,
        "groups": len(within),
        "dose": {"rank": _spearman(doses, values), "error": _error(doses, values)},
        "error": _error(guesses, values),
    }


def _terms(points: Sequence[Point]) -> np.ndarray:
    """What the prediction is linear in: both lines, and the first with the number of rows."""
    ratio, gradient = (np.array([p[line] for p in points]) for line in ("ratios", "gradients"))
    size = np.log10([p["rows"] for p in points]) - 3
    return np.stack([np.ones(len(points)), ratio, ratio * size, gradient, gradient * size], axis=1)


def _doses(points: Sequence[Point]) -> np.ndarray:
    size = np.log10([p["rows"] for p in points]) - 3
    heat = np.array([p["temperature"] for p in points]) - 1
    return np.stack([np.ones(len(points)), size, size**2, heat, heat**2], axis=1)


def _held_out(points: Sequence[Point], terms: Any) -> np.ndarray:
    """Each point's prediction by a fit to the other traits' points."""
    x, values = terms(points), _measured(points)
    traits = np.array([p["trait"] for p in points])
    found = np.zeros(len(points))
    for trait in np.unique(traits):
        out = traits == trait
        found[out] = x[out] @ _solve(x[~out], values[~out])
    return found


def _solve(terms: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(terms, values, rcond=None)[0]


def _measured(points: Sequence[Point]) -> np.ndarray:
    return np.array([p["measured"] for p in points])


def _size(point: Point) -> int:
    """Rows to one digit: a filter may drop a few of them."""
    return round(point["rows"], -int(np.log10(point["rows"])))


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    ranks = [np.argsort(np.argsort(values)) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1]) if len(a) > 2 else float("nan")


def _error(guesses: np.ndarray, values: np.ndarray) -> float:
    """Root mean square, log-odds."""
    return float(np.sqrt(np.mean((guesses - values) ** 2)))
