"""What a visitor may start: specs within limits that name nothing but what is here already.

    spec, run_id = checked(lab, text)          # InputError says which field is wrong, and what is allowed

A browser's text is checked here twice: when it comes, and again in the process that computes. Names are looked
at before anything is looked up by them, so that no path from a browser is ever opened.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..audit.costs import evidence
from ..lab.identity import identify
from ..model.sources import HUB_NAME, listing
from ..spec import Spec, estimate, parse_spec
from ..spec.defence_names import in_words, is_shipped
from ..spec.families import read_toml, shipped_families
from ..system.errors import InputError, SubliminalError

# A common machine's rate, not this one's: what may be started should not depend on where it is tried.
GFLOPS = 100.0
UNKNOWN_SIZE = 1_000_000_000
TRAIT = re.compile(r"([a-z0-9][a-z0-9-]{0,39})/[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class Limits:
    """The largest run that a visitor may start, and how many may wait."""

    spec_bytes: int = 20_000
    rows: int = 20_000
    steps: int = 2_000
    chains: int = 8
    traits: int = 32
    defences: int = 5
    batch: int = 128
    rank: int = 64
    max_tokens: int = 256
    neutral_answers: int = 1_000
    points: int = 20
    answers: int = 100
    shown_rows: int = 50
    hours: float = 12.0
    """Estimated, for two processes that reach GFLOPS."""
    queue: int = 20
    """Jobs of a lab that wait."""
    queue_of_one: int = 5
    """Of these, by one visitor."""


LIMITS = Limits()


def checked(lab: Path, text: str) -> tuple[Spec, str]:
    """The spec of a browser's TOML and the id of its run.

    Raises InputError in one line without paths: not TOML, a wrong field, a value over LIMITS, a base or family
    that is not here.
    """
    if len(text.encode(errors="replace")) > LIMITS.spec_bytes:
        raise InputError(f"spec: over {LIMITS.spec_bytes:,} bytes")
    fields = read_toml(text, "spec")
    _names(lab, fields)
    _defences(fields)
    spec = parse_spec(text)
    _sizes(spec)
    return spec, identify(spec)


def bases(lab: Path) -> list[str]:
    """Names of the bases that a visitor's spec may name: those that are here, without folders of anybody's.

    A model of the Hugging Face cache is among them once a run of this lab has used it.
    """
    found = listing()
    names = [row["name"] for row in found if row["kind"] in ("shipped", "wheel")]
    cached = [row["name"] for row in found if row["kind"] == "hub"]
    return names + sorted(set(cached) & _used(lab)) if cached else names


def _used(lab: Path) -> set[str]:
    from ..lab import Lab

    store, names = Lab(lab), set()
    for run in store.runs() if store.exists else []:
        try:
            spec = parse_spec(run["spec_toml"])
        except SubliminalError:
            # An old run whose family's file is gone by now.
            continue
        names |= {name for name in (spec.base, spec.foreign) if name}
    # A name of two words may be a folder from here, and folders are no visitor's to name.
    return {name for name in names if HUB_NAME.fullmatch(name) and not Path(name).exists()}


def _names(lab: Path, fields: dict[str, Any]) -> None:
    for field in ("base", "foreign"):
        name = fields.get(field)
        if name is not None and name not in (known := bases(lab)):
            raise InputError(f"spec: {field}: {name!r:.60} is not here: there are {', '.join(known)}")
    for field in ("traits", "ablation_traits"):
        values = fields.get(field, [])
        for trait in values if isinstance(values, list) else [values]:
            match = TRAIT.fullmatch(trait) if isinstance(trait, str) else None
            if not match or match[1] not in shipped_families():
                families = ", ".join(shipped_families())
                raise InputError(
                    f"spec: {field}: {trait!r:.60} is no trait, such as animals/owl; families are {families}"
                )


def _defences(fields: dict[str, Any]) -> None:
    values = fields.get("defences", [])
    for name in values if isinstance(values, list) else [values]:
        # A file ending in .py is a defence too, and its code is run: none that a browser names.
        if not isinstance(name, str) or not is_shipped(name):
            raise InputError(f"spec: defences: {name!r:.60} is none of an app's: {in_words()}")


def _sizes(spec: Spec) -> None:
    students = {
        f"{kind}.{field}": (student, field) for kind, student in spec.kinds.items() for field in _TRAINED
    }
    places: dict[str, tuple[Any, str]] = {
        "chains": (spec, "chains"),
        "corpus.rows": (spec.corpus, "rows"),
        "corpus.max_tokens": (spec.corpus, "max_tokens"),
        **{f"teacher.{field}": (spec.teacher, field) for field in (*_TRAINED, "neutral_answers")},
        **students,
        **{f"readout.{field}": (spec.readout, field) for field in ("points", "answers", "shown_rows")},
    }
    for name, (holder, field) in places.items():
        most, value = getattr(LIMITS, field), getattr(holder, field)
        if value > most:
            raise InputError(f"spec: {name}: at most {most:,} from an app, not {value:,}")
    for field in ("traits", "defences"):
        most, count = getattr(LIMITS, field), len(getattr(spec, field))
        if count > most:
            raise InputError(f"spec: {field}: at most {most} from an app, not {count}")
    sizes = {row["name"]: row["parameters"] for row in listing()}
    count = sizes.get(spec.base) or UNKNOWN_SIZE
    hours = estimate.seconds(spec, count, GFLOPS, processes=2, beside=evidence(spec)) / 3_600
    if hours > LIMITS.hours:
        raise InputError(
            f"spec: about {hours:,.0f} hours, at most {LIMITS.hours:.0f} from an app: fewer chains, traits, steps or rows"
        )


_TRAINED = ("steps", "batch", "rank")
