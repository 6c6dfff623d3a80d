"""The apps as a web application for any ASGI server, with what marimo's own server leaves out.

    app = create_app("experiment", lab="lab", password="...", base_url="/subliminal")
    SUBLIMINAL_PASSWORD=... uvicorn --factory subliminal_mlx.web.server:application

Each visitor has a cookie by which jobs know who started what; pages of other sites are not answered; wrong
passwords are counted; and who may start runs is decided here (`access.access` says it to the app).
"""

import hashlib
import os
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from .. import jobs
from ..system.errors import InputError
from ..system.files import PACKAGE
from .access import Access, refusal
from .origin import foreign
from .passwords import Guesses, gives_password, let_in

APPS = next((folder for folder in (PACKAGE / "apps", PACKAGE.parent / "apps") if folder.is_dir()), PACKAGE)
COOKIE = "subliminal_visitor"
COOKIE_SECONDS = 365 * 24 * 3600
SHORTEST_PASSWORD = 8
PUBLISHED = "This lab is published for reading: nothing can be started from here."

# No other site shows a page of ours as a part of its own, where clicks could be led astray.
FRAME = (b"content-security-policy", b"frame-ancestors 'self'")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


def apps() -> list[str]:
    """Names of the apps that are here."""
    return sorted(path.stem for path in APPS.glob("*.py") if not path.stem.startswith("_"))


def create_app(
    name: str = "experiment",
    lab: str | Path = "lab",
    password: str | None = None,
    read_only: bool = False,
    base_url: str = "",
    trusted: bool = False,
) -> "Application":
    """An app of this project as an ASGI application; jobs that wait in its lab go on.

    Args:
        password: asked of every visitor; without one only who sits at this machine may start runs.
        read_only: nobody may start or cancel anything.
        base_url: the path under which a proxy passes the app's pages on, such as "/subliminal".
        trusted: the application around this one lets nobody in who may not start runs.

    Raises InputError: no such app, a password that is too short or not ASCII, a base URL that is no path.
    """
    import marimo

    if name not in apps():
        raise InputError(f"no app {name!r}: there are {', '.join(apps())}")
    if password is not None and len(password) < SHORTEST_PASSWORD:
        raise InputError(f"password: at least {SHORTEST_PASSWORD} characters")
    if password is not None and not password.isascii():
        # Marimo compares by `compare_digest`, which takes no other text: nobody could log in.
        raise InputError("password: letters, digits and signs of ASCII only")
    base_url = base_url.rstrip("/")
    if not re.fullmatch(r"(/[\w.~-]+)*", base_url):
        raise InputError(
            f"base URL {base_url!r:.60}: must be a path that starts with '/', such as /subliminal"
        )
    path = Path(lab).expanduser().resolve()
    if not read_only:
        jobs.wake(path)
    pages = marimo.create_asgi_app(quiet=True, include_code=False, token=password)
    served = pages.with_app(path=base_url or "/", root=str(APPS / f"{name}.py")).build()
    return Application(served, path, password is not None, read_only, trusted, base_url)


def application() -> "Application":
    """`create_app` with what the environment says: SUBLIMINAL_APP, _LAB, _PASSWORD, _BASE_URL, _READ_ONLY, _TRUSTED."""
    said = lambda name, default="": os.environ.get(f"SUBLIMINAL_{name}", default)
    return create_app(
        said("APP", "experiment"),
        said("LAB", "lab"),
        said("PASSWORD") or None,
        _yes("READ_ONLY", said("READ_ONLY")),
        said("BASE_URL"),
        _yes("TRUSTED", said("TRUSTED")),
    )


def _yes(name: str, value: str) -> bool:
    answers = {"": False, "0": False, "no": False, "false": False, "1": True, "yes": True, "true": True}
    if value.lower() not in answers:
        raise InputError(f"SUBLIMINAL_{name}={value!r:.20}: must be 1 or 0")
    return answers[value.lower()]


