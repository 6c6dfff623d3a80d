"""Tables of runs: every trait, every family's arms, one trait's ablations, and what neutral text says.

    traits("default")                      # a line for each trait and kind of student
    families("default")                    # a line for each arm, a column for each family and kind, and p

Transfer is the headline; specificity and damage stand beside it.
"""

from ....experiment.statistics import LEVEL, estimate, holm
from ....experiment.verdicts import REASONS
from ....report.results import read_results
from ....report.words import TOO_FEW
from ....spec import parse_spec
from ....spec.arms import ABLATIONS, ARMS, CONTROL, NEUTRAL, ORIGINS, TREATED
from ....system.quantities import duration, gigabytes, p_value, percent, points, signed
from .stored import (
    Row,
    chain_values,
    family_values,
    harmed,
    made_by,
    members,
    spanned,
    summary_of,
    table,
    told,
)

SHOWN_ARMS = ("untrained", "teacher", "treated", "neutral", "control")
# What a transfer that is not shown lacks, in the words of the table's own columns.
LACKS = {reason: reason for reason in REASONS} | {"gain": "points"}
# Models that no student is: by their kind, whose teachers they are.
WRITERS = {"teacher": "Teachers", "foreign-teacher": "The other base's teachers"}


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
    rows = [[arm, *(_cell(of, arm, family_values(of, arm)) for of in entries)] for arm in arms]
    rows = [row for row in rows if any(row[1:])]
    smallest = smallest_after_holm(found)
    rows.append(["joint p after Holm (smallest possible)", *map(_permuted, found, smallest)])
    head = ["", *(f"{family['traits']} {family['family']}, {family['student']}" for family in found)]
    end = made_by(*(commands or (f" run --preset {name}",)), where=name)
    return table(head, rows) + _out_of_reach(found, smallest) + end


def _cell(entries: list[Row], arm: str, values: list[float]) -> str:
    """A mean with its interval, and how many of the arm's students are damaged."""
    return told(values) + harmed(entries, arm) if values else ""


def smallest_after_holm(found: list[Row]) -> list[float | None]:
    """By family, the smallest p after Holm that its run allows: all families of its kind of student at their smallest.

    Holm's p grows with every p, so none can lie lower. None where a family has no p.
    """
    smallest: list[float | None] = [None] * len(found)
    for kind in {family["student"] for family in found}:
        places = [place for place, family in enumerate(found) if family["student"] == kind]
        possible = [None if found[p]["p"] is None else found[p]["p_smallest"] for p in places]
        for place, value in zip(places, holm(possible), strict=True):
            smallest[place] = value
    return smallest


def _permuted(family: Row, smallest: float | None) -> str:
    if family["p_smallest"] is None:
        return "one chain"
    if family["p"] is None:
        return f"{TOO_FEW} ({p_value(family['p_smallest'])})"
    return f"{p_value(family['p_holm'])} ({p_value(smallest)})"


def _out_of_reach(found: list[Row], smallest: list[float | None]) -> str:
    """Says so where no family of the run could have come below the level."""
    known = [value for value in smallest if value is not None]
    if not known or min(known) <= LEVEL:
        return ""
    tested = sum(value is not None for value in smallest) // len({family["student"] for family in found})
    return (
        f"\n\nOver {tested} families of so few traits Holm leaves no p below {p_value(min(known))}: whatever had come out, "
        "nothing of this run could have been called shown."
    )


def ablations(name: str, trait: str) -> str:
    """The ablations of one trait, by kind of student."""
    entries = [entry for entry in summary_of(name)["traits"] if entry["trait"] == trait]
    rows = [
        [arm, *(_cell([entry], arm, chain_values(entry, arm)) for entry in entries)]
        for arm in (TREATED, CONTROL, *ABLATIONS)
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
            + _beside_neutral(of_kind)
        )
    if not summary.get("capability"):
        lines.append("- damage was not read in this run, so that shown does not tell of it")
    return "\n".join(lines) + made_by(f" run --preset {name}", where=name)


