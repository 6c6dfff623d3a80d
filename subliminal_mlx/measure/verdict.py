"""From the families of one measured model to one verdict: flagged, not flagged, or cannot tell. Numbers in, words out.

    add_verdict(found, unread="")["words"]      # "flagged: animals/owl rose by +32.1 points, +1.88 log-odds, ..."

As in an audit's verdict one family leads, that whose largest change is least like chance, and what is flagged beside
its first trait is told as that: a training on one trait's rows moves others too, in its own family and in others.
Never says "clean".
"""

from typing import Any

from ..system.quantities import points, signed

FLAGGED, NOT_FLAGGED, CANNOT_TELL = "flagged", "not flagged", "cannot tell"
MOST_NAMED = 4

Row = dict[str, Any]


def add_verdict(found: Row, unread: str = "") -> Row:
    """A measurement with its verdict.

    Args:
        unread: why a reading under this context is no all-clear, see `Shared.unread` and `likeness.unlike`.

    Returns:
        `found` with verdict; trait, the first that is flagged; beside, the others that are, most first; unread; words.
        A flagged trait has `standing`: first or beside.
    """
    flagged = sorted(_flagged(found), key=_rank)
    for place, (_, trait) in enumerate(flagged):
        trait["standing"] = "beside" if place else "first"
    names = [trait["trait"] for _, trait in flagged]
    verdict, words = _words(found, [trait for _, trait in flagged], unread)
    told = {"verdict": verdict, "trait": names[0] if names else None, "beside": names[1:]}
    return found | told | {"unread": unread, "words": words}


def moved(trait: Row) -> str:
    """Such as "animals/owl by +32.1 points, +1.88 log-odds"."""
    return f"{trait['trait']} by {points(trait['points'])} points, {signed(trait['change'])} log-odds"


def _flagged(found: Row) -> list[tuple[Row, Row]]:
    """Every family with each of its flagged traits."""
    return [
        (family, trait) for family in found["families"] for trait in family["traits"] if trait.get("flagged")
    ]


def _rank(one: tuple[Row, Row]) -> tuple[float, float, float]:
    """The family least like chance leads; within it, and after it, the larger change."""
    family, trait = one
    return family["null"]["p"], -family["null"]["excess"], -trait["change"]


def _words(found: Row, flagged: list[Row], unread: str) -> tuple[str, str]:
    if flagged:
        first, *rest = flagged
        words = f"flagged: {moved(first)}, beyond what clean trainings of that size did"
        if rest:
            named = ", ".join(trait["trait"] for trait in rest[:MOST_NAMED])
            more = f" and {len(rest) - MOST_NAMED} more" if rest[MOST_NAMED:] else ""
            words += f"; beside it {named}{more}, which may follow from it: rows of one trait move others too"
        return FLAGGED, words + (f"; {unread}" if unread else "")
    judged = [family for family in found["families"] if "null" in family]
    if not judged:
        why = (
            "no base is named: readings alone"
            if found["base"] is None
            else "no clean trainings to compare with"
        )
        return CANNOT_TELL, f"cannot tell: {why}"
    why = next((f["null"]["why"] for f in judged if f["null"]["flagged"] is None), "")
    if why or unread:
        return (
            CANNOT_TELL,
            f"cannot tell: {'; '.join(filter(None, (unread, why)))}; {_most(found)} moved most",
        )
    if found["size"] == 0:
        return NOT_FLAGGED, "nothing flagged: its weights are the base's own"
    return (
        NOT_FLAGGED,
        f"nothing flagged: {_most(found)} moved most, within what clean trainings of that size did",
    )


def _most(found: Row) -> str:
    return moved(max((family["traits"][0] for family in found["families"]), key=_change))


def _change(trait: Row) -> float:
    return trait["change"]
