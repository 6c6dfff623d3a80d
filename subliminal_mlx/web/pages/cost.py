"""What a run would cost before it is started: rows, tokens, time and memory.

    cost(lab, spec).words

Time comes from runs that finished in this lab on this machine, where there are some of that size of base,
else from the rate of a matrix product here (large bases) or from one measured elsewhere (small ones).
"""

import math
import statistics
from dataclasses import dataclass

from ...audit.costs import evidence
from ...lab import Lab
from ...model import memory
from ...model.memory import sizes
from ...model.sources import WHEEL_PARAMETERS
from ...pipeline import forecast
from ...pipeline.run import stack_size
from ...spec import Spec, estimate, parse_spec
from ...spec.plan import plan
from ...system.errors import SubliminalError
from ...system.machine import likely_processes, machine_name
from ...system.quantities import about_duration, gigabytes
from ...system.rate import Rate, kept_rate, read_rate
from . import background

# Of the newest finished runs.
LOOKED_AT = 20
ELSEWHERE = 100.0


@dataclass(frozen=True)
class Cost:
    """An estimate: rows drawn, tokens trained on and drawn, wall-clock seconds, bytes a process."""

    rows: int
    tokens: float
    seconds: float
    memory: float
    processes: int
    how: str
    """What the time rests on."""

    @property
    def words(self) -> str:
        size = "an unknown amount" if math.isnan(self.memory) else gigabytes(self.memory)
        return (
            f"**{self.rows:,} rows, {self.tokens / 1e6:,.1f} million tokens, {about_duration(self.seconds)}**, "
            f"about {size} of memory"
            f"{f' in each of {self.processes} processes' if self.processes > 1 else ''}. Time: {self.how}; good to a "
            "factor of two."
        )


def cost(lab: Lab, spec: Spec) -> Cost:
    """The cost of the spec on this machine.

    Raises:
        InputError: a base that is not here.
    """
    count = sizes(spec.base)[0] or WHEEL_PARAMETERS
    trained, drawn = estimate.count_tokens(spec)
    small = count < estimate.SMALL
    rate, how = _elsewhere(lab) if small else _rate(lab)
    seconds = _seconds(spec, count, rate)
    if factors := _factors(lab, small, rate):
        seconds *= statistics.median(factors)
        how = f"from {len(factors)} finished {'run' if len(factors) == 1 else 'runs'} of this size here"
    sources = sum(len(unit.slots) for unit in plan(spec, slots=64) if unit.stage == "corpora")
    return Cost(sources * spec.corpus.rows, trained + drawn, seconds, held(spec), rate.processes, how)


def held(spec: Spec) -> float:
    """Bytes that one process of the spec's run holds at its peak; NaN where the base's config does not say."""
    _, shape = sizes(spec.base)
    if shape is None:
        return math.nan
    return float(memory.PROCESS + max(forecast.of_spec(shape, spec, stack_size(spec.base)).values()))


def _seconds(spec: Spec, count: int, rate: Rate) -> float:
    return estimate.run_seconds(spec, count, rate.gflops, rate.processes, evidence(spec))


def _rate(lab: Lab) -> tuple[Rate, str]:
    """This machine's rate, measured beside the page, and where it comes from."""

    def measure() -> Rate:
        return Rate(**next(iter(background.do("measure"))))

    try:
        rate = kept_rate(lab.path, measure, keep=lab.exists)
    except (SubliminalError, OSError):
        return _elsewhere(lab)
    return rate, f"{rate.gflops:.0f} GFLOP/s measured here"


def _elsewhere(lab: Lab) -> tuple[Rate, str]:
    """Another machine's rate, for as many processes as a run has here."""
    kept = read_rate(lab.path)
    processes = kept.processes if kept else likely_processes()
    return Rate(ELSEWHERE, processes), "a rate measured on another machine"


def _factors(lab: Lab, small: bool, rate: Rate) -> list[float]:
    """How many times its estimate each finished run of that size of base took here."""
    if not lab.exists:
        return []
    found = []
    for run in lab.finished(machine_name(), LOOKED_AT):
        try:
            spec = parse_spec(run["spec_toml"])
            count = sizes(spec.base)[0] or WHEEL_PARAMETERS
        except SubliminalError:
            continue
        if (count < estimate.SMALL) == small and run["seconds"]:
            found.append(run["seconds"] / _seconds(spec, count, rate))
    return found
