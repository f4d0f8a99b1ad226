"""The file beside the database: a fair lock for writers, and notifications for subscribers.

SQLite's own lock is unfair: a waiting writer sleeps longer after each attempt, while others take
the lock at once.  So a writer first takes this file's lock (``flock(2)``), and then always finds
SQLite's lock free.

The file contains the number of notifications so far and the checksums of the latest keys.  A
writer replaces the content in one write after its commit, before it releases the lock; that write
wakes the subscribers.
"""

import array
import fcntl
import os
import random
import struct
import time
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress

from kvbackends.stores.sqlite.errors import Busy, from_os

CAPACITY = 250
"""Number of keys in the file.  A subscriber that is further behind must assume that any changed."""

FIRST_PAUSE, LAST_PAUSE = 0.001, 0.00005
"""Seconds between two attempts to take the lock."""

_HEAD = struct.Struct("<QI")  # the number of notifications, a checksum of the rest
_SIZE = _HEAD.size + 4 * CAPACITY


def checksum(key: str) -> int:
    """Return the key's checksum.  If two keys share one, a waiter may read a key in vain."""
    return zlib.crc32(key.encode())


class LockFile:
    """One open file description of ``<path>-lock``, which owns the lock while it is held."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.fd = -1
        try:
            self.fd = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise from_os(error, path) from error

    def acquire(self, deadline: float) -> None:
        """Take the lock; ``flock(fd, LOCK_UN)`` releases it.

        Raises `Busy` at `deadline`, in seconds on the monotonic clock.

        The lock is polled: in a blocking ``flock`` a stopped holder (SIGSTOP, a frozen container)
        would block this process for ever.  A writer polls more often the longer it waits, which
        keeps the queue fair: throughput and longest stalls are the same as with blocking locks.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Busy(
                        f"the SQLite file {self._path!r} is locked by another process"
                    ) from None
            except OSError as error:
                raise from_os(error, self._path) from error
            time.sleep(random.uniform(pause / 2, pause))
            pause = max(pause * 0.8, LAST_PAUSE)

    def notify(self, keys: Iterable[str]) -> None:
        """Wake subscribers for these keys; the caller holds the lock."""
        new = array.array("I", [checksum(key) for key in keys])
        count, latest = self.notifications() or (random.getrandbits(48), b"")  # damaged: restart
        tail = (new.tobytes() + latest)[: 4 * CAPACITY].ljust(4 * CAPACITY, b"\0")
        data = _HEAD.pack(count + len(new), zlib.crc32(tail)) + tail
        with suppress(OSError):  # a full disk: the result is stored, and waiters re-read regularly
            os.pwrite(self.fd, data, 0)

    def notifications(self) -> tuple[int, bytes] | None:
        """Return the number of all notifications, and the latest ones, newest first.

        The latter are for `checksums`.  None if the file is damaged or half written.
        """
        data = os.pread(self.fd, _SIZE, 0)
        if not data:
            return 0, b""
        if len(data) < _SIZE:
            return None
        count, check = _HEAD.unpack_from(data)
        tail = data[_HEAD.size :]
        return (count, tail) if zlib.crc32(tail) == check else None

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, which releases the lock unless a forked process has it open, too."""
        descriptor, self.fd = self.fd, -1
        if descriptor >= 0:
            os.close(descriptor)


def checksums(latest: bytes) -> Sequence[int]:
    """Decode the bytes that `LockFile.notifications` returned."""
    return array.array("I", latest)
