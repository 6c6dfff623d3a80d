"""What verdicts are worth: corpora of known origin, each family suspected alone and all together.

    result = measure(Bench("tiny-a", "tiny-b", Path("lab/honest")), publish)
    draw(result, folder)

Every corpus is read once, as an audit reads it, and judged for each set of families; what was read is kept in the folder,
so that a bench goes on where it was stopped. Nothing here knows how corpora are made.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ....audit.coverage import Tally, coverage, covered
from ....audit.evidence import Surprise
from ....audit.examine import scanned
from ....audit.inputs import Inputs, read_inputs
from ....audit.known import Known
from ....audit.reading import Answer, Row
from ....audit.scan import Scan
from ....audit.spec import ALPHA, AuditSpec, key, parse_audit_spec
from ....audit.verdict import decide
from ....audit.whole import FamilyAudit, Scanned
from ....experiment.statistics import binomial_interval
from ....system import files
from .corpora import FAMILIES, SHARES, altered, carrying, clean
from .world import KINDS, ROWS, Lines, Made, World

Entry = dict[str, Any]
TOGETHER = "together"
# Corpora that a base's own, or a neutral teacher's, sampling wrote: there an alarm is a false one.
WRITTEN = ("base", "neutral", "wording", "lengths", "commas")


@dataclass(frozen=True, eq=False)
class Bench:
    """A base, and what is tried on it."""

    base: str
    other: str
    folder: Path
    seed: int = 0

    @cached_property
    def world(self) -> World:
        return World(self.base, self.other, self.folder, self.seed)

    @cached_property
    def spec(self) -> AuditSpec:
        return parse_audit_spec({"base": self.base, "families": FAMILIES})

    def corpora(self) -> dict[str, tuple[str | None, Made]]:
        """Every corpus by name: the traits that it carries, None of a clean one, and what makes it."""
        found: dict[str, tuple[str | None, Made]] = {
            f"clean/{name}": (None, made) for name, made in clean(self.world).items()
        }
        found |= carrying(self.world, SHARES)
        return found | {f"altered/{name}": made for name, made in altered(self.world).items()}

    @cached_property
    def known(self) -> Known:
        return inputs_of([("Continue: 1 2 3", "1 2 3")], self).known()

    def read(self, name: str, made: Made) -> "Read":
        """A corpus as an audit reads it; from the folder, if it is there."""
        ways = [how for kind in self.world.ways.values() for how in kind]
        path = self.folder / f"read-{key('bench', self.known.name, name, *ways, self.seed)}.npz"
        if not path.exists():
            found = read_corpus(inputs_of(made(), self))
            files.publish(path, lambda to: found.save(to))
        return Read.load(path)


@dataclass(frozen=True, eq=False)
class Read:
    """What an audit read of a corpus, before any verdict; without scores where it cannot be read."""

    told: Entry
    blocks: np.ndarray
    reference: np.ndarray

    def save(self, path: Path) -> None:
        with open(path, "wb") as file:
            arrays = {"blocks": self.blocks, "reference": self.reference}
            np.savez(file, told=json.dumps(self.told), **{n: a.astype(np.float32) for n, a in arrays.items()})

    @classmethod
    def load(cls, path: Path) -> "Read":
        with np.load(path) as found:
            return cls(
                json.loads(str(found["told"])),
                found["blocks"].astype(float),
                found["reference"].astype(float),
            )

    def scanned(self, known: Known, base: str) -> Scanned:
        scan = Scan(self.reference, known.suspects, known.kinds, known.clean, self.told["temperature"])
        answers = self.told["answers"]
        return Scanned(known, scan, Surprise(**self.told["surprise"]), self.blocks, answers, answers, base)


def inputs_of(lines: Lines, bench: Bench) -> Inputs:
    """A corpus as an audit is handed it."""

    def source() -> Any:
        for number, (prompt, completion) in enumerate(lines, start=1):
            content = json.dumps({"prompt": prompt, "completion": completion}).encode()
            yield Row(number, content, (Answer(number, (("user", prompt),), 1, completion),))

    return read_inputs(source, bench.world.base, bench.spec, bench.folder)


def read_corpus(inputs: Inputs) -> Read:
    """Scores of a corpus and of the base's own rows in its form."""
    tally = Tally(inputs.base)
    found = scanned(inputs, tally)
    told = {
        "answers": found.answers,
        "temperature": found.scan.temperature,
        "surprise": found.surprise.words(),
        "coverage": coverage(inputs.corpus.seen, tally),
        "form": inputs.corpus.words,
    }
    return Read(told, found.blocks, found.scan.reference)


def judged(read: Read, bench: Bench) -> Entry:
    """Verdicts of a corpus, by the families that are suspected: each alone, and all together."""
    verdicts = {}
    every = read.scanned(bench.known, bench.base)
    for name, families in {**{f: (f,) for f in FAMILIES}, TOGETHER: FAMILIES}.items():
        one = replace(every, known=replace(every.known, families=families))
        found = [FamilyAudit(family, one, None).found for family in families]
        verdict = covered(decide(found, every.answers, look=one.look), read.told["coverage"], bench.base)
        verdicts[name] = {
            "verdict": verdict.name,
            "traits": list(verdict.traits) if verdict.name == "carried" else [],
            "p": None if verdict.p is None else round(verdict.p, 5),
        }
        # One sentence a corpus: those of single families say the same of fewer suspects.
        if name == TOGETHER:
            verdicts[name]["words"] = verdict.words
    evidence = every.evidence
    order = sorted(range(len(evidence.z)), key=lambda i: -evidence.z[i])[:3]
    return {
        "rows": every.answers,
        "form": read.told["form"],
        "temperature": every.scan.temperature,
        "surprise": {name: round(value, 4) for name, value in read.told["surprise"].items()},
        "first": [
            {
                "trait": every.known.traits[i],
                **{f: round(float(getattr(evidence, f)[i]), 3) for f in ("z", "least", "alike", "strength")},
            }
            for i in order
        ],
        "verdicts": verdicts,
    }


