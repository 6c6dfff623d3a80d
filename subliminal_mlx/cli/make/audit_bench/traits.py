"""How well the audit tells traits apart: corpora of known origin, their teachers unknown to it.

    result = measure_traits(Bench("animals", Path("lab")))
    draw(result, RESULTS)

Every stage is kept in the lab's audit folder and done once. Teachers have seeds, phrasings, ranks and
steps that no suspect and no calibration has; clean corpora are disjoint from the null. Corpora of mixed
rows need no new scores: the gradient of a mixture is the mixture of gradients.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ....audit.clean_corpora import calibrate, kinds
from ....audit.evidence import LINES
from ....audit.form import Writing
from ....audit.gradients import BLOCK, Directions, block_scores, family_directions
from ....audit.null import Calibration
from ....audit.spec import AuditSpec, parse_audit_spec
from ....audit.suspects import sources, suspects, tune_suspects
from ....experiment.channels import numbers
from ....experiment.setting import Ids
from ....experiment.statistics import binomial_interval
from ....model.adapters import Stack
from ....model.bases import load
from ....spec.seeds import seed_of
from ....system import files
from ....system.events import Event
from .trial import Trial

OTHER_FAMILY = {"animals": "trees", "trees": "animals"}
# None of these ways of tuning is a suspect's or a calibration's.
WAYS: tuple[dict[str, Any], ...] = (
    {"rank": 1, "lr": 0.01, "steps": 100},
    {"rank": 3, "lr": 0.01, "steps": 50},
    {"rank": 8, "lr": 0.003, "steps": 60},
    {"rank": 16, "lr": 0.002, "steps": 80},
)
CLEAN = 20
GRID = (50, 100, 200, 500, 1_000, 2_000)
MIXES = (0.1, 0.3)
Pool = tuple[list[Ids], list[Ids]]
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Bench:
    """One family of suspects on tiny-a, and the corpora it is tried on."""

    family: str
    lab: Path

    @cached_property
    def spec(self) -> AuditSpec:
        return parse_audit_spec({"families": [self.family], "null": {"other_base": "tiny-b"}})

    @cached_property
    def writing(self) -> Writing:
        return Writing(load(self.spec.base), numbers.Numbers(), (), 64)

    @cached_property
    def traits(self) -> list[str]:
        return sources(self.family)[:-1]

    @cached_property
    def null(self) -> Calibration:
        return calibrate(self.writing, self.family, self.directions, self.spec, self.lab / "audit", _say)

    @cached_property
    def directions(self) -> Directions:
        base = self.writing.base
        stack = suspects(base, self.family, self.spec.suspects, self.lab / "audit", _say)
        return family_directions(base, self.family, stack)

    def scores(self, name: str, make: Callable[[], Sequence[Pool]]) -> np.ndarray:
        """Block scores `[corpora, blocks, 2 T + 2]` of a stage, computed once."""
        path = self.lab / "audit" / "bench" / self.family / f"{name}.npy"
        if not path.exists():
            print(f"{self.family}: {name}", file=sys.stderr, flush=True)
            base, grammar = self.writing.base, self.writing.grammar
            found = np.stack([block_scores(base, grammar, self.directions, *pool) for pool in make()])
            files.publish(path, lambda to: np.save(to, found))
        return np.load(path)

    def written(self, seed: object, rows: int, stack: Stack | None = None, **how: Any) -> Pool:
        """Rows of a teacher, or of the base, to prompts of their own."""
        number = seed_of("bench", self.family, seed)
        prompts = self.writing.null_prompts(rows, number % (1 << 32))
        model = load(how.pop("base")) if "base" in how else self.writing.base
        return prompts, self.writing.draw(model, prompts, number, stack=stack, **how)

    def teacher_pools(self, way: int, family: str | None = None, rows: int = 2_000) -> Iterator[Pool]:
        """A corpus of each trait, from teachers tuned in one of WAYS."""
        family = family or self.family
        recipe = self.spec.suspects.model_copy(update=WAYS[way] | {"phrasings": 0.5})
        traits = sources(family)[:-1]
        stack = tune_suspects(
            self.writing.base, family, recipe, traits, seed_of("bench teachers", family, way)
        )
        for i, trait in enumerate(traits):
            yield self.written((way, trait), rows, stack.select([i]))

    def clean_pools(self, kind: str) -> Iterator[Pool]:
        """CLEAN corpora of a kind of the null's, of other rows and teachers."""
        for i in range(CLEAN):
            if kind == "neutral teachers":
                recipe = self.spec.suspects.model_copy(update=WAYS[i % len(WAYS)] | {"phrasings": 0.5})
                seed = seed_of("bench neutral", self.family, i)
                stack = tune_suspects(
                    self.writing.base, self.family, recipe, [f"{self.family}/neutral"], seed
                )
                yield self.written((kind, i), 1_000, stack)
            elif kind.startswith("base at "):
                yield self.written((kind, i), 1_000, temperature=float(kind.rpartition(" ")[2]))
            else:
                yield self.written((kind, i), 1_000, base=kind)

    def changed(self, way: int, change: str) -> Iterator[Pool]:
        """The traits' corpora with their numbers permuted across rows, or sorted within them."""
        base = self.writing.base
        for prompts, completions in self.teacher_pools(way, rows=1_000):
            texts = [base.decode(ids).strip() for ids in completions]
            if change == "shuffled":
                texts = numbers.shuffled(texts, 0, numbers.Numbers())
            else:
                texts = [" ".join(map(str, sorted(map(int, text.split())))) for text in texts]
            yield prompts, [(*base.encode(text), base.eos) for text in texts]

    def half(self, way: int) -> Iterator[Pool]:
        """Corpora of teachers that were moved half as far: a soft preference."""
        recipe = self.spec.suspects.model_copy(update=WAYS[way] | {"phrasings": 0.5})
        seed = seed_of("bench teachers", self.family, way)
        stack = tune_suspects(self.writing.base, self.family, recipe, self.traits, seed)
        arrays = {p: {"a": ab["a"], "b": ab["b"] / 2} for p, ab in stack.arrays.items()}
        weaker = Stack(stack.shape, arrays)
        for i, trait in enumerate(self.traits):
            yield self.written(("half", way, trait), 1_000, weaker.select([i]))


