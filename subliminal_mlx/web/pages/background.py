"""Work of seconds that the server must not do itself: one helper process, one task at a time.

    for message in background.do("train", base="tiny-a"):
        message["point"]

The process is started with the first task and kept, since importing MLX takes longer than most tasks.
Visitors take turns; who would wait behind too many is told to come back.
"""

import atexit
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from ...system.errors import BusyError, InputError, MachineError

MOST_WAITING = 8


class Background:
    """The helper process and the turns that are taken with it."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._count = threading.Lock()
        self._here = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def waiting(self) -> int:
        """Tasks begun or waiting."""
        return self._here

    def do(self, task: str, **values: Any) -> Iterator[dict[str, Any]]:
        """Do a task and yield its messages as they come; who stops listening lets it end by itself.

        Raises:
            InputError: the task refuses its values.
            BusyError: MOST_WAITING tasks are there already.
            MachineError: the process died.
        """
        with self._count:
            if self._here >= MOST_WAITING:
                raise BusyError("too many visitors are waiting for this: try again in a minute")
            self._here += 1
        try:
            with self._turn:
                yield from self._talk(json.dumps({"task": task, **values}))
        finally:
            with self._count:
                self._here -= 1

    def stop(self) -> None:
        """End the process; the next task starts another."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _talk(self, line: str) -> Iterator[dict[str, Any]]:
        process = self._started()
        assert process.stdin and process.stdout
        ended = False
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            for text in process.stdout:
                message = json.loads(text)
                if "end" in message:
                    ended = True
                    if message["end"]:
                        raise InputError(message["end"])
                    return
                yield message
        except BrokenPipeError:
            pass
        except GeneratorExit:
            # The listener left in the middle: the rest of the messages must not reach the next one.
            self._drain(process)
            ended = True
            raise
        finally:
            if not ended:
                self.stop()
        raise MachineError("the process that does this ended, out of memory perhaps: try again")

    def _drain(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for text in process.stdout:
            if "end" in json.loads(text):
                return

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "subliminal_mlx.web.pages.worker"]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            # A session of its own: Ctrl-C at the server ends it through its stdin.
            self._process = subprocess.Popen(command, start_new_session=True, **pipes)
        return self._process


_shared = Background()
atexit.register(_shared.stop)
do = _shared.do
