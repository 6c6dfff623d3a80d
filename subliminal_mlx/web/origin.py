"""From where a request comes, as far as sockets and headers tell.

loopback_only(listening())       # nobody elsewhere can reach this process
far(headers)                     # asked on behalf of somebody elsewhere, or by another site's page
foreign(headers)                 # asked by a page that this server did not send
"""

import ipaddress
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import psutil

PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
PORTS = {"http": 80, "https": 443}
FRESH_SECONDS = 2.0

_seen: tuple[float, list[str] | None] = (-FRESH_SECONDS, None)


def far(headers: Mapping[str, str]) -> bool:
    """Whether a request to a loopback address was made on behalf of somebody elsewhere, as far as it tells.

    A name that leads here but is not this machine's own is one too: a strange site's name may be made to.
    """
    names = {name.lower(): value for name, value in headers.items()}
    if any(name in names for name in PROXY_HEADERS):
        return True
    hosts = [f"//{names.get('host', '')}", *([names["origin"]] if "origin" in names else [])]
    return not all(is_loopback(_parts(host)[0]) for host in hosts)


def foreign(headers: Mapping[str, str], scheme: str) -> bool:
    """Whether the page that asks came from another server than the one it asks.

    Browsers say so in Origin; no page can change it. A proxy must pass Host on, or say X-Forwarded-Host.
    """
    names = {name.lower(): value for name, value in headers.items()}
    if "origin" not in names:
        return False
    host, port = _parts(names["origin"])
    hosts = [_parts(f"//{names[name]}") for name in ("host", "x-forwarded-host") if name in names]
    # Which of http and https the proxy was asked by is not always passed on: the default ports of both will do.
    usual = {None, *PORTS.values(), PORTS.get(scheme)}
    same = lambda one, other: one == other or (one in usual and other in usual)
    return host is None or not any(host == name and same(port, number) for name, number in hosts)


def is_loopback(host: str | None) -> bool:
    """Whether a host's name or address is this machine's own, which nobody else can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def loopback_only(addresses: list[str] | None) -> bool:
    """Whether there are such addresses, and nobody elsewhere reaches any of them."""
    return bool(addresses) and all(map(is_loopback, addresses or []))


def listening() -> list[str] | None:
    """The addresses at which this process, or else the one that started it, listens; None if that cannot be told."""
    global _seen
    if time.monotonic() - _seen[0] > FRESH_SECONDS:
        _seen = (time.monotonic(), _listening())
    return _seen[1]


def _listening() -> list[str] | None:
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


def _parts(url: str) -> tuple[str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None, None
