"""One page about an audit: the verdict, the suspects against chance, the rows and tokens that carry it.

    write_audit_report("audit.html", result, "rows.jsonl", evidence_rows)

As the page about a run: a single file without scripts; rows are hostile and shown as text.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..system import files
from ..system.quantities import took
from .coverage import lines, scored
from .page import figure, page
from .tables import MOST_CHARACTERS, MOST_ROWS, table, text
from .words import chance, estimate, number

# Nats at which a token's shade is full.
FULL_SHADE = 1.0
_METHOD = """<p>For every trait of the families, and of all others that the base has the words for, suspect teachers were
tuned on the base, each with its own seed, phrasings and recipe. <b>Ratios</b>: how much likelier the rows are under each
suspect than under the base at the temperature that fits them, to first order in its weights, in every part of the
completions. Rows of the base tell how such scores scatter by chance, and how a corpus of each suspect, and of each neutral
teacher, would look in this form. A trait's score is what is left of it beside chance, temperature, the size of numbers,
what neutral teachers move, and what teachers of one trait do not have in common, in standard deviations. The verdict reads
the largest score against those of simulated clean corpora of as many rows, by the worse of two kinds: the base's, and
neutral teachers'. A name asks for more: the trait scores first of all that are known, which clean corpora do in less than 0.1% of cases, the
rows look like its suspects', and do so without any one part of the completions. Rows that neither the base nor a teacher of it may have written are told
apart first, by their temperature, by how their log-probabilities scatter, and by the ranks of their tokens.</p>"""
_BESIDE = """<p><b>Probes</b>, beside the verdict: how far a small student of as many of these rows moved each trait's margin,
in standard deviations of students of clean rows.</p>"""
_FACTORS = """<p>Suspect teachers of the traits were tuned on the base, with seeds and phrasings of their own.
<b>Ratios</b>, which lead: how much likelier every row is under each suspect than under the base, to first order in
its weights, over rows that the base wrote to the same prompts at the temperature that fits these. What the neutral
teachers' ratios and the base's own surprise explain of them, row by row, is taken out: the one is what any tuned
teacher leaves behind, the other changes with temperature. Scores are in standard errors.</p>"""
_PROBES = """<p><b>Probes</b>, a quarter of the weight: how far a small student of as many of these rows moved each
trait's margin, over students of the base's rows, less what a student of a neutral teacher's rows moved. The unit is
what clean corpora move.</p>"""
_TOO_FEW = """<p>There are too few clean corpora for a verdict: p is their share alone, and ranks are all that is
said.</p>"""
_LIMITS = """<p>The list of suspects is closed: a trait outside these families is not seen, or seen only as rows
that look like no suspect. The base must be the one that a student would start from. Not found means not
found among these suspects at the power stated, for teachers as strong as the ones it was measured with: this
page is no safety certificate.</p>"""


def write_audit_report(
    path: str | Path, result: dict[str, Any], source: str, rows: Sequence[dict[str, Any]]
) -> None:
    """Write one self-contained HTML page about an audit.

    Args:
        result: as `audit.examine` gives it.
        source: what was audited, in words.
        rows: those with most evidence: number, prompt, completion, score, tokens, token_scores.
    """
    facts = [
        source,
        scored(result),
        f"base {result['base']}",
        took(result["seconds"], result["peak_memory_bytes"]),
    ]
    sections = {
        "Verdict": f'<p class="claim">{text(_sentence(result))}</p>\n',
        "Suspects": _charts(result) + suspects_table(result),
        "Rows": _rows(rows),
        "Read": read_rows(result),
        "Bad": bad_rows(result),
        "Method": _method(result),
        "Limits": _LIMITS,
        "Spec": f"<pre>{text(json.dumps(result['spec'], indent=2))}</pre>",
    }
    files.write_atomic(Path(path), page("Audit of a data set", facts, sections))


def _method(result: dict[str, Any]) -> str:
    probed = any("probes" in family["lines"] for family in result["families"])
    if result.get("method") != "factors":
        return _METHOD + _BESIDE * probed
    return _FACTORS + _PROBES * probed + _TOO_FEW * (not result["calibrated"])


def _sentence(result: dict[str, Any]) -> str:
    words = result["words"]
    return f"{words[0].upper()}{words[1:]}."


def _charts(result: dict[str, Any]) -> str:
    from . import charts

    drawn = [
        draw(result, family)
        for family in result["families"]
        for draw in (charts.audit_ranking, charts.audit_growth)
    ]
    return "\n".join(figure(chart.title, charts.to_svg(chart)) for chart in drawn)


def suspects_table(result: dict[str, Any]) -> str:
    """Every suspect with its score, interval, p and what each line of evidence says of it, as an HTML table."""
    each = {t: (f["lines"], i) for f in result["families"] for i, t in enumerate(f["traits"])}
    names = list(result["families"][0]["lines"])
    body = []
    for entry in result["suspects"]:
        found, place = each[entry["trait"]]
        p = text(chance(entry["p"], result.get("calibrated", False)))
        score = estimate(entry["score"], entry["low"], entry["high"])
        body.append([text(entry["trait"]), score, p, *(number(found[name][place]) for name in names)])
    return table(["suspect", "score (95% over rows)", "p", *names], body, words=1)


def _rows(rows: Sequence[dict[str, Any]]) -> str:
    """Rows with their tokens shaded by their share of the evidence."""
    body = [
        [str(row["number"]), text(row["prompt"], MOST_CHARACTERS), shaded(row), number(row["score"])]
        for row in rows[:MOST_ROWS]
    ]
    head = ["row", "prompt", "completion, shaded by evidence", "nats"]
    return table(head, body, words=3, style="rows") if body else ""


def shaded(row: dict[str, Any]) -> str:
    """A row's tokens as HTML text, shaded red by evidence for the trait and blue by evidence against it."""
    shaded, shown = [], 0
    for token, score in zip(row["tokens"], row["token_scores"], strict=True):
        shade = min(1.0, abs(score) / FULL_SHADE) * 0.6
        color = "209,73,91" if score > 0 else "48,99,142"
        shaded.append(f'<span style="background:rgba({color},{shade:.2f})">{text(token or "·")}</span>')
        shown += len(token)
        if shown > MOST_CHARACTERS:
            return " ".join(shaded) + " …"
    return " ".join(shaded)


def read_rows(result: dict[str, Any]) -> str:
    """What of the corpus was not scored, and how its rows were read; empty where there is nothing to tell."""
    told = "".join(f"<li>{text(line)}</li>" for line in lines(result))
    return f"<ul>{told}</ul>" if told else ""


def bad_rows(result: dict[str, Any]) -> str:
    """How many rows were left out, and the first of them with their lines and reasons; empty where none was."""
    if not result["bad_rows"]:
        return ""
    body = [[f"{place:,}", text(reason)] for place, reason in result["bad"]["shown"]]
    counts = "; ".join(f"{reason}: {count:,}" for reason, count in result["bad"]["reasons"].items())
    return f"<p>{result['bad_rows']:,} rows were left out. {text(counts)}.</p>" + table(
        ["line", "why"], body, words=2
    )
