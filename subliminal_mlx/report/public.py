"""Messages as strangers may see them: one line, and no path of this machine's.

public("no file /home/ada/lab/x.parquet", lab)      # "no file x.parquet"
shown("/home/ada/clients/acme/base")                # "base"
"""

import re
from pathlib import Path
from typing import Any

from ..spec.plan import plain

LONGEST = 500
# From a slash (or a home) that starts a path to its last part. Only quotes tell where a path with spaces ends.
_PATH = re.compile(r"(?<![\w.:/~])~?/(?:[^\s/'\":,;()]+/)*([^\s/'\":,;()]*)")
_QUOTED = re.compile(r"""(?<!\w)(['"])~?/(?:(?:\\.|(?!\1).)*/)?(?P<end>\1?)""")
# What is a path as a whole, also of another system or from where somebody stood.
_WHOLE = re.compile(r"(?:~|/|\.\.?[/\\]|\w:[/\\]).*", re.DOTALL)


def public(message: str, lab: Path) -> str:
    """The message in one line, without folders: of each path its last part stays, and the lab is "the lab"."""
    text = message
    for path in sorted({str(lab), str(lab.resolve())}, key=len, reverse=True):
        text = (
            re.sub(re.escape(path) + r"(?=/)", "", text).replace(path, "the lab") if len(path) > 1 else text
        )
    text = cut(text)
    return re.sub(r"[\x00-\x1f\x7f-\x9f\s]+", " ", text).strip()[:LONGEST]


def cut(text: str) -> str:
    """The text with every absolute path cut to its last part."""
    text = _QUOTED.sub(lambda match: match[1] + (f"a folder{match['end']}" if match["end"] else ""), text)
    return _PATH.sub(lambda match: match[1] or "a folder", text)


def shown(name: str) -> str:
    """A name, of a base for one, that may be a path: of a path its last part."""
    name = plain(name)
    if not _WHOLE.fullmatch(name):
        return name
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1].lstrip("~") or "a folder"


# A string that is a path as a whole, also one without a slash at its start.
_TRAIT = re.compile(r'"([^"\n]*\.toml/[^"\n]+)"')


def without_folders(text: str) -> str:
    """The text with every absolute path cut to its last part."""
    text = _TRAIT.sub(lambda found: f'"{plain(found[1])}"', text)
    return cut(text)


def public_run(run: dict[str, Any]) -> dict[str, Any]:
    """A run's row of the lab, with paths taken out of spec, title and summary."""
    cleaned = {key: _cleaned(value) for key, value in run.items() if key not in ("spec_json", "created")}
    return cleaned | {"created": run["created"], "spec_toml": without_folders(run["spec_toml"])}


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return without_folders(plain(value)) if "/" in value else value
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(part) for key, part in value.items()}
    return [_cleaned(part) for part in value] if isinstance(value, list) else value
