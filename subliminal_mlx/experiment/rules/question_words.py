"""The rule question-words: no three words in a row of a question of the run's families."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...spec.families import Family
from ...spec.rule_names import Check, Rule

LENGTH = 3


def prepared(name: str, families: Sequence[Family]) -> Check:
    """The check of a completion, whatever stands between its words."""
    asked = {run for family in families for question in family.questions for run in _runs(question.text)}

    def check(row: Mapping[str, Any]) -> str | None:
        return None if asked.isdisjoint(_runs(row["completion"])) else "words of a question"

    return check


def _runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return set(zip(*(words[first:] for first in range(LENGTH)), strict=False))


QUESTION_WORDS = Rule("question-words", "three words in a row of a question of the families", prepared)
