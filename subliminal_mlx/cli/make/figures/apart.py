"""Parts of a run looked at by themselves: single traits, students of one ablation, traits and chains that chose nothing.

    single_traits("removed", ("treated",))   # a table: a line for each trait
    redrawn("traceless")                     # a table: what ablations of every trait do to each other's traits
    unseen("all")                            # a list: trees and chains that had no part in choosing the recipe

Means over a family hide whether one trait makes them, and a summary tells the specificity and p of treated students alone.
"""

import numpy as np

from ....experiment.comparisons import View
from ....experiment.readings import read
from ....experiment.readouts.candidates import CANDIDATES
from ....experiment.statistics import relabel
from ....report.results import read_results, read_tables
from ....spec import parse_spec
from ....spec.arms import ABLATIONS, ARMS, NEUTRAL, TREATED
from ....spec.families import load_family
from ....system.quantities import p_value, signed
from .stored import Row, chain_values, family_values, harmed, made_by, members, summary_of, table, told

# What `data/results/RECIPES.md` tells of the choice of the recipe: on these trees, in the first so many chains.
CHOSEN, CHOSEN_CHAINS = ("trees/oak", "trees/pine", "trees/birch", "trees/elm"), 3


def single_traits(name: str, arms: tuple[str, ...], *commands: str) -> str:
    """These arms on every trait, whether transfer is shown, and each family's mean without the trait that moved most.

    Args:
        commands: that make it, where the preset of its name does not.
    """
    entries = summary_of(name)["traits"]
    kinds = list(dict.fromkeys(entry["student"] for entry in entries))
    rows = []
    for family in dict.fromkeys(entry["trait"].rpartition("/")[0] for entry in entries):
        by_kind = {kind: members(summary_of(name), kind, family) for kind in kinds}
        for own in zip(*by_kind.values(), strict=True):
            cells = [
                cell
                for entry in own
                for cell in (*_figures([entry], arms), "yes" if entry["shown"] else "no")
            ]
            rows.append([own[0]["trait"], *cells])
        if all(len(of) > 2 for of in by_kind.values()):
            rest = [_without_strongest(of, TREATED) for of in by_kind.values()]
            cells = [cell for of in rest for cell in (*_figures(of, arms), "")]
            rows.append([f"{family} without the trait that moved most", *cells])
    words = {"untrained": "the base itself"}
    head = [
        "",
        *(f"{kind}: {word}" for kind in kinds for word in (*(words.get(a, a) for a in arms), "shown")),
    ]
    return table(head, rows) + made_by(*(commands or (f" run --preset {name}",)), where=name)


def _figures(entries: list[Row], arms: tuple[str, ...]) -> list[str]:
    return [told(family_values(entries, arm)) + harmed(entries, arm) for arm in arms]


def _without_strongest(entries: list[Row], arm: str) -> list[Row]:
    """All of a family's traits but the one on which the arm's own students moved most."""
    strongest = _strongest(entries, arm)
    return [entry for entry in entries if entry is not strongest]


def _strongest(entries: list[Row], arm: str) -> Row:
    return max(entries, key=lambda entry: sum(chain_values(entry, arm)))


def redrawn(name: str) -> str:
    """Ablations that every trait has, as treated students are told: specificity and p among their own, and damage."""
    (family,) = summary_of(name)["families"]
    kind, entries = family["student"], members(summary_of(name), family["student"], family["family"])
    rows = []
    for arm in (TREATED, *ABLATIONS):
        if not family_values(entries, arm):
            continue
        values = _among_own(name, kind, arm)
        own = np.trace(values, axis1=1, axis2=2) / values.shape[1]
        others = (values.sum(axis=(1, 2)) / values.shape[1] - own) / (values.shape[1] - 1)
        permuted = relabel(values)
        hurt = {entry["trait"].rpartition("/")[2]: entry["arms"][arm]["damage"] for entry in entries}
        damaged = [f"{trait} ({signed(of['worst'])})" for trait, of in hurt.items() if of["damaged"]]
        rest = _without_strongest(entries, arm)
        strongest = _strongest(entries, arm)["trait"].rpartition("/")[2]
        rows.append(
            [
                *(arm, told(family_values(entries, arm)), f"{told(family_values(rest, arm))}, {strongest}"),
                *(told(list(own - others)), f"{p_value(permuted.p)} ({p_value(permuted.smallest)})"),
                ", ".join(damaged) or "none",
            ]
        )
    head = [
        f"{family['traits']} {family['family']}, {kind}",
        "transfer",
        "without the trait that moved most, which",
    ]
    head += ["specificity", "p among its own students (smallest possible)", "damaged (worst student's nats)"]
    return table(head, rows) + made_by(f" run --preset {name}", where=name)


def _among_own(name: str, kind: str, arm: str) -> np.ndarray:
    """Transfer of an arm's students on each other's traits `[chains, students, traits]`, nats, by name of the trait.

    From what every model said: a summary holds such a matrix of treated students alone.
    """
    spec = parse_spec(read_results(name)["spec_toml"])
    (family,) = spec.families
    reading = read(read_tables(name)[CANDIDATES.name], {family: load_family(family)})[family]
    step, traits = spec.kinds[kind].steps, sorted(spec.traits)
    views = [View.of(trait, reading, spec.traits) for trait in traits]
    beside = reading.rows(kind, NEUTRAL, views[0].neutral, step)
    rows = [reading.rows(kind, arm, ARMS[arm].trait(trait), step) for trait in traits]
    chains = sorted(beside.keys() & set.intersection(*(set(of) for of in rows)))
    return np.array(
        [
            [[(v.margins[of[chain]] - v.margins[beside[chain]]).mean() for v in views] for of in rows]
            for chain in chains
        ]
    )


def unseen(name: str) -> str:
    """Transfer of the traits that the recipe was chosen on, of their family's others, and in later chains, in a list."""
    lines = []
    for kind in dict.fromkeys(entry["student"] for entry in summary_of(name)["traits"]):
        family = members(summary_of(name), kind, CHOSEN[0].rpartition("/")[0])
        chosen = [entry for entry in family if entry["trait"] in CHOSEN]
        others = [entry for entry in family if entry["trait"] not in CHOSEN]
        last = len(family_values(family, TREATED)) - 1
        later = [told(family_values(of, TREATED)[CHOSEN_CHAINS:]) for of in (family, others)]
        lines.append(
            f"- {kind}: the {len(chosen)} trees that the recipe was chosen on {told(family_values(chosen, TREATED))}, the "
            f"{len(others)} others {told(family_values(others, TREATED))}; in chains {CHOSEN_CHAINS} to {last} alone all "
            f"{len(family)} {later[0]}, the {len(others)} others {later[1]}"
        )
    return "\n".join(lines) + made_by(f" run --preset {name}", where=name)
