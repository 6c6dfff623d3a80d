"""The kind `run`: a transfer experiment by its spec, within limits that name nothing but what is here already.

spec, run_id = checked_spec(lab, text)          # InputError says which field is wrong, and what is allowed
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator

from ...audit.costs import evidence
from ...lab.identity import identify
from ...model.sources import list_bases
from ...spec import Spec, estimate, parse_spec, rule_names
from ...spec.corpus import DEFAULT, channels
from ...spec.defence_names import is_shipped, shipped_in_words
from ...spec.families import read_toml, shipped_families
from ...system.errors import InputError, SubliminalError
from ..limits import GFLOPS, LIMITS, TRAIT, bases, check_hours, known
from ..request import Request, Sender, Work

OnProgress = Callable[[dict[str, Any]], object]
UNKNOWN_SIZE = 1_000_000_000
_TRAINED = ("steps", "batch", "rank")


def _text(value: Any) -> str:
    try:
        value.encode()
    except (AttributeError, UnicodeError):
        raise ValueError("not TOML: no text") from None
    return value


class Run(Request):
    """A spec, as TOML."""

    kind: ClassVar[str] = "run"
    smaller: ClassVar[str] = "fewer chains, traits, steps or rows"

    spec: Annotated[str, BeforeValidator(_text)]

    def title(self, sender: Sender) -> str:
        return parse_spec(self.spec).title

    def check(self, sender: Sender) -> None:
        checked_spec(sender.lab, self.spec)

    def seconds(self, sender: Sender) -> float:
        return seconds(parse_spec(self.spec))

    def identify(self, sender: Sender) -> str:
        """The run's: whoever asks for the same spec asks for the same run."""
        return identify(parse_spec(self.spec))

    def compute(self, work: Work) -> str:
        if (name := self.identify(work.sender)) != work.id:
            raise InputError(f"job {work.id} holds the spec of run {name}: start it again")
        work.write({"run": computed(parse_spec(self.spec), work)})
        return ""


KIND = Run


def computed(spec: Spec, work: Work, on_progress: OnProgress = lambda progress: None) -> str:
    """The run of a spec, computed or found to be done already; one that is cancelled is marked so. Its id."""
    from ...pipeline import run as pipeline

    try:
        return pipeline.run(spec, work.lab, on_progress=on_progress).run_id
    except KeyboardInterrupt:
        if work.cancelled():
            name = identify(spec)
            with suppress(SubliminalError):
                progress = work.lab.read_progress(name) or {}
                work.lab.finish_run(name, "cancelled", progress.get("seconds", 0.0))
        raise


def checked_spec(lab: Path, text: str) -> tuple[Spec, str]:
    """The spec of a browser's TOML and the id of its run.

    Raises InputError in one line without paths: not TOML, a wrong field, a value over LIMITS, a base or family
    that is not here.
    """
    if len(text.encode(errors="replace")) > LIMITS.spec_bytes:
        raise InputError(f"spec: over {LIMITS.spec_bytes:,} bytes")
    fields = read_toml(text, "spec")
    _names(lab, fields)
    _defences(fields)
    _rules(fields)
    _channel(fields)
    _kept_families(fields)
    spec = parse_spec(text)
    _sizes(spec)
    check_hours("spec", seconds(spec), Run.smaller)
    return spec, identify(spec)


def seconds(spec: Spec) -> float:
    """Estimated for two processes that reach GFLOPS."""
    sizes = {row["name"]: row["parameters"] for row in list_bases()}
    count = sizes.get(spec.base) or UNKNOWN_SIZE
    return estimate.run_seconds(spec, count, GFLOPS, processes=2, beside=evidence(spec))


def _names(lab: Path, fields: dict[str, Any]) -> None:
    for field in ("base", "foreign"):
        if (name := fields.get(field)) is not None:
            known(f"spec: {field}", [name], bases(lab))
    for field in ("traits", "ablation_traits"):
        values = fields.get(field, [])
        for trait in values if isinstance(values, list) else [values]:
            match = TRAIT.fullmatch(trait) if isinstance(trait, str) else None
            if not match or match[1] not in shipped_families():
                families = ", ".join(shipped_families())
                raise InputError(
                    f"spec: {field}: {trait!r:.60} is no trait, such as animals/owl; families are {families}"
                )


def _kept_families(fields: dict[str, Any]) -> None:
    teacher = fields.get("teacher")
    values = teacher.get("keep_families", []) if isinstance(teacher, dict) else []
    for name in values if isinstance(values, list) else [values]:
        # A file ending in .toml is a family too: none that a browser names.
        if not isinstance(name, str) or name not in shipped_families():
            families = ", ".join(shipped_families())
            raise InputError(f"spec: teacher.keep_families: {name!r:.60} is no family: there are {families}")


def _defences(fields: dict[str, Any]) -> None:
    values = fields.get("defences", [])
    for name in values if isinstance(values, list) else [values]:
        # A file ending in .py is a defence too, and its code is run: none that a browser names.
        if not isinstance(name, str) or not is_shipped(name):
            raise InputError(f"spec: defences: {name!r:.60} is none of an app's: {shipped_in_words()}")


def _rules(fields: dict[str, Any]) -> None:
    table = fields.get("filter")
    values = table.get("rules", []) if isinstance(table, dict) else []
    for name in values if isinstance(values, list) else [values]:
        # A file ending in .py is a rule too, and its code is run: none that a browser names.
        if not isinstance(name, str) or not rule_names.is_shipped(name):
            there = ", ".join(rule_names.shipped())
            raise InputError(f"spec: filter.rules: {name!r:.60} is none of an app's: {there}")


def _channel(fields: dict[str, Any]) -> None:
    table = fields.get("corpus")
    name = table.get("channel", DEFAULT) if isinstance(table, dict) else DEFAULT
    # A file ending in .py is a channel too, and its code is run: none that a browser names.
    if not isinstance(name, str) or name not in channels():
        raise InputError(f"spec: corpus.channel: {name!r:.60} is none of an app's: {', '.join(channels())}")


def _sizes(spec: Spec) -> None:
    students = {
        f"{kind}.{field}": (student, field) for kind, student in spec.kinds.items() for field in _TRAINED
    }
    places: dict[str, tuple[Any, str]] = {
        "chains": (spec, "chains"),
        "corpus.rows": (spec.corpus, "rows"),
        "corpus.max_tokens": (spec.corpus, "max_tokens"),
        **{f"teacher.{field}": (spec.teacher, field) for field in (*_TRAINED, "removal", "neutral_answers")},
        **students,
        **{f"readout.{field}": (spec.readout, field) for field in ("points", "answers", "shown_rows")},
    }
    for name, (holder, field) in places.items():
        most, value = getattr(LIMITS, "steps" if field == "removal" else field), getattr(holder, field)
        if value > most:
            raise InputError(f"spec: {name}: at most {most:,} from an app, not {value:,}")
    for field in ("traits", "defences"):
        most, count = getattr(LIMITS, field), len(getattr(spec, field))
        if count > most:
            raise InputError(f"spec: {field}: at most {most} from an app, not {count}")
