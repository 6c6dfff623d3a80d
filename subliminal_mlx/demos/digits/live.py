"""The answer to an app's sliders: stored where it is stored, else from a run that takes seconds.

    summary, how = answer(sliders(width=32), on_event=draw)
    how                     # "computed live, 4 replicas in 2.3 s", or "stored, 20 replicas, ..."

What a visitor asks for costs a bounded amount of work: as many replicas as fit into SECONDS, within
FEWEST and MOST.
"""

from functools import cache, lru_cache

from ...system.events import Listener, ignore
from .data import Images, load_images
from .grid import COMMAND, stored
from .parallel import work_seconds
from .spec import Digits, Sliders, Theorem, make, parse_fields
from .summary import Row, Summary, summarise, theorem_rows

FEWEST, MOST = 3, 8
# Of one core of a small server.
SECONDS = 5.0
DRAWS, KEPT = 200, 64
_kept: dict[Digits, Summary] = {}


def answer(values: Sliders, fresh: bool = False, on_event: Listener = ignore) -> tuple[Summary, str]:
    """A summary for the sliders and where it comes from; `fresh` computes what is stored too."""
    spec = spec_of(values)
    found = None if fresh else stored(spec)
    if found is not None:
        return found, f"stored, {found['spec']['replicas']} replicas, made by `{COMMAND}`"
    if spec not in _kept:
        from .experiment import run_digits

        _kept[spec] = summarise(run_digits(spec, _data(), on_event))
        for oldest in list(_kept)[:-KEPT]:
            _kept.pop(oldest, None)
    summary = _kept[spec]
    return summary, f"computed live, {spec.replicas} replicas in {summary['seconds']:.1f} s"


def spec_of(values: Sliders) -> Digits:
    """The experiment for the sliders, with as many replicas as time allows."""
    fields = values.model_dump()
    specs = [make("digits", fields | {"replicas": number}) for number in range(FEWEST, MOST + 1)]
    fitting = [spec for spec in specs if work_seconds(spec, _data().inputs) < SECONDS]
    return (fitting or specs[:1])[-1]


@lru_cache(KEPT)
def one_step(step: float, distance: float, inputs: str = "uniform") -> Row:
    """The theorem's row for one step size and one distance, computed now over DRAWS draws.

    Raises:
        InputError: a value outside of the theorem's limits.
    """
    fields = {"steps": (step,), "distances": (distance,), "inputs": inputs, "draws": DRAWS}
    spec = parse_fields(Theorem, fields)
    from .theorem import one_steps

    return theorem_rows(one_steps(spec, _data()))[0]


@cache
def _data() -> Images:
    return load_images()
