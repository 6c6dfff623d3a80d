"""The apps as a web application: passwords, cookies, other sites' pages, proxies, and who may start runs.

The servers are real, each in its own process; a page's kernel is woken as the browser does it, by a web socket.
"""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import mini
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from subliminal_mlx import jobs
from subliminal_mlx.system.errors import InputError
from subliminal_mlx.web import origin
from subliminal_mlx.web import server as web_server
from subliminal_mlx.web.access import Access, asks_password
from subliminal_mlx.web.origin import far, foreign, is_loopback, loopback_only
from subliminal_mlx.web.passwords import MOST_WRONG

PASSWORD = "owls & cats 100%"
# An app that says who asks.
PAGE = """
import marimo
app = marimo.App()

@app.cell
def _():
    import json
    import marimo as mo
    from subliminal_mlx.web.access import access
    _who = access(mo.app_meta().request)
    mo.md("WHO" + json.dumps([str(_who.lab), _who.may_start, _who.why_not, _who.owner]).encode().hex() + "END")
    return
"""
# The real command, which finds its apps elsewhere.
COMMAND = "import sys; from pathlib import Path; from subliminal_mlx.web import server as web_server; web_server.APPS = Path(sys.argv.pop(1)); from subliminal_mlx.__main__ import main; main()"
# Another application around ours, as one would write it.
AROUND = """
import sys, uvicorn
from contextlib import asynccontextmanager
from pathlib import Path
from starlette.applications import Starlette
from starlette.routing import Mount
from subliminal_mlx.web import server as web_server
web_server.APPS = Path(sys.argv[1])
inner = web_server.application()
@asynccontextmanager
async def lifespan(app):
    yield
    await inner.close()
app = Starlette(routes=[Mount("/inner", inner)], lifespan=lifespan)
uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
"""


@dataclass
class Server:
    port: int
    process: subprocess.Popen
    log: Path
    root: str = ""
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, path: str = "/", method: str = "GET", body: str | None = None, **headers: str):
        """Status, headers and text of an answer; cookies are neither sent nor kept unless told."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            names["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, self.root + path, body, names)
        answer = connection.getresponse()
        said = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
        self.cookies |= dict(re.findall(r"([\w-]+)=([^;,']+); path=", str(answer.getheaders())))
        connection.close()
        return said

    def visitor(self, **headers: str) -> Access:
        """Who the page's kernel takes us for."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        host = names.pop("Host", f"127.0.0.1:{self.port}")
        address = f"ws://{host}{self.root}/ws?session_id=s_{os.urandom(3).hex()}"
        here = socket.create_connection(("127.0.0.1", self.port))
        options = {"additional_headers": names, "max_size": None, "open_timeout": 60}
        with connect(address, sock=here, **options) as page:
            while True:
                if found := re.search(r"WHO([0-9a-f]+)END", str(page.recv(timeout=120))):
                    lab, *rest = json.loads(bytes.fromhex(found[1]))
                    return Access(Path(lab), *rest)


class Servers:
    """Starts servers, all at once, and ends them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.all = folder, []
        (folder / "apps").mkdir()
        (folder / "apps" / "experiment.py").write_text(PAGE)

    def start(self, command: list[object], root: str = "", **environment: str) -> Server:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = self.folder / f"{port}.log"
        with open(log, "w") as said:
            words = [sys.executable, *(str(port) if word == "PORT" else str(word) for word in command)]
            process = subprocess.Popen(
                words, stdout=said, stderr=said, cwd=mini.ROOT, env=os.environ | environment
            )
        self.all.append(Server(port, process, log, root))
        return self.all[-1]

    def app(self, *options: object, **environment: str) -> Server:
        """Our own command."""
        arguments = ["-c", COMMAND, self.folder / "apps", "app", "--port", "PORT", *options]
        root = options[options.index("--base-url") + 1] if "--base-url" in options else ""
        return self.start(arguments, str(root), **environment)

    def marimo(self, *options: object, **environment: str) -> Server:
        """Marimo's own server."""
        page = self.folder / "apps" / "experiment.py"
        arguments = ["-m", "marimo", "-q", "run", page, "--headless", "--port", "PORT", *options]
        return self.start(arguments, **environment)

    def wait(self) -> None:
        for server in self.all:
            # Busy machines take their time.
            for _ in range(2_400):
                assert server.process.poll() is None, server.log.read_text()
                with suppress(OSError, http.client.HTTPException):
                    status, _, text = server.ask("/health")
                    assert (status, json.loads(text)) == (200, {"status": "healthy"})
                    break
                time.sleep(0.1)
            else:
                pytest.fail(server.log.read_text())

    def end(self) -> None:
        for server in self.all:
            server.process.send_signal(signal.SIGINT)
        for server in self.all:
            try:
                server.process.wait(60)
            finally:
                server.process.kill()


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    started = Servers(folder)
    lab = folder / "a lab"
    found = {
        "shared": started.app(
            *("--host", "0.0.0.0", "--base-url", "/sub/liminal", "--lab", lab), SUBLIMINAL_PASSWORD=PASSWORD
        ),
        "home": started.app("--lab", lab),
        "around": started.start(
            ["-c", AROUND, folder / "apps", "PORT"], "/inner", SUBLIMINAL_LAB=str(lab), SUBLIMINAL_TRUSTED="1"
        ),
        "plain": started.marimo("--no-token", SUBLIMINAL_LAB=str(lab)),
    }
    try:
        started.wait()
        yield found
    finally:
        started.end()


