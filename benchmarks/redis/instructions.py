"""Under valgrind: forks of one process that store few results and many, on an instant socket.

Prints lines for each URL, one for stores and one for ends of header tasks: how often a fork did it
and its process id, ``few:id many:id``.  What valgrind counted for the two differs by that alone.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, product
from typing import Any

import redis
from celery import Celery

from benchmarks.backends import new_id
from benchmarks.chords import Chord, chord_app
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
Work = tuple[Callable[[Any], None], list[Any]]
"""What is counted, and what it is called with: `MANY` times, and before that to record it."""


def stores(app: Celery) -> Work:
    """Results are stored."""
    return lambda each: store_one(app.backend, each, VALUE), [new_id() for _ in range(MANY + 2)]


def parts(app: Celery) -> Work:
    """Header tasks end; the last one never does."""
    chord = Chord(app, MANY + 3)
    return chord.end, chord.coming(MANY + 2)


def repeat(work: Work, count: int) -> None:
    """Record one call on the real server, and repeat it."""
    call, given = work
    for each in given[MANY:]:
        for tape in tapes:
            tape.forget()
        call(each)
    for tape in tapes:
        tape.replay()
    gc.collect()
    gc.freeze()  # whether all that was imported is searched for garbage is chance
    for each in given[:count]:
        call(each)


def in_a_fork(make: Callable[[Celery], Work], app: Celery, count: int) -> int:
    """The id of the process that did it so often."""
    if process := os.fork():
        _, status = os.waitpid(process, 0)
        if status:
            raise SystemExit(f"a fork ended with {status}")
        return process
    repeat(make(app), count)
    os._exit(0)


def main(urls: list[str]) -> None:
    """All is imported before the first fork."""
    real = getattr(redis.Connection, CONNECT)
    setattr(redis.Connection, CONNECT, lambda self: Tape(real(self)))
    for url, make in product(urls, (stores, parts)):
        app = chord_app(url)
        call, given = make(app)
        call(given[0])
        tapes.clear()
        print(*(f"{count}:{in_a_fork(make, app, count)}" for count in (FEW, MANY)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
