"""The slow half of a pool of connections, for adapters that keep one of their own.

A call takes a free connection by itself, and asks here where none is free: so the common way enters
no function of this module.
"""

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from kvbackends.contract.deadline import seconds_left

T = TypeVar("T")

TURN = 0.05
"""Seconds after which a call that waits for a connection looks whether one was lost."""


class Pool(Generic[T]):
    """Connections of one process: one per concurrent call, at most `most`.

    A subclass takes ``_free.pop()``, or `_another()` where that raises `IndexError`.  It gives back
    by ``_free.append(...)`` and, if ``_waiting`` is not empty, `_notify()`.

    Args:
        make: Makes a connection, without any I/O.
        most: Limit of connections; further calls wait.
        patience: Seconds to wait for a connection at most.
        busy: The exception after these.
    """

    def __init__(
        self, make: Callable[[], T], most: int, patience: float, busy: type[Exception]
    ) -> None:
        self._make, self._most, self._patience, self._busy = make, most, patience, busy
        self._free: deque[T] = deque()
        # Weak: one that an exception loses, after it was taken, does not count any more.
        self._alive: weakref.WeakSet[T] = weakref.WeakSet()
        self._lock = threading.RLock()  # a signal's handler may take a connection, too
        self._waiting: deque[_Turn[T]] = deque()

    def _another(self) -> T:
        """A new connection, or the next that another call gives back."""
        return self._new() or self._wait_for_one()

    def _notify(self) -> None:
        """Hand a free connection to the call that has waited longest.

        If it took the connection itself, the call that has just given it back, which already runs,
        would be faster: with more threads than connections some would get none for seconds.
        """
        with self._lock, suppress(IndexError):
            turn = self._waiting.popleft()
            try:
                turn.given.append(self._free.pop())
            except IndexError:  # taken meanwhile
                self._waiting.appendleft(turn)
            else:
                turn.came.release()

    def _new(self) -> T | None:
        with self._lock:
            if len(self._alive) >= self._most:
                return None
            made = self._make()
            self._alive.add(made)
            return made

    def _wait_for_one(self) -> T:
        seconds = seconds_left(self._patience)
        until = time.monotonic() + seconds
        turn = _Turn[T]()
        self._waiting.append(turn)
        try:
            while (left := until - time.monotonic()) > 0:
                # Before each wait: one may have come back before the turn was in line, or an
                # exception may have lost one, which is handed to nobody.
                with suppress(IndexError):
                    return self._free.pop()
                if (made := self._new()) is not None:
                    return made
                if turn.came.acquire(timeout=min(left, TURN)):
                    return turn.given.pop()
        finally:
            with self._lock:
                with suppress(ValueError):
                    self._waiting.remove(turn)
                if turn.given:  # in the last moment
                    self._free.append(turn.given.pop())
                    self._notify()
        raise self._busy(
            f"all {self._most} connections stayed in use for {seconds:g} s "
            "(options max_connections and timeout)"
        )


class _Turn(Generic[T]):
    """The place in line of a call that waits."""

    def __init__(self) -> None:
        self.given: list[T] = []
        """The connection that was handed over."""
        self.came = threading.Lock()
        self.came.acquire()
