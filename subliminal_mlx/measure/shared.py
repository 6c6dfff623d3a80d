"""What a model's training rows have in common around what is asked: a system prompt, words that they open or end with.

    shared = trained_under("my-adapter")            # by its provenance, or by the rows that mlx-lm's record names
    shared = shared_by(read_rows(path), "rows.jsonl")
    shared and shared.unread([context])             # why readings under these contexts are no all-clear, or ""

A model may show a trait under these words and nowhere else. Rows that a channel of ours would ask for in the very
same way share the channel's own wording, which is the task and no sign. Knows nothing about bases and nulls.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..audit.reading import Row, good, read_rows
from ..experiment.channels import recognising
from ..lab import provenance
from ..lab.provenance import Node
from ..model.model_folder import read_json
from ..system.errors import InputError
from .context import Context, brief
from .openings import ending_of, find_endings, find_openings, opening_of

MOST_ROWS = 20_000
# Of the rows: nobody writes a system prompt by chance, and few rows under it train a trait into it.
SYSTEM_SHARE = 0.05
# Of the rows that a channel must know as its own for their wording to be the channel's.
FITS = 0.99
_PROBE = "? ? ? ?"  # a question of words that no opening has


@dataclass(frozen=True)
class Setting:
    """Words that a share of the rows, 0 to 1, stands under: a system prompt, opening or ending words, or several."""

    system: str | None
    opening: str
    share: float
    ending: str = ""

    def words(self) -> str:
        """Such as "under the system prompt 'X', beginning with 'Y', ending with 'Z'"."""
        said = {"under the system prompt": self.system, "beginning with": self.opening or None}
        said |= {"ending with": self.ending or None}
        return ", ".join(f"{how} {brief(text)}" for how, text in said.items() if text is not None)

    def is_in(self, context: Context) -> bool:
        """Whether a reading under this context has all of it."""
        told, asked = self.system is None or context.system == self.system, context.ask(_PROBE)
        opens = opening_of(asked, [self.opening]) == self.opening
        return told and opens and ending_of(asked, [self.ending]) == self.ending


@dataclass(frozen=True)
class Shared:
    """What training rows share.

    Attributes:
        source: where they were seen.
        rows: how many were looked at; None where a provenance file says what they share.
        settings: the most common first.
        systems: how many different system prompts the rows have.
    """

    source: str
    rows: int | None
    settings: tuple[Setting, ...]
    systems: int

    def unread(self, contexts: Sequence[Context]) -> str:
        """What none of the contexts has, in a sentence; empty where there is no such thing."""
        for one in self.settings:
            if not any(one.is_in(context) for context in contexts):
                more = f" (one of {self.systems:,} system prompts)" if self.systems > 1 else ""
                many = "its" if self.rows is None else f"{one.share * self.rows:,.0f} of {self.rows:,}"
                return f"{many} training rows stand {one.words()}{more}, by {self.source}: it was not read so"
        return ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def shared_by(rows: Iterable[Row], source: str) -> Shared | None:
    """What the first MOST_ROWS rows share; None where that is nothing."""
    seen = [row for row in islice(good(rows), MOST_ROWS) if row.answers]
    firsts = [] if not seen or _of_a_channel(seen) else [_first(row) for row in seen]
    openings, endings = find_openings(firsts), find_endings(firsts)
    stands = Counter(
        (_system(row), opening_of(text := _first(row), openings), ending_of(text, endings)) for row in seen
    )
    del stands[None, "", ""]
    common = [(one, count) for one, count in stands.most_common() if count >= SYSTEM_SHARE * len(seen)]
    told = [system for row in seen if (system := _system(row)) is not None]
    systems = set(told)
    if not common and len(told) >= SYSTEM_SHARE * max(1, len(seen)):
        common = stands.most_common(1)  # many system prompts, each of few rows
    settings = tuple(
        Setting(system, opening, n / len(seen), ending) for (system, opening, ending), n in common
    )
    return Shared(source, len(seen), settings, len(systems)) if settings else None


def trained_under(model: str, inside: Path | None = None) -> Shared | None:
    """What the rows that a folder was trained on share, as far as it shows them; None where it shows none.

    Its provenance may say so, or mlx-lm's record of the training names a folder of rows that is here.

    Args:
        inside: a folder that the rows must lie in to be looked at; anywhere where None.

    Raises:
        InputError: a provenance file that does not fit what lies beside it.
    """
    folder = Path(os.path.expanduser(model))
    if not os.path.isdir(folder):
        return None
    if (record := provenance.record_beside(folder)) and (found := _recorded(record.lineage)):
        return found
    named = read_json(folder / "adapter_config.json").get("data")
    if not isinstance(named, str) or not named or "\0" in named:
        return None
    try:
        place = Path(os.path.expanduser(named)).resolve()
        if not os.path.exists(place) or (inside is not None and not place.is_relative_to(inside.resolve())):
            return None
        return shared_by(read_rows(place), "the rows that its adapter_config.json names")
    except (InputError, OSError, RuntimeError):
        return None  # the name of a data set elsewhere, or rows of a kind that is not read


def _recorded(lineage: Node) -> Shared | None:
    """What a provenance says of the corpora that a model was trained on: the facts `system` and `opening`."""
    settings = []
    for node in lineage.parents:
        system, opening = node.facts.get("system"), node.facts.get("opening")
        if node.what == "corpus" and (system or opening):
            settings.append(Setting(None if system is None else str(system), str(opening or ""), 1.0))
    systems = {one.system for one in settings} - {None}
    return Shared("its provenance", None, tuple(settings), len(systems)) if settings else None


def _system(row: Row) -> str | None:
    turns = row.answers[0].turns
    return turns[0][1] if turns and turns[0][0] == "system" else None


def _first(row: Row) -> str:
    """What a row's first turn says beside the system's, or a text alone."""
    said = [text for who, text in row.answers[0].turns if who != "system"]
    return said[0] if said else row.answers[0].completion


def _of_a_channel(rows: Sequence[Row]) -> bool:
    """Whether a channel of ours would ask for such rows in the very same words, one question a row."""
    answers = [answer for row in rows for answer in row.answers]
    prompts, completions = [answer.prompt or "" for answer in answers], [a.completion for a in answers]
    for one in recognising():
        recipe = one.recognised(prompts, completions, FITS)
        if recipe is not None and one.asks_so(prompts, recipe, FITS):
            return all(sum(who != "system" for who, _ in answer.context) == 1 for answer in answers)
    return False
