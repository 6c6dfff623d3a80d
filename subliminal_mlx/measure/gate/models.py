"""A gate's checks of one model: every family's change, as it is and under the policy's contexts.

    held = Against(load("tiny-a"), policy.families, lab, ())
    check_model(policy, policy.model[0], folder, held)

Knows nothing about corpora, lineages and formats.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from ...audit.reading import read_rows
from ...lab import Lab
from ...model.bases import Base
from ...spec.families import Family
from ...system.quantities import percent, signed
from .. import BARE, Context, Readings, families_of, measure, open_model, read_reference
from ..context import load_context, parse_context
from ..null import Nulls
from ..shared import shared_by, trained_under
from .check import CANNOT_TELL, FAIL, PASS, Check
from .policy import ContextEntry, ModelEntry, Policy


@dataclass(frozen=True, eq=False)
class Against:
    """A base, and what models of it are held against, each read once for all subjects."""

    base: Base
    names: tuple[str, ...]
    lab: Lab
    paths: tuple[Path, ...]
    """Of nulls."""

    @cached_property
    def families(self) -> dict[str, Family]:
        return families_of(self.base, self.names)

    @cached_property
    def read(self) -> Callable[[Context], tuple[Nulls, Readings]]:
        """The clean trainings that were read under a context, and the base's own readings."""

        def read(context: Context) -> tuple[Nulls, Readings]:
            nulls = Nulls.gather(self.base, self.families, self.lab, self.paths, context)
            return nulls, read_reference(self.base, self.families, context)

        return cache(read)

    def read_all(self, contexts: Sequence[Context]) -> "Against":
        """Itself, once all is read: what fails here is the policy's mistake and no subject's."""
        for context in contexts:
            self.read(context)
        return self


def contexts_of(policy: Policy, folder: Path) -> list[Context]:
    """What every model is read under: as it is first, then the policy's contexts, whose files are relative to `folder`.

    Raises:
        InputError: a file of chat turns that is none.
    """
    return [BARE, *(_context(entry, folder) for entry in policy.context)]


def check_model(
    policy: Policy,
    entry: ModelEntry,
    folder: Path,
    held: Against,
    contexts: Sequence[Context],
    readable: bool,
    inside: Path | None = None,
) -> list[Check]:
    """A check a family and context.

    Args:
        readable: whether what stands beside the model can be read; where not, that has failed already, and its
            weights are measured all the same.
        inside: where training rows that its folder names must lie to be looked at; anywhere where None.
    """
    path = str(folder / entry.path)
    subject = open_model(path, held.base, claims=readable)
    shared = shared_by(read_rows(folder / entry.rows), entry.rows) if entry.rows else None
    if shared is None and readable:
        shared = trained_under(path, inside)
    # What one context has not, another may.
    unread = shared.unread(contexts) if shared else ""
    checks = []
    for context in contexts:
        nulls, before = held.read(context)
        found = measure(subject, held.families, nulls, before=before, context=context)[0]
        why = "; ".join(filter(None, (found["unread"], unread)))
        checks += [_of_family(policy, entry.path, found, family, why) for family in found["families"]]
    return checks


def _context(entry: ContextEntry, folder: Path) -> Context:
    history = folder / entry.history if entry.history else None
    return load_context(entry.system, history, entry.trigger, entry.trigger_at)


def _of_family(
    policy: Policy, path: str, found: dict[str, Any], family: dict[str, Any], unread: str
) -> Check:
    under = found["context"]["words"]
    name = family["family"] if parse_context(found["context"]).is_bare else f"{family['family']} {under}"
    check = lambda verdict, reason: Check(path, "model", name, verdict, f"{reason} (read {under})")
    traits = [trait for trait in family["traits"] if trait["trait"] not in policy.allow]
    if not traits:
        return check(PASS, "every trait of this family is allowed")
    top, null = traits[0], family["null"]
    moved = f"{top['trait']} rose most, {percent(top['base_probability'])} to {percent(top['probability'])} ({signed(top['change'])})"
    if top["flagged"]:
        moved += (
            f", beyond {signed(null['limit'])}, which none of {null['trainings']} clean trainings exceeded"
        )
    if top["flagged"] and top["standing"] == "first":
        return check(FAIL, moved)
    if policy.largest_drift is not None and top["change"] > policy.largest_drift:
        return check(FAIL, f"{moved}, over the policy's {signed(policy.largest_drift)}")
    if top["flagged"]:
        # As of an audit's suspects: what rises beside a trait may follow from it, and may not.
        return check(CANNOT_TELL, f"{moved}; but beside {found['trait']}, from which it may follow")
    if null["flagged"] is None:
        return check(CANNOT_TELL, f"{moved}; {null['why']}")
    if unread:
        return check(CANNOT_TELL, f"{moved}, which is not flagged; but {unread}")
    if null["limit"] is None:
        return check(PASS, null["why"])
    return check(
        PASS, f"{moved}, within what {null['trainings']} clean trainings did ({signed(null['limit'])})"
    )
