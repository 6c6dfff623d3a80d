"""Audits of runs' rows on a language model: their traits, their clean corpora, every line of evidence.

    result = audit_corpora(Bench(Path("lab"), ("latest",)), publish=write)

The corpora are the rows that the runs kept, of each trait in each chain; clean ones are their rows of the
base and of neutral teachers, and rows of the base at other temperatures to the first chain's prompts.
Suspects are the runs' traits and as many decoys of their family, of families that items leave out none: what is
said of those corpora shows what is made of traits that nobody suspects. Everything made lies in the lab's audit
folder: the command goes on where it was stopped, and started twice it uses two processes.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ....audit.cache import finish, missing_seconds
from ....audit.examine import examine
from ....audit.inputs import Inputs, read_inputs
from ....audit.reading import Row, read_run, row_of
from ....audit.spec import AuditSpec, defaults, key, parse_audit_spec
from ....audit.suspects import sources
from ....experiment.setting import Setting
from ....lab import Lab
from ....model.bases import Base, load
from ....model.sample import Decoding, sample
from ....spec import Spec, override_field, parse_spec
from ....spec.plan import BASE, neutral
from ....spec.seeds import seed_of
from ....system import files
from ....system.errors import InputError
from ....system.events import Listener, ignore
from ....system.quantities import about_duration
from .ranks import Result, entry, summary

TEMPERATURES = (0.7, 1.3)
DRAWN_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class Subject:
    """A corpus of known origin."""

    source: str
    chain: int
    trait: str | None
    """None of a clean one."""
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        return f"{self.source}, chain {self.chain}"


@dataclass(frozen=True, eq=False)
class Bench:
    """The corpora of runs that have one base and the same prompts, and the audit that they get."""

    lab: Path
    runs: tuple[str, ...]
    chains: int | None = None
    """How many of the runs' chains; None: all."""
    items: tuple[str, ...] = ()
    """Changes to the audit's spec, such as "lines=all"."""

    @cached_property
    def store(self) -> Lab:
        return Lab(self.lab)

    @cached_property
    def of(self) -> dict[str, Spec]:
        """Their specs, by the run's id.

        Raises:
            InputError: no such run, another base or other rows than the first one's, or a trait that two have.
        """
        found = {}
        for run in self.runs:
            run_id = self.store.resolve(run)
            stored = self.store.run(run_id)
            if stored is None:
                raise InputError(f"no run {run} in {self.lab}: `runs` lists those there are")
            found[run_id] = parse_spec(stored["spec_toml"])
        first, *others = found.values()
        for other in others:
            if (other.base, other.seed, other.corpus) != (first.base, first.seed, first.corpus):
                raise InputError("runs: of one base, seed and kind of rows only")
        traits = [trait for spec in found.values() for trait in spec.traits]
        if twice := next((trait for trait in traits if traits.count(trait) > 1), None):
            raise InputError(f"runs: {twice} is a trait of two of them")
        return found

    @property
    def first(self) -> Spec:
        return next(iter(self.of.values()))

    @property
    def traits(self) -> list[str]:
        return list(dict.fromkeys(trait for spec in self.of.values() for trait in spec.traits))

    @cached_property
    def base(self) -> Base:
        return load(self.first.base)

    @property
    def folder(self) -> Path:
        return self.lab / "audit"

    @cached_property
    def spec(self) -> AuditSpec:
        """Factors, whatever the base's size: what is tried here is what language models get."""
        families = list(dict.fromkeys(f for spec in self.of.values() for f in spec.families))
        fields = defaults(self.first.base) | {
            "base": self.first.base,
            "families": families,
            "method": "factors",
        }
        for item in self.items:
            override_field(fields, item)
        suspects = []
        for family in fields["families"]:
            own = [trait for trait in self.traits if trait.rpartition("/")[0] == family]
            others = [trait for trait in sources(family)[:-1] if trait not in own]
            suspects += [*own, *others[: len(own)]]
        return parse_audit_spec({"suspects_only": suspects} | fields)

    def subjects(self) -> list[Subject]:
        """Traits first; clean corpora of a chain after them. What several runs have is the first one's."""
        most = min(spec.chains for spec in self.of.values())
        chains = range(min(most, self.chains or most))
        runs = [(chain, run, spec) for chain in chains for run, spec in self.of.items()]
        own = [self._kept(run, trait, chain, trait) for chain, run, spec in runs for trait in spec.traits]
        clean = [self._kept(run, source, chain, None) for chain, run, spec in runs for source in _clean(spec)]
        drawn = [Subject(f"base at {t:g}", 0, None, self._drawn(t)) for t in TEMPERATURES]
        found: dict[str, Subject] = {}
        for subject in (*own, *clean, *drawn):
            found.setdefault(subject.name, subject)
        return list(found.values())

    def _kept(self, run: str, source: str, chain: int, trait: str | None) -> Subject:
        return Subject(source, chain, trait, tuple(read_run(self.store, run, source, chain)))

    def _drawn(self, temperature: float) -> tuple[Row, ...]:
        """Rows of the base at a temperature, kept in the folder."""
        setting = Setting(self.first, self.base)
        prompts = setting.prompts(0)[: self.spec.rows]
        texts = [text for text, _, _ in prompts]
        named = [self.base.sha256, self.first.corpus.model_dump(mode="json"), texts, temperature]
        path = self.folder / f"rows-{key('bench rows', *named)}.json"
        if not path.exists():
            held = Decoding(temperature, setting.grammar, batch=DRAWN_AT_ONCE)
            seed = seed_of("bench rows", *named)
            drawn = sample(self.base, [ids for _, _, ids in prompts], seed, held)[0]
            files.write_atomic(path, json.dumps([self.base.decode(ids).strip() for ids in drawn]))
        written = json.loads(path.read_text())
        pairs = enumerate(zip(texts, written, strict=True))
        return tuple(row_of(i + 1, {"prompt": text, "completion": row}) for i, (text, row) in pairs)


def _clean(spec: Spec) -> list[str]:
    """Sources of a run's rows that carry no trait."""
    return [*(neutral(family) for family in spec.families), *([BASE] if "control" in spec.arms else [])]


def audit_corpora(
    bench: Bench, publish: Callable[[Result], None], on_event: Listener = ignore, say: Any = print
) -> Result:
    """Audit every corpus; `publish` sees what is known after each of them."""
    subjects = bench.subjects()
    inputs = [_inputs(subject, bench) for subject in subjects]
    pieces = [some.pieces for some in inputs]
    first = [task for some in pieces for task in some.first()]
    every = [task for some in pieces for task in some.tasks()]
    say(
        f"{len(subjects)} corpora: {about_duration(missing_seconds([*first, *every], bench.base))} in one process by estimate"
    )
    finish(first, on_event)
    tasks = [some.tasks() for some in pieces]
    found: list[Result] = []
    for number, subject in enumerate(subjects):
        finish(tasks[number], on_event, [task for some in tasks[number + 1 :] for task in some])
        found.append(entry(subject.name, subject.trait, examine(inputs[number])))
        publish(_result(bench, found, len(subjects)))
    return _result(bench, found, len(subjects))


def _inputs(subject: Subject, bench: Bench) -> Inputs:
    return read_inputs(lambda: iter(subject.rows), bench.base, bench.spec, bench.folder)


def _result(bench: Bench, found: list[Result], planned: int) -> Result:
    about = {"runs": list(bench.of), "base": bench.first.base, "spec": bench.spec.model_dump(mode="json")}
    return about | {"planned": planned} | summary(found)
