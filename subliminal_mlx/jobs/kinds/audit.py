"""The kind `audit`: which trait a file from a browser carries, or the rows of a run.

It leaves result.json, rows.parquet (the sample's rows with their tokens' evidence), charts, report.html and kept.jsonl:
the numbers and the charts of the command `audit`.
"""

from typing import Annotated, Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from ...audit.spec import FIRST_LOOK
from ...lab import Lab
from ...spec.families import shipped_families
from ...system.errors import InputError
from ...system.events import Event
from ..limits import bases, known
from ..request import Line, Request, Sender, Work
from . import costs

EVIDENCE = "rows.parquet"
QUICK = (FIRST_LOOK,)


class Audit(Request):
    """A corpus, by its file or by a run's source, and how it is to be read."""

    kind: ClassVar[str] = "audit"
    takes_file: ClassVar[bool] = True
    smaller: ClassVar[str] = costs.SMALLER

    base: Line
    families: Annotated[list[Line], Field(min_length=1, max_length=8)]
    run: Line = ""
    source: Line = ""
    chain: Annotated[int, Field(ge=0, le=1_000)] = 0
    answers: Line = "all"
    prompt_key: Line = ""
    completion_key: Line = ""
    quick: bool = False
    probes: bool = False
    predict: bool = False
    drop_percent: Annotated[int, Field(ge=0, le=90)] = 10

    def title(self, sender: Sender) -> str:
        return sender.upload.name if sender.upload else f"{self.run} {self.source} chain {self.chain}"

    def _reading(self) -> dict[str, str | None]:
        keys = {"prompt_key": self.prompt_key or None, "completion_key": self.completion_key or None}
        return {"answers": self.answers, **keys}

    def check(self, sender: Sender) -> None:
        from ...audit.reading import parse_reading

        parse_reading(**self._reading())
        known("families", self.families, shipped_families())
        known("base", [self.base], bases(sender.lab))
        if sender.upload is not None:
            if self.run:
                raise InputError("audit: a file or a run, not both")
            return
        if not self.run:
            raise InputError("audit: drop a file in, or choose a run and one of its sources")
        found = Lab(sender.lab).yields(run_of(sender, self.run)).to_pylist()
        known("source", [self.source], sorted({row["source"] for row in found if row["kept"]}))
        chains = {row["chain"] for row in found if row["source"] == self.source}
        if self.chain not in chains:
            raise InputError(f"audit: chain {self.chain}: the run has {', '.join(map(str, sorted(chains)))}")

    def seconds(self, sender: Sender) -> float | None:
        content = sender.upload.content if sender.upload else None
        return costs.seconds(
            self.base, self.families, self.quick, self.probes, content, self.drop_percent > 0
        )

    def compute(self, work: Work) -> str:
        from ...audit.attribution import TOP, drop_top, top_rows
        from ...audit.corpus import SAMPLE
        from ...audit.examine import examine
        from ...audit.inputs import read_inputs
        from ...audit.reading import parse_reading
        from ...audit.request import asked_rows, asked_spec, expected
        from ...model.bases import load
        from ...report.audit import write_audit_report

        lab, tell = work.lab, work.on_event
        spec = asked_spec(self.base, self.families, self.probes, QUICK if self.quick else ())
        how = parse_reading(**self._reading())
        of_run = (self.run, self.source, self.chain)
        rows = asked_rows(lab, str(work.sent), how=how) if work.sent else asked_rows(lab, *of_run, how=how)
        inputs = read_inputs(rows.source, load(spec.base), spec, lab.path / "audit", rows.how, rows.told)
        result = examine(inputs, tell)
        trait = result["trait"] or result["suspects"][0]["trait"]
        if self.predict:
            try:
                result["predicted_transfer"] = expected(lab, inputs, result, trait, tell)
            except InputError as error:
                result["no_prediction"] = str(error).removeprefix("--predict ")
        tell(Event("rows and tokens", 0, 1))
        evidence = top_rows(inputs, trait, SAMPLE)
        tell(Event("rows and tokens", 1, 1))
        pq.write_table(pa.Table.from_pylist(evidence), work.target / EVIDENCE, compression="zstd")
        if self.drop_percent:
            kept, share = work.target / "kept.jsonl", self.drop_percent / 100
            result["dropped"] = drop_top(inputs, trait, share, kept, tell)
        write_audit_report(work.target / "report.html", result, work.title, evidence[:TOP])
        work.write(result)
        _draw(result, work)
        if not work.sent:
            # What a visitor sent stays the visitor's; the lab's own rows were audited for everybody.
            lab.save_audit(work.id, work.title, result, {"audit_rows": pa.Table.from_pylist(evidence[:TOP])})
        return result["words"]


KIND = Audit


def run_of(sender: Sender, run_id: str) -> str:
    """The id of a run, once it is known to be in the lab; InputError else."""
    store = Lab(sender.lab)
    store.run_folder(run_id)  # refuses what is no id
    if not store.exists or store.run(run_id) is None:
        raise InputError(f"run {run_id} is not in this lab")
    return run_id


def _draw(result: dict[str, Any], work: Work) -> None:
    from ...report import charts

    for family in result["families"]:
        work.draw(f"{family['family']}-ranking", charts.audit_ranking(result, family))
        work.draw(f"{family['family']}-growth", charts.audit_growth(result, family))
