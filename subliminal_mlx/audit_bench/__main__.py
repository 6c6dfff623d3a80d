"""`python -m subliminal_mlx.audit_bench`, as the package's opening says."""

import json
import sys
from pathlib import Path
from typing import Any

from .. import files
from ..events import Event
from ..files import DATA

RESULTS = DATA / "results" / "audit"


def main(lab: str, what: str = "animals", *more: str) -> None:
    """Measure, and write what is small into data/results/audit."""
    place = Path(lab).resolve()
    if what == "prediction":
        _prediction(place, "probes" in more)
    else:
        _traits(place, what)


def _traits(lab: Path, family: str) -> None:
    from .traits import Bench, draw, measure

    result = measure(Bench(family, lab))
    _write(family, result)
    draw(result, RESULTS)
    print(json.dumps({name: result[name] for name in ("by_way", "by_line", "clean", "others")}, indent=1))
    for row in result["grid"]:
        print(row)


def _prediction(lab: Path, probes: bool) -> None:
    from .transfers import compute, draw, foretell

    compute(lab, _say)
    result = foretell(lab, probes, _say)
    _write("prediction", result)
    draw(result, RESULTS)
    print(json.dumps({name: value for name, value in result.items() if name != "points"}, indent=1))


def _write(name: str, result: dict[str, Any]) -> None:
    files.write_atomic(RESULTS / f"{name}.json", json.dumps(result, indent=1) + "\n")


def _say(event: Event) -> None:
    print(f"{event.what} {event.done}/{event.total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
