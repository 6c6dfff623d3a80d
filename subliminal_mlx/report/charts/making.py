"""Charts of what a run was made from: losses, and what the filter kept."""

from collections import defaultdict
from collections.abc import Iterator

import altair as alt
import numpy as np
import pyarrow as pa

from ...experiment.statistics import binomial_interval, estimate
from .style import ARMS, HEADER, INK, AnyChart, Row, arm_color, data, finish, has_intervals

LOSS_POINTS = 50
KEPT = "#8ab17d"
REASONS = ("#e07a5f", "#f2cc8f", "#a5a58d", "#6d6875", "#b56576", "#355070", "#cb997e", "#2f3e46")
_PANELS = {"teacher": "teachers", "hard": "hard students", "soft": "soft students"}


def losses(metrics: pa.Table) -> AnyChart:
    """Loss against training step by arm, from a table with slot, step and loss; a facet a kind."""
    rows = list(_loss_rows(metrics))
    base = alt.Chart(data(rows)).encode(x=alt.X("step:Q", title="training step", axis=alt.Axis(tickCount=4)))
    base = base.encode(color=arm_color(rows))
    y = alt.Y("loss:Q", title="loss, nats a token", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    tooltip = [
        "arm:N",
        "step:Q",
        *(alt.Tooltip(f"{name}:Q", format=".4f") for name in ("loss", "low", "high")),
    ]
    layers = [base.mark_line(strokeWidth=1.6).encode(y=y, tooltip=tooltip)]
    if has_intervals(rows):
        layers.insert(0, base.mark_area(opacity=0.16).encode(y=alt.Y("low:Q"), y2="high:Q"))
    panels = [panel for panel in _PANELS.values() if any(row["panel"] == panel for row in rows)]
    chart = alt.layer(*layers).properties(width=250 if len(panels) > 1 else 420, height=190)
    facet = alt.Facet("panel:N", title=None, sort=panels, header=HEADER)
    return finish(
        chart.facet(facet, columns=3).resolve_scale(x="independent", y="independent") if rows else None,
        "Did teachers and students learn?",
        "Training loss in nats a token, mean over traits; of soft students, divergence from the source's "
        "distributions. "
        + ("Bands: 95% intervals over chains." if has_intervals(rows) else "One chain: no interval."),
        len(panels) > 1,
    )


def _loss_rows(metrics: pa.Table) -> Iterator[Row]:
    """Means by kind, arm and stretch of steps over traits, with the interval over chains."""
    slots = {slot: _model(slot) for slot in metrics["slot"].unique().to_pylist()}
    steps = metrics["step"].to_numpy()
    last: dict[str, int] = defaultdict(int)
    table = list(zip(metrics["slot"].to_pylist(), steps.tolist(), metrics["loss"].to_pylist(), strict=True))
    for slot, step, _ in table:
        last[slots[slot][0]] = max(last[slots[slot][0]], step)
    found: dict[tuple[str, str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for slot, step, loss in table:
        kind, arm, chain = slots[slot]
        if kind in _PANELS and arm in ARMS and loss is not None:
            width = max(1, -(-last[kind] // LOSS_POINTS))
            found[kind, arm, step // width * width][chain].append(loss)
    for (kind, arm, step), chains in sorted(found.items()):
        mean, low, high = estimate([float(np.mean(values)) for values in chains.values()])
        yield {"panel": _PANELS[kind], "arm": arm, "step": step, "loss": mean, "low": low, "high": high}


def _model(slot: str) -> tuple[str, str, str]:
    """Kind, arm and chain of a slot such as "hard/treated/animals/owl/c0" or "teacher/animals/owl/c0"."""
    kind, *rest, chain = slot.split("/")
    if kind == "teacher":
        return kind, "neutral" if rest[-1:] == ["neutral"] else "teacher", chain
    return kind, rest[0] if rest else kind, chain


def yields(table: pa.Table) -> AnyChart:
    """Shares of each source's rows that were kept, or dropped for each reason, over all chains."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in table.to_pylist():
        counts[row["source"]]["kept" if row["kept"] else row["reason"]] += row["rows"]
    names = dict.fromkeys(name for by_reason in counts.values() for name in by_reason if name != "kept")
    outcomes = ["kept", *names]
    rows = []
    for source, by_outcome in counts.items():
        total, kept = sum(by_outcome.values()), by_outcome["kept"]
        low, high = binomial_interval(kept, total)
        ends = {"low": 100 * low, "high": 100 * high, "kept": 100 * kept / total}
        for order, outcome in enumerate(outcomes):
            if number := by_outcome[outcome]:
                share = {"outcome": outcome, "rows": number, "percent": 100 * number / total, "order": order}
                rows.append(
                    {"source": source} | share | ends | {"label": f"{100 * kept / total:.1f}% of {total:,}"}
                )
    first = alt.Chart(data({row["source"]: row for row in rows}.values()))
    sources = alt.Y("source:N", title="rows of", sort=list(counts), axis=alt.Axis(ticks=False))
    colors = [KEPT, *(REASONS[i % len(REASONS)] for i in range(len(names)))]
    bars = alt.Chart(data(rows)).mark_bar(height=alt.RelativeBandSize(0.72))
    bars = bars.encode(
        x=alt.X("percent:Q", title="percent of the sampled rows", scale=alt.Scale(domain=[0, 100])),
        y=sources,
        color=alt.Color(
            "outcome:N",
            title=None,
            scale=alt.Scale(domain=outcomes, range=colors),
            legend=alt.Legend(columns=3),
        ),
        order="order:Q",
        tooltip=["source:N", "outcome:N", "rows:Q", alt.Tooltip("percent:Q", format=".2f")],
    )
    interval = first.mark_rule(strokeWidth=2, color=INK).encode(x=alt.X("low:Q"), x2="high:Q", y=sources)
    label = first.mark_text(align="left", dx=6, color=INK).encode(x=alt.datum(100), y=sources, text="label:N")
    return finish(
        alt.layer(bars, interval, label).properties(width=420, height=alt.Step(22)) if rows else None,
        "How many rows did the filter keep?",
        "Percent of the rows sampled from each source, over all chains, and why the others were dropped. "
        "Dark bars: exact binomial 95% intervals of the kept share.",
        False,
    )
