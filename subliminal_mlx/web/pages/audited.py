"""An audit as a page shows it: suspects, rows by their evidence, one row's tokens, and the files to take away.

    drawn(seen, "ranking", "animals"); rows(seen, "most evidence", page=0); row(seen, wanted=16); downloads(seen)

HTML and plain texts; whatever comes from a corpus goes through `text` and stays text.
"""

import json
from functools import lru_cache
from typing import Any

from ...audit.spec import public
from ...report.audit import FULL_SHADE, bad_rows, shaded, suspects_table
from ...report.coverage import lines, scored
from ...report.tables import table, text
from ...report.words import number, span
from ...system.errors import InputError
from .figures import figure
from .reviewed import Opened

VIEWS = {
    "ranking": "Which trait do the rows carry?",
    "growth": "Does the evidence grow with the rows?",
}
ORDERS = ("most evidence", "least evidence", "as in the corpus")
PAGE, MOST = 12, 300
_CELL = (
    '<span style="display:inline-flex;flex-direction:column;align-items:center;padding:0.3rem 0.5rem;'
    'margin:0.1rem;border-radius:6px;background:rgba({color},{shade:.2f})"><b style="font-family:ui-monospace,'
    'Menlo,Consolas,monospace;white-space:pre">{token}</b><small>{score}</small></span>'
)


def families(seen: Opened) -> list[str]:
    """Families that were looked at."""
    return [family["family"] for family in seen.result["families"]]


def trait(seen: Opened) -> str:
    """The trait that rows and tokens are read for: the one that is carried, else the first suspect's."""
    return seen.result["trait"] or seen.result["suspects"][0]["trait"]


def facts(seen: Opened) -> str:
    """What was read, by what, and what was left out, in a line."""
    result = seen.result
    left_out = f"; bad rows left out: {result['bad_rows']:,}" if result["bad_rows"] else ""
    sampled = (
        f" (of {result['total_rows']:,} rows)"
        if result.get("total_rows", 0) > result["rows"] + result["bad_rows"]
        else ""
    )
    return f"{scored(result)}{sampled}, read by {result['base']}{left_out}"


def read(seen: Opened) -> list[str]:
    """What of the corpus was not scored, and how its rows were read."""
    return lines(seen.result)


def transfer(seen: Opened) -> str:
    """How far a student would move, or why that is not known; empty where nobody asked."""
    if (moved := seen.result["predicted_transfer"]) is not None:
        ends = span(moved["low"], moved["high"])
        return f"If trained on: {moved['trait']} by {number(moved['estimate'])} log-odds ({ends})"
    if why := seen.result.get("no_prediction"):
        return f"How far a student would move is not known: it {why}"
    return ""


def drawn(seen: Opened, view: str, family: str) -> str:
    """A chart of VIEWS as HTML.

    Raises:
        InputError: no such view or family.
    """
    if view not in VIEWS or family not in families(seen):
        raise InputError(f"no chart {view!r:.20} of {family!r:.40}: there are {', '.join(families(seen))}")
    svg = seen.svg(f"{family}-{view}") or _svg(view, family, json.dumps(seen.result))
    return figure(svg, f"{VIEWS[view]} {family}, {seen.words}")


@lru_cache(16)
def _svg(view: str, family: str, result: str) -> str:
    """Of an audit from a terminal, which drew into files of its own."""
    from ...report import charts

    found = json.loads(result)
    draw = {"ranking": charts.audit_ranking, "growth": charts.audit_growth}[view]
    return charts.to_svg(draw(found, next(f for f in found["families"] if f["family"] == family)))


def suspects(seen: Opened) -> str:
    """Every suspect's score, interval and p, and what each line of evidence says."""
    return suspects_table(seen.result)


def bad(seen: Opened) -> str:
    """Rows that could not be used, with their lines and reasons; empty where there were none."""
    return bad_rows(seen.result)


def pages(seen: Opened) -> int:
    """How many pages of rows there are."""
    return max(1, -(-len(seen.evidence) // PAGE))


def rows(seen: Opened, order: str, page: int = 0) -> str:
    """A page of rows with their tokens shaded by evidence.

    Raises:
        InputError: no such order or page.
    """
    if order not in ORDERS:
        raise InputError(f"order {order!r:.40}: there are {', '.join(ORDERS)}")
    if not isinstance(page, int) or not 0 <= page < pages(seen):
        raise InputError(f"page: there are 1 to {pages(seen):,}")
    first = page * PAGE
    body = [
        [f"{one['number']:,}", text(one["prompt"], MOST), shaded(one), number(one["score"])]
        for one in _ordered(seen, order)[first : first + PAGE]
    ]
    head = ["row", "prompt", f"completion, shaded by its evidence for {text(trait(seen))}", "nats"]
    return table(head, body, words=3, style="code")


def first_row(seen: Opened) -> int:
    """Number of the row with most evidence."""
    return seen.evidence[0]["number"] if seen.evidence else 1


def row(seen: Opened, wanted: Any) -> str:
    """One row's tokens, each with its evidence in nats: what it adds to the row's score.

    Raises:
        InputError: no such row among those whose tokens were read.
    """
    one = next((one for one in seen.evidence if one["number"] == wanted), None)
    if one is None:
        known = sorted(one["number"] for one in seen.evidence)
        near = min(known, key=lambda n: abs(n - wanted)) if known and isinstance(wanted, int) else None
        which = "a sample's, or those with most evidence"
        raise InputError(
            f"row {wanted!r:.20}: its tokens were not read ({len(known):,} rows' were: {which})"
            + (f"; the nearest is {near}" if near is not None else "")
        )
    cells = "".join(
        _CELL.format(
            color="209,73,91" if score > 0 else "48,99,142",
            shade=0.08 + 0.6 * min(1.0, abs(score) / FULL_SHADE),
            token=text(token, MOST) or "&middot;",
            score=number(score),
        )
        for token, score in list(zip(one["tokens"], one["token_scores"], strict=True))[:MOST]
    )
    place = 1 + sum(other["score"] > one["score"] for other in seen.evidence)
    words = (
        f"Row {one['number']:,}: {number(one['score'])} nats for {text(trait(seen))}, place {place:,} of "
        f"{len(seen.evidence):,}. Red tokens speak for the trait, blue ones against it."
    )
    prompt = text(one["prompt"], MOST)
    return f'<p>{words}</p><p><small>prompt</small> {prompt}</p><div style="line-height:1.2">{cells}</div>'


def downloads(seen: Opened) -> list[tuple[str, str, bytes]]:
    """Label, file name and content of all that there is to take away."""
    name = seen.id
    found = [("Verdict, JSON", f"{name}.json", json.dumps(public(seen.result)).encode())]
    told = [
        ("Report, HTML", "report.html", f"{name}.html"),
        ("Cleaned corpus", "kept.jsonl", f"{name}-kept.jsonl"),
        ("What was dropped", "kept.dropped.jsonl", f"{name}-dropped.jsonl"),
    ]
    return found + [(label, to, data) for label, where, to in told if (data := seen.file(where)) is not None]


def dropped(seen: Opened) -> str:
    """How many rows the cleaned corpus has lost; empty where none was written."""
    if "dropped" not in seen.result:
        return ""
    kept, gone = seen.result["dropped"]
    return f"The cleaned corpus has {kept:,} rows: the {gone:,} with most evidence for {trait(seen)} are left out."


def _ordered(seen: Opened, order: str) -> list[dict[str, Any]]:
    if order == ORDERS[2]:
        return sorted(seen.evidence, key=lambda one: one["number"])
    return seen.evidence if order == ORDERS[0] else seen.evidence[::-1]