def login(server: Server, password: str) -> int:
    return server.ask("/auth/login", "POST", urllib.parse.urlencode({"password": password}))[0]


def test_a_password_is_asked_for_and_wrong_ones_are_counted(servers):
    server = servers["shared"]
    status, headers, text = server.ask("/")
    assert (status, headers["location"]) == (303, "/sub/liminal/auth/login?next=%2Fsub%2Fliminal%2F")
    assert server.ask("/auth/login")[0] == 200 and server.ask("/api/usage")[0] in (401, 404)
    with pytest.raises(InvalidStatus):
        server.visitor()
    assert (
        server.ask("/?access_token=guess")[0] == 303 and server.ask("/", Authorization="Bearer x")[0] == 303
    )
    for _ in range(MOST_WRONG - 3):
        assert login(server, "cats & owls 100%") == 200
        assert server.ask("/", Authorization=f"Bearer {PASSWORD}")[0] == 200, "right ones are not counted"
    # The right one, before there were too many wrong ones.
    server.cookies.clear()
    assert login(server, PASSWORD) == 302
    session = "; ".join(f"{name}={value}" for name, value in server.cookies.items())
    assert login(server, "") == 200 and login(server, PASSWORD) == 429
    assert (
        server.ask("/?access_token=guess")[0] == 429 and server.ask("/", Authorization="Bearer x")[0] == 429
    )
    # Who is in stays in.
    status, headers, text = server.ask("/", Cookie=session)
    assert status == 200 and "<html" in text and PASSWORD not in text
    who = server.visitor(Cookie=session)
    assert who.may_start and not who.why_not and who.lab.name == "a lab"
    assert PASSWORD not in server.log.read_text()


def test_a_visitor_keeps_a_cookie_and_is_known_by_it_alone(servers):
    server = servers["home"]
    assert "set-cookie" not in server.ask("/health")[1]
    headers = server.ask("/")[1]
    cookie = headers["set-cookie"]
    assert headers["content-security-policy"] == "frame-ancestors 'self'"
    token = re.fullmatch(
        r"subliminal_visitor=([\w-]{32}); Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax", cookie
    )[1]
    mine = f"subliminal_visitor={token}"
    assert "set-cookie" not in server.ask("/", Cookie=f"other=1; {mine}")[1]
    assert "set-cookie" in server.ask("/", Cookie="subliminal_visitor=short")[1]
    first, second = (server.visitor(Cookie=mine) for _ in range(2))
    assert first == second and first.may_start and first.owner and token not in first.owner
    other = server.visitor()
    assert other.may_start and other.owner not in ("", first.owner)
    assert "Secure" in server.ask("/", X_Forwarded_Proto="https")[1]["set-cookie"]


def test_who_is_elsewhere_starts_nothing_without_a_password(servers):
    for headers in (
        {"X_Forwarded_For": "10.0.0.1"},
        {"Host": "owls.example", "Origin": "https://owls.example"},
    ):
        who = servers["home"].visitor(**headers)
        assert not who.may_start and "comes through another server" in who.why_not


