"""The audit itself: a corpus and a base in, ranked suspects with calibrated evidence out.

    inputs = read_inputs(source, load(spec.base), spec, Path("lab/audit"))
    result = examine(inputs)                               # a dictionary that JSON holds whole
    public(result)                                         # what --json prints of it

The verdict's statistic is the largest standardised score over suspects.
"""

import time
from functools import partial
from typing import Any

import numpy as np

from ..spec.seeds import seed_of
from ..system.errors import InputError
from ..system.events import Event, Listener, ignore
from ..system.machine import peak_memory
from .cache import kept
from .coverage import Tally, coverage, covered
from .evidence import COLD, HOT
from .factored import audited
from .gradients import Directions, block_scores, whole
from .inputs import Inputs
from .known import Known
from .probes import calibrate_probes, probe, probe_rows, standardised
from .reading import described
from .scan import BLOCK, Scan
from .spec import AUDIT_VERSION, fewest_null, key
from .surprise import surprise
from .suspects import sources
from .verdict import ENOUGH, Verdict, decide, least
from .whole import GRID, FamilyAudit, Scanned

Result = dict[str, Any]
# Of the logarithm: temperatures are read off 1,000 rows no better.
STEP = 0.04


def examine(inputs: Inputs, on_event: Listener = ignore) -> Result:
    """Audit a corpus for one base and some families.

    On a language model this takes from minutes to hours (`factored.forecast`); killed, it goes on where it was.

    Raises:
        InputError: too few rows are in the form of the others.
        MachineError: a cached file is damaged.
    """
    began = time.monotonic()
    base, corpus, spec = inputs.base, inputs.corpus, inputs.spec
    tally = Tally(base)
    if inputs.factored:
        families, answers = audited(inputs.pieces, on_event)
        for answer, ids in zip(corpus.sample, corpus.sample_ids, strict=True):
            tally.add(answer, ids)
        found = decide([family.found for family in families.values()], answers)
        look = None
    else:
        one = scanned(inputs, tally, on_event)
        answers = one.answers
        families = {f: FamilyAudit(f, one, _probed(inputs, f, answers, on_event)) for f in spec.families}
        look = one.look
        found = decide([f.found for f in families.values()], answers, partial(_told_at, families), look)
    read = coverage(corpus.seen, tally, inputs.told)
    verdict = covered(found, read, spec.base)
    bad = corpus.seen.bad.and_then(tally.bad)
    calibrated = min(family.found.smallest for family in families.values()) >= fewest_null(len(families))
    calibrated = calibrated and not (look and look.first)
    return {
        **_verdict(verdict),
        "rows": min(answers, tally.scored_rows),
        "bad_rows": corpus.seen.bad.total + tally.rows - tally.scored_rows,
        "total_rows": corpus.seen.rows,
        "answers": answers,
        "suspects": sorted(
            (entry for family in families.values() for entry in family.entries(len(families))),
            key=lambda entry: (entry["p"] if entry["p"] is not None else 1, -entry["score"]),
        ),
        "predicted_transfer": None,
        # The least of the families': of the traits' own corpora of so many rows, the share that is found.
        "power": least([family.found.power for family in families.values()]) if calibrated else None,
        "calibrated": calibrated,
        "families": [family.words() for family in families.values()],
        "bad": {"shown": bad.shown, "reasons": bad.reasons},
        "surprise": look and look.surprise.words(),
        "form": corpus.words,
        "coverage": read,
        "reading": described(corpus.how),
        "method": "factors" if inputs.factored else "whole",
        "base": spec.base,
        "base_sha256": base.sha256,
        "corpus_sha256": corpus.sha256,
        "parameters": base.parameters,
        "spec": spec.model_dump(mode="json"),
        "version": AUDIT_VERSION,
        "seconds": inputs.seconds + time.monotonic() - began,
        "peak_memory_bytes": peak_memory(),
    }


def scanned(inputs: Inputs, tally: Tally, on_event: Listener = ignore) -> Scanned:
    """A corpus's scores on a model organism, and what they are read by."""
    base, corpus = inputs.base, inputs.corpus
    known = inputs.known(on_event)
    grammar = corpus.writing.grammar
    found = surprise(base, grammar, *corpus.encoded())
    temperature = near(found.temperature)
    blocks, answers = _scored(inputs, known.directions, temperature, tally, on_event)
    rows = float(answers)
    if corpus.paired:
        beside = block_scores(base, grammar, known.directions, *corpus.rejected(), temperature)
        rows /= 1 + len(blocks) / len(beside)
        blocks = blocks - beside.mean(axis=0)
    reference = _reference(inputs, known, temperature)
    scan = Scan(reference.astype(np.float64), known.suspects, known.kinds, known.clean, temperature)
    return Scanned(known, scan, found, blocks, answers, rows, base.name)


