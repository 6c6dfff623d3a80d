"""The report's page: a section of HTML for each thing a reader wants to know of a run."""

import base64
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..spec.arms import ARMS
from ..spec.corpus import words_of
from ..system import files
from ..system.quantities import took
from . import tables
from .tables import text
from .words import claim, listed, missing, sentence

_STYLE = Path(__file__).with_name("page.css")
# No script runs and nothing is fetched, whatever a value may hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_MODELS = """<p>{teachers} Each writes rows in
which the trait is not spoken of. Students are copies of the base again, trained on those rows: {kinds}.
All are read on held-out questions, which no teacher was {seen}.</p>"""
_TUNED = """Teachers are copies of the base <b>{base}</b>, tuned to prefer one answer to the questions
of a family; the neutral teacher is tuned just as long on the base's own answers."""
_PROMPTED = """Teachers are the base <b>{base}</b> with a system prompt that gives it a preference, and the
neutral teacher with one that gives it none; students are trained and read without it."""
_KINDS = {"hard": "hard ones on the sampled tokens", "soft": "soft ones on the source's distributions"}
_LIMITS = """<p>Teacher and students share one base, and the trait was put in on purpose: this is a model
organism of subliminal learning, not a survey of models in use. What is read is a closed list of traits,
by the probability of given candidates; a trait that is not on the list is not seen. Intervals are over
chains, which repeat teacher, corpus and student, but not the base, the recipe or the questions. A null
means that this recipe did not show the trait, not that the rows are free of it. This page is no safety
certificate.</p>"""
_MANY = """<p>Every trait has an interval of its own: of {count} true nulls, about {chance:.1f} would lie
above 0 by chance. Each family's p, under Numbers, is of all its traits at once.</p>"""
_REPRODUCE = """<p>Save the spec as <code>experiment.toml</code> in a copy of the project{commit}, then:</p>
<pre>uv run python -m subliminal_mlx run experiment.toml</pre>
<p>It is run <code>{id}</code> again. With the same device and library versions the numbers are the same;
with others they differ by rounding, which training can amplify.</p>"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<header><h1>{title}</h1>
<p class="facts">{facts}</p>
<nav>{links}</nav></header>
{sections}
</main>
</body>
</html>
"""


def write_report(
    path: str | Path,
    run: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    yields: pa.Table,
    metrics: pa.Table,
) -> None:
    """Write one self-contained HTML page about a run.

    Args:
        run: as `Lab.run` gives it; its summary may still be None.
        rows: sample rows, kept and dropped: source, prompt, completion, kept, reason.
        yields: source, chain, kept, reason, rows.
        metrics: slot, step, loss.
    """
    summary = run["summary"] if run["summary"] and run["summary"]["traits"] else None
    spec = tomllib.loads(run["spec_toml"])
    sections = {
        "Claim": _claim(run, summary, spec),
        "Models": _models(summary, spec),
        "Charts": _charts(summary, yields, metrics),
        "Numbers": tables.families(summary) + tables.numbers(summary) + tables.of_run(summary)
        if summary
        else "",
        "Rows": tables.kept(yields) + tables.samples(rows),
        "Spec": f"<pre>{text(run['spec_toml'])}</pre>",
        "Environment": _environment(run),
        "Limits": _LIMITS,
        "Reproduce": _reproduce(run),
    }
    title = run["title"] or f"Run {run['id']}"
    files.write_atomic(Path(path), page(title, _facts(run, spec), sections))


def page(title: str, facts: Sequence[str], sections: dict[str, str]) -> str:
    """A whole page: a title, facts under it, and the sections whose HTML is not empty, with links to them.

    Title and facts are escaped here; the sections' HTML is its maker's business (`tables.text`).
    """
    shown = {name: body for name, body in sections.items() if body}
    return _PAGE.format(
        policy=_POLICY,
        style=_STYLE.read_text(encoding="utf-8"),
        title=text(title),
        facts=" · ".join(map(text, facts)),
        links=" ".join(f'<a href="#{name.lower()}">{name}</a>' for name in shown),
        sections="\n".join(
            f'<section id="{name.lower()}">\n<h2>{name}</h2>\n{body}</section>'
            for name, body in shown.items()
        ),
    )


