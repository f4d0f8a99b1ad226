"""The file beside the database: writers queue for its lock, and tell in it what they offered.

SQLite's own lock is unfair: who waits for it sleeps, longer each time, and who does not wait takes
it.  So a writer first takes this file's lock (``flock(2)``), and SQLite's is always free for it.

The file's content is a count of notices and the checksums of the latest noticed keys.  It is
written in one piece after the commit, before the lock is released; that write is what wakes
subscribers.
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

NOTICES = 250
"""How many keys the file remembers: what is noticed between two looks of a subscriber."""

FIRST_PAUSE, LAST_PAUSE = 0.001, 0.00005
"""Seconds between two attempts to take the lock."""

_HEAD = struct.Struct("<QI")  # the count of all notices, a checksum of what follows
_SIZE = _HEAD.size + 4 * NOTICES


def checksum(key: str) -> int:
    """What stands for a key in the file.  Two keys may share one: then one is looked at in vain."""
    return zlib.crc32(key.encode())


class LockFile:
    """One open file description of ``<path>-lock``; the lock belongs to it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.fd = -1
        try:
            self.fd = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise from_os(error, path) from error

    def acquire(self, deadline: float) -> None:
        """Take the lock; ``flock(fd, LOCK_UN)`` gives it back.

        `Busy` at `deadline`, in seconds on the monotonic clock.

        Not a blocking ``flock``, which a stopped holder (SIGSTOP, a frozen container) would block
        for ever.  Who has waited longer looks more often, which keeps the queue fair; measured
        against the kernel's own queue: the same throughput, and stalls that are no longer.
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

    def tell(self, keys: Iterable[str]) -> None:
        """Notice these keys and wake subscribers; the caller holds the lock."""
        told = array.array("I", [checksum(key) for key in keys])
        count, noticed = self.noticed() or (random.getrandbits(48), b"")  # what was there is lost
        tail = (told.tobytes() + noticed)[: 4 * NOTICES].ljust(4 * NOTICES, b"\0")
        data = _HEAD.pack(count + len(told), zlib.crc32(tail)) + tail
        with suppress(OSError):  # a full disk: the result is stored, and subscribers look again
            os.pwrite(self.fd, data, 0)

    def noticed(self) -> tuple[int, bytes] | None:
        """The count of all notices and the latest of them, latest first; None if it is torn."""
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
        """Close the file; a lock held through it is released unless a forked process has it too."""
        descriptor, self.fd = self.fd, -1
        if descriptor >= 0:
            os.close(descriptor)


def checksums(noticed: bytes) -> Sequence[int]:
    """The checksums in what `LockFile.noticed` returned."""
    return array.array("I", noticed)
