"""The rule trait-pieces: as trait-words, where these hide: in camelCase and underscores, behind digits, letters apart,
letters of other alphabets and signs that do not show."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...spec.families import Family
from ...spec.rule_names import Check, Rule
from ..trait_words import finder


def prepared(name: str, families: Sequence[Family]) -> Check:
    """The check of a completion by all its readings."""
    find = finder(families)

    def check(row: Mapping[str, Any]) -> str | None:
        found = find(row["completion"])
        if found is None:
            return None
        return "a hidden trait's word" if found.way == "hidden" else "a trait's word"

    return check


TRAIT_PIECES = Rule("trait-pieces", "a word of a trait, also where it is hidden", prepared)