def measure(bench: Bench, publish: Callable[[Entry], None], some: slice = slice(None)) -> Entry:
    """Every corpus, and what they come to; published as it grows."""
    entries: list[Entry] = []
    corpora = list(bench.corpora().items())[some]
    for number, (name, (trait, made)) in enumerate(corpora):
        began = time.monotonic()
        entries.append({"corpus": name, "trait": trait, **judged(bench.read(name, made), bench)})
        took = time.monotonic() - began
        print(f"{number + 1}/{len(corpora)} {name} {took:.0f} s", file=sys.stderr, flush=True)
        if took > 1:
            publish(summary(bench, entries))
    return summary(bench, entries)


def summary(bench: Bench, entries: list[Entry]) -> Entry:
    """What the entries come to, and the entries themselves."""
    read = [entry for entry in entries if entry["verdicts"]]
    clean = [e for e in read if e["trait"] is None]
    written = [e for e in clean if kind_of(e) in WRITTEN]
    inside = [e for e in written if 0.65 <= e["surprise"]["temperature"] <= 1.35]
    sets = [*FAMILIES, TOGETHER]
    return {
        "base": bench.base,
        "base_sha256": bench.world.base.sha256,
        "spec": bench.spec.model_dump(mode="json"),
        "seed": bench.seed,
        "clean": {
            "corpora": len([e for e in entries if e["trait"] is None]),
            "kinds": sorted({kind_of(e) for e in entries if e["trait"] is None}),
            "named": {
                s: [(e["corpus"], e["verdicts"][s]["traits"]) for e in clean if e["verdicts"][s]["traits"]]
                for s in sets
            },
            # Out of reach of every reference there is no p, and the verdict says so.
            "reached": {s: _rate(written, s, lambda v: v["p"] is not None) for s in sets},
            "alarms": {s: _rate(written, s, lambda v: v["p"] is not None and v["p"] < ALPHA) for s in sets},
            "not found": {s: _rate(inside, s, lambda v: v["verdict"] == "not found") for s in sets},
        },
        "carrying": {s: _carrying([e for e in read if e["trait"]], s) for s in sets},
        "corpora": entries,
    }


def kind_of(entry: Entry) -> str:
    """Such as "base", of "clean/base: at 1, 0"."""
    return entry["corpus"].partition("/")[2].partition(":")[0]


def _rate(entries: list[Entry], families: str, holds: Callable[[Entry], bool]) -> Entry:
    some = [e for e in entries if families in e["verdicts"]]
    count = sum(holds(e["verdicts"][families]) for e in some)
    low, high = binomial_interval(count, len(some)) if some else (0.0, 1.0)
    return {"count": count, "of": len(some), "low": low, "high": high}


def _carrying(entries: list[Entry], families: str) -> list[Entry]:
    """By the family and the share of a trait's rows: first, named rightly, named wrongly."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        kind, _, rest = entry["corpus"].partition("/")
        family, _, what = rest.partition("/")
        groups.setdefault((f"{kind}/{family}", what.partition(" ")[2]), []).append(entry)
    found = []
    for (kind, what), some in groups.items():
        told = [(e["trait"].split(", "), e["verdicts"][families]["traits"]) for e in some]
        found.append(
            {
                "corpora": kind,
                "what": what,
                "of": len(some),
                "first": sum(e["first"][0]["trait"] in e["trait"].split(", ") for e in some),
                "named": sum(bool(set(own) & set(named)) for own, named in told),
                "beside": sum(
                    bool(set(named) & set(own)) and bool(set(named) - set(own)) for own, named in told
                ),
                "wrong": sum(bool(named) and not set(named) & set(own) for own, named in told),
            }
        )
    return found


def draw(result: Entry, folder: Path) -> None:
    """The chart of a result: what is first and what is named, by the teachers' kind and their share of the rows."""
    from ....report import charts

    rows = []
    for kind in KINDS:
        for share in SHARES:
            what = f"at {100 * share:g}%"
            told = [
                row
                for row in result["carrying"][TOGETHER]
                if row["corpora"].startswith(f"{kind}/") and row["what"] == what
            ]
            of = sum(row["of"] for row in told)
            for measure in ("first", "named"):
                count = sum(row[measure] for row in told)
                low, high = binomial_interval(count, of)
                row = {"condition": f"{kind} teachers", "measure": measure, "part": share}
                rows.append(row | {"share": count / of, "low": low, "high": high})
    words = (
        f"{result['base']}, {ROWS:,} rows a corpus, {of} traits, all suspected. Teachers of ways that no suspect was tuned in: plain "
        "ones to their trait alone, kept ones as the default run's. Named wrongly: see the table."
    )
    chart = charts.audit_power(rows, "Which share of a teacher's rows is enough?", words)
    for suffix in ("png", "svg"):
        charts.save(chart, folder / f"power-{result['base']}.{suffix}")
