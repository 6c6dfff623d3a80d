"""Wrong passwords, counted by address: where one is given, and whether it was the right one.

    attempt = guesses.begin(client)              # None where there were too many: refuse
    guesses.take_back(client, attempt)           # it was right

A try counts from when it comes, not from when it is judged: who sends a hundred at once gets no further than who
sends them one by one.
"""

import time
from collections import deque
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

# Wrong passwords from one address in a minute, after which it waits.
MOST_WRONG = 10


class Guesses:
    """The last tries of each address."""

    def __init__(self) -> None:
        self.times: dict[str, deque[float]] = {}

    def begin(self, client: str) -> float | None:
        """Count a try; None, and nothing is counted, where that address has to wait."""
        times = self.times.setdefault(client, deque(maxlen=MOST_WRONG))
        now = time.monotonic()
        if len(times) == MOST_WRONG and now - times[0] < 60:
            return None
        times.append(now)
        if len(self.times) > 10_000:
            self.times.pop(next(iter(self.times)))
        return now

    def take_back(self, client: str, attempt: float) -> None:
        """A try that was right, and does not count."""
        # It may be forgotten: newer ones came, or other addresses.
        with suppress(KeyError, ValueError):
            self.times[client].remove(attempt)


def gives_password(scope: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    """Whether a request gives a password in any of the ways that marimo takes one."""
    # Decoded as Starlette does it: access%5Ftoken is a spelling of access_token.
    query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    return is_login(scope) or "authorization" in headers or any(name == "access_token" for name, _ in query)


def is_login(scope: Mapping[str, Any]) -> bool:
    """Whether it is the login page's form."""
    return scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith("/auth/login")


def let_in(scope: Mapping[str, Any], message: MutableMapping[str, Any]) -> bool:
    """Whether the pages' first answer to who gave a password says that it was right.

    What is answered does not tell it: /health is there for everybody, and yet lets in who names the password in
    its address. So `scope` is the one that the pages were given, in which they left whom they took the visitor for.
    """
    known = scope.get("auth")
    sent_on = is_login(scope) and message.get("status") == 302
    return bool(known is not None and known.scopes) or sent_on
