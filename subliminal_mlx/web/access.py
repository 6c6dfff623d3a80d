"""Who visits a page, which lab it shows, and what may be started from it.

    visitor = access(mo.app_meta().request)
    if visitor.may_start: submit(visitor.lab, "run", {"spec": text}, visitor.owner)

Behind `serve` the server has said all that, in the request's `meta`, which no browser can write. Under marimo's own
server it is found out: whoever could reach this process from another machine, or might, starts nothing.
"""

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from ..jobs import wake
from ..system.errors import SubliminalError
from .origin import far, listening, loopback_only

META = "subliminal"
LOCAL = "local"
REMEDY = "serve it with `python -m subliminal_mlx app --password`"


@dataclass(frozen=True)
class Access:
    """What a visitor may do."""

    lab: Path
    may_start: bool
    why_not: str
    """Why nothing may be started, as a sentence; empty where it may."""
    owner: str
    """Stands for the visitor in `submit` and `cancel`; not to be shown."""

    def to_meta(self) -> dict[str, Any]:
        """As a server hands it to `access`, in a request's `meta`."""
        return {META: asdict(self) | {"lab": str(self.lab)}}


def access(request: Mapping[str, Any] | None) -> Access:
    """The visitor behind a request, as marimo's `mo.app_meta().request` has it; None where there is no server.

    Where jobs may be started, those that a kill left go on.
    """
    visitor = _visitor(request)
    if visitor.may_start:
        with suppress(SubliminalError):
            wake(visitor.lab)
    return visitor


def _visitor(request: Mapping[str, Any] | None) -> Access:
    if said := (request["meta"] or {}).get(META) if request else None:
        return Access(**said | {"lab": Path(said["lab"])})
    lab = Path(os.environ.get("SUBLIMINAL_LAB") or "lab")
    if request is None:
        # Run as a script or by a test; else some server hides who asks.
        reason = "" if listening() == [] else f"It is not known who asks: {REMEDY}."
        return Access(lab, not reason, reason, LOCAL if not reason else "")
    reason = "" if _password() else refusal(request["headers"])
    # Marimo keeps nothing by which visitors could be told apart: who is not at this machine is new with every page.
    at_home = not refusal(request["headers"])
    return Access(lab, not reason, reason, LOCAL if at_home else secrets.token_hex(16))


def refusal(headers: Mapping[str, str]) -> str:
    """Why a visitor who gave no password may start nothing, as a sentence; empty for one at this machine."""
    if not loopback_only(listening()):
        return f"This server can be reached from other machines and asks for no password: {REMEDY}."
    if far(headers):
        return f"This page comes through another server, and no password is asked for: {REMEDY}."
    return ""


def _password() -> bool:
    """Whether marimo's own server was told, on its command line, to ask for a password."""
    try:
        return asks_password(psutil.Process().cmdline())
    except psutil.Error:
        return False


def asks_password(words: list[str]) -> bool:
    """Whether these words of a command line make marimo ask for a password."""
    words = words[: words.index("--")] if "--" in words else words
    if "--token" in words and "--no-token" not in words:
        return True
    names = ("--token-password", "--token-password-file")
    given = [word.partition("=")[2] for word in words if word.partition("=")[0] in names and "=" in word]
    given += [value for name, value in pairwise(words) if name in names]
    return any(given)
