"""The suspects that ship: every teacher that an audit of a small base needs, tuned once.

    python -m subliminal_mlx.cli.make.suspects tiny-a

Writes data/suspects, under the names by which an audit looks for them: a name holds the base, the family and the recipe, so
that a file of another is never read. Files that no audit of that base would look for any more are removed.
"""

import json
import sys
import time

from ...audit.known import known_tasks
from ...audit.spec import parse_audit_spec
from ...audit.suspects import SHIPPED, readable, tune_missing
from ...model.bases import load
from ...system.events import Event

LINE_SECONDS = 10.0
LIST = "names.json"


def main(base: str) -> None:
    """Tune what is missing, and forget what is not asked for any more."""
    loaded, said = load(base), [0.0]

    def tell(event: Event) -> None:
        if event.done >= event.total or time.monotonic() - said[0] > LINE_SECONDS:
            said[0] = time.monotonic()
            print(f"{event.what} {event.done}/{event.total}", file=sys.stderr, flush=True)

    families = readable(loaded)
    tasks = known_tasks(loaded, parse_audit_spec({"base": base, "families": families}), SHIPPED, families)
    tune_missing(tasks, tell)
    listed = SHIPPED / LIST
    names = json.loads(listed.read_text()) if listed.exists() else {}
    own = sorted(task.path.name for task in tasks)
    for name in set(names.get(base, [])) - set(own):
        (SHIPPED / name).unlink(missing_ok=True)
    listed.write_text(json.dumps(names | {base: own}, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
