"""Values of one process, which forked children make anew: all handling of forks is here."""

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from kvbackends.contract.deadline import seconds_left
from kvbackends.errors import StoreUnavailable

T = TypeVar("T")

MAX_FORK_WAIT = 2.0
"""Seconds for which a fork waits while a value is made or closed, or for `delays_forks`."""

_ABANDONED: list[object] = []
"""Values that a forked child inherited.  Kept, so that no finaliser closes what the parent uses."""


class PerProcess(Generic[T]):
    """A value that is made on its first use in each process: a client, a thread, a doorbell.

    A forked child never uses its parent's value: it makes its own.

    Where gevent or eventlet has replaced threads, sockets and locks belong to the event loop of one
    native thread.  So each native thread, such as those of gevent's pool, has a value of its own.

    Args:
        make: Makes the value.
        close: Closes a value that this process has made.
        abandon: Is called once in a forked child with the inherited value, to close file
            descriptors whose locks it would share.
        before_fork: Closes, in the parent, what must not be open during a fork.
        after_fork: Opens it again, in the parent.
        per_hub: False: also under gevent and eventlet the process has one value.
    """

    def __init__(
        self,
        make: Callable[[], T],
        *,
        close: Callable[[T], None] = lambda _: None,
        abandon: Callable[[T], None] = lambda _: None,
        before_fork: Callable[[T], None] | None = None,
        after_fork: Callable[[T], None] | None = None,
        per_hub: bool = True,
    ) -> None:
        self._make = make
        self._close = close
        self._abandon = abandon
        self._before_fork = before_fork
        self._after_fork = after_fork
        self._lock = threading.RLock()  # a signal's handler may interrupt the thread that makes it
        self._locked_for_fork = False
        self._value: T | None = None
        self._pid = os.getpid()
        self._native = _native_local() if per_hub else None
        """Has the value's place for the present native thread, where threads are green."""
        _EVERY.add(self)

    def __call__(self) -> T:
        """Return the value of this process, made if needed; thread-safe.

        Raises `StoreUnavailable` if another thread still makes it at the caller's deadline.
        """
        value = self._value
        # The process id, too: a fork in C runs none of the hooks below.
        return self._first() if value is None or self._pid != os.getpid() else value

    def peek(self) -> T | None:
        """Return the value, or None if it is not made yet."""
        if self._native is not None:
            return self._of_thread(self._native).peek()
        return self._value if self._pid == os.getpid() else None

    def close(self) -> None:
        """Close this process's value; the next call makes another one."""
        if self._native is not None:
            self._of_thread(self._native).close()
            self._native = _native_local()  # those of other threads cannot be used here, but freed
            return
        self._notice_fork()
        with self._lock:
            value, self._value = self._value, None
            if value is not None:
                self._close(value)

    def _first(self) -> T:
        if self._native is not None:
            return self._of_thread(self._native)()
        self._notice_fork()
        lock, left = self._lock, min(seconds_left(), threading.TIMEOUT_MAX)
        if not lock.acquire(timeout=left):
            raise StoreUnavailable(f"another thread has been connecting for more than {left:.1f} s")
        try:
            return self._made()
        finally:
            lock.release()

    def _made(self) -> T:
        value = self._value
        if value is None:
            made = self._make()
            value = self.peek()
            if value is None:
                value = self._value = made
            else:  # by a handler, meanwhile
                self._close(made)
        return value

    def _of_thread(self, native: Any) -> "PerProcess[T]":
        own: PerProcess[T] | None = getattr(native, "own", None)
        if own is None:
            own = native.own = PerProcess(
                self._make,
                close=self._close,
                abandon=self._abandon,
                before_fork=self._before_fork,
                after_fork=self._after_fork,
                per_hub=False,
            )
        return own

    def _notice_fork(self) -> None:
        if self._pid != os.getpid():
            with _NOTICING:
                if self._pid != os.getpid():
                    self._forked_child()

    def _prepare_fork(self) -> None:
        if self._before_fork is None:
            return
        # Locked until after the fork, so that no value is half made or half closed meanwhile.
        self._locked_for_fork = self._lock.acquire(timeout=MAX_FORK_WAIT)
        if self._value is not None:
            self._before_fork(self._value)

    def _forked_parent(self) -> None:
        if self._after_fork is not None and self._value is not None:
            self._after_fork(self._value)
        if self._locked_for_fork:
            self._locked_for_fork = False
            self._lock.release()

    def _forked_child(self) -> None:
        self._lock = threading.RLock()
        self._locked_for_fork = False
        value, self._value = self._value, None
        self._pid = os.getpid()
        if value is not None:
            _ABANDONED.append(value)
            self._abandon(value)


