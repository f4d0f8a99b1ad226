"""Turns at something limited, such as connections, in the order in which threads ask for one."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from kvbackends_elasticsearch.errors import TimedOut


class Turns:
    """At most `most` threads at a time, first come, first served; safe from any thread.

    The driver's own queue gives a connection that comes back to whichever thread asks next, usually
    the one that has just returned it: of 16 threads with 10 connections some got none for seconds.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._guard = threading.RLock()  # a signal's handler may take a turn, too
        self._waiting: deque[threading.Lock] = deque()

    @property
    def taken(self) -> bool:
        """True if a thread would have to wait."""
        return not self._free

    @contextmanager
    def one(self, seconds: float, missing: str) -> Iterator[None]:
        """A turn for the ``with`` block.  Raises `TimedOut` that says `missing` after `seconds`."""
        if not self._take(seconds):
            raise TimedOut(missing)
        try:
            yield
        finally:
            self._give()

    def _take(self, seconds: float) -> bool:
        with self._guard:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=seconds):
            return True
        with self._guard:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        return True  # given just now

    def _give(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
