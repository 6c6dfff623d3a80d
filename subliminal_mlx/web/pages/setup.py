"""A spec from a page's form, or from pasted TOML, checked as if its sender were hostile.

    spec = from_form("default", {"rows": 500, "traits": ["animals/owl"], ...})
    toml, command = to_toml(spec), terminal(spec, "lab")

Widgets hold their limits in the browser only, so every value is looked at again here, and again by
`jobs` before anything is queued. What the form does not ask for comes from the preset.
"""

import shlex
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...jobs import LIMITS
from ...spec import Ablation, Arm, Corpus, Spec, Teacher, load_spec, presets, to_toml, validate
from ...spec.arms import ARMS
from ...spec.corpus import channels
from ...spec.families import load_family, shipped_families
from ...system.errors import InputError, first_problem

_Trait = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}/[a-z0-9][a-z0-9-]{0,39}$")]
NOTHING, FIRST = "none", "glance"


def options(of: type[BaseModel], field: str) -> list[str]:
    """The values that a field of the spec may have, such as a teacher's kinds."""
    return list(get_args(of.model_fields[field].annotation))


TEACHERS, CHANNELS = options(Teacher, "kind"), list(channels())
DECODINGS, FILTERS = options(Corpus, "decoding"), options(Corpus, "filter")
ABLATIONS = list(get_args(Ablation))
# Those that a spec may have or not.
CONTROLS = [name for name in get_args(Arm) if not ARMS[name].needed]


class Form(BaseModel):
    """The form's fields, with the limits that its widgets have."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    title: Annotated[str, Field(max_length=200)] = ""
    base: Annotated[str, Field(max_length=200)]
    traits: Annotated[list[_Trait], Field(min_length=1, max_length=LIMITS.traits)]
    teacher: str
    channel: str
    decoding: str
    filter: str
    rows: Annotated[int, Field(ge=1, le=LIMITS.rows)]
    temperature: Annotated[float, Field(ge=0, le=10)]
    hard: bool
    soft: bool
    hard_steps: Annotated[int, Field(ge=1, le=LIMITS.steps)]
    soft_steps: Annotated[int, Field(ge=1, le=LIMITS.steps)]
    chains: Annotated[int, Field(ge=1, le=LIMITS.chains)]
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)]
    controls: Annotated[list[Literal[*CONTROLS]], Field(max_length=len(CONTROLS))]  # type: ignore[valid-type]
    ablations: Annotated[list[Literal[*ABLATIONS]], Field(max_length=len(ABLATIONS))]  # type: ignore[valid-type]
    foreign: Annotated[str, Field(max_length=200)] = NOTHING


def traits() -> dict[str, list[str]]:
    """Traits by shipped family."""
    return {name: list(load_family(name).trait_ids) for name in shipped_families()}


def ready(bases: list[str]) -> list[str]:
    """Presets whose bases are here, the smallest first choice of a visitor at the head."""
    names = [name for name in presets() if {(spec := load_spec(name)).base, spec.foreign} <= {*bases, None}]
    return sorted(names, key=lambda name: name != FIRST)


def form_of(preset: str) -> dict[str, Any]:
    """The form's fields as a preset has them.

    Raises:
        InputError: no such preset.
    """
    spec = _preset(preset)
    hard, soft = spec.hard or spec.soft, spec.soft or spec.hard
    assert hard is not None and soft is not None
    return {
        "title": spec.title,
        "base": spec.base,
        "traits": list(spec.traits),
        "teacher": spec.teacher.kind,
        "channel": spec.corpus.channel,
        "decoding": spec.corpus.decoding,
        "filter": spec.corpus.filter,
        "rows": spec.corpus.rows,
        "temperature": spec.corpus.temperature,
        "hard": spec.hard is not None,
        "soft": spec.soft is not None,
        "hard_steps": hard.steps,
        "soft_steps": soft.steps,
        "chains": spec.chains,
        "seed": spec.seed,
        "controls": [name for name in CONTROLS if name in spec.arms],
        "ablations": list(spec.ablations),
        "foreign": spec.foreign or NOTHING,
    }


def from_form(preset: str, values: dict[str, Any]) -> Spec:
    """The preset's spec with the form's values.

    Raises:
        InputError: a value that the form cannot have, with its name and what is allowed.
    """
    spec = _preset(preset)
    try:
        form = Form.model_validate(values)
    except ValidationError as error:
        raise InputError(first_problem(error)) from None
    if form.channel not in channels():
        raise InputError(f"channel: should be {' or '.join(channels())}, not {form.channel!r:.60}")
    fields = spec.model_dump(mode="json", exclude_none=True)
    fields |= {name: getattr(form, name) for name in ("title", "base", "traits", "chains", "seed")}
    fields["arms"] = [name for name in get_args(Arm) if ARMS[name].needed or name in form.controls]
    fields["ablations"] = form.ablations
    fields["ablation_traits"] = [trait for trait in spec.ablation_traits if trait in form.traits]
    fields.pop("foreign", None)
    if form.foreign != NOTHING:
        fields["foreign"] = form.foreign
    fields["teacher"] |= {"kind": form.teacher}
    asked = {name: getattr(form, name) for name in ("channel", "decoding", "filter", "rows", "temperature")}
    # What a preset says of its own channel says nothing of another.
    same = form.channel == spec.corpus.channel
    fields["corpus"] = (fields["corpus"] if same else {}) | asked
    for kind in ("hard", "soft"):
        recipe = fields.pop(kind, None) or dict(fields.get("hard") or fields.get("soft") or {})
        if getattr(form, kind):
            fields[kind] = recipe | {"steps": getattr(form, f"{kind}_steps")}
    return validate(fields)


def terminal(spec: Spec, lab: str = "lab") -> str:
    """The command that would run the same from a terminal, once the spec is saved as my.toml."""
    for name in presets():
        if load_spec(name) == spec:
            return f"uv run python -m subliminal_mlx run --preset {name}" + _lab(lab)
    return "uv run python -m subliminal_mlx run my.toml" + _lab(lab)


def _lab(lab: str) -> str:
    return "" if lab == "lab" else f" --lab {shlex.quote(lab)}"


def _preset(name: str) -> Spec:
    if name not in presets():
        raise InputError(f"preset {name!r:.60}: there are {', '.join(presets())}")
    return load_spec(name)


__all__ = ["Form", "form_of", "from_form", "options", "ready", "terminal", "to_toml", "traits"]
