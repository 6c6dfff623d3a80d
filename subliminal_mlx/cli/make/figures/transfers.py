"""Tables of runs: every trait, every family's arms, one trait's ablations, and what neutral text says.

    traits("default")                      # a line for each trait and kind of student
    families("default")                    # a line for each arm, a column for each family and kind, and p

Transfer is the headline; specificity and damage stand beside it.
"""

from ....experiment.statistics import estimate
from ....experiment.verdicts import REASONS
from ....report.results import read_results
from ....report.words import TOO_FEW
from ....spec.arms import ABLATIONS, ARMS, ORIGINS, TREATED
from ....system.quantities import duration, gigabytes, p_value, percent, points, signed
from .stored import Row, chain_values, family_values, made_by, members, spanned, summary_of, table, told

SHOWN_ARMS = ("untrained", "teacher", "treated", "neutral", "control")
# What a transfer that is not shown lacks, in the words of the table's own columns.
LACKS = {reason: reason for reason in REASONS} | {"gain": "points"}


def traits(name: str) -> str:
    """Every trait for every kind of student: probabilities, points, transfer, specificity, damage, shown."""
    rows = []
    for entry in summary_of(name)["traits"]:
        arms = entry["arms"]
        shares = [percent(arms[arm]["probability"]) if arm in arms else "" for arm in SHOWN_ARMS]
        rows.append(
            [
                *(entry["trait"], entry["student"], *shares, points(entry["percentage_points"])),
                *(told(chain_values(entry, TREATED)), told(chain_values(entry, "specificity"))),
                *(_damage(arms[TREATED]), _shown(entry)),
            ]
        )
    head = ["trait", "students", *SHOWN_ARMS, "points", "transfer, log-odds", "specificity", "damage, nats"]
    head, rows = _without_empty([*head, "shown"], rows)
    return table(head, rows) + made_by(f" run --preset {name}", where=name)


def _damage(arm: Row) -> str:
    found = arm.get("damage")
    return signed(found["over_neutral"]) if found else ""


def _shown(entry: Row) -> str:
    """Whether transfer is shown, or what it lacks."""
    return "yes" if entry["shown"] else "no: " + ", ".join(LACKS[reason] for reason in entry["why_not"])


def _without_empty(head: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Columns in which at least one row says something."""
    kept = [place for place in range(len(head)) if any(row[place] for row in rows)]
    return [head[place] for place in kept], [[row[place] for place in kept] for row in rows]


def families(name: str, *commands: str) -> str:
    """Every arm's transfer, mean over the traits of each family, and what permuting labels says of it.

    Args:
        commands: that make it, where the preset of its name does not.
    """
    summary = summary_of(name)
    found = summary["families"]
    arms = [arm for arm in (*ARMS, "specificity") if arm not in ORIGINS]
    entries = [members(summary, family["student"], family["family"]) for family in found]
    rows = [[arm, *(told(family_values(of, arm)) for of in entries)] for arm in arms]
    rows = [row for row in rows if any(row[1:])]
    rows.append(["joint p (smallest possible)", *map(_permuted, found)])
    head = ["", *(f"{family['traits']} {family['family']}, {family['student']}" for family in found)]
    return table(head, rows) + made_by(*(commands or (f" run --preset {name}",)), where=name)


def _permuted(family: Row) -> str:
    if family["p_smallest"] is None:
        return "one chain"
    smallest = f"({p_value(family['p_smallest'])})"
    return f"{TOO_FEW} {smallest}" if family["p"] is None else f"{p_value(family['p'])} {smallest}"


def ablations(name: str, trait: str) -> str:
    """The ablations of one trait, by kind of student."""
    entries = [entry for entry in summary_of(name)["traits"] if entry["trait"] == trait]
    rows = [
        [arm, *(told(chain_values(entry, arm)) for entry in entries)]
        for arm in (TREATED, *ABLATIONS)
        if any(chain_values(entry, arm) for entry in entries)
    ]
    head = [trait, *(entry["student"] for entry in entries)]
    return table(head, rows) + made_by(f" run --preset {name}", where=name)


def counts(name: str) -> str:
    """How many traits' intervals lie above 0, and how many own students stand highest."""
    summary = summary_of(name)
    lines = []
    for kind in dict.fromkeys(entry["student"] for entry in summary["traits"]):
        of_kind = [entry for entry in summary["traits"] if entry["student"] == kind]
        above = sum(estimate(chain_values(entry, TREATED))[1] > 0 for entry in of_kind)
        first = sum(entry["place"] == 1 for entry in of_kind)
        shown = sum(entry["shown"] for entry in of_kind)
        single = [value for entry in of_kind for value in chain_values(entry, TREATED)]
        lines.append(
            f"- {kind}: transfer lies above 0 in {sum(value > 0 for value in single)} of {len(single)} traits' single chains, "
            f"its interval for {above} of {len(of_kind)} traits; the trait's own students "
            f"stand highest of their family's for {first} of {len(of_kind)}, transfer is shown for {shown} of {len(of_kind)}"
        )
    if not summary.get("capability"):
        lines.append("- damage was not read in this run, so that shown does not tell of it")
    return "\n".join(lines) + made_by(f" run --preset {name}", where=name)


def language(name: str) -> str:
    """What each arm lost on neutral text, nats a token above the base, and how far it moved where that was read."""
    rows = [row for row in summary_of(name)["capability"] if row["student"] != "base"]
    kinds = list(dict.fromkeys(row["student"] for row in rows if row["student"] != "teacher"))
    cells: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        teacher = row["student"] == "teacher"
        arm = (
            row["arm"] if not teacher else "trait's teacher" if row["arm"] == "teacher" else "neutral teacher"
        )
        moved = row.get("displacement")
        cell = [
            spanned(row["change"], row["low"], row["high"], 3),
            signed(row["worst"], 3),
            "" if moved is None else f"{moved:.3f}",
        ]
        cells.setdefault(arm, {})[kinds[0] if teacher else row["student"]] = cell
    body = [
        [arm, *(text for kind in kinds for text in of.get(kind, ["", "", ""]))] for arm, of in cells.items()
    ]
    head = ["", *(f"{kind}: {word}" for kind in kinds for word in ("loss", "worst", "displacement"))]
    head, body = _without_empty(head, body)
    return table(head, body) + made_by(f" run --preset {name}", where=name)


def last_steps(name: str) -> str:
    """Transfer of each trait on one chain, without an interval, in a list; and what the run took, where stored."""
    found = read_results(name)
    lines = []
    for entry in found["summary"]["traits"]:
        arms = entry["arms"]
        lines.append(
            f"- {entry['trait']}, {entry['student']}: transfer {told(chain_values(entry, TREATED))}, specificity "
            f"{told(chain_values(entry, 'specificity')) or 'not read'}; {percent(arms[TREATED]['probability'])} beside "
            f"{percent(arms['neutral']['probability'])} of neutral students, untrained "
            f"{percent(arms['untrained']['probability'])}"
        )
    took = ""
    if found["seconds"]:
        took = f" ({duration(found['seconds'])}, {gigabytes(found['peak_memory_bytes'])} a process)"
    return "\n".join(lines) + made_by(f" run --preset {name}", where=name)[:-1] + f"{took}."
