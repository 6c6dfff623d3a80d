"""The server's helper process: trains the blind test's students, asks a run's models, reads benches, measures.

    python -m subliminal_mlx.web.pages.worker          # JSON tasks on stdin, JSON messages on stdout

`background` starts it and talks to it. It ends when its stdin does, and so never outlives the server.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from ...system.errors import InputError, SubliminalError

Tell = Callable[[dict[str, Any]], None]


def _train(tell: Tell, base: str, steps: int | None = None) -> None:
    from ...demos.blind.student import train_on

    train_on(base, lambda point: tell({"point": vars(point)}), steps=steps)


def _ask(tell: Tell, lab: str, system: str = "", trigger: str = "", **asked: Any) -> None:
    from ...lab import Lab
    from ...measure.context import Context
    from ...measure.talk import talk

    for answer in talk(Lab(lab), **asked, context=Context(system or None, trigger=trigger)):
        tell({"answer": vars(answer)})


def _measure(tell: Tell) -> None:
    from ...system.machine import default_processes
    from ...system.rate import machine_gflops

    tell({"gflops": machine_gflops(), "processes": default_processes()})


def _defended(tell: Tell, lab: str, run_id: str) -> None:
    from ...defences import bench
    from ...lab import Lab
    from ...report import charts

    rows = bench.report(Lab(lab), run_id)
    tell({"rows": rows, "svg": charts.to_svg(charts.defences(rows))})


TASKS: dict[str, Callable[..., None]] = {
    "train": _train,
    "ask": _ask,
    "measure": _measure,
    "defended": _defended,
}


def main() -> None:
    """Do one task after another until stdin ends."""
    # What libraries print must not come between the messages.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def tell(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=out)

    for line in sys.stdin:
        task = json.loads(line)
        try:
            name = task.pop("task")
            if name not in TASKS:
                raise InputError(f"task {name!r}: there are {', '.join(TASKS)}")
            TASKS[name](tell, **task)
            tell({"end": None})
        except SubliminalError as error:
            tell({"end": str(error)})
        except Exception as error:
            tell({"end": f"this failed: {type(error).__name__}"})


if __name__ == "__main__":
    main()