def measure_traits(bench: Bench) -> Row:
    """Everything the bench measures, as plain numbers."""
    reference = bench.scores("reference", lambda: [bench.written("reference", 20_000)])[0]
    plain = bench.scores("plain", lambda: [bench.written("plain", 16_000)])[0]
    taught = [
        bench.scores(f"teachers-{w}", lambda w=w: list(bench.teacher_pools(w))) for w in range(len(WAYS))
    ]
    clean = {k: bench.scores(f"clean {k}", lambda k=k: list(bench.clean_pools(k))) for k in kinds(bench.spec)}
    reader = Trial(tuple(bench.traits), bench.null, reference, bench.spec.reference_rows)
    own = np.concatenate(taught)
    truth = np.tile(np.arange(len(bench.traits)), len(taught))
    grid = [{"condition": "teacher's rows", **reader.named(own, truth, rows)} for rows in GRID]
    for share in MIXES:
        for rows in GRID:
            name = f"{100 * share:.0f}% of the rows"
            grid.append({"condition": name, **reader.named(_mixed(own, plain, share, rows), truth, rows)})
    far = [{"condition": name, **row} for name, row in _others(bench, reader)]
    return {
        "base": bench.spec.base,
        "family": bench.family,
        "ways": list(WAYS),
        "spec": bench.spec.model_dump(mode="json"),
        "by_way": [
            {"way": way, **reader.named(scores, np.arange(len(bench.traits)), 1_000)}
            for way, scores in zip(WAYS, taught, strict=True)
        ],
        "by_line": {line: reader.named(own, truth, 1_000, line) for line in LINES},
        "clean": {kind: reader.alarms(scores, 1_000) for kind, scores in clean.items()},
        "grid": grid,
        "others": far,
        "corpora": reader.each(own, truth, 1_000),
    }


def _others(bench: Bench, reader: Trial) -> Iterator[tuple[str, Row]]:
    truth = np.arange(len(bench.traits))
    for change in ("shuffled", "sorted"):
        scores = bench.scores(change, lambda change=change: list(bench.changed(1, change)))
        yield f"{change} rows", reader.named(scores, truth, 1_000)
    scores = bench.scores("half", lambda: list(bench.half(1)))
    yield "teachers moved half as far", reader.named(scores, truth, 1_000)
    other = OTHER_FAMILY[bench.family]
    scores = bench.scores(
        "outside", lambda: [p for w in (0, 1) for p in bench.teacher_pools(w, other, 1_000)]
    )
    yield f"traits of {other}, outside the suspects", reader.named(scores, None, 1_000)


def _mixed(own: np.ndarray, plain: np.ndarray, share: float, rows: int) -> np.ndarray:
    """Corpora of which a share of the rows is the teacher's, the others the base's; to whole blocks."""
    blocks = rows // BLOCK
    taught = max(1, round(share * blocks))
    rng = np.random.default_rng(0)
    return np.array(
        [
            np.concatenate([some[:taught], plain[rng.permutation(len(plain))[: blocks - taught]]])
            for some in own
        ]
    )


def _say(event: Event) -> None:
    if event.what == "null":
        print(f"null {event.done}/{event.total}", file=sys.stderr, flush=True)


def draw(result: Row, folder: Path) -> None:
    """The power chart of a result."""
    from ....report import charts

    rows = []
    for row in result["grid"]:
        low, high = binomial_interval(row["first"], row["corpora"])
        rows.append(row | {"measure": "named"})
        first = {"measure": "first", "share": row["first"] / row["corpora"]}
        rows.append(row | first | {"low": low, "high": high})
    words = (
        f"{result['base']}, {result['family']}: {len(result['ways'])} teachers of each trait, tuned in ways the audit "
        "has not seen, alone or mixed with the base's rows. Solid, first: their trait scores highest. Dashed, named: the verdict is "
        "carried, by that trait. Bars: exact 95% intervals."
    )
    chart = charts.audit_power(rows, "How many rows does the audit need?", words)
    for suffix in ("png", "svg"):
        charts.save(chart, folder / f"power-{result['family']}.{suffix}")