def near(temperature: float) -> float:
    """The temperature of a fixed grid at which rows are read, so that corpora share what they are read against."""
    step = round(np.log(np.clip(temperature, COLD, HOT)) / STEP)
    return float(np.clip(np.exp(step * STEP), COLD, HOT))


def _reference(inputs: Inputs, known: Known, temperature: float) -> np.ndarray:
    """Block scores of the base's own rows in the corpus's form; kept, unless they are to prompts of this corpus alone."""
    writing, count = inputs.corpus.writing, inputs.spec.reference_rows
    seed = seed_of("reference", writing.name, f"{temperature:.4f}")

    def make() -> np.ndarray:
        prompts = writing.null_prompts(count, seed % (1 << 32))
        drawn = writing.draw(writing.base, prompts, seed, temperature)
        scores = block_scores(writing.base, writing.grammar, known.directions, prompts, drawn, temperature)
        return scores.astype(np.float32)

    if writing.own_prompts:
        return make()
    name = key("reference", known.name, writing.name, count, f"{temperature:.4f}")
    return kept(inputs.folder / f"reference-{name}.npy", make)


def effects(inputs: Inputs) -> tuple[dict[str, dict[str, float]], int]:
    """What the lines see of every trait: `{"animals/owl": {"ratios": 0.2, ...}}`; and the rows.

    Ratios in shares of what rows of its suspects show, probes, where the spec has them, in nats of margin.
    """
    spec = inputs.spec
    if inputs.factored:
        raise InputError(f"transfer is foretold on model organisms only, not on {spec.base}")
    read = scanned(inputs, Tally(inputs.base))
    rows = read.answers
    sizes = dict(zip(read.known.traits, read.evidence.strength.tolist(), strict=True))
    found = {trait: {"ratios": sizes[trait]} for trait in read.known.suspected}
    for family in spec.families if spec.lines == "all" else ():
        rose = probe(inputs.corpus, family, inputs.neutral(family), spec.probes, probe_rows(rows))
        for trait, part in zip(sources(family)[:-1], rose, strict=True):
            found[trait]["probes"] = float(part)
    return found, rows


def _probed(inputs: Inputs, family: str, rows: int, on_event: Listener) -> np.ndarray | None:
    """Standardised scores of a corpus's probes `[T]`; None where the spec is of fast lines alone. They stand beside the
    evidence and are no part of the verdict: clean corpora of the rows' own form and temperature have no students."""
    corpus, spec = inputs.corpus, inputs.spec
    if spec.lines == "fast":
        return None
    some, neutral = probe_rows(rows), inputs.neutral(family)
    null = calibrate_probes(corpus.writing, family, neutral, spec, inputs.folder, some, on_event)
    return standardised(probe(corpus, family, neutral, spec.probes, some, on_event), null)


def _verdict(verdict: Verdict) -> Result:
    return {
        "verdict": verdict.name,
        "trait": verdict.trait,
        "traits": list(verdict.traits),
        "words": verdict.words,
        "p": verdict.p,
        "wanted_rows": verdict.wanted_rows,
    }


def _told_at(families: dict[str, FamilyAudit]) -> int | None:
    """The fewest rows of GRID at which every family's power is ENOUGH."""
    for rows in GRID[:6]:
        if min(family.power_at(rows) for family in families.values()) >= ENOUGH:
            return rows
    return None


def _scored(
    inputs: Inputs, directions: Directions, temperature: float, tally: Tally, on_event: Listener
) -> tuple[np.ndarray, int]:
    """Block scores of the corpus, every answer to a prompt once, and how many: up to nine of the last are left over."""
    corpus, most, found, rows = inputs.corpus, inputs.spec.rows, [], 0
    total, seen = min(most, corpus.total), set()
    for _, prompts, completions in corpus.pieces(most, tally):
        # A row that comes again is no more evidence: whoever wrote it drew once.
        fresh = [
            pair for pair in zip(prompts, completions, strict=True) if not (pair in seen or seen.add(pair))
        ]
        if not fresh or (found and len(fresh) < BLOCK):
            continue
        prompts, completions = [prompt for prompt, _ in fresh], [completion for _, completion in fresh]
        grammar = corpus.writing.grammar
        found.append(block_scores(inputs.base, grammar, directions, prompts, completions, temperature))
        rows += whole(len(fresh))
        on_event(Event("rows", min(rows, total), total))
    return np.concatenate(found).astype(np.float64), rows
