"""`python -m subliminal_mlx.cli.make.audit_bench`, as the package's opening says."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from ....system import files
from ....system.events import Event
from ....system.files import DATA

LINE_SECONDS = 10.0
RESULTS = DATA / "results" / "audit"


def main(lab: str, what: str = "honest", *more: str) -> None:
    """Measure, and write what is small into data/results/audit."""
    place = Path(lab).resolve()
    if what == "prediction":
        _prediction(place, "probes" in more)
    elif what == "language":
        _language(place, *more)
    else:
        _honest(place, *more)


def _honest(lab: Path, base: str = "tiny-a", other: str = "tiny-b", seed: str = "1") -> None:
    from .honest import Bench, draw, measure

    name = f"honest-{Path(base).name}-{seed}"
    result = measure(Bench(base, other, lab, int(seed)), lambda found: _write(name, found))
    _write(name, result)
    draw(result, RESULTS)


def _prediction(lab: Path, probes: bool) -> None:
    from .transfers import compute, draw, foretell

    compute(lab, _say)
    result = foretell(lab, probes, _say)
    _write("prediction", result)
    draw(result, RESULTS)
    print(json.dumps({name: value for name, value in result.items() if name != "points"}, indent=1))


def _language(lab: Path, runs: str = "latest", *more: str) -> None:
    from .language import Bench, audit_corpora

    chains = next((int(word) for word in more if word.isdigit()), None)
    bench = Bench(lab, tuple(runs.split(",")), chains, tuple(word for word in more if "=" in word))
    name = bench.first.base.rpartition("/")[2] + "-verdicts" * bool(bench.spec.null.corpora)
    tell = lambda words: print(words, file=sys.stderr, flush=True)
    result = audit_corpora(bench, lambda found: _write(name, found), _say, tell)
    for row in [*result["by_line"], *result["probes_in_family"], result["verdicts"]]:
        print(json.dumps(row))


def _write(name: str, result: dict[str, Any]) -> None:
    files.write_atomic(RESULTS / f"{name}.json", json.dumps(result, indent=1) + "\n")


_said = [0.0]


def _say(event: Event) -> None:
    if event.done < event.total and time.monotonic() - _said[0] < LINE_SECONDS:
        return
    _said[0] = time.monotonic()
    print(f"{event.what} {event.done}/{event.total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
