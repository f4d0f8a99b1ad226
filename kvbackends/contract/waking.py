"""Wakes threads: one that waits for another thread, one that waits for files, one that polls."""

import os
import select
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Protocol


class HasFileno(Protocol):
    """An object that `select.select` accepts."""

    def fileno(self) -> int:
        """Return the file descriptor."""


class Signal:
    """Wakes one thread; several calls of `set` before its `wait` count as one.

    Not a `threading.Event`: an exception that a signal's handler raises inside one leaves its lock
    held, and the next `set` hangs.  This is one lock, used by single calls in C.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """End the present `wait`, or the next one."""
        if self._lock.locked():
            with suppress(RuntimeError):  # another thread has just released it
                self._lock.release()

    def wait(self, seconds: float) -> None:
        """Return when it is set, and reset it; after `seconds` at the latest."""
        self._lock.acquire(timeout=seconds)

    def is_set(self) -> bool:
        """True between `set` and the end of the next `wait`."""
        return not self._lock.locked()


class Doorbell:
    """Ends a `select.select` from any thread, for subscriptions of adapters."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._open = True
        self._lock = threading.RLock()  # a signal's handler may ring while it is held
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def ring(self) -> None:
        """End the current `wait`, or the next one; do nothing after `close`."""
        # Locked, because the number of a closed descriptor may soon belong to another file.  A full
        # pipe (BlockingIOError) has enough rings.
        with self._lock, suppress(BlockingIOError):
            if self._open:
                os.write(self._write, b"x")

    def wait(self, timeout: float, *files: HasFileno | int) -> Sequence[HasFileno | int]:
        """Wait for a ring, a readable file, or the end of `timeout` seconds.

        Returns the readable ones of `files`; after a ring, something else stands before them.  So
        the result is true unless the time was over.
        """
        ready = _readable([self._read, *files], max(timeout, 0.0))
        if self._read in ready:
            with suppress(BlockingIOError):
                while len(os.read(self._read, 4096)) == 4096:
                    pass
        return ready

    def close(self) -> None:
        """Close the pipe; repeated calls do nothing."""
        with self._lock:
            was_open, self._open = self._open, False
        if was_open:
            os.close(self._read)
            os.close(self._write)


class Polling:
    """The subscription of a store that cannot push: after each timeout all keys are read again."""

    def __init__(self) -> None:
        self._bell = Doorbell()

    def watch(self, keys: Collection[str]) -> None:
        """Do nothing: the caller reads its keys anyway."""

    def unwatch(self, keys: Collection[str]) -> None:
        """Do nothing."""

    def wait(self, timeout: float) -> Collection[str] | None:
        """Return None ("any key may have changed") after `timeout` seconds, () when woken."""
        return () if self._bell.wait(timeout) else None

    def wake(self) -> None:
        """End the current or next `wait`; callable from any thread."""
        self._bell.ring()

    def close(self) -> None:
        """Close the doorbell."""
        self._bell.close()


def _readable(files: Sequence[HasFileno | int], seconds: float) -> Sequence[HasFileno | int]:
    # `select` is looked up at each call, because gevent and eventlet replace it.
    try:
        return select.select(files, [], [], seconds)[0]
    except ValueError:  # a descriptor above 1023, for which only poll(2), in milliseconds, works
        poll, descriptors = select.poll(), [f if isinstance(f, int) else f.fileno() for f in files]
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(seconds * 1000)}
        return [f for f, descriptor in zip(files, descriptors, strict=True) if descriptor in ready]
