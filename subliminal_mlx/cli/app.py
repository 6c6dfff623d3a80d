"""The commands `app` and `queue`: serve an app, and see or cancel what its visitors started. Words and layout only.

add_commands(app)            # on the command line's typer application
"""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..system.errors import InputError
from .options import LabOption


def add_commands(app: typer.Typer) -> None:
    """Add `app` and `queue` to an application."""
    app.command("app")(serve_app)
    app.command()(queue)


def serve_app(
    name: Annotated[
        str, typer.Argument(help="Which app: experiment, or another of the folder apps.")
    ] = "experiment",
    lab: LabOption = Path("lab"),
    host: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 is every one.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes one that is free.")] = 2718,
    password: Annotated[
        str | None,
        typer.Option(help="Asked of every visitor; better in SUBLIMINAL_PASSWORD, which `ps` does not show."),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Publish results: nobody starts or cancels anything.")
    ] = False,
    base_url: Annotated[
        str, typer.Option(help="The path under which a proxy passes the pages on, such as /subliminal.")
    ] = "",
) -> None:
    """Serve an app in the browser; what is started there outlives it.

    \b
    python -m subliminal_mlx app
    SUBLIMINAL_PASSWORD=... python -m subliminal_mlx app --host 0.0.0.0
    python -m subliminal_mlx app --read-only --base-url /subliminal
    """
    from ..web.origin import is_loopback
    from ..web.server import create_app

    password = password if password is not None else os.environ.get("SUBLIMINAL_PASSWORD") or None
    listening = _listen(host, port)
    import uvicorn

    served = create_app(name, lab, password, read_only, base_url)
    address, port = listening.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    print(
        f"{name} at http://{shown}:{port}{base_url.rstrip('/')}/ (Ctrl-C ends it, not the runs)", flush=True
    )
    if not is_loopback(address) and password is None and not read_only:
        print(
            "without --password nothing can be started from it; --read-only says so to visitors",
            file=sys.stderr,
        )
    server = uvicorn.Server(uvicorn.Config(served, log_level="warning", timeout_graceful_shutdown=3))
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        # Pages that are still open have threads, which Python would wait for.
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        raise InputError(
            f"cannot listen at {host}, port {port}: {error.strerror}: try --port 0, which is free"
        ) from error


def queue(
    cancel: Annotated[
        str | None, typer.Option(help="End this job, whoever started it: an id, or its start.")
    ] = None,
    lab: LabOption = Path("lab"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list and nothing else.")] = False,
) -> None:
    """List the jobs of a lab that compute or wait, in order, or cancel one that was started from an app.

    \b
    python -m subliminal_mlx queue
    python -m subliminal_mlx queue --cancel 3f9a
    """
    from .. import jobs

    found = jobs.queue(lab)
    if cancel is not None:
        meant = [job for job in found if job.id.startswith(cancel) and job.owner]
        # Every id starts with nothing.
        if not cancel or len(meant) != 1:
            there = ", ".join(job.id for job in found if job.owner) or "none"
            raise InputError(
                f"job {cancel!r:.20} is no one job that was started from an app; there are: {there}"
            )
        jobs.cancel(lab, meant[0].id, meant[0].owner)
        print(f"{meant[0].kind} {meant[0].id} is cancelled: what it has computed is kept")
        return
    rows: list[dict[str, Any]] = [
        {
            "job": job.id,
            "kind": job.kind,
            "state": job.state,
            "from": "an app" if job.owner else "a terminal",
            "title": job.title,
        }
        for job in found
    ]
    if as_json:
        print(json.dumps(rows))
        return
    from ..report.console import console, table

    line = table("job", "kind", "state", "from", "title")
    for row in rows:
        line.add_row(*row.values())
    console().print(line)