class Application:
    """Around the pages: who asks, and what that visitor may do."""

    def __init__(
        self, pages: ASGIApp, lab: Path, password: bool, read_only: bool, trusted: bool, base_url: str
    ) -> None:
        self.pages, self.lab, self.base_url = pages, lab, base_url
        self.read_only, self.let_in = read_only, password or trusted
        self.guesses = Guesses() if password else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.pages(scope, self._closing(receive), send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if foreign(headers, scope.get("scheme", "http")):
            why = "This page belongs to another site; a proxy in between must pass the Host header on.\n"
            await _refuse(scope, send, 403, why)
            return
        client = (scope.get("client") or ("", 0))[0]
        attempt = None
        if self.guesses is not None and gives_password(scope, headers):
            attempt = self.guesses.begin(client)
            if attempt is None:
                await _refuse(scope, send, 429, "Too many wrong passwords: wait a minute.\n")
                return
        cookie = _cookie(headers)
        token = cookie or secrets.token_urlsafe(24)
        reason = PUBLISHED if self.read_only else "" if self.let_in else refusal(headers)
        visitor = Access(self.lab, not reason, reason, hashlib.sha256(token.encode()).hexdigest()[:32])

        # The pages say in here whom they took the visitor for; an application around this one may have said so too.
        asked = {**scope, "meta": visitor.to_meta()}
        asked.pop("auth", None)
        # An error that answers a try waits until it is known of what kind it is.
        begun, held = False, []

        async def told(message: MutableMapping[str, Any]) -> None:
            nonlocal attempt, begun
            if attempt is not None and let_in(asked, message):
                self.guesses.take_back(client, attempt)
                attempt = None
            if message["type"] == "http.response.start":
                message["headers"] = [
                    self._from_here(scope, *header) for header in message.get("headers", ())
                ]
                if _is_page(message):
                    message["headers"] += [FRAME, *([] if cookie else [self._set_cookie(token, scope)])]
            if attempt is not None and (held or message.get("status") == 500):
                held.append(message)
                return
            begun = True
            await send(message)

        try:
            await self.pages(asked, receive, told)
        except TypeError:
            if attempt is None or begun:
                raise
            # `compare_digest` was given an umlaut: a wrong password as others are.
            held.clear()
            await _refuse(scope, send, 401, "Wrong password: go back and try again.\n")
        finally:
            for message in held:
                await send(message)

    async def close(self) -> None:
        """Close the pages that are still open: Python would wait for their threads.

        A server's end calls it; an application around this one that is no server has to.
        """
        for route in getattr(self.pages, "routes", ()):
            state = getattr(getattr(route, "app", None), "state", None)
            if manager := getattr(state, "session_manager", None):
                await manager.shutdown()

    def _closing(self, receive: Receive) -> Receive:
        async def heard() -> MutableMapping[str, Any]:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.close()
            return message

        return heard

    def _from_here(self, scope: Scope, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        # Marimo sends those who are not logged in to /auth/login, wherever its pages lie.
        if name == b"location" and value.startswith(b"/auth/"):
            value = self._root(scope).encode() + value
        return name, value

    def _root(self, scope: Scope) -> str:
        return scope.get("root_path", "") + self.base_url

    def _set_cookie(self, token: str, scope: Scope) -> tuple[bytes, bytes]:
        # Lax: a link from elsewhere shows the visitor's own runs as theirs.
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        place = f"Path={self._root(scope) or '/'}; Max-Age={COOKIE_SECONDS}"
        return b"set-cookie", f"{COOKIE}={token}; {place}; HttpOnly; SameSite=Lax{secure}".encode()


def _cookie(headers: dict[str, str]) -> str | None:
    found = re.search(rf"(?:^|;\s*){COOKIE}=([\w-]{{32}})(?:;|$)", headers.get("cookie", ""))
    return found[1] if found else None


def _is_page(message: MutableMapping[str, Any]) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/html") for name, value in message["headers"]
    )


async def _refuse(scope: Scope, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": text.strip()})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
