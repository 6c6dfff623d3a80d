"""Which bases have the words of some rows: what `audit` tells who names none.

    fitting(texts)                  # [Fit("tiny-a", 0.0, 9.1), Fit("smollm2-135m", 0.0, 24.0)]
    asked_for_base(path, how)       # an InputError that names them

By tokenizers alone: no model is loaded, and nothing is downloaded or converted. That a base has the words does not
make it the right one: an audit is for the base that a student would start from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..model import sources
from ..system.errors import InputError
from ..system.quantities import percent
from .reading import Reading, good, read_rows

FEW, NAMED = 200, 3


@dataclass(frozen=True)
class Fit:
    """A base's tokenizer on some texts."""

    base: str
    unknown: float
    """Share of their tokens that are words it does not have."""
    tokens: float
    """A text, on average."""


def fitting(texts: Sequence[str]) -> list[Fit]:
    """The bases that are here, best first: fewest unknown words, then fewest tokens."""
    found = []
    for row in sources.list_bases():
        location = sources.locate(row["name"])
        if location.path.is_dir() and (fit := _fit(row["name"], location.path, texts)):
            found.append(fit)
    return sorted(found, key=lambda fit: (round(fit.unknown, 2), fit.tokens))


def asked_for_base(path: Path, how: Reading) -> InputError:
    """What is told who names no base: what the rows are, and which bases have their words."""
    rows = islice(good(read_rows(path, how)), FEW)
    texts = [answer.completion for row in rows for answer in row.answers][:FEW]
    names = ", ".join(f"{fit.base} ({percent(fit.unknown, 0)})" for fit in fitting(texts)[:NAMED])
    return InputError(
        f"--base: name the base that a student would start from; of those here, with the share of {path}'s words "
        f"that they do not have: {names or 'none'}"
    )


def _fit(name: str, folder: Path, texts: Sequence[str]) -> Fit | None:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        ids = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError):
        return None  # its own commands say what is wrong with it
    count = sum(map(len, ids))
    unknown = sum(one.count(tokenizer.unk_token_id) for one in ids)
    return Fit(name, unknown / max(1, count), count / max(1, len(texts)))
