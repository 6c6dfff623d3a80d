"""What transfers against what rows give away: each arm of each trait, by how often judges tell its rows apart."""

from collections.abc import Iterator

import altair as alt

from ...spec import arms
from .style import HEADER, LINE, AnyChart, Row, arm_color, data, finish, intervals, kinds_of, zero_axis

SIZE = 8
"""Rows that a judge is shown of each source."""


def giveaway(summary: Row) -> AnyChart:
    """Transfer of students against how often each judge tells their rows from neutral ones."""
    rows = list(_points(summary))
    judges, kinds = list(dict.fromkeys(row["judge"] for row in rows)), kinds_of(rows)
    share = alt.X(
        "percent:Q",
        title=f"{SIZE} rows told from {SIZE} neutral ones, percent",
        scale=alt.Scale(domain=[min([40, *(row["from"] for row in rows)]), 100], nice=False),
        axis=alt.Axis(tickCount=5, grid=False),
    )
    base = alt.Chart().encode(x=share, color=arm_color(rows))
    change = alt.Y("transfer:Q", title="transfer, log-odds", axis=zero_axis("neutral 0"))
    coin = alt.Chart().mark_rule(color=LINE, strokeDash=[4, 3]).encode(x=alt.datum(50))
    numbers = [alt.Tooltip(f"{name}:Q", format="+.3f") for name in ("transfer", "low", "high")]
    numbers += [alt.Tooltip(f"{name}:Q", format=".1f") for name in ("percent", "from", "to")]
    layers = [
        coin,
        base.mark_rule(opacity=0.45).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_rule(opacity=0.45).encode(x=alt.X("from:Q"), x2="to:Q", y=change),
        base.mark_point(filled=True, size=55, opacity=1).encode(
            y=change, tooltip=["trait:N", "arm:N", "student:N", "judge:N", *numbers]
        ),
    ]
    chart = (
        alt.layer(*layers)
        .properties(data=data(rows), width=300, height=230)
        .facet(
            column=alt.Facet("judge:N", sort=judges, header=HEADER),
            row=alt.Facet("student:N", sort=kinds, header=HEADER),
        )
    )
    sure = intervals(rows, "Bars: 95% intervals over chains.")
    return finish(
        chart if rows else None,
        "Does the trait need a trace that a judge can count?",
        "A judge has counted single tokens (unigram) or pairs of neighbours (bigram) in rows of other chains, and says which "
        f"of two times {SIZE} are the neutral teacher's; 50% is a coin. {sure}",
        len(judges) > 1,
    )


def _points(summary: Row) -> Iterator[Row]:
    """A row for every trained arm of a trait whose rows were judged, and each judge."""
    told: dict[tuple[str, str], list[Row]] = {}
    for row in summary.get("giveaway", []):
        if row["rows"] == SIZE and row["share"] is not None:
            told.setdefault((row["family"], row["source"]), []).append(row)
    for entry in summary["traits"]:
        for name, read in entry["arms"].items():
            arm = arms.ARMS.get(name)
            if arm is None or not arm.trained or arm.is_reference or arm.foreign or not arm.kept:
                continue
            for judged in told.get((entry["trait"].rpartition("/")[0], arm.source(entry["trait"])), []):
                percent = 100 * judged["share"]
                ends = [percent if judged[end] is None else 100 * judged[end] for end in ("low", "high")]
                yield {
                    **{
                        "trait": entry["trait"],
                        "student": entry["student"],
                        "arm": name,
                        "judge": judged["judge"],
                    },
                    **{"transfer": read["transfer"], "low": read["low"], "high": read["high"]},
                    **{"percent": percent, "from": ends[0], "to": ends[1]},
                }
