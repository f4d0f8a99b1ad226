"""Under valgrind: forks of one process that store few results and many, on an instant socket.

Prints a line for each URL: how often a fork stored and its process id, ``few:id many:id``.  What
valgrind counted for the two differs by the stores alone.
"""

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import redis

from benchmarks.backends import new_id, open_backend
from benchmarks.stores import store_one

FEW, MANY = 50, 250
VALUE = "x" * 200
CONNECT = "_connect"
"""What makes a connection's socket, for Celery's client and for ours."""


class Tape:
    """A socket that remembers what it received, and then gives that again without a server."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._received: list[bytes] = []
        self._replies: Iterator[bytes] | None = None
        tapes.append(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def forget(self) -> None:
        """What comes now is what is replayed."""
        self._received.clear()

    def replay(self) -> None:
        """Ask nobody any more."""
        self._replies = cycle(self._received)

    def sendall(self, data: bytes) -> None:
        """Send, or not."""
        if self._replies is None:
            self._inner.sendall(data)

    def sendmsg(self, pieces: Sequence[bytes]) -> int:
        """Send, or not."""
        return sum(map(len, pieces)) if self._replies else int(self._inner.sendmsg(pieces))

    def recv(self, size: int) -> bytes:
        """Receive, or repeat."""
        if self._replies is not None:
            return next(self._replies)
        received: bytes = self._inner.recv(size)
        self._received.append(received)
        return received

    def recv_into(self, buffer: bytearray) -> int:
        """The same."""
        received = self.recv(len(buffer))
        buffer[: len(received)] = received
        return len(received)


tapes: list[Tape] = []
ids = [new_id() for _ in range(MANY)]


def store(backend: Any, count: int) -> None:
    """Record one store on the real server, and repeat it."""
    for _ in range(2):
        for tape in tapes:
            tape.forget()
        store_one(backend, new_id(), VALUE)
    for tape in tapes:
        tape.replay()
    gc.collect()
    gc.freeze()  # whether all that was imported is searched for garbage is chance
    for each in ids[:count]:
        store_one(backend, each, VALUE)


def in_a_fork(backend: Any, count: int) -> int:
    """The id of the process that stored so many."""
    if process := os.fork():
        _, status = os.waitpid(process, 0)
        if status:
            raise SystemExit(f"a fork ended with {status}")
        return process
    store(backend, count)
    os._exit(0)


def main(urls: list[str]) -> None:
    """All is imported before the first fork."""
    real = getattr(redis.Connection, CONNECT)
    setattr(redis.Connection, CONNECT, lambda self: Tape(real(self)))
    for url in urls:
        backend = open_backend(url)
        store_one(backend, new_id(), VALUE)
        tapes.clear()
        print(*(f"{count}:{in_a_fork(backend, count)}" for count in (FEW, MANY)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
