"""Messages as strangers may see them: one line, and no path of this machine's.

public("no file /home/ada/lab/x.parquet", lab)      # "no file .../x.parquet"
"""

import re
from pathlib import Path

LONGEST = 500
# From a slash (or a home) that starts a path to its last part.
PATH = re.compile(r"(?<![\w.:/~])~?/(?:[^\s/'\":,;()]+/)*([^\s/'\":,;()]*)")


def public(message: str, lab: Path) -> str:
    """The message in one line, without folders: of each path its last part stays, and the lab is "the lab"."""
    text = message
    for path in sorted({str(lab), str(lab.resolve())}, key=len, reverse=True):
        text = (
            re.sub(re.escape(path) + r"(?=/)", "", text).replace(path, "the lab") if len(path) > 1 else text
        )
    text = PATH.sub(lambda match: match[1] or "a folder", text)
    return re.sub(r"[\x00-\x1f\x7f-\x9f\s]+", " ", text).strip()[:LONGEST]
