"""Runs under valgrind: forks of a process store few and many results, on a replayed socket.

Prints two lines for each URL, for stores and for parts: the number of repetitions and the process
id of each fork, ``few:id many:id``.  The instructions of both forks differ by the repetitions only.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, product
from typing import Any, TypeVar

import redis
from celery import Celery

from benchmarks.backends import new_id
from benchmarks.chords import Chord, chord_app
from benchmarks.stores import store_one

T = TypeVar("T")

FEW, MANY = 50, 250
VALUE = "x" * 200
CONNECT = "_connect"
"""The method that makes a connection's socket, for Celery's client and for ours."""


class Tape:
    """A socket that records the answers of the server, and then replays them without it."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._received: list[bytes] = []
        self._replies: Iterator[bytes] | None = None
        tapes.append(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def forget(self) -> None:
        """Start the recording again."""
        self._received.clear()

    def replay(self) -> None:
        """Replay from now on."""
        self._replies = cycle(self._received)

    def sendall(self, data: bytes) -> None:
        """Send, or not."""
        if self._replies is None:
            self._inner.sendall(data)

    def sendmsg(self, pieces: Sequence[bytes]) -> int:
        """Send, or not."""
        return sum(map(len, pieces)) if self._replies else int(self._inner.sendmsg(pieces))

    def recv(self, size: int) -> bytes:
        """Receive and record, or replay."""
        if self._replies is not None:
            return next(self._replies)
        received: bytes = self._inner.recv(size)
        self._received.append(received)
        return received

    def recv_into(self, buffer: bytearray) -> int:
        """Like `recv`."""
        received = self.recv(len(buffer))
        buffer[: len(received)] = received
        return len(received)


tapes: list[Tape] = []
Work = tuple[Callable[[Any], object], list[Any]]
"""The counted function, and its arguments: `MANY`, and the ones for the recording."""


def stores(app: Celery) -> Work:
    """Return the work of storing results."""
    return lambda each: store_one(app.backend, each, VALUE), [new_id() for _ in range(MANY + 2)]


def parts(app: Celery) -> Work:
    """Return the work of ending header tasks, but for the last one."""
    chord = Chord(app, MANY + 3)
    return chord.end, chord.coming(MANY + 2)


def repeat(work: Work, count: int) -> None:
    """Record a call on the real server, and repeat it `count` times."""
    call, given = work
    for each in given[MANY:]:
        for tape in tapes:
            tape.forget()
        call(each)
    for tape in tapes:
        tape.replay()
    gc.collect()
    gc.freeze()  # so that garbage collections of imported modules do not vary the count
    for each in given[:count]:
        call(each)


def in_a_fork(make: Callable[[T], Work], subject: T, count: int) -> int:
    """Repeat the work in a fork, and return its process id."""
    if process := os.fork():
        _, status = os.waitpid(process, 0)
        if status:
            raise SystemExit(f"a fork ended with {status}")
        return process
    repeat(make(subject), count)
    os._exit(0)


def main(urls: list[str]) -> None:
    """Run the work for each URL; all modules are imported before the first fork."""
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
