"""Specs as TOML: presets, files and overrides in, the whole spec out."""

import json
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..system.errors import InputError, first_problem
from ..system.files import DATA
from .families import find_trait, read_toml
from .fields import Spec

FOLDER = DATA / "specs"
LARGEST_FILE = 1 << 20


def presets() -> dict[str, str]:
    """Names and titles of the shipped specs."""
    return {path.stem: tomllib.loads(path.read_text())["title"] for path in sorted(FOLDER.glob("*.toml"))}


def load_spec(name: str, overrides: list[str] | tuple[str, ...] = ()) -> Spec:
    """A preset by name, or a spec file by a path ending in .toml, with `field=value` overrides.

    Whoever names a spec's file runs what it names: a channel in a user's file is run.

    Raises:
        InputError: no such preset or file, or a field that is wrong.
    """
    if not name.endswith(".toml") and name not in presets():
        raise InputError(f"no preset {name!r}: there are {', '.join(presets())}; a file's path ends in .toml")
    if "\0" in name:
        raise InputError(f"spec {name!r}: a path holds no NUL")
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"spec {path} is over {LARGEST_FILE >> 20} MB")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"spec {path} cannot be read: {error}") from None
    return parse_spec(text, where=name, overrides=overrides, own_code=True)


def parse_spec(
    text: str, where: str = "spec", overrides: list[str] | tuple[str, ...] = (), own_code: bool = False
) -> Spec:
    """A spec from TOML text; traits and families are looked up too.

    Args:
        own_code: whether a channel in a user's file is run, so that rows can be drawn.

    Raises:
        InputError: as `load_spec`.
    """
    fields = read_toml(text, where)
    for item in overrides:
        override_field(fields, item)
    return validate(fields, where, own_code)


def validate(fields: dict[str, Any], where: str = "spec", own_code: bool = False) -> Spec:
    """A spec from plain fields.

    Raises:
        InputError: names the first field that is wrong and what is allowed.
    """
    try:
        spec = Spec.model_validate(fields, context={"own_code": own_code})
    except ValidationError as error:
        raise InputError(f"{where}: {first_problem(error)}") from None
    for trait in spec.traits:
        try:
            find_trait(trait)
        except InputError as error:
            raise InputError(f"{where}: traits: {error}") from None
    return spec


def override_field(fields: dict[str, Any], item: str) -> None:
    """Apply one `field=value`; the value is TOML, or taken as text where it is not."""
    path, equals, value = item.partition("=")
    *tables, last = path.strip().split(".")
    if not equals or not all([*tables, last]) or "\n" in item:
        raise InputError(f"--set {item!r:.60}: must be field=value, such as corpus.rows=500")
    try:
        parsed = read_toml(f"x = {value}", "value")["x"]
    except InputError:
        parsed = value
    for table in tables:
        fields = fields.setdefault(table, {})
        if not isinstance(fields, dict):
            raise InputError(f"--set {item!r:.60}: {table} is no table of fields")
    fields[last] = parsed


def to_toml(spec: Spec) -> str:
    """The whole spec as TOML, defaults written out; `parse_spec` reads it back equal."""
    top, tables = [], []
    for field, value in spec.model_dump(mode="json").items():
        if value is None:
            continue
        if isinstance(value, dict):
            tables.append(f"\n[{field}]\n" + "\n".join(f"{k} = {_toml(v)}" for k, v in value.items()))
        else:
            top.append(f"{field} = {_toml(value)}")
    return "\n".join(top + tables) + "\n"


def _toml(value: Any) -> str:
    # JSON as TOML, but for what TOML refuses: escaped halves of a character, and a bare DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
