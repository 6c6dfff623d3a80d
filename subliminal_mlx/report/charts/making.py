"""Charts of what a run was made from: losses, and what the filter kept."""

import altair as alt
import pyarrow as pa

from ...experiment.making import kept_shares, losses_by_arm
from .style import ARMS, HEADER, INK, AnyChart, arm_color, data, finish, has_intervals

KEPT = "#8ab17d"
REASONS = ("#e07a5f", "#f2cc8f", "#a5a58d", "#6d6875", "#b56576", "#355070", "#cb997e", "#2f3e46")
_PANELS = {"teacher": "teachers", "hard": "hard students", "soft": "soft students"}


def losses(metrics: pa.Table) -> AnyChart:
    """Loss against training step by arm, from a table with slot, step and loss; a facet a kind."""
    rows = [{"panel": _PANELS[row["kind"]]} | row for row in losses_by_arm(metrics) if row["arm"] in ARMS]
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


def yields(table: pa.Table) -> AnyChart:
    """Shares of each source's rows that were kept, or dropped for each reason, over all chains."""
    shares = kept_shares(table)
    names = dict.fromkeys(name for share in shares.values() for name in share.dropped)
    outcomes = ["kept", *names]
    rows = []
    for source, share in shares.items():
        ends = {"low": 100 * share.low, "high": 100 * share.high, "kept": 100 * share.kept / share.total}
        said = {"label": f"{100 * share.kept / share.total:.1f}% of {share.total:,}"}
        for order, outcome in enumerate(outcomes):
            if number := share.kept if outcome == "kept" else share.dropped.get(outcome):
                percent = 100 * number / share.total
                part = {"outcome": outcome, "rows": number, "percent": percent, "order": order}
                rows.append({"source": source} | part | ends | said)
    first = alt.Chart(data({row["source"]: row for row in rows}.values()))
    sources = alt.Y("source:N", title="rows of", sort=list(shares), axis=alt.Axis(ticks=False))
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
