"""What one field does: runs that differ in it alone, beside each other.

    kept_lists()                # a table: the share of kept lists against the transfer that is left
    pictures()                  # by path under data/results, the charts of such runs

The run without kept lists is `foreign-own`: the same traits, chains and seeds.
"""

from pathlib import Path

from ....report import charts
from ....report.charts import AnyChart
from ....spec import parse_spec
from ....system.quantities import percent
from .stored import PROGRAM, Row, family_values, harmed, members, read_results, table, told

WITHOUT = "foreign-own"
RUNS = (WITHOUT, "kept-lists-5", "kept-lists-10", "kept-lists", "kept-lists-50")
ARMS = ("treated", "other-trait", "control")


def _by_dose() -> dict[float, Row]:
    """Summaries by the share of kept lists that their specs tell."""
    found = [read_results(name) for name in RUNS]
    return {parse_spec(run["spec_toml"]).teacher.keep_lists: run["summary"] for run in found}


def kept_lists() -> str:
    """A line for each share: how often teachers say their trait, and what reaches which students."""
    rows = []
    for share, summary in _by_dose().items():
        kinds = sorted({family["student"] for family in summary["families"]})
        entries = [members(summary, kind, "animals") for kind in kinds]
        says = [entry["arms"]["teacher"]["probability"] for entry in entries[0]]
        cells = [told(family_values(of, arm)) + harmed(of, arm) for of in entries for arm in ARMS]
        rows.append([percent(share, 0), percent(sum(says) / len(says)), *cells])
    head = ["lists kept", "teachers say it", *(f"{kind}: {arm}" for kind in kinds for arm in ARMS)]
    end = (
        f"\n\nMade by `{PROGRAM} run --preset kept-lists`, with `--set teacher.keep_lists=0.05` and so on, and for 0% "
        f"`{PROGRAM} run --preset {WITHOUT}`; stored in `data/results/kept-lists`, `-5`, `-10`, `-50` and `{WITHOUT}`."
    )
    return table(head, rows) + end


def pictures() -> dict[Path, AnyChart]:
    """Charts by their path under data/results, without the ending."""
    title = "Teachers that keep the base's own lists: what is left?"
    return {
        Path("kept-lists/dose"): charts.dose(
            _by_dose(), "share of tuning rows that are the base's lists", title
        )
    }