def _native_local() -> Any:
    """Return a `threading.local` of native threads if gevent or eventlet made threads green."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if gevent is not None and gevent.is_module_patched("threading"):
        return gevent.get_original("threading", "local")()
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return eventlet.original("threading").local()
    return None


_NOTICING = threading.Lock()
_EVERY: "weakref.WeakSet[PerProcess[Any]]" = weakref.WeakSet()


def _for_every(step: Callable[[PerProcess[Any]], None]) -> Callable[[], None]:
    def run() -> None:
        for each in list(_EVERY):
            step(each)

    return run


os.register_at_fork(
    before=_for_every(PerProcess._prepare_fork),  # noqa: SLF001 - the class of this module
    after_in_parent=_for_every(PerProcess._forked_parent),  # noqa: SLF001
    after_in_child=_for_every(PerProcess._forked_child),  # noqa: SLF001
)


class _DelaysForks:
    """While a thread is inside, a fork by another one waits, at most `MAX_FORK_WAIT` seconds.

    For calls of a library in C that has locks of its own, such as a TLS handshake: a child that
    inherits one of OpenSSL's locks held hangs at its first use of TLS.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._entry = threading.RLock()  # a signal's handler may enter, too
        """Held during a fork."""
        self._inside: set[int] = set()

    def __enter__(self) -> None:
        if self._pid != os.getpid():  # a fork in C, which runs no hooks
            self._reset()
        with self._entry:
            self._inside.add(threading.get_ident())

    def __exit__(self, *_: object) -> None:
        self._inside.discard(threading.get_ident())

    def prepare_fork(self) -> None:
        until = time.monotonic() + MAX_FORK_WAIT
        self._entry.acquire(timeout=MAX_FORK_WAIT)
        while self._inside - {threading.get_ident()} and time.monotonic() < until:
            time.sleep(0.001)

    def forked_parent(self) -> None:
        with suppress(RuntimeError):  # it was never acquired: a fork by a second thread
            self._entry.release()

    def forked_child(self) -> None:
        self._reset()


delays_forks = _DelaysForks()
os.register_at_fork(
    before=delays_forks.prepare_fork,
    after_in_parent=delays_forks.forked_parent,
    after_in_child=delays_forks.forked_child,
)


class Recent(Generic[T]):
    """The latest values by name that this process read or wrote; thread-safe.

    They only save reads: a value may be outdated or forgotten at any time.

    Args:
        most: How many values are remembered at most.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._values: dict[str, T] = {}

    def get(self, name: str) -> T | None:
        """Return the value, or None if it is not remembered."""
        return self._values.get(name)

    def put(self, name: str, value: T) -> None:
        """Remember the value; forget the oldest one if there are too many."""
        self._values.pop(name, None)
        self._values[name] = value
        if len(self._values) > self._most:
            # Another thread may delete the same value, or change the dictionary meanwhile.
            with suppress(KeyError, RuntimeError, StopIteration):
                del self._values[next(iter(self._values))]

    def pop(self, name: str) -> T | None:
        """Forget the value, and return it if it was remembered."""
        return self._values.pop(name, None)
