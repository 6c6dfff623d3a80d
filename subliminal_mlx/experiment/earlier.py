"""A summary that an earlier version stored, in today's shape: what it lacks is absent, what it can tell is told.

    summary = renewed(run["summary"])         # as it is, where it is of today's shape

Before, a trait was headed by its transfer or its own-trait lift by the size of its family, and its p relabelled
students in each chain by itself. Both lie in the summary: transfer with the treated arm, the lift by chain; and the
matrix, whose means over chains are all that a test of labels held across chains needs. Later, and until `shown` asked for
it, no summary said what treated less control is; that follows from its values by chain.
"""

from typing import Any

from ..spec.arms import TREATED

_GONE = ("headline", "estimate", "p", "p_holm")


def renewed(summary: dict[str, Any]) -> dict[str, Any]:
    """The summary with transfer as every trait's headline, specificity beside it, and what that shows.

    Only of runs that are whole: where chains are missing, means over them are no test of labels.
    """
    entries = summary.get("traits", ())
    if all("over_control" in entry for entry in entries):
        return summary
    # Only then: a run that is answered from the lab need not wait for scipy.
    from .verdicts import judged

    if not any("headline" in entry for entry in entries):
        return judged(summary)
    new = summary | {"traits": [_trait(entry) for entry in entries]}
    if "prefixed" in summary:
        new["prefixed"] = [_trait(entry) for entry in summary["prefixed"]]
    new["families"] = [_family(family) for family in summary["families"]]
    return judged(new)


def _trait(entry: dict[str, Any]) -> dict[str, Any]:
    from .statistics import estimate, named

    chains = [_renamed(row) for row in entry["by_chain"]]
    specific = [row["specificity"] for row in chains if row["specificity"] is not None]
    treated = entry["arms"][TREATED]
    head = {key: entry[key] for key in ("trait", "student")} | {
        **{key: treated[key] for key in ("transfer", "low", "high")},
        **named(estimate(specific) if specific else (None, None, None), "specificity", "specificity_"),
    }
    rest = {key: value for key, value in entry.items() if key not in (*_GONE, "low", "high")}
    return head | rest | {"by_chain": chains}


def _family(family: dict[str, Any]) -> dict[str, Any]:
    return family | {"arms": _renamed(family["arms"])}


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    return {"specificity" if name == "lift" else name: value for name, value in values.items()}
