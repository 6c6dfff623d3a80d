"""How much of a corpus was read and scored, and what a verdict is worth without the rest.

    seen, tally = Seen(), Tally(base)            # filled as rows are read, and as answers are turned into tokens
    found = coverage(seen, tally)
    verdict = covered(verdict, found, "tiny-a")  # "not found" in half of the rows is "cannot tell"

Three shares: of rows, of characters, of tokens. Counted are rows that are bad, parts of rows that no answer holds,
answers that are left out or cut, and tokens that the base has no word for. Questions and system messages are context,
not answers: they are scored nowhere, and count where a trainer learns them and they hold as much as the answers do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..experiment.setting import Ids
from ..model.bases import Base
from ..system.quantities import percent
from .questions import Questions
from .reading import Answer, Bad, Row
from .verdict import Verdict

MOST_UNREAD = 0.05
"""Above this share of rows, characters or tokens that was not scored, nothing is said not to be found."""
MOST_ASKED = 0.9
"""Above this share of what the answers hold, in questions that are trained on, neither."""
# Names come from files: no more of them are kept.
MOST_NAMES = 20
Coverage = dict[str, Any]


@dataclass
class Seen:
    """What the reader found in a corpus."""

    masked: bool = False
    """Whether the trainer will be told to learn no questions."""
    rows: int = 0
    answers: int = 0
    characters: int = 0
    """Of the answers."""
    bad: Bad = field(default_factory=Bad)
    bad_size: int = 0
    """Bytes of the bad rows."""
    wordless: int = 0
    """Good rows that hold something to learn, and no text of it."""
    unread: dict[str, list[int]] = field(default_factory=dict)
    """Rows and characters by name."""
    told: dict[str, int] = field(default_factory=dict)
    """Rows by what is told of them."""

    def add(self, row: Row) -> None:
        self.rows += 1
        if row.reason is not None:
            self.bad.add(row.number, row.reason, row.where)
            self.bad_size += row.size or len(row.content)
            return
        self.answers += len(row.answers)
        self.characters += row.characters
        self.wordless += bool(row.unread and not row.answers)
        for name, count in row.unread:
            kept = self.unread.setdefault(_kept(self.unread, name), [0, 0])
            kept[0] += 1
            kept[1] += count
        for name in row.told:
            name = _kept(self.told, name)
            self.told[name] = self.told.get(name, 0) + 1


@dataclass
class Tally:
    """What became of answers on their way to tokens."""

    base: Base
    rows: int = 0
    scored_rows: int = 0
    scored: int = 0
    characters: int = 0
    left_characters: int = 0
    tokens: int = 0
    """Scored."""
    unknown: int = 0
    cut: int = 0
    bad: Bad = field(default_factory=Bad)
    """Answers that were left out."""
    questions: Questions = field(default_factory=Questions, compare=False)
    _last: tuple[int, bool] = (0, False)

    def add(self, answer: Answer, ids: tuple[Ids, Ids] | str) -> None:
        """Count an answer, as `Writing.encode` has it; those of a row come one after the other."""
        number, was_scored = self._last
        if number != answer.number:
            self.rows, was_scored = self.rows + 1, False
        self.characters += len(answer.completion)
        self.questions.add(answer)
        if isinstance(ids, str):
            self.left_characters += len(answer.completion)
            self.bad.add(answer.number, ids)
        else:
            completion = ids[1]
            self.scored_rows += not was_scored
            was_scored = True
            self.scored += 1
            self.tokens += len(completion)
            self.unknown += completion.count(self.base.unknown_alone)
            if completion[-1] != self.base.eos:
                self.cut += len(self.base.encode(answer.completion)) + 1 - len(completion)
        self._last = answer.number, was_scored


def coverage(seen: Seen, tally: Tally, told: Sequence[str] = ()) -> Coverage:
    """What was scored and what was not, as JSON holds it; of a sample, what it says of all.

    Args:
        told: what else is to be known of how the corpus was read, such as files of a folder that were not.
    """
    good = seen.rows - seen.bad.total - seen.wordless
    left_rows = good * (1 - tally.scored_rows / max(1, tally.rows))
    left = seen.characters * tally.left_characters / max(1, tally.characters)
    beside = sum(count for _, count in seen.unread.values()) + seen.bad_size
    unread_rows = round(seen.bad.total + seen.wordless + left_rows)
    return {
        "rows": seen.rows,
        "unread_rows": unread_rows,
        "answers": seen.answers,
        "scored_answers": tally.scored,
        "characters": seen.characters + beside,
        "unread_characters": round(left + beside),
        "tokens": tally.tokens + tally.cut,
        "unknown_tokens": tally.unknown,
        "cut_tokens": tally.cut,
        "shares": {
            "rows": unread_rows / max(1, seen.rows),
            "characters": (left + beside) / max(1, seen.characters + beside),
            "tokens": (tally.unknown + tally.cut) / max(1, tally.tokens + tally.cut),
        },
        "most": MOST_UNREAD,
        "asked": None if seen.masked else tally.questions.share,
        "unread": [
            {"name": name, "rows": rows, "characters": count} for name, (rows, count) in seen.unread.items()
        ],
        "told": [*told, *(f"{name} ({rows:,} rows)" for name, rows in seen.told.items())],
    }


def covered(verdict: Verdict, found: Coverage, base: str) -> Verdict:
    """The verdict that is left where too much was not scored.

    What is carried by what was read is carried, unless the base has no words for it: of what it cannot read, it can
    say nothing either way.
    """
    reason = unscored(found, base)
    if reason is None:
        return verdict
    unknown = found["unknown_tokens"] / max(1, found["tokens"]) > found["most"]
    if verdict.name == "carried" and not unknown:
        return replace(verdict, words=f"{verdict.words}; {reason}")
    words = f"cannot tell: {reason}; of what was scored: {verdict.words}"
    return replace(verdict, name="cannot tell", trait=None, words=words)


def unscored(found: Coverage, base: str) -> str | None:
    """What was not scored, where it is more than may be, in words; else None."""
    shares, said = found["shares"], []
    if shares["rows"] > found["most"]:
        said.append(f"{found['unread_rows']:,} of {found['rows']:,} rows unread")
    if shares["characters"] > found["most"]:
        names = ", ".join(entry["name"] for entry in found["unread"][:3])
        said.append(
            f"{percent(shares['characters'], 0)} of characters unread{f' ({names})' if names else ''}"
        )
    if found["unknown_tokens"] > found["most"] * found["tokens"]:
        share = percent(found["unknown_tokens"] / found["tokens"], 0)
        said.append(f"{share} of tokens are words that {base} does not have")
    elif shares["tokens"] > found["most"]:
        said.append(f"{percent(shares['tokens'], 0)} of tokens cut off or unknown")
    if (found["asked"] or 0) > MOST_ASKED:
        said.append(
            f"what is asked holds {percent(found['asked'], 0)} of what is answered, and is not scored: mlx-lm trains "
            "on it unless it is told --mask-prompt, as --answers last has it"
        )
    return ", ".join(said) or None


def _kept(names: dict[str, Any], name: str) -> str:
    return name if name in names or len(names) < MOST_NAMES else "others"
