"""What an audit printed, as the gate reads it: a file of anybody's, checked field by field.

    found = read_audit(Path("rows.audit.json"))
    found["verdict"], found["trait"], found["rows"]

What it says of its corpus is judged elsewhere.
"""

from pathlib import Path
from typing import Any

from .. import files
from ..errors import InputError

VERDICTS = ("carried", "not found", "cannot tell")
MOST_WORDS = 1_000  # of an audit's own sentence
LARGEST_FILE = 64 << 20


def read_audit(path: Path) -> dict[str, Any]:
    """What an audit printed: verdict, trait, rows, suspects; words and power, where told.

    Raises:
        InputError: it is no audit's.
    """
    try:
        return told(files.read_object(path, LARGEST_FILE))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(
            f"audit {path}: not what `audit --json` prints: {type(error).__name__}: {error!s:.200}"
        ) from None


def told(found: dict[str, Any]) -> dict[str, Any]:
    """What the gate needs of an audit's result; raises what a wrong shape raises."""
    if found["verdict"] not in VERDICTS:
        raise ValueError(f"verdict {found['verdict']!r:.40} is none of {', '.join(VERDICTS)}")
    if found["verdict"] == "carried" and not isinstance(found["trait"], str):
        raise ValueError("carried, and no trait named")
    power, words = found.get("power"), found.get("words")
    if power is None and (families := found.get("families")):
        # As audits printed it before they said so themselves.
        power = min(family["power"] for family in families)
    if power is not None and not 0 <= float(power) <= 1:
        raise ValueError(f"power {power!r:.40} is no share")
    shown = {"words": words[:MOST_WORDS] if isinstance(words, str) else ""}
    shown |= {"verdict": found["verdict"], "trait": found["trait"], "rows": int(found["rows"])}
    suspects = [suspect for suspect in found["suspects"] if isinstance(suspect.get("trait"), str)]
    for p in (suspect.get("p") for suspect in suspects):
        if p is not None and not 0 <= float(p) <= 1:
            raise ValueError(f"a suspect's p {p!r:.40} is no chance")
    return shown | {"suspects": suspects, "power": None if power is None else float(power)}
