"""What belongs to one process: fork handling lives here and nowhere else."""

import os
import select
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

LONGEST_FORK = 2.0
"""Seconds that a fork waits for a value that is being made or closed."""


class HasFileno(Protocol):
    """Anything `select.select` takes."""

    def fileno(self) -> int:
        """The file descriptor."""


_ABANDONED: list[object] = []
"""What a forked child inherited.  Kept alive, so that no finaliser closes what the parent uses."""


class PerProcess(Generic[T]):
    """A value made on first use in each process: clients, threads, doorbells.

    A forked child never sees its parent's: it makes its own, and `abandon` is called once in the
    child for what it inherited (to close file descriptors whose locks it would share).  Where a
    library cannot bear to be forked at all, `before_fork` closes what is open and keeps it closed
    until `after_fork`; both are called in the parent.
    """

    def __init__(
        self,
        make: Callable[[], T],
        *,
        close: Callable[[T], None] = lambda _: None,
        abandon: Callable[[T], None] = lambda _: None,
        before_fork: Callable[[T], None] | None = None,
        after_fork: Callable[[T], None] | None = None,
    ) -> None:
        self._make = make
        self._close = close
        self._abandon = abandon
        self._before_fork = before_fork
        self._after_fork_in_parent = after_fork
        self._held = False
        self._lock = threading.Lock()
        self._value: T | None = None
        _EVERY.add(self)

    def __call__(self) -> T:
        """The value of this process."""
        value = self._value
        return self._first() if value is None else value

    def peek(self) -> T | None:
        """The value if it was made, without making it."""
        return self._value

    def close(self) -> None:
        """Close this process's value; the next call makes a new one."""
        with self._lock:
            value, self._value = self._value, None
            if value is not None:
                self._close(value)

    def _first(self) -> T:
        with self._lock:
            if self._value is None:
                self._value = self._make()
            return self._value

    def _prepare_fork(self) -> None:
        if self._before_fork is None:
            return
        # Held across the fork, so that no value is half made or half closed meanwhile.
        self._held = self._lock.acquire(timeout=LONGEST_FORK)
        if self._value is not None:
            self._before_fork(self._value)

    def _forked(self) -> None:
        if self._after_fork_in_parent is not None and self._value is not None:
            self._after_fork_in_parent(self._value)
        if self._held:
            self._held = False
            self._lock.release()

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self._held = False
        value, self._value = self._value, None
        if value is not None:
            _ABANDONED.append(value)
            self._abandon(value)


_EVERY: "weakref.WeakSet[PerProcess[Any]]" = weakref.WeakSet()


def _prepare_all() -> None:
    for each in list(_EVERY):
        each._prepare_fork()  # noqa: SLF001 - its own class


def _forked_all() -> None:
    for each in list(_EVERY):
        each._forked()  # noqa: SLF001 - its own class


def _abandon_all() -> None:
    for each in list(_EVERY):
        each._after_fork()  # noqa: SLF001 - its own class


os.register_at_fork(before=_prepare_all, after_in_parent=_forked_all, after_in_child=_abandon_all)


class Doorbell:
    """Ends a `select.select` from any thread.  Adapters use this one."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._open = True
        self._ringing = threading.Lock()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def ring(self) -> None:
        """End the present `wait`, or the next one; after `close` it does nothing."""
        # Locked: a descriptor that is closed meanwhile may be another file's a moment later.
        with self._ringing, suppress(BlockingIOError):  # full of rings that nobody has answered
            if self._open:
                os.write(self._write, b"x")

    def wait(self, timeout: float, *files: HasFileno | int) -> Sequence[HasFileno | int]:
        """Wait until it rings, a file is readable, or `timeout` seconds are over.

        Which of the files are readable, and first something else if it rang: true if there is any.
        """
        ready = _readable([self._read, *files], max(timeout, 0.0))
        if self._read in ready:
            self._answer()
        return ready

    def close(self) -> None:
        """Close both ends; a second time is fine."""
        with self._ringing:
            was_open, self._open = self._open, False
        if was_open:
            os.close(self._read)
            os.close(self._write)

    def _answer(self) -> None:
        with suppress(BlockingIOError):
            while len(os.read(self._read, 4096)) == 4096:
                pass


def _readable(files: Sequence[HasFileno | int], seconds: float) -> Sequence[HasFileno | int]:
    # select is looked up at each call: gevent and eventlet replace it.
    try:
        return select.select(files, [], [], seconds)[0]
    except ValueError:  # a descriptor of 1024 or above: only poll(2), of whole milliseconds, can
        poll = select.poll()
        for file in files:
            poll.register(file, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(seconds * 1000)}
        return [each for each in files if _descriptor(each) in ready]


def _descriptor(file: HasFileno | int) -> int:
    return file if isinstance(file, int) else file.fileno()


class Recent(Generic[T]):
    """What this process saw or wrote lately: a hint that spares a read, never more.

    The latest values by name, a bounded number; safe from any thread.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._values: dict[str, T] = {}

    def get(self, name: str) -> T | None:
        """The value, or None if it is not remembered."""
        return self._values.get(name)

    def put(self, name: str, value: T) -> None:
        """Remember; the oldest is forgotten where there are too many."""
        self._values.pop(name, None)
        self._values[name] = value
        if len(self._values) > self._most:
            with suppress(KeyError, RuntimeError, StopIteration):  # another thread does it
                del self._values[next(iter(self._values))]

    def pop(self, name: str) -> T | None:
        """Forget; returns what was remembered."""
        return self._values.pop(name, None)
