"""Processes that run functions for the benchmarks."""

import contextlib
import multiprocessing
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.measure import pin

_spawning = multiprocessing.get_context("spawn")


class Helper:
    """Another process, which opens its own backends like a client or a worker."""

    def __init__(self) -> None:
        self._pipe, theirs = _spawning.Pipe()
        self._process = _spawning.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def start(self, work: Callable[..., Any], *args: Any) -> None:
        """Start `work`, a function of a module; `result` waits for it."""
        self._pipe.send((work, args))

    def result(self) -> Any:
        """Wait for the started work, and return its result or raise `RuntimeError`."""
        returned, error = self._pipe.recv()
        if error:
            raise RuntimeError(f"in another process:\n{error}")
        return returned

    def call(self, work: Callable[..., Any], *args: Any) -> Any:
        """Run `work`, and return its result."""
        self.start(work, *args)
        return self.result()

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(10)


@contextlib.contextmanager
def helpers(*cpus: int) -> Iterator[list[Helper]]:
    """Yield one helper for each of `cpus`, pinned to that CPU."""
    started = [Helper() for _ in cpus]
    try:
        for helper, cpu in zip(started, cpus, strict=True):
            helper.start(pin, cpu)
        for helper in started:
            helper.result()
        yield started
    finally:
        for helper in started:
            helper.close()


def _serve(pipe: Connection) -> None:
    while True:
        try:
            work, args = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((work(*args), ""))
        except Exception:  # noqa: BLE001 - the runner raises it
            pipe.send((None, traceback.format_exc()))