def test_pages_of_other_sites_are_not_answered(servers):
    server = servers["home"]
    here = f"127.0.0.1:{server.port}"
    for site in ("https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "http://[", "x"):
        assert server.ask("/", Origin=site)[0] == 403
        assert server.ask("/", "OPTIONS", Origin=site, Access_Control_Request_Method="GET")[0] == 403
        with pytest.raises(InvalidStatus):
            server.visitor(Origin=site)
    assert server.ask("/", Origin=f"http://{here}")[0] == 200
    assert server.visitor(Origin=f"http://{here}").may_start


def test_another_application_lets_its_own_users_in(servers):
    server = servers["around"]
    status, headers, _ = server.ask("/")
    assert status == 200 and "Path=/inner;" in headers["set-cookie"]
    who = server.visitor(X_Forwarded_For="10.0.0.1")
    assert who.may_start and who.lab.name == "a lab"


def test_under_marimos_own_server_only_this_machine_starts_runs(servers):
    plain = servers["plain"]
    who = plain.visitor()
    assert who.may_start and who.owner == "local" and who.lab.name == "a lab"
    who, again = (plain.visitor(Host="owls.example") for _ in range(2))
    assert not who.may_start and "another server" in who.why_not and who.owner != again.owner != "local"


def test_ctrl_c_ends_the_server_and_a_taken_port_is_one_line(servers):
    server = servers["home"]
    child = mini.command("app", "digits", "--port", server.port, "--lab", server.log.parent / "lab")
    line = mini.failure(child, 2)
    assert line.startswith(f"error: cannot listen at 127.0.0.1, port {server.port}: ") and "--port 0" in line
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(60) == 0
    assert server.log.read_text() == (
        f"experiment at http://127.0.0.1:{server.port}/ (Ctrl-C ends it, not the runs)\n"
    )


# --- without a server -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "../digits"}, "no app '../digits': there are .*digits"),
        ({"password": "short"}, "at least 8"),
        ({"password": ""}, "at least 8"),
        ({"password": "Grüße an alle"}, "ASCII"),
        ({"base_url": "subliminal"}, "must be a path"),
        ({"base_url": "/a/../b?x"}, "must be a path"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(options, told, tmp_path, one_line):
    with pytest.raises(InputError, match=told) as error:
        web_server.create_app(**{"name": "digits", "lab": tmp_path} | options)
    one_line(error)


def test_settings_of_the_environment_are_read_strictly(monkeypatch):
    monkeypatch.setenv("SUBLIMINAL_APP", "digits")
    monkeypatch.setenv("SUBLIMINAL_READ_ONLY", "perhaps")
    with pytest.raises(InputError, match="SUBLIMINAL_READ_ONLY='perhaps': must be 1 or 0"):
        web_server.application()


@pytest.mark.parametrize(
    ("headers", "scheme", "told"),
    [
        ({}, "http", False),
        ({"host": "a:1"}, "http", False),
        ({"host": "a:1", "origin": "http://a:1"}, "http", False),
        ({"host": "a:1", "origin": "http://a:2"}, "http", True),
        ({"host": "a:1", "origin": "http://a"}, "http", True),
        ({"host": "A", "origin": "https://a"}, "http", False),
        ({"host": "a:443", "origin": "https://a"}, "ws", False),
        ({"host": "upstream:9", "x-forwarded-host": "a", "origin": "https://a"}, "http", False),
        ({"host": "upstream:9", "origin": "https://a"}, "http", True),
        ({"host": "a", "origin": "null"}, "http", True),
        ({"host": "a", "origin": "https://a.evil.example"}, "http", True),
        ({"origin": "https://a"}, "http", True),
        ({"host": "a:x", "origin": "https://a:y"}, "http", True),
    ],
)
def test_a_page_is_foreign_unless_its_origin_is_the_host(headers, scheme, told):
    assert foreign(headers, scheme) is told


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"host": "localhost:2718"}, False),
        ({"Host": "127.0.0.1:2718", "Origin": "http://127.0.0.1:2718"}, False),
        ({"host": "[::1]:2718"}, False),
        ({}, True),
        ({"host": "192.168.1.7:2718"}, True),
        ({"host": "localhost.evil.example"}, True),
        ({"host": "localhost", "via": "1.1 proxy"}, True),
        ({"host": "localhost", "X-Real-IP": "127.0.0.1"}, True),
        ({"host": "localhost", "origin": "https://evil.example"}, True),
    ],
)
def test_a_request_is_from_afar_unless_all_of_it_is_local(headers, told):
    assert far(headers) is told


