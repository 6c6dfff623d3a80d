"""A run's summary from its committed readouts: of all chains, or of those that are finished so far.

    renewed_run(lab, run_id)                         # its row of the lab, an earlier version's summary renewed
    summarised(lab, run_id, spec)                    # a finished run's
    so_far(lab, run_id)                              # (2, 3, summary) of one that computes or waits

A replicate is a whole chain, so the chains that are done are a smaller experiment of the same kind.
"""

from typing import Any

from ..experiment.earlier import renewed
from ..experiment.readouts import IN_COMMON, readouts
from ..lab import Lab
from ..lab.identity import stack_size
from ..spec import Spec, parse_spec
from ..spec.families import load_family
from ..spec.plan import plan
from ..system.errors import InputError


def renewed_run(lab: Lab, run_id: str) -> dict[str, Any] | None:
    """A run as `Lab.run` gives it, with its summary in today's shape whichever version stored it."""
    run = lab.run(run_id)
    return run and run | {"summary": run["summary"] and renewed(run["summary"])}


def summarised(lab: Lab, run_id: str, spec: Spec, chains: int | None = None) -> dict[str, Any]:
    """The summary of a run's first `chains` chains; of all of them where None."""
    # Who reads what is stored need not wait for these, nor for scipy.
    import pyarrow.compute as pc

    from ..experiment import making, transfer

    if chains is not None:
        spec = spec.model_copy(update={"chains": chains})
    only = lambda table: table if chains is None else table.filter(pc.less(table["chain"], chains))
    families = {name: load_family(name) for name in spec.families}
    tables = {name: only(lab.table(run_id, name)) for name, r in readouts().items() if r.wanted(spec)}
    counts = only(lab.in_common(run_id, list(making.corpora_beside(spec))))
    common = making.rows_in_common(counts, spec)
    return transfer.summarise(tables, families, spec) | ({IN_COMMON: common} if common else {})


def finished_chains(lab: Lab, run_id: str, spec: Spec) -> int:
    """How many of a run's first chains have all their units committed."""
    done, counted = lab.units_done(run_id), 0
    units = plan(spec, stack_size(spec.base))
    while counted < spec.chains and all(unit.name in done for unit in units if unit.chain == counted):
        counted += 1
    return counted


def so_far(lab: Lab, run_id: str) -> tuple[int, int, dict[str, Any] | None]:
    """Finished chains of a run that is not done, all its chains, and the summary of those that are finished."""
    found = lab.run(run_id)
    if found is None:
        raise InputError(f"there is no run {run_id}")
    spec = parse_spec(found["spec_toml"], where=f"run {run_id}")
    chains = finished_chains(lab, run_id, spec)
    return chains, spec.chains, summarised(lab, run_id, spec, chains) if chains else None
