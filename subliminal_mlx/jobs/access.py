"""Who visits a page, which lab it shows, and what may be started from it.

    visitor = access(mo.app_meta().request)
    if visitor.may_start: submit(visitor.lab, text, visitor.owner)

Behind `serve` the server has said all that, in the request's `meta`, which no browser can write. Under marimo's own
server it is found out: whoever could reach this process from another machine, or might, starts nothing.
"""

import ipaddress
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

META = "subliminal"
LOCAL = "local"
SERVE = "serve it with `python -m subliminal_mlx app --password`"


@dataclass(frozen=True)
class Access:
    """What a visitor may do."""

    lab: Path
    may_start: bool
    why_not: str
    """Why nothing may be started, as a sentence; empty where it may."""
    owner: str
    """Stands for the visitor in `submit` and `cancel`; not to be shown."""


def access(request: Mapping[str, Any] | None) -> Access:
    """The visitor behind a request as marimo's `mo.app_meta().request` has it; None where there is no server."""
    said = (request["meta"] or {}).get(META) if request else None
    if said:
        return Access(Path(said["lab"]), said["may_start"], said["why_not"], said["owner"])
    lab = Path(os.environ.get("SUBLIMINAL_LAB") or "lab")
    why_not = _why_not(request)
    # Marimo tells visitors apart by nothing that lasts: who is not at this machine is new with every page.
    owner = LOCAL if not why_not and _loopback_only(_listening()) else secrets.token_hex(16)
    return Access(lab, not why_not, why_not, owner)


def _why_not(request: Mapping[str, Any] | None) -> str:
    addresses = _listening()
    if request is None:
        # No page asks: the notebook runs as a script.
        return "" if addresses == [] else f"It is not known who asks: {SERVE}."
    if _password():
        return ""
    if not addresses or not _loopback_only(addresses):
        return f"This server can be reached from other machines and asks for no password: {SERVE}."
    if far(request["headers"]):
        return f"This page comes through another server, and no password is asked for: {SERVE}."
    return ""


def far(headers: Mapping[str, str]) -> bool:
    """Whether a request to a loopback address was made on behalf of somebody elsewhere, as far as it tells."""
    names = {name.lower(): value for name, value in headers.items()}
    if any(
        name in names for name in ("x-forwarded-for", "x-forwarded-host", "forwarded", "x-real-ip", "via")
    ):
        return True
    origin = urlsplit(names["origin"]).hostname if names.get("origin") else "localhost"
    return not is_loopback(urlsplit(f"//{names.get('host', '')}").hostname) or not is_loopback(origin)


def is_loopback(host: str | None) -> bool:
    """Whether a host's name or address is this machine's own, which nobody else can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _loopback_only(addresses: list[str] | None) -> bool:
    return bool(addresses) and all(map(is_loopback, addresses or []))


def _listening() -> list[str] | None:
    """The addresses at which this process, or the one that started it, listens; None if that cannot be told."""
    try:
        me = psutil.Process()
        found = _addresses(me)
        # An editor's kernel is a process of its own.
        return found or (_addresses(parent) if (parent := me.parent()) else [])
    except (psutil.Error, OSError):
        return None


def _addresses(process: psutil.Process) -> list[str]:
    connections = process.net_connections(kind="inet")
    return [connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN]


def _password() -> bool:
    """Whether marimo's own server was told to ask for a password."""
    try:
        words = psutil.Process().cmdline()
    except psutil.Error:
        return False
    asked = any(
        word.split("=")[0] in ("--token-password", "--token-password-file", "--token") for word in words
    )
    return asked and "--no-token" not in words