def test_what_is_loopback():
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.9.1", "::1")))
    assert not any(
        map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.", "", None, "127.0.0.1.example"))
    )
    assert loopback_only(["127.0.0.1", "::1"])
    assert not any(map(loopback_only, (None, [], ["127.0.0.1", "0.0.0.0"])))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--token-password secret", True),
        ("--token-password=secret", True),
        ("--token-password-file x --no-token", True),
        ("--token", True),
        ("--no-token", False),
        ("--token --no-token", False),
        ("--token-password=", False),
        ("-- --token-password secret", False),
        ("", False),
    ],
)
def test_marimos_password_is_read_from_its_own_command_line(words, told):
    assert asks_password(["marimo", "run", "app.py", *words.split()]) is told


ASK = """
import socket, sys
from subliminal_mlx.web import origin
from subliminal_mlx.web.access import access
LOCAL = {"meta": {}, "headers": {"host": "localhost:1"}}
print(access(None).may_start, access(LOCAL).may_start)
sockets = []
for address in ("127.0.0.1", "0.0.0.0"):
    sockets.append(socket.create_server((address, 0)))
    origin._seen = (-9.0, None)
    asked = access(LOCAL)
    print(access(None).may_start, asked.may_start, asked.owner == "local", "--password" in asked.why_not)
"""


def test_where_a_process_listens_decides_who_may_start_runs():
    command = [sys.executable, "-c", ASK]
    child = subprocess.run(command, capture_output=True, text=True, cwd=mini.ROOT, start_new_session=True)
    # A script may; a page's visitor whose server cannot be found may not; nor may one who hides behind a server.
    assert child.stdout.splitlines() == [
        "True False",
        "False True True False",
        "False False False True",
    ], child.stderr
    words = [*command[:2], ASK, "--token-password=x"]
    child = subprocess.run(words, capture_output=True, text=True, cwd=mini.ROOT)
    assert child.stdout.splitlines()[-1] == "False True False False", child.stderr


async def answered(app, path="/", query="", body=None, body_comes=None, kind="http", **headers) -> int:
    """The status that an application answers with, or a web socket's close code (0: it was accepted)."""
    first = []

    async def receive():
        if kind == "websocket":
            return {"type": "websocket.connect"}
        if body_comes is not None:
            await body_comes.wait()
        return {"type": "http.request", "body": urllib.parse.urlencode(body or {}).encode()}

    async def send(message):
        first.append(message.get("status", message.get("code", 0)))

    scope = {
        "type": kind,
        "method": "GET" if body is None else "POST",
        "path": path,
        "raw_path": path.encode(),
    }
    names = [(name.encode(), value.encode("latin-1")) for name, value in {"host": "h", **headers}.items()]
    scope |= {"query_string": query.encode(), "headers": names, "client": ("10.0.0.9", 1), "root_path": ""}
    await app(scope | {"scheme": "ws" if kind == "websocket" else "http"}, receive, send)
    return first[0]


@pytest.fixture
def locked(tmp_path):
    """An application that asks for a password, with marimo's real pages behind it."""
    return web_server.create_app("digits", tmp_path, password=PASSWORD)


@pytest.mark.parametrize(
    "guess",
    [
        {"query": "access%5Ftoken=guess"},
        {"query": "access_token=guess&access_token=again"},
        # It is there for everybody, and sets the cookie of who names the password.
        {"query": "access_token=guess", "path": "/health"},
        {"query": "session_id=s&access_token=guess", "path": "/ws", "kind": "websocket"},
        {"authorization": "Bearer guess"},
        {"body": {"password": "guess"}, "path": "/auth/login"},
    ],
    ids=str,
)
def test_every_way_to_guess_is_counted(locked, guess):
    async def tries():
        for _ in range(MOST_WRONG):
            assert await answered(locked, **guess) not in (429, 1008)
        assert await answered(locked, **guess) == (1008 if "kind" in guess else 429)

    asyncio.run(tries())


def test_right_passwords_are_not_counted(locked):
    async def tries():
        token = urllib.parse.urlencode({"access_token": PASSWORD})
        for _ in range(MOST_WRONG):
            assert await answered(locked, query=token) == 303  # to the address without it
            assert await answered(locked, authorization=f"Bearer {PASSWORD}") == 200
            assert await answered(locked, "/auth/login", body={"password": PASSWORD}) == 302

    asyncio.run(tries())


