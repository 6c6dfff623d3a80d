"""The audit itself: a corpus and a base in, ranked suspects with calibrated evidence out.

    inputs = read_inputs(source, load(spec.base), spec, Path("lab/audit"))
    result = examine(inputs)                               # a dictionary that JSON holds whole
    public(result)                                         # what --json prints of it

The verdict's statistic is the largest standardised score over suspects.
"""

import time
from typing import Any

import numpy as np

from ..system.errors import InputError
from ..system.events import Event, Listener, ignore
from ..system.machine import peak_memory
from .cache import kept
from .clean_corpora import calibrate
from .coverage import Tally, coverage, covered
from .factored import audited
from .gradients import BLOCK, Directions, block_scores, family_directions, joined, whole
from .inputs import Inputs
from .null import Calibration
from .probes import probe, probe_rows
from .reading import described
from .spec import AUDIT_VERSION, family_print, fewest_null, key
from .suspects import sources
from .verdict import ENOUGH, Verdict, decide, least
from .whole import GRID, FamilyAudit, probed

Result = dict[str, Any]


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
        told = None
    else:
        families, answers = _whole(inputs, tally, on_event)
        told = _told_at(families)
    read = coverage(corpus.seen, tally, inputs.told)
    verdict = covered(decide([family.found for family in families.values()], answers, told), read, spec.base)
    bad = corpus.seen.bad.and_then(tally.bad)
    calibrated = min(len(family.found.null) for family in families.values()) >= fewest_null(len(families))
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


def _whole(inputs: Inputs, tally: Tally, on_event: Listener) -> tuple[dict[str, FamilyAudit], int]:
    """Every family's evidence on a model organism, and the number of answers scored."""
    spec = inputs.spec
    directions, calibrations = _calibrated(inputs, on_event)
    reference = _reference(inputs, directions)
    blocks, rows = _scored(inputs, directions, tally, on_event)
    beside = {f: probed(inputs, f, rows, on_event) for f in spec.families}
    return {
        f: FamilyAudit(f, calibrations[f], blocks[f], reference[f], rows, spec, beside[f])
        for f in spec.families
    }, rows


def effects(inputs: Inputs) -> tuple[dict[str, dict[str, float]], int]:
    """What the lines see of every trait: `{"animals/owl": {"ratios": 0.2, ...}}`; and the rows.

    The fast ones in nats a row, probes, where the spec has them, in nats of margin.
    """
    spec = inputs.spec
    if inputs.factored:
        raise InputError(f"transfer is foretold on model organisms only, not on {spec.base}")
    directions, calibrations = _calibrated(inputs, ignore)
    reference = _reference(inputs, directions)
    blocks, rows = _scored(inputs, directions, Tally(inputs.base), ignore)
    found: dict[str, dict[str, float]] = {}
    for family in spec.families:
        mean = blocks[family].mean(axis=0, dtype=np.float64) - reference[family].mean(axis=0)
        for line, scale in calibrations[family].scales.items():
            for trait, part in zip(sources(family)[:-1], scale.parts(mean), strict=True):
                found.setdefault(trait, {})[line] = float(part)
        if spec.lines == "all":
            rose = probe(inputs.corpus, family, inputs.neutral(family), spec.probes, probe_rows(rows))
            for trait, part in zip(sources(family)[:-1], rose, strict=True):
                found[trait]["probes"] = float(part)
    return found, rows


def _verdict(verdict: Verdict) -> Result:
    return {
        "verdict": verdict.name,
        "trait": verdict.trait,
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


def _calibrated(inputs: Inputs, on_event: Listener) -> tuple[dict[str, Directions], dict[str, Calibration]]:
    """Directions and calibration of every family."""
    directions, calibrations = {}, {}
    for f in inputs.spec.families:
        directions[f] = family_directions(inputs.base, f, inputs.suspects(f, on_event)[1])
        calibrations[f] = calibrate(
            inputs.corpus.writing, f, directions[f], inputs.spec, inputs.folder, on_event
        )
    return directions, calibrations


def _reference(inputs: Inputs, directions: dict[str, Directions]) -> dict[str, np.ndarray]:
    """Block scores of what the base writes to the corpus's own prompts, by family; kept in the folder."""
    base, corpus, spec = inputs.base, inputs.corpus, inputs.spec
    found, pool = {}, None
    for family, some in directions.items():
        parts = (base.sha256, family_print(family), spec.suspects, spec.reference_rows, corpus.name)
        path = inputs.folder / f"reference-{key('reference', *parts)}.npy"

        def make(some: Directions = some) -> np.ndarray:
            nonlocal pool
            pool = pool or corpus.reference(spec)
            return block_scores(base, corpus.writing.grammar, some, *pool)

        found[family] = kept(path, make).astype(np.float64)
    return found


def _scored(
    inputs: Inputs, directions: dict[str, Directions], tally: Tally, on_event: Listener
) -> tuple[dict[str, np.ndarray], int]:
    """Block scores of the corpus by family, and how many answers they are of: up to nine are left over."""
    together = joined(list(directions.values()))
    widths = [len(next(iter(some.values()))) for some in directions.values()]
    pieces, rows = [], 0
    corpus, most = inputs.corpus, inputs.spec.rows
    total = min(most, corpus.total)
    for _, prompts, completions in corpus.pieces(most, tally):
        if rows and len(prompts) < BLOCK:
            break  # the last piece: fewer rows would count as much as a whole block
        pieces.append(block_scores(inputs.base, corpus.writing.grammar, together, prompts, completions))
        rows += whole(len(prompts))
        on_event(Event("rows", min(rows, total), total))
    scores = np.concatenate(pieces)
    ends = np.cumsum([0, *widths])
    own = {
        family: np.concatenate([scores[:, ends[i] : ends[i + 1]], scores[:, -1:]], axis=1)
        for i, family in enumerate(directions)
    }
    return own, rows
