"""The time by which the running operation has to return.

The core sets it around each operation, from the caller's timeout and the retry layer's.  An adapter
bounds each wait for its server by it, with `seconds_left` or a `BoundedSocket`.
"""

import io
import math
import time
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

limit: ContextVar[float] = ContextVar("kvbackends_limit", default=math.inf)
"""The caller's, for all operations that it begins; seconds of `time.monotonic`, or infinite."""
deadline: ContextVar[float] = ContextVar("kvbackends_deadline", default=math.inf)
"""The running operation's; at most the caller's."""

SHORTEST = 0.001
"""Seconds that are left at least: many drivers take 0 for "without limit"."""


def seconds_left(longest: float = math.inf) -> float:
    """Return the seconds until the deadline: at most `longest`, at least `SHORTEST`."""
    return max(min(deadline.get() - time.monotonic(), longest), SHORTEST)


def within(seconds: float, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return ``call(*args, **kwargs)``, whose operations end within `seconds`, or sooner."""
    if seconds == math.inf:
        return call(*args, **kwargs)
    # In a context of its own, which an exception of a signal's handler cannot leave half set.
    until, context = min(limit.get(), time.monotonic() + seconds), copy_context()
    for variable in (limit, deadline):
        context.run(variable.set, until)
    return context.run(call, *args, **kwargs)


class BoundedSocket:
    """Keeps the timeout of a socket within the deadline.

    A socket's timeout is for a single step, and a server may send its answer byte by byte; so it is
    set again before each step.

    Args:
        sock: The socket.
        longest: Seconds for one step if the deadline is later.
    """

    def __init__(self, sock: Any, longest: float) -> None:
        self._sock = sock
        self._longest = longest
        self._timeout = math.nan

    def bound(self) -> None:
        """Set the timeout for the next step.  Costs a system call only if it changes."""
        left = min(deadline.get() - time.monotonic(), self._longest)
        if left != self._timeout:
            self._sock.settimeout(None if left == math.inf else max(left, SHORTEST))
            self._timeout = left

    def send(self, data: bytes) -> None:
        """Send all of `data`; raises `TimeoutError` and other `OSError`."""
        self.bound()
        self._sock.sendall(data)

    def reader(self) -> io.BufferedReader:
        """Return a file that reads the socket; raises `TimeoutError` and other `OSError`."""
        return io.BufferedReader(_Reader(self, self._sock))


class _Reader(io.RawIOBase):
    def __init__(self, bounded: BoundedSocket, sock: Any) -> None:
        self._bounded = bounded
        self._receive = sock.recv_into

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what arrives next."""
        self._bounded.bound()
        received: int = self._receive(buffer)
        return received