def test_guesses_that_come_at_once_are_counted_before_they_are_judged(locked):
    async def tries():
        bodies = asyncio.Event()
        asked = [
            asyncio.create_task(
                answered(locked, "/auth/login", body={"password": f"guess {n}"}, body_comes=bodies)
            )
            for n in range(100)
        ]
        await asyncio.sleep(0.1)
        bodies.set()
        return await asyncio.gather(*asked)

    assert sorted(asyncio.run(tries())) == [200] * MOST_WRONG + [429] * (100 - MOST_WRONG)


@pytest.mark.parametrize(
    ("guess", "said"),
    [
        ({"body": {"password": "Grüße"}, "path": "/auth/login"}, 401),
        ({"query": "access_token=Gr%C3%BC%C3%9Fe"}, 401),
        ({"authorization": "Bearer Grüße"}, 401),
        ({"query": "session_id=s&access_token=%C3%BC", "path": "/ws", "kind": "websocket"}, 1008),
    ],
    ids=str,
)
def test_an_umlaut_is_a_wrong_password_as_others_are(locked, guess, said):
    async def tries():
        for _ in range(MOST_WRONG):
            assert await answered(locked, **guess) == said
        assert await answered(locked, **guess) == (1008 if "kind" in guess else 429)

    asyncio.run(tries())


def test_an_error_that_is_no_wrong_password_stays_one(locked):
    async def pages(scope, receive, send):
        await send({"type": "http.response.start", "status": 500, "headers": []})
        raise ValueError("broken")

    told = []

    async def send(message):
        told.append(message["status"])

    locked.pages = pages
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"access_token=guess",
        "headers": [],
    }
    with pytest.raises(ValueError, match="broken"):
        asyncio.run(locked(scope, None, send))
    assert told == [500]


def meta_of(app, **headers: str) -> dict:
    """What an application's pages would be told of a visitor; its pages are replaced, all around them is not."""
    told = []

    async def pages(scope, receive, send):
        told.append(scope["meta"]["subliminal"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def ask():
        app.pages = pages
        names = [(name.encode(), value.encode()) for name, value in headers.items()]
        await app({"type": "http", "method": "GET", "path": "/", "headers": names}, None, send)

    async def send(message):
        pass

    asyncio.run(ask())
    return told[0]


def test_a_published_lab_and_an_open_one(tmp_path, monkeypatch):
    # Both by sockets of this process's own: an open one is reached from elsewhere.
    with socket.create_server(("0.0.0.0", 0)):
        monkeypatch.setattr(origin, "_seen", (-9.0, None))
        told = meta_of(web_server.create_app("digits", tmp_path), host="localhost")
        assert not told["may_start"] and "can be reached from other machines" in told["why_not"]
        for let_in in ({"password": PASSWORD}, {"trusted": True}):
            told = meta_of(web_server.create_app("digits", tmp_path, **let_in), host="owls.example")
            assert told["may_start"] and told["why_not"] == "" and told["lab"] == str(tmp_path)
            told = meta_of(
                web_server.create_app("digits", tmp_path, read_only=True, **let_in), host="localhost"
            )
            assert (told["may_start"], told["why_not"]) == (False, web_server.PUBLISHED)


def test_the_queue_is_listed_and_emptied_from_a_terminal(tmp_path, monkeypatch):
    from subliminal_mlx.jobs import line as turns

    monkeypatch.setenv("SUBLIMINAL_LINE", str(tmp_path / "line"))
    text = mini.OTHER.replace("Another", "Another [red]")
    with turns.turn(tmp_path, "f" * 12, "elsewhere", pytest.fail):
        job = jobs.submit(tmp_path / "lab", "run", {"spec": text}, "a" * 32)
        listed = mini.quick("queue", "--lab", tmp_path / "lab", "--json")
        assert json.loads(listed.stdout) == [
            {"job": job.id, "kind": "run", "state": "queued", "from": "an app", "title": "Another [red]"}
        ]
        assert "Another [red]" in mini.quick("queue", "--lab", tmp_path / "lab").stdout
        for wrong in ("x", ""):
            line = mini.failure(mini.quick("queue", "--lab", tmp_path / "lab", "--cancel", wrong), 2)
            assert line.endswith(f"there are: {job.id}")
        done = mini.quick("queue", "--lab", tmp_path / "lab", "--cancel", job.id[:4])
        assert done.returncode == 0 and "is cancelled" in done.stdout
    assert jobs.view(tmp_path / "lab", job.id).state == "cancelled"
