"""Audits of runs' rows on a language model: their traits, their clean corpora, every line of evidence.

    result = measure(Bench(Path("lab"), ("latest",)), publish=write)

The corpora are the rows that the runs kept, of each trait in each chain; clean ones are their rows of the
base and of neutral teachers, and rows of the base at other temperatures to the first chain's prompts.
Suspects are the runs' traits and as many decoys of their family. Everything made lies in the lab's audit
folder: the command goes on where it was stopped, and started twice it uses two processes.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .. import files
from ..audit.corpus import Corpus, look
from ..audit.defaults import defaults
from ..audit.examine import examine
from ..audit.pieces import Pieces
from ..audit.reading import Bad, Row, read_run
from ..audit.spec import AuditSpec, checked, key
from ..audit.suspects import sources
from ..audit.tasks import finish, seconds
from ..bases import Base, load
from ..errors import InputError
from ..estimate import in_words
from ..events import Listener, ignore
from ..lab import Lab
from ..plan import BASE, neutral
from ..sample import Decoding, sample
from ..setting import Setting, prompt_texts, seed_of
from ..spec import Spec, override_field, parse_spec

TEMPERATURES = (0.7, 1.3)
CENTRINGS = ("over base", "over neutral", "over both")
DRAWN_AT_ONCE = 128
Result = dict[str, Any]


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
    """Changes to the audit's spec, such as "probes.seeds=2"."""

    @cached_property
    def store(self) -> Lab:
        return Lab(self.lab)

    @cached_property
    def of(self) -> dict[str, Spec]:
        """Their specs, by the run's id.

        Raises:
            InputError: no such run, or other bases or prompts than the first one's.
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
            if (other.base, prompt_texts(other, 0)) != (first.base, prompt_texts(first, 0)):
                raise InputError("runs: of one base and the same prompts only")
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
        suspects, families = [], list(dict.fromkeys(f for spec in self.of.values() for f in spec.families))
        for family in families:
            own = [trait for trait in self.traits if trait.rpartition("/")[0] == family]
            others = [trait for trait in sources(family)[:-1] if trait not in own]
            suspects += [*own, *others[: len(own)]]
        fields = defaults(self.first.base) | {"base": self.first.base, "families": families}
        fields |= {"suspects_only": suspects, "method": "factors", "lines": "all"}
        for item in self.items:
            override_field(fields, item)
        return checked(fields)

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
        named = [self.base.sha256, [text for text, _, _ in prompts], temperature]
        path = self.folder / f"rows-{key('bench rows', *named)}.json"
        if not path.exists():
            held = Decoding(temperature, setting.grammar, batch=DRAWN_AT_ONCE)
            seed = seed_of("bench rows", *named)
            drawn = sample(self.base, [ids for _, _, ids in prompts], seed, held)[0]
            files.write_atomic(path, json.dumps([self.base.decode(ids).strip() for ids in drawn]))
        texts = json.loads(path.read_text())
        return tuple(
            Row(i + 1, prompt[0], text) for i, (prompt, text) in enumerate(zip(prompts, texts, strict=True))
        )


def _clean(spec: Spec) -> list[str]:
    """Sources of a run's rows that carry no trait."""
    return [*(neutral(family) for family in spec.families), *([BASE] if "control" in spec.arms else [])]


def measure(
    bench: Bench, publish: Callable[[Result], None], on_event: Listener = ignore, say: Any = print
) -> Result:
    """Audit every corpus; `publish` sees what is known after each of them."""
    subjects = bench.subjects()
    looked = [_look(subject, bench.base) for subject in subjects]
    pieces = [Pieces(corpus, bench.spec, bench.folder) for corpus in looked]
    first = [task for some in pieces for task in some.first()]
    every = [task for some in pieces for task in some.tasks()]
    say(
        f"{len(subjects)} corpora: {in_words(seconds([*first, *every], bench.base))} in one process by estimate"
    )
    finish(first, on_event)
    tasks = [some.tasks() for some in pieces]
    found: list[Result] = []
    for number, subject in enumerate(subjects):
        finish(tasks[number], on_event, [task for some in tasks[number + 1 :] for task in some])
        result = examine(lambda bad, rows=subject.rows: iter(rows), bench.spec, bench.folder)
        found.append(_entry(subject, result))
        publish(summary(bench, found, len(subjects)))
    return summary(bench, found, len(subjects))