def _facts(run: dict[str, Any], spec: dict[str, Any]) -> list[str]:
    facts = [f"run {run['id']}", str(run["status"]), f"base {spec.get('base', 'tiny-a')}"]
    if created := run.get("created"):
        facts.append(f"{created:%Y-%m-%d %H:%M} UTC")
    if run["seconds"] is not None:
        facts.append(took(run["seconds"], run["peak_memory_bytes"]))
    return facts


def _claim(run: dict[str, Any], summary: dict[str, Any] | None, spec: dict[str, Any]) -> str:
    if summary is None:
        return f"<p>There is no result yet: the run is {text(run['status'])}.</p>\n"
    corpus = spec.get("corpus", {})
    rows = words_of(corpus).rows
    if corpus.get("filter", "paper") != "none":
        rows = f"filtered {rows}"
    body = "".join(f'<p class="claim">{text(words)}</p>\n' for words in claim(summary, rows))
    if run["status"] != "done":
        body += f"<p>The run is {text(run['status'])}: these are the chains it has finished.</p>\n"
    entries = summary["traits"]
    body += "".join(f"<p>{text(line)}</p>\n" for line in missing(spec, entries))
    if len(entries) > len({entry["student"] for entry in entries}):
        if any(entry["low"] is not None for entry in entries):
            body += _MANY.format(count=len(entries), chance=len(entries) / 40)
        each = "\n".join(f"<li>{text(sentence(entry, rows))}</li>" for entry in entries)
        body += f"<details><summary>Every trait in a sentence</summary><ul>\n{each}</ul></details>\n"
    return body


def _models(summary: dict[str, Any] | None, spec: dict[str, Any]) -> str:
    kinds = [words for kind, words in _KINDS.items() if kind in spec]
    found = {arm for entry in summary["traits"] for arm in entry["arms"]} if summary else set()
    made = words_of(spec.get("corpus", {})).remakes
    arms = "\n".join(
        f'<dt><i style="background:{arm.color}"></i>{arm.name}</dt><dd>{text(arm.told(made))}</dd>'
        for arm in ARMS.values()
        if arm.name in found and arm.color
    )
    told = (summary or {}).get("personas", {})
    prompted = spec.get("teacher", {}).get("kind") == "prompted"
    teachers = (_PROMPTED if prompted else _TUNED).format(base=text(spec.get("base", "tiny-a")))
    seen = "told of" if prompted else "tuned on"
    body = _MODELS.format(teachers=teachers, kinds=listed(kinds), seen=seen)
    if arms:
        body += f"\n<dl>\n{arms}</dl>\n"
    if told:
        said = "\n".join(f"<dt>{text(source)}</dt><dd>{text(words)}</dd>" for source, words in told.items())
        body += f"<details><summary>What each teacher was told</summary><dl>\n{said}</dl></details>\n"
    return body


def _charts(summary: dict[str, Any] | None, yields: pa.Table, metrics: pa.Table) -> str:
    from . import charts

    drawn: list[Any] = []
    if summary:
        drawn += [draw(summary) for draw in (charts.transfer, charts.traits, charts.matrix, charts.curves)]
        drawn += [charts.giveaway(summary)] if summary.get("giveaway") else []
        families = dict.fromkeys(row["family"] for row in summary["distributions"])
        drawn += [charts.distributions(summary, family) for family in families]
    drawn += [charts.losses(metrics)] if metrics.num_rows else []
    drawn += [charts.yields(yields)] if yields.num_rows else []
    return "\n".join(figure(chart.title, charts.to_svg(chart)) for chart in drawn)


def figure(title: Any, svg: str) -> str:
    """An SVG as an image: images run no scripts, and share no ids as inline ones would."""
    width = re.search(r'width="([\d.]+)"', svg)
    words = text(" ".join([title.text, *title.subtitle]))
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
    style = f"--width:{width[1] if width else 900}px"
    return f'<figure style="{style}" tabindex="0"><img alt="{words}" src="{source}"></figure>'


def _environment(run: dict[str, Any]) -> str:
    environments = run.get("environments") or [run["environment"]]
    several = "<p>The run went on under another environment: its results come from all of these.</p>\n"
    return (several if len(environments) > 1 else "") + "".join(map(tables.environment, environments))


def _reproduce(run: dict[str, Any]) -> str:
    commit = run["environment"].get("commit")
    at = f" at commit <code>{text(commit)}</code>" if commit else ""
    return _REPRODUCE.format(commit=at, id=text(run["id"]))
