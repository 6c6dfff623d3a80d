"""HTML tables of a run's numbers and rows, and the escaping that every value goes through."""

import html
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from ..experiment.damage import APART, LOST
from ..spec.arms import ARMS, TREATED
from ..system.quantities import NATS_DIGITS, percent, percent_interval
from .readouts import Column, Told, shown
from .words import estimate, number, permuted, rate

MOST_ROWS, MOST_CHARACTERS = 40, 400
# Controls that a terminal or a page would act on; bidirectional ones make a text read as another.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_HEAD = (
    *("trait", "student", "arm", "chains", "probability", "change, points", "margin", "transfer, log-odds"),
    *("specificity, log-odds", "place", "shown", "answers", "distance", "damage, nats", "displacement, nats"),
)
_FAMILIES = """<p>p: labels of a family's students permuted, each assignment held in every chain, over all its traits
at once, one-sided; the smallest p that so many traits allow stands beside it, and where that exceeds 0.05 there is no
p. Holm: corrected for reading all families of a kind of student.</p>"""
_COLUMNS = f"""<p>In brackets: 95% intervals over chains; with one chain there are none. Change: of the
answer's probability, against students of the neutral teacher. Margin: log-odds of the trait's answer
against all others. Transfer: margin less that of the neutral students. Specificity (the own-trait lift): treated
less other-trait. Place: of the treated students among the family's, read on the trait. Shown: three chains or more,
the intervals of transfer, of change (gain) and of treated less control above 0, no student that lost language (damage), and
the family's p (labels, Holm) at most 0.05 where there is one. Answers: sampled ones that named the trait's, of all chains; their interval is of that share
from chain to chain, since answers of one student stand or fall together. Distance: total variation from
the neutral students, less that between two of those. Damage: loss on neutral text less the neutral
students' (of a teacher, the neutral teacher's), nats a token; damaged: apart by more than {APART} in the mean,
with an interval that does not hold 0, or a model of the two more than {LOST} above the base. Displacement: how far from
the base in all that is said to neutral prompts, KL(base || model), nats a token.</p>"""


