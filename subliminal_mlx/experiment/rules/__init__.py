"""The filter of a run: the channel's own, then rules that a spec names, one module each, found by being in this folder.

    check = row_filter(spec, families)
    check({"row": 0, "prompt": "...", "completion": "cup fog owl"})          # "a trait's word"

A module here defines one `Rule` (`spec.rule_names`): from the name in the spec and the run's families to a check, which
takes a row and says why it is dropped, in a few words that tables count by; None keeps it. A rule that its channel has
always (`Corpus.rules`) stands before those of `filter.rules`. No MLX: every spec that is read asks which rules there are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ...spec import Spec
from ...spec.families import Family
from ...spec.rule_names import Check, prepared
from ..channels import channel


def row_filter(spec: Spec, families: Sequence[Family]) -> Check:
    """From a row (row, prompt, completion) to why the run's filter drops it; None where it is kept.

    Raises:
        InputError: a user's rule fails; also when the check is called.
    """
    if spec.corpus.filter == "none":
        return _keep_all
    form = channel(spec.corpus.channel).reason
    checks = [prepared(name, families) for name in spec.rules]

    def check(row: Mapping[str, Any]) -> str | None:
        why = form(row["completion"], spec.corpus)
        for rule in checks if why is None else ():
            why = why or rule(row)
        return why

    return check


def _keep_all(row: Mapping[str, Any]) -> None:
    return None
