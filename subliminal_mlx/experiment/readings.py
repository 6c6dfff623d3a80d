"""Log-probabilities of one model or a whole run, as arrays: margins and probabilities out.

    margins(logp, targets_of(family, "owl"))        # [Q], nats, from logp [Q, C]
    readings = read(readouts, families)             # {"animals": Reading, ...}
    readings["animals"].margins("animals/owl")      # [N, Q]

Knows the tables' columns but not what an arm is compared with. No MLX here.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..spec.families import Family
from ..system.errors import InputError


def targets_of(family: Family, trait: str) -> np.ndarray:
    """Place of the answer of "owl", or "animals/owl", among the candidates of every held-out question `[Q]`."""
    answers = family.traits[trait.rpartition("/")[2]]
    return np.array([answers[question.id] for question in family.held_out])


def margins(logp: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Log p(target) - logsumexp over its rivals `[..., Q]`, nats, of `targets [Q]` in `logp [..., Q, C]`.

    Candidates that a question lacks are -inf.
    """
    rival = np.arange(logp.shape[-1]) != targets[:, None]
    own = logp[..., np.arange(len(targets)), targets]
    rivals = np.where(rival, logp, -np.inf)
    top = rivals.max(axis=-1)
    return own - top - np.log(np.exp(rivals - top[..., None]).sum(axis=-1))


def softmax(logp: np.ndarray) -> np.ndarray:
    """Probabilities among the candidates `[..., C]`."""
    p = np.exp(logp - logp.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Reading:
    """All readouts of one family in a run; a row is one model at one step.

    Only complete rows are here: a model that was not yet read on every question has none.
    """

    family: Family
    logp: np.ndarray
    """`[N, Q, C]`, nats; -inf past the end of a question's candidates."""
    slots: tuple[str, ...]
    """Slot of every row `[N]`."""
    index: dict[tuple[str, str, str | None], dict[int, dict[int, int]]]
    """Rows by (kind, arm, trait), then step, then chain."""

    def rows(self, kind: str, arm: str, trait: str | None, step: int | None = None) -> dict[int, int]:
        """Row by chain at that step, or at each chain's last step where `step` is None."""
        steps = self.index.get((kind, arm, trait), {})
        if step is not None:
            return steps.get(step, {})
        return {chain: row for s in sorted(steps) for chain, row in steps[s].items()}

    def steps(self, kind: str, arm: str, trait: str | None) -> list[int]:
        return sorted(self.index.get((kind, arm, trait), {}))

    def margins(self, trait: str) -> np.ndarray:
        """Margin of the trait's answer `[N, Q]`, nats."""
        return margins(self.logp, targets_of(self.family, trait))

    @cached_property
    def distributions(self) -> np.ndarray:
        """Probabilities among the candidates `[N, Q, C]`."""
        return softmax(self.logp)

    def probabilities(self, trait: str) -> np.ndarray:
        """Probability of the trait's answer among the candidates `[N, Q]`."""
        targets = targets_of(self.family, trait)
        return np.take_along_axis(self.distributions, targets[None, :, None], 2)[..., 0]


# --- from tables ----------------------------------------------------------------------------------


def read(readouts: pa.Table, families: dict[str, Family]) -> dict[str, Reading]:
    """The readouts table as one `Reading` a family.

    Raises:
        InputError: a log-probability is not finite, or the table holds questions or candidates that
            the family lacks.
    """
    finite = pc.fill_null(pc.is_finite(readouts["logp"]), False)
    if not pc.all(finite, min_count=0).as_py():
        bad = readouts.filter(pc.invert(finite)).slice(0, 1).to_pylist()[0]
        raise InputError(
            f"readout of {bad['slot']} at step {bad['step']} is not finite ({bad['logp']}): its training "
            "diverged; lower the learning rate and run again"
        )
    by_family, names = codes(readouts["family"])
    return {
        name: _reading(readouts.filter(pa.array(by_family == code)), families[name])
        for code, name in enumerate(names)
        if name in families
    }


def _reading(table: pa.Table, family: Family) -> Reading:
    slot, slots = codes(table["slot"])
    step, steps = codes(table["step"])
    key, row = np.unique(slot * len(steps) + step, return_inverse=True)
    question, candidate = _places(table["question"], table["candidate"], family)
    widest = max(len(q.candidates) for q in family.held_out)
    logp = np.full((len(key), len(family.held_out), widest), np.nan)
    for place, held_out in enumerate(family.held_out):
        logp[:, place, len(held_out.candidates) :] = -np.inf
    logp[row, question, candidate] = table["logp"].to_numpy()
    complete = ~np.isnan(logp).any(axis=(1, 2))
    key = key[complete]
    return Reading(
        family,
        logp[complete],
        tuple(slots[k // len(steps)] for k in key),
        _index(table, slot, key // len(steps), [steps[k % len(steps)] for k in key]),
    )


def _index(table: pa.Table, slot: np.ndarray, of_row: np.ndarray, steps: list[int]) -> dict:
    first = np.unique(slot, return_index=True)[1]
    models = table.select(["kind", "arm", "trait", "chain"]).take(pa.array(first)).to_pylist()
    index: dict = {}
    for row, (code, step) in enumerate(zip(of_row, steps, strict=True)):
        kind, arm, trait, chain = models[code].values()
        index.setdefault((kind, arm, trait), {}).setdefault(step, {})[chain or 0] = row
    return index


def _places(questions: pa.ChunkedArray, candidates: pa.ChunkedArray, family: Family) -> tuple:
    """Place of every row's question among the held-out ones, and of its candidate in the question."""
    question, ids = codes(questions)
    candidate, texts = codes(candidates)
    place_of = {q.id: place for place, q in enumerate(family.held_out)}
    places = np.array([place_of.get(name, -1) for name in ids], dtype=int)
    table = np.full((len(ids), len(texts)), -1)
    for i, place in enumerate(places):
        of_text = {} if place < 0 else {text: c for c, text in enumerate(family.held_out[place].candidates)}
        table[i] = [of_text.get(text, -1) for text in texts]
    found = table[question, candidate]
    if (found < 0).any():
        at = int((found < 0).argmax())
        raise InputError(
            f"family {family.name}: {ids[question[at]]!r} with the answer {texts[candidate[at]]!r} was read "
            "but is not held out there: the family's file changed since the run; restore it"
        )
    return places[question], found


def codes(column: pa.ChunkedArray) -> tuple[np.ndarray, list]:
    """Codes `[R]` (-1 for null) and the values they stand for."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):  # pyarrow keeps an empty column chunked
        encoded = pa.concat_arrays(encoded.chunks) if encoded.num_chunks else pa.array([]).dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return codes.astype(np.int64), encoded.dictionary.to_pylist()