def text(value: object, most: int | None = None) -> str:
    """A value as HTML text: escaped, controls made visible, cut to `most` characters."""
    whole = str(value)
    cut = whole if most is None else whole[:most]
    seen = html.escape(_UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", cut))
    return seen if len(cut) == len(whole) else f"{seen} … ({len(whole):,} characters)"


def table(head: Sequence[str], body: Iterable[Sequence[str]], words: int, style: str = "") -> str:
    """A table of HTML cells in a box that scrolls; the first `words` columns hold words, others numbers."""
    kinds = ["" if column < words else ' class="number"' for column in range(len(head))]

    def line(tag: str, cells: Sequence[str]) -> str:
        filled = zip(kinds, cells, strict=True)
        return f"<tr>{''.join(f'<{tag}{kind}>{cell}</{tag}>' for kind, cell in filled)}</tr>\n"

    lines = "".join(line("td", cells) for cells in body)
    top = f"<thead>{line('th', head)}</thead>" if any(head) else ""
    return f'<div class="scroll {style}" tabindex="0"><table>{top}<tbody>\n{lines}</tbody></table></div>\n'


def of_run(summary: dict[str, Any]) -> str:
    """What readouts tell of the whole run: words, warnings and a table for each that was read."""
    return "".join(_readout(told, rows) for told, rows in shown(summary))


def _readout(told: Told, rows: Sequence[dict[str, Any]]) -> str:
    def cell(row: dict[str, Any], column: Column) -> str:
        value = row.get(column.key)
        if column.kind == "change":
            return estimate(value, row["low"], row["high"], NATS_DIGITS)
        if column.kind == "rate":
            return rate(row, column.key)
        if column.kind == "share":
            ends = "" if row["low"] is None else f" ({percent_interval(row['low'], row['high'])})"
            return percent(value) + ends
        if column.kind in ("words", "note"):
            return text(value)
        ends = row.get(f"{column.key}_low"), row.get(f"{column.key}_high")
        return estimate(value, *ends, NATS_DIGITS, signs=False)

    body = [[cell(row, column) for column in told.columns] for row in told.lines(list(rows))]
    warned = "".join(f"<p><b>{text(words)}</b></p>\n" for words in told.warnings(list(rows)))
    words = sum(column.kind in ("words", "note") for column in told.columns)
    lines = table([text(column.head) for column in told.columns], body, words=words)
    return f"<p>{text(told.about or told.title)}</p>\n{warned}{lines}"


def numbers(summary: dict[str, Any]) -> str:
    """Every arm of every trait for every kind of student."""
    order, body = list(ARMS), []
    for entry in summary["traits"]:
        for arm in sorted(entry["arms"], key=lambda arm: order.index(arm) if arm in order else len(order)):
            read = entry["arms"][arm]
            change = specific = place = verdict = ""
            if arm == TREATED:
                change = estimate(
                    *(entry[f"percentage_points{end}"] for end in ("", "_low", "_high")), digits=1
                )
                specific = estimate(*(entry[f"specificity{end}"] for end in ("", "_low", "_high")))
                place = f"{entry['place']} of {entry['of']}" if entry["of"] else ""
                verdict = "yes" if entry["shown"] else f"no: {', '.join(entry['why_not'])}"
            body.append(
                [
                    *(text(entry["trait"]), text(entry["student"]), text(arm), str(read["chains"])),
                    *(percent(read["probability"]), change, number(read["margin"])),
                    *(estimate(read["transfer"], read["low"], read["high"]), specific, place, verdict),
                    *(_answers_cell(read.get("answers")), _distance_cell(read.get("distance"))),
                    *(_damage_cell(read.get("damage")), _displacement_cell(read.get("displacement"))),
                ]
            )
    return table(_HEAD, body, words=3) + _COLUMNS


def families(summary: dict[str, Any]) -> str:
    """What permuting labels says of every family for every kind of student."""
    body = []
    for family in summary["families"]:
        means = (family["arms"].get(arm) for arm in (TREATED, "specificity"))
        figures = [estimate(m["transfer"], m["low"], m["high"]) if m else "" for m in means]
        words = (
            text(family["family"]),
            text(family["student"]),
            str(family["traits"]),
            str(family["chains"]),
        )
        body.append([*words, *figures, text(permuted(family))])
    if not body:
        return ""
    head = [
        "family",
        "student",
        "traits",
        "chains",
        "transfer, log-odds",
        "specificity, log-odds",
        "labels permuted",
    ]
    return table(head, body, words=2) + _FAMILIES


def _answers_cell(answers: dict[str, Any] | None) -> str:
    if not answers:
        return ""
    told = f"{answers['matched']:,} of {answers['sampled']:,}"
    if answers["low"] is None:
        return told
    return f"{told} ({percent_interval(answers['low'], answers['high'])})"


def _distance_cell(distance: dict[str, Any] | None) -> str:
    return estimate(distance["estimate"], distance["low"], distance["high"], 3) if distance else ""


def _damage_cell(damage: dict[str, Any] | None) -> str:
    if not damage:
        return ""
    ends = damage["over_neutral_low"], damage["over_neutral_high"]
    told = estimate(damage["over_neutral"], *ends, NATS_DIGITS)
    return f"{told} <b>damaged</b>".strip() if damage["damaged"] else told


def _displacement_cell(moved: dict[str, Any] | None) -> str:
    return estimate(moved["estimate"], moved["low"], moved["high"], NATS_DIGITS, signs=False) if moved else ""


def kept(yields: pa.Table) -> str:
    """How many rows of each source were kept, and dropped for each reason, over all chains."""
    counts: dict[tuple[str, str], int] = {}
    totals: dict[str, int] = {}
    for row in yields.to_pylist():
        key = row["source"], "kept" if row["kept"] else f"dropped: {row['reason']}"
        counts[key] = counts.get(key, 0) + row["rows"]
        totals[row["source"]] = totals.get(row["source"], 0) + row["rows"]
    body = [
        [text(source), text(outcome), f"{rows:,}", percent(rows / totals[source])]
        for (source, outcome), rows in counts.items()
    ]
    return table(["rows of", "outcome", "rows", "share"], body, words=2) if body else ""


def samples(rows: Sequence[dict[str, Any]]) -> str:
    """Some kept rows and some dropped ones, as they were sampled."""
    parts = []
    for title, keep, names in (
        ("kept", True, ["source", "prompt", "completion"]),
        ("dropped", False, ["source", "prompt", "completion", "reason"]),
    ):
        chosen = _spread([row for row in rows if bool(row["kept"]) is keep])
        body = [[text(row[name], MOST_CHARACTERS) for name in names] for row in chosen]
        if body:
            shown = table(["rows of", *names[1:]], body, words=len(names), style="code")
            parts.append(f"<h3>Some rows that were {title}</h3>\n{shown}")
    return "".join(parts)


def _spread(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most MOST_ROWS rows, as many of each source, by source."""
    sources: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        sources.setdefault(row["source"], []).append(row)
    each = max(1, MOST_ROWS // max(1, len(sources)))
    return [row for found in sources.values() for row in found[:each]][:MOST_ROWS]


def environment(values: dict[str, Any]) -> str:
    """Library versions, device and system that a run was computed with."""
    plain = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    return table(["", ""], [[text(name), text(value)] for name, value in plain.items()], words=2)
