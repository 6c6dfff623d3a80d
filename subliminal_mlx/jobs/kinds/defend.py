"""The kind `defend`: a run's chains, or a preset's, under defences and their random controls.

It leaves result.json, as `defend --json` prints it, and its chart. The bench itself is a run of the lab.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ...lab import Lab
from ...spec import Spec, load_spec, parse_spec, presets, to_toml
from ..request import Line, Request, Sender, Work
from .audit import run_of
from .run import checked_spec, computed, seconds

# What needs no minutes of an audit before, and is no file.
DEFENCES = ("mix-25", "re-emit", "other-init")


class Defend(Request):
    """A run of the lab or a preset, and by what its students are defended."""

    kind: ClassVar[str] = "defend"
    smaller: ClassVar[str] = "fewer defences, or a smaller run"

    run: Line
    defences: Annotated[list[Line], Field(min_length=1, default_factory=lambda: [*DEFENCES])]
    kinds: Annotated[list[Literal["hard", "soft"]], Field(max_length=2, default_factory=list)]

    def title(self, sender: Sender) -> str:
        return self._spec(sender).title

    def check(self, sender: Sender) -> None:
        checked_spec(sender.lab, to_toml(self._spec(sender)))

    def seconds(self, sender: Sender) -> float:
        return seconds(self._spec(sender))

    def compute(self, work: Work) -> str:
        from ...defences import bench
        from ...report import charts

        run_id = computed(self._spec(work.sender), work, work.on_progress)
        rows = bench.report(work.lab, run_id)
        work.write({"run": run_id, "defences": rows})
        work.draw("defences", charts.defences(rows))
        return f"run {run_id}: {len(rows)} rows"

    def _spec(self, sender: Sender) -> Spec:
        from ...defences.bench import bench_spec

        if self.run in presets():
            spec = load_spec(self.run)
        else:
            found = Lab(sender.lab).run(run_of(sender, self.run))
            spec = parse_spec(found["spec_toml"], where=f"run {self.run}")  # type: ignore[index]
        return bench_spec(spec, self.defences, self.kinds)


KIND = Defend