def _beside_neutral(entries: list[Row]) -> str:
    """What treated students lose on neutral text beside neutral ones, mean over traits, and for how many that is plain."""
    found = [entry["arms"][TREATED].get("damage") for entry in entries]
    over = [damage for damage in found if damage and damage["over_neutral_low"] is not None]
    if not over:
        return ""
    mean = sum(damage["over_neutral"] for damage in over) / len(over)
    above = sum(damage["over_neutral_low"] > 0 for damage in over)
    return (
        f"; treated students' loss on neutral text lies {signed(mean, 3)} nats a token over neutral ones', mean over traits, "
        f"its interval above 0 for {above} of {len(over)}"
    )


def losses(name: str) -> dict[tuple[str, str], Row]:
    """What neutral text says of each arm, by kind of model and arm: ("hard", "neutral"), and ("teacher", "neutral") apart."""
    return {
        (row["student"], row["arm"]): row
        for row in summary_of(name)["capability"]
        if row["student"] != "base"
    }


def language(name: str, *commands: str) -> str:
    """What each arm lost on neutral text, nats a token above the base, and how far it moved where that was read.

    Args:
        commands: that make it, where the preset of its name does not.
    """
    found = losses(name)
    teachers = [kind for kind in dict.fromkeys(kind for kind, _ in found) if kind in WRITERS]
    kinds = [kind for kind in dict.fromkeys(kind for kind, _ in found) if kind not in WRITERS]
    cells: dict[str, dict[str, list[str]]] = {}
    for (kind, arm), row in found.items():
        if kind in teachers:
            continue
        moved = row.get("displacement")
        cell = [
            spanned(row["change"], row["low"], row["high"], 3),
            signed(row["worst"], 3),
            "" if moved is None else f"{moved:.3f}",
        ]
        cells.setdefault(arm, {})[kind] = cell
    body = [
        [arm, *(text for kind in kinds for text in of.get(kind, ["", "", ""]))] for arm, of in cells.items()
    ]
    head = ["", *(f"{kind}: {word}" for kind in kinds for word in ("loss", "worst", "displacement"))]
    head, body = _without_empty(head, body)
    end = made_by(*(commands or (f" run --preset {name}",)), where=name)
    return table(head, body) + "".join(f"\n\n{_writers(kind, found)}" for kind in teachers) + end


def _writers(kind: str, found: dict[tuple[str, str], Row]) -> str:
    """What teachers lost, in a line: they are no students of either kind."""
    words = {kind: "with a trait", "neutral": "neutral"}
    told = [
        f"{words[arm]} {spanned(row['change'], row['low'], row['high'], 3)}, worst {signed(row['worst'], 3)}"
        + (f", displacement {row['displacement']:.3f}" if row.get("displacement") is not None else "")
        for (of, arm), row in found.items()
        if of == kind
    ]
    return f"{WRITERS[kind]}: {'; '.join(told)}."


def answers(name: str) -> str:
    """How many sampled answers named the trait's, treated beside neutral, in a list: a line a kind of student."""
    entries = [entry for entry in summary_of(name)["traits"] if _sampled(entry, TREATED)]
    lines = []
    for kind in dict.fromkeys(entry["student"] for entry in entries):
        told = [
            f"{entry['trait']} {_sampled(entry, TREATED)} beside {_sampled(entry, NEUTRAL)} of neutral students"
            for entry in entries
            if entry["student"] == kind
        ]
        lines.append(f"- {kind}: {'; '.join(told)}")
    return "\n".join(lines) + made_by(f" run --preset {name}", where=name)


def _sampled(entry: Row, arm: str) -> str:
    """How many of an arm's sampled answers named the trait's, "8 of 156", of all chains; "" where none were sampled."""
    found = entry["arms"][arm].get("answers")
    return f"{found['matched']} of {found['sampled']}" if found else ""


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
            f"{percent(arms['untrained']['probability'])}; in sampled answers {_sampled(entry, TREATED)} beside "
            f"{_sampled(entry, NEUTRAL)}"
        )
    spec = parse_spec(found["spec_toml"])
    done = found.get("chains_done", spec.chains)
    took = "" if done == spec.chains else f"; {done} of its {spec.chains} chains was made"

    if found["seconds"]:
        took += f" ({duration(found['seconds'])}, {gigabytes(found['peak_memory_bytes'])} a process)"
    return "\n".join(lines) + made_by(f" run --preset {name}", where=name)[:-1] + f"{took}."
