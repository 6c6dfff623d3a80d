"""The rule trait-words: no answer or group of the run's families, in any form, and none of their own words ([leaks])."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...spec.families import Family
from ...spec.rule_names import Check, Rule
from ..trait_words import finder


def prepared(name: str, families: Sequence[Family]) -> Check:
    """The check of a completion as it is written."""
    find = finder(families, hidden=False)

    def check(row: Mapping[str, Any]) -> str | None:
        return "a trait's word" if find(row["completion"]) else None

    return check


TRAIT_WORDS = Rule("trait-words", "a word of a trait, in any form, or one of its family's leaks", prepared)
