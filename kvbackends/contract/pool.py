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
"""Seconds after which a call that waits for a connection checks again without a notification."""


class Pool(Generic[T]):
    """Connections of one process: one per concurrent call, at most `most`.

    A subclass takes ``_free.pop()``, or `_another()` where that raises `IndexError`.  It gives back
    by ``_free.append(...)`` and, if ``_waiting`` is not 0, `_notify()`.

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
        # Entered by itself, not by the condition: an exception that a signal raises as a method of
        # `Condition` begins would leave it locked.
        self._lock = threading.RLock()
        self._given_back = threading.Condition(self._lock)
        self._waiting = 0

    def _another(self) -> T:
        """A new connection, or the next that another call gives back."""
        return self._new() or self._wait_for_one()

    def _notify(self) -> None:
        """Let a waiting call look for a free connection."""
        with self._lock:
            self._given_back.notify()

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
        with self._lock:
            self._waiting += 1
            try:
                while time.monotonic() < until:
                    self._given_back.wait(TURN)
                    with suppress(IndexError):
                        return self._free.pop()
                    if (made := self._new()) is not None:
                        return made
            finally:
                self._waiting -= 1
        raise self._busy(
            f"all {self._most} connections stayed in use for {seconds:g} s "
            "(options max_connections and timeout)"
        )
