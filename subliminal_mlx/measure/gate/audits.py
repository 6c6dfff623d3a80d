"""What an audit printed, as the gate reads it: a file of anybody's, checked field by field.

    found = read_audit(Path("rows.audit.json"))
    found["verdict"], found["trait"], found["rows"]

    check_subject(found, Path("rows.audit.json"), "tiny-a", Path("rows.jsonl"), Reading())      # it is of these

What it says of its corpus is judged elsewhere.
"""

from pathlib import Path
from typing import Any

from ...audit.reading import READER_VERSION, Reading, corpus_sha256, described, read_rows
from ...audit.spec import AUDIT_VERSION
from ...audit.verdict import least
from ...model.sources import is_here, locate
from ...system import files
from ...system.errors import InputError

VERDICTS = ("carried", "not found", "cannot tell")
MOST_WORDS = 1_000  # of an audit's own sentence
LARGEST_FILE = 64 << 20
# What an audit is of; audits did not always say so. Hashes are `locate`'s and `audit.reading.corpus_sha256`'s.
OF = ("base", "base_sha256", "corpus_sha256")


def read_audit(path: Path) -> dict[str, Any]:
    """What an audit printed: verdict, trait, rows, suspects; words, power and what it is of, where told.

    Raises:
        InputError: it is no audit's.
    """
    try:
        return told(files.read_object(path, LARGEST_FILE))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(
            f"audit {path}: not what `audit --json` prints: {type(error).__name__}: {error!s:.200}"
        ) from None


def check_subject(found: dict[str, Any], path: Path, base: str, corpus: Path, how: Reading) -> None:
    """See that an audit is of this base and of these rows, read as they are to be.

    Raises:
        InputError: it is of others, or of an older kind, which does not say.
    """
    name, digest, rows = (found[key] for key in OF)
    reading = found["reading"]
    if not all((name, digest, rows)) or reading.get("version") != READER_VERSION:
        raise InputError(
            f"audit {path}: of an older kind, which did not read and hash whole rows: audit {corpus} again"
        )
    if found["version"] != AUDIT_VERSION:
        raise InputError(
            f"audit {path}: of an older kind, whose verdict rests on other evidence: audit {corpus} again"
        )
    if differs := [f"{k} {v!r:.60}" for k, v in described(how).items() if reading.get(k) != v]:
        raise InputError(
            f"audit {path}: read otherwise than the policy's {', '.join(differs)}: audit {corpus} again"
        )
    if is_here(base):
        if digest != (here := locate(base).sha256):
            raise InputError(
                f"audit {path}: made for {name!r:.60} ({digest[:12]!r}), not for {base} ({here[:12]!r})"
            )
    elif name != base:
        # By name alone: nothing is downloaded to read a verdict.
        raise InputError(f"audit {path}: made for {name!r:.60}, not for {base}")
    if rows != (here := corpus_sha256(read_rows(corpus, how))):
        raise InputError(f"audit {path}: of other rows ({rows[:12]!r}) than {corpus} ({here[:12]!r})")


def told(found: dict[str, Any]) -> dict[str, Any]:
    """What the gate needs of an audit's result; raises what a wrong shape raises."""
    if found["verdict"] not in VERDICTS:
        raise ValueError(f"verdict {found['verdict']!r:.40} is none of {', '.join(VERDICTS)}")
    if found["verdict"] == "carried" and not isinstance(found["trait"], str):
        raise ValueError("carried, and no trait named")
    power, words = found.get("power"), found.get("words")
    if power is None and (families := found.get("families")):
        # As audits printed it before they said so themselves.
        power = least([family["power"] for family in families])
    if power is not None and not 0 <= float(power) <= 1:
        raise ValueError(f"power {power!r:.40} is no share")
    shown = {"words": words[:MOST_WORDS] if isinstance(words, str) else ""}
    shown |= {"verdict": found["verdict"], "trait": found["trait"], "rows": int(found["rows"])}
    suspects = [suspect for suspect in found["suspects"] if isinstance(suspect.get("trait"), str)]
    for p in (suspect.get("p") for suspect in suspects):
        if p is not None and not 0 <= float(p) <= 1:
            raise ValueError(f"a suspect's p {p!r:.40} is no chance")
    for name in OF:
        if not isinstance(found.get(name), str | None):
            raise ValueError(f"{name} {found[name]!r:.40} is no text")
        shown[name] = found.get(name)
    shown["version"] = found.get("version")
    reading = found.get("reading")
    shown["reading"] = reading if isinstance(reading, dict) else {}
    return shown | {"suspects": suspects, "power": None if power is None else float(power)}
