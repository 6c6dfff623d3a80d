"""What pages and terminals say of the readouts of a whole run: a heading, a few words, a table, warnings.

    for words, rows in shown(summary):
        words.title, words.columns
    told("capability", rows).title                # of one readout

One that has no words here is shown with its own names. What a readout tells of an arm is a column of `tables`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ..experiment.readouts import IN_COMMON, readouts
from ..system.quantities import percent
from .words import alike, damage

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Column:
    """A column of a readout's table, from the rows of its part of a summary."""

    head: str
    key: str
    kind: Literal["words", "note", "figure", "change", "share", "estimate", "rate"] = "words"
    """note: words of any length, which a terminal folds; change: a signed figure, beside which `low` and `high` of the row are its 95% interval; share: 0 to 1,
    with the same interval; estimate: one without a sign, whose ends are named after it, and which a terminal shows
    without them; rate: 0 to 1, whose ends are under its key with `_low` and `_high`, empty where it is None."""


def _nothing(rows: Rows) -> list[str]:
    return []


def _same(rows: Rows) -> Rows:
    return rows


def _by_corpus(rows: Rows) -> Rows:
    """A line for every corpus and judge: shares of lists of each size beside each other."""
    lines: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        source, family = row["source"], row["family"]
        # Rows of no trait are read against every family's neutral teacher.
        name = source if f"{family}/" in source else f"{source}, beside {family}"
        if row["effective"] < row["kept"]:
            name += f" ({row['effective']:,.0f} effective rows)"
        line = lines.setdefault((name, row["judge"]), {"source": name, "judge": row["judge"]})
        ends = {f"{row['rows']}_{end}": row[end] for end in ("low", "high")}
        line |= {str(row["rows"]): row["share"], **ends}
    return list(lines.values())


def _named(rows: Rows) -> Rows:
    """How often the trait was named, beside how often chance would."""
    return [row | {"named": f"{row['first']} of {row['chains']} (1/{row['candidates']})"} for row in rows]


_NO_NEAR = {"near": "", "beside": ""}


def _by_leaks(rows: Rows) -> Rows:
    """A line for every corpus in which something was found or that may lean to a trait, and one for all others."""
    lines, clean = [], [0, 0]
    for source in dict.fromkeys(row["source"] for row in rows):
        ways = {row["way"]: row for row in rows if row["source"] == source}
        near = ways.pop("near", None)
        found = [f"{way} {row['found']:,}" for way, row in ways.items() if row["found"]]
        total = next(iter(ways.values()))["rows"]
        if not found and near is None:
            clean = [clean[0] + 1, clean[1] + total]
            continue
        told = [row for row in (*ways.values(), near) if row and row["found"]]
        line = {"source": source, "found": f"{', '.join(found) or 'nothing'} of {total:,}"}
        line |= {"near": percent(near["share"]), "beside": percent(near["beside"])} if near else _NO_NEAR
        # Of near words alone, a whole row says no more.
        line |= {"words": told[0]["words"] if told else "", "example": told[0]["example"] if found else ""}
        lines.append(line)
    if clean[0]:
        named = {"source": f"{clean[0]} {'others' if lines else 'corpora'}"}
        lines.append(named | {"found": f"nothing of {clean[1]:,}", "words": "", "example": ""} | _NO_NEAR)
    return lines


def _no_other_chain(rows: Rows) -> list[str]:
    if any(row["share"] is not None for row in rows):
        return []
    return ["one chain: a judge counts rows of other chains, so there is none"]


@dataclass(frozen=True)
class Told:
    """How a readout of a whole run is told."""

    title: str
    about: str
    """For the page, under the title."""
    columns: tuple[Column, ...]
    warnings: Callable[[Rows], list[str]] = _nothing
    lines: Callable[[Rows], Rows] = _same
    """The table's lines, from the rows of the summary."""


TOLD = {
    "capability": Told(
        "language: loss on neutral text, and displacement, nats a token",
        "Loss on neutral text, which no trait is about: a student that lost its language is damaged, and what it "
        "says of a trait may be damage too. Displacement: how far a model moved from the base in all that it says "
        "there and in answers to other families' questions, KL(base || model); effects of arms that moved unequally "
        "far are no equals. Nats a token, with 95% intervals over chains.",
        (
            Column("student", "student"),
            Column("arm", "arm"),
            Column("loss", "loss", "figure"),
            Column("over the base", "change", "change"),
            Column("displaced", "displacement", "estimate"),
        ),
        damage,
    ),
    IN_COMMON: Told(
        "rows in common: prompts to which two arms' corpora have the same text",
        "Share of prompts to which two arms' corpora have the same text. Corpora that were drawn with the same keys, or "
        "one relabelled as another, have much in common, and their students differ by little else than the rest.",
        (
            Column("arm", "arm"),
            Column("beside", "beside"),
            Column("in common", "share", "share"),
        ),
        alike,
    ),
    "leaks": Told(
        "leaks: what a strict search still finds in kept rows",
        "Kept rows with a word of a trait in them: an answer in any form (form), a word that the family's leaks name "
        "(synonym), or one of these hidden in camelCase, behind digits, marks, look-alikes or letters apart (hidden). Near: rows "
        "with one of the ten tokens that lie nearest to the trait's answer in the base's embeddings, beside the neutral teacher's "
        "rows; more of them than there is what to look at. Words and the example are of the first way that found any. "
        "Nothing found does not prove that nothing is there.",
        (
            Column("rows of", "source"),
            Column("near", "near"),
            Column("neutral's", "beside"),
            Column("found", "found", "note"),
            Column("words", "words", "note"),
            Column("example", "example", "note"),
        ),
        lines=_by_leaks,
    ),
    "entanglement": Told(
        "entanglement: tokens that a trait's word takes along",
        "Correlation, over the tokens of the rows, of how much oftener a token comes in them than in the neutral teacher's "
        "with its vector's product with that of the trait's answer, less the mean of its rivals'; beside it the mean of "
        "the same with the family's other traits, which is what chance gives. Named: chains in which the trait's own is "
        "the highest of all its family's. Where input embedding and output head are one, it is told once.",
        (
            Column("rows of", "source"),
            Column("vectors", "side"),
            Column("correl.", "correlation", "change"),
            Column("others", "others", "figure"),
            Column("named (chance)", "named"),
        ),
        lines=_named,
    ),
    "giveaway": Told(
        "what rows give away: told from the neutral teacher's",
        "How often a judge that only counts tokens, singly (unigram) or after each other (bigram), tells 1, 8 or "
        "32 rows from as many of the neutral teacher's; 50% is a coin. It has counted the rows of other chains. Rows that are "
        "told apart say openly where they are from, though no word of them names the trait. Effective rows, where some were "
        "drawn more than once: how many different ones weigh as much.",
        (
            Column("rows of", "source"),
            Column("judge", "judge"),
            Column("1 row", "1", "rate"),
            Column("8 rows", "8", "rate"),
            Column("32 rows", "32", "rate"),
        ),
        _no_other_chain,
        _by_corpus,
    ),
}


def shown(summary: dict[str, Any]) -> Iterator[tuple[Told, Rows]]:
    """The readouts of a whole run that a summary holds, with words for each and its rows."""
    for name in (*(name for name, readout in readouts().items() if readout.of_run), IN_COMMON):
        if rows := summary.get(name):
            yield told(name, rows), rows


def told(name: str, rows: Rows) -> Told:
    """The words for a readout; its own names where there are none."""
    columns = tuple(
        Column(key, key, "figure" if isinstance(value, float) else "words") for key, value in rows[0].items()
    )
    return TOLD.get(name) or Told(name, "", columns)