def _look(subject: Subject, base: Base) -> Corpus:
    return look(lambda bad: iter(subject.rows), base, Bad())


def _entry(subject: Subject, result: Result) -> Result:
    """What each line says of one corpus: of its trait's family, of a clean one of all; ranks of the true
    trait are among its family's suspects, and of probes in the whole family."""
    known = {f["family"]: f for f in result["families"]}
    family = known[(subject.trait or result["suspects"][0]["trait"]).rpartition("/")[0]]
    read = known.values() if subject.trait is None else [family]
    lines: dict[str, dict[str, float]] = {}
    for some in read:
        for line, z in some["lines"].items():
            lines.setdefault(line, {}).update(zip(some["traits"], z, strict=True))
    traits = [trait for some in read for trait in some["traits"]]
    lines["combined"] = {e["trait"]: e["score"] for e in result["suspects"] if e["trait"] in traits}
    entry: Result = {"corpus": subject.name, "trait": subject.trait, "rows": result["rows"], "lines": lines}
    entry |= {"first": {line: max(z, key=z.get) for line, z in lines.items()}}
    entry |= {"largest": {line: max(z.values()) for line, z in lines.items()}}
    entry |= {
        "p": min(e["p"] for e in result["suspects"]) if result["suspects"][0]["p"] is not None else None
    }
    entry |= {"temperature": family["temperature"], "words": result["words"], "probes": family["probes"]}
    if subject.trait is not None:
        entry["rank"] = {line: _rank(z, subject.trait) for line, z in lines.items()}
        entry["rank_in_family"] = {
            kind: _rank(
                dict(zip(family["probes"]["traits"], family["probes"][kind], strict=True)), subject.trait
            )
            for kind in (CENTRINGS if family["probes"] else ())
        }
    return entry


def _rank(scores: dict[str, float], trait: str) -> int:
    return 1 + sum(score > scores[trait] for score in scores.values())


def _p(entry: Result, line: str, clean: list[Result]) -> float:
    """Share of clean corpora, itself counted, whose largest score is no smaller; of a trait's corpus among
    its family's suspects."""
    largest = [max(c["lines"][line].get(trait, -np.inf) for trait in entry["lines"][line]) for c in clean]
    return (1 + sum(other >= entry["largest"][line] for other in largest)) / (1 + len(clean))


def summary(bench: Bench, found: list[Result], planned: int) -> Result:
    """All corpora so far, and how each line did; p against the clean corpora, of a clean one the others."""
    own, clean = ([e for e in found if (e["trait"] is None) == none] for none in (False, True))
    lines = list(found[0]["lines"]) if found else []
    by_line = [
        {
            "line": line,
            "corpora": len(own),
            "first": sum(e["rank"][line] == 1 for e in own),
            "ranks": [e["rank"][line] for e in own],
            # Ranks are among the suspects of the trait's family.
            "suspects": [len(e["lines"][line]) for e in own],
            # Clean corpora whose largest score is over the smallest largest one of the traits' corpora.
            "clean_over": int(
                sum(e["largest"][line] > min(o["largest"][line] for o in own) for e in clean) if own else 0
            ),
            "p_own": [_p(e, line, clean) for e in own],
            "p_clean": [_p(e, line, [c for c in clean if c is not e]) for e in clean],
            "largest_own": [round(e["largest"][line], 3) for e in own],
            "largest_clean": [round(e["largest"][line], 3) for e in clean],
        }
        for line in lines
    ]
    family = [
        {
            "centring": kind,
            "ranks": [e["rank_in_family"][kind] for e in own],
            "of": len(found[0]["probes"]["traits"]),
        }
        for kind in (own[0]["rank_in_family"] if own else ())
    ]
    return {
        "runs": list(bench.of),
        "base": bench.first.base,
        "spec": bench.spec.model_dump(mode="json"),
        "planned": planned,
        "done": len(found),
        "clean": len(clean),
        "mean_rank": {row["line"]: float(np.mean(row["ranks"])) for row in by_line if row["ranks"]},
        "by_line": by_line,
        "probes_in_family": family,
        "corpora": found,
    }
