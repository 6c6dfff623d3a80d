"""Processes that compute for us, each at the end of a pipe: they hear no Ctrl-C and end when we do.

    with Processes(serve, [("a",), ("b",)]) as processes:       # serve(pipe, "a") and serve(pipe, "b")
        for number, said in processes.receive(timeout=0.5): ...

Knows nothing about what they compute.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any


class DiedError(Exception):
    """A process ended before it was done, as when memory runs out."""

    def __init__(self, number: int, code: int | None) -> None:
        super().__init__(f"process {number} ended with code {code}")
        self.number = number
        self.code = code


class Processes:
    """One process for each of `arguments`, which runs `target(pipe, *arguments)` until the block ends.

    `target` is a module's own function. In it, SUBLIMINAL_WORKER is set, and what it sends into its
    pipe is received here; `pipes[number]` is our end of it.
    """

    def __init__(self, target: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> None:
        # Fresh interpreters: MLX's threads and streams do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.pipes: list[Connection] = []
        self.processes: list[Any] = []
        try:
            with _deaf_to_interrupts():
                for given in arguments:
                    ours, theirs = context.Pipe()
                    process = context.Process(target=_live, args=(target, theirs, given), daemon=True)
                    process.start()
                    theirs.close()
                    self.pipes.append(ours)
                    self.processes.append(process)
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join()

    def receive(
        self, timeout: float | None = None, among: Collection[int] | None = None
    ) -> Iterator[tuple[int, Any]]:
        """One (number, message) of every process that has something to say.

        Args:
            timeout: seconds to wait at most for the first word; for as long as it takes where None.
            among: numbers of those to listen to; all of them where None.

        Raises:
            DiedError: one of them has ended.
        """
        numbers = range(len(self.pipes)) if among is None else among
        by_pipe = {self.pipes[number]: number for number in numbers}
        for pipe in wait(list(by_pipe), timeout):
            number = by_pipe[pipe]  # type: ignore[index]
            try:
                message = pipe.recv()  # type: ignore[union-attr]
            except (EOFError, ConnectionResetError):
                self.processes[number].join()
                raise DiedError(number, self.processes[number].exitcode) from None
            yield number, message


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes started in the block never see Ctrl-C, which reaches the whole group; we see it after the block.

    The parent decides what becomes of them, also of one that has not come to its first line yet.
    """
    # Were it started in the block, the tracker would end the blocking (Python 3.11's way).
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _live(target: Callable[..., None], pipe: Connection, arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["SUBLIMINAL_WORKER"] = "1"
    target(pipe, *arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
