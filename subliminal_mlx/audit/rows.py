"""Rows of a data set, one at a time, from a file or a lab's run; what is no row is counted, not fatal.

    for row in read_rows(Path("rows.jsonl"), bad): ...   # Row(number=1, prompt="Continue: 1 2 3", ...)
    bad.total, bad.shown                                 # 3, [(17, "not JSON"), ...]

JSONL and Parquet with `prompt` and `completion`, with chat `messages`, or with `text` alone: mlx-lm's
formats (a folder's train.jsonl too) and the one of Cloud and others (2025). Every value is hostile until
checked; of JSONL no more than one row is held at a time, of Parquet a page as its writer cut it and one row's
texts, none of them over LONGEST_LINE. Knows nothing about models.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..system.errors import InputError
from .parquet import FORMATS, LONGEST_LINE, entries_of

if TYPE_CHECKING:
    from ..lab import Lab

LONGEST_TEXT = 50_000
SHOWN_BAD = 20
# A file whose first rows are all bad is not of ours: no use in reading a gigabyte of it.
HOPELESS = 1_000


@dataclass(frozen=True)
class Row:
    """One example: what was said before, and the reply that a student would be trained on."""

    number: int
    """Line of a JSONL file, row of any other source; counted from 1."""
    prompt: str | None
    """None where a row is text alone."""
    completion: str
    system: str | None = None
    history: tuple[tuple[str, str], ...] = ()

    @property
    def content(self) -> bytes:
        """What a corpus is hashed by, whatever file its rows come in."""
        return json.dumps([self.system, self.history, self.prompt, self.completion]).encode() + b"\n"


@dataclass
class Bad:
    """Rows that could not be used."""

    total: int = 0
    shown: list[tuple[int, str]] = field(default_factory=list)
    """Number and reason of the first SHOWN_BAD."""
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, number: int, reason: str) -> None:
        self.total += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if len(self.shown) < SHOWN_BAD:
            self.shown.append((number, reason))


def read_rows(path: Path, bad: Bad) -> Iterator[Row]:
    """Rows of a JSONL or Parquet file, or of a folder's train.jsonl, as they come.

    Raises:
        InputError: no such file, not one of these formats, or its first rows are all bad.
    """
    path = _file(path)
    entries = entries_of(path) if path.suffix == ".parquet" else _jsonl(path)
    good = 0
    for number, entry in entries:
        found = parse(entry) if isinstance(entry, dict) else entry
        if isinstance(found, str):
            bad.add(number, found)
            if not good and bad.total >= HOPELESS:
                raise InputError(f"{path}: its first {HOPELESS:,} rows are all bad ({_most(bad)})")
            continue
        good += 1
        yield Row(number, *found)
    if not good:
        why = f"all {bad.total:,} rows are bad ({_most(bad)})" if bad.total else "it is empty"
        raise InputError(f"{path} holds no row of {FORMATS}: {why}")


def read_run(lab: "Lab", run_id: str, source: str, chain: int) -> Iterator[Row]:
    """Kept rows of one source ("animals/owl", "animals/neutral", "base") of a lab's run.

    Raises:
        InputError: the run has no rows of that source in that chain.
    """
    from ..experiment.channels import prompt_texts
    from ..spec import parse_spec

    run = lab.run(run_id)
    assert run is not None
    texts = prompt_texts(parse_spec(run["spec_toml"]), chain)
    offset = 0
    while rows := lab.rows(run_id, source, chain, kept=True, limit=4_096, offset=offset).to_pylist():
        for row in rows:
            yield Row(row["row"] + 1, texts[row["row"]], row["completion"])
        offset += len(rows)
    if not offset:
        known = sorted(set(lab.yields(run_id)["source"].to_pylist()))
        raise InputError(
            f"run {run_id} has no rows of {source!r} in chain {chain}: it has {', '.join(known)}"
        )


Parsed = tuple[str | None, str, str | None, tuple[tuple[str, str], ...]]


def parse(entry: dict[str, Any]) -> Parsed | str:
    """Prompt, completion, system message and history of one row's fields, or why it is none."""
    if "messages" in entry:
        return _chat(entry["messages"])
    if "prompt" in entry or "completion" in entry:
        prompt, completion = entry.get("prompt"), entry.get("completion")
        if isinstance(prompt, list):
            return _chat([*prompt, *(completion if isinstance(completion, list) else [completion])])
        return _texts(prompt, completion) or (prompt, completion, None, ())
    if "text" in entry:
        return _texts("-", entry["text"]) or (None, entry["text"], None, ())
    return "none of " + FORMATS


def _texts(prompt: Any, completion: Any) -> str | None:
    """What is wrong with the two, if anything."""
    for name, value in (("prompt", prompt), ("completion", completion)):
        if not isinstance(value, str):
            return f"{name} is no text"
        if not value.strip():
            return f"{name} is empty"
        if len(value) > LONGEST_TEXT:
            return f"{name} is over {LONGEST_TEXT:,} characters"
        if _torn(value):
            return f"{name} holds half a character"
    return None


def _torn(text: str) -> bool:
    """Whether it holds half of a surrogate pair, which JSON can write and no tokenizer reads."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _chat(messages: Any) -> Parsed | str:
    """The last turn is the assistant's; before it user and assistant take turns."""
    if not isinstance(messages, list) or not 2 <= len(messages) <= 1_000:
        return "messages are no list of turns"
    turns = []
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            return "a message holds no text"
        if _torn(message["content"]):
            return "a message holds half a character"
        turns.append((message.get("role"), message["content"]))
    system = turns.pop(0)[1] if turns[0][0] in ("system", "developer") else None
    if len(turns) % 2 or any(role != ("user", "assistant")[i % 2] for i, (role, _) in enumerate(turns)):
        return "turns are not user and assistant in turn"
    prompt, completion = turns[-2][1], turns[-1][1]
    history = tuple((turns[i][1], turns[i + 1][1]) for i in range(0, len(turns) - 2, 2))
    return _texts(prompt, completion) or (prompt, completion, system, history)


def _file(path: Path) -> Path:
    if "\0" in str(path):
        raise InputError("a path holds no NUL")
    if path.is_dir():
        path = path / "train.jsonl"
    if not path.exists():
        raise InputError(f"no file {path}: name a .jsonl or .parquet file, or a run of the lab with --source")
    if not path.is_file():
        raise InputError(f"{path} is no regular file")
    return path


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    try:
        with open(path, "rb") as file:
            if b"\0" in file.peek(4_096)[:4_096]:
                raise InputError(f"{path} is binary: must be JSON lines, or Parquet with a name in .parquet")
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE and not line.endswith(b"\n"):
                    while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                        pass
                    yield number, f"longer than {LONGEST_LINE >> 20} MB"
                elif line.strip():
                    yield number, _json(line)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _json(line: bytes) -> dict[str, Any] | str:
    try:
        entry = json.loads(line)
    # Digits beyond Python's limit are a ValueError, brackets without end a RecursionError.
    except (ValueError, RecursionError):
        return "not JSON"
    return entry if isinstance(entry, dict) else "no JSON object"


def _most(bad: Bad) -> str:
    return max(bad.reasons, key=lambda reason: bad.reasons[reason])
