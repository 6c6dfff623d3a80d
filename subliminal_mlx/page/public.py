"""A run as strangers may see it: no folder of this machine in any of its texts.

    run = public_run(lab.run(run_id))
    run["summary"], run["spec_toml"], run["title"]

Specs from a terminal may name a family or a base by its path; a page shows the last part of it.
"""

import re
from typing import Any

from ..jobs.words import cut
from ..plan import plain

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
