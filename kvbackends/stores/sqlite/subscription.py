"""Wakes waiters: the lock file is written after each commit that offers something.

Where inotify(7) is to be had, a subscriber sleeps until the lock file is written; elsewhere it
looks at the file's count every few milliseconds, which costs a microsecond.
"""

import ctypes
import os
import time
from collections.abc import Collection

from kvbackends.contract.process import Doorbell
from kvbackends.stores.sqlite.lockfile import NOTICES, LockFile, checksum, checksums

BETWEEN_LOOKS = 0.001
"""Seconds.  Under a flood of notices a look is taken this often, not once for each."""

FIRST_PAUSE, LONGEST_PAUSE = 0.002, 0.05
"""Seconds between two looks where there is no inotify."""

LONGEST_SLEEP = 0.25
"""Seconds between two looks without an event: some file systems know of local writes only."""

_TORN = -1
"""Stands for a count that could not be read."""

_IN_MODIFY = 0x2  # linux/inotify.h
_IN_NONBLOCK, _IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC


class FileSubscription:
    """A subscriber to the notices in the lock file beside `path`."""

    def __init__(self, path: str) -> None:
        self._file = LockFile(path)
        self._inotify = _watching(f"{path}-lock")
        self._bell = Doorbell()
        self._keys: dict[int, set[str]] = {}
        self._seen = self._count()
        self._looked = 0.0
        self._woken = False

    def watch(self, keys: Collection[str]) -> None:
        """Tell of later changes of these keys too: each is noticed after this in the file."""
        for key in keys:
            self._keys.setdefault(checksum(key), set()).add(key)

    def unwatch(self, keys: Collection[str]) -> None:
        """Forget these keys."""
        for key in keys:
            code = checksum(key)
            named = self._keys.get(code, set())
            named.discard(key)
            if not named:
                self._keys.pop(code, None)

    def wait(self, timeout: float) -> Collection[str] | None:
        """The watched keys that were offered since the last call."""
        deadline = time.monotonic() + timeout
        pause = FIRST_PAUSE
        self._bell.wait(min(timeout, self._looked + BETWEEN_LOOKS - time.monotonic()))
        while not self._was_woken():
            changed = self._look()
            left = deadline - time.monotonic()
            if changed is None or changed or left <= 0:
                return changed
            if self._inotify is None:
                self._sleep(min(left, pause))
                pause = min(pause * 1.5, LONGEST_PAUSE)
            else:
                self._sleep(min(left, LONGEST_SLEEP))
        return ()

    def wake(self) -> None:
        """End a `wait` from any thread."""
        self._woken = True
        self._bell.ring()

    def close(self) -> None:
        """Close the files."""
        if self._inotify is not None:
            os.close(self._inotify)
        self._file.close()
        self._bell.close()

    def _was_woken(self) -> bool:
        woken, self._woken = self._woken, False
        return woken

    def _sleep(self, seconds: float) -> None:
        """Until there is a notice, or `wake`; not before the next look is due."""
        if self._inotify is None:
            self._bell.wait(seconds)
            return
        ready = self._bell.wait(seconds, self._inotify)
        if ready and not self._woken:
            self._bell.wait(self._looked + BETWEEN_LOOKS - time.monotonic())
        if self._inotify in ready:  # else eventlet would wait for something to read
            os.read(self._inotify, 4096)  # equal events in a row are one event

    def _look(self) -> Collection[str] | None:
        self._looked = time.monotonic()
        count, noticed = self._file.noticed() or (_TORN, b"")
        seen, self._seen = self._seen, count
        if count == seen:
            return ()
        if _TORN in {count, seen} or not 0 < count - seen <= NOTICES:
            return None
        new, keys = checksums(noticed)[: count - seen], self._keys
        return {key for code in new if code in keys for key in keys[code]}

    def _count(self) -> int:
        return (self._file.noticed() or (_TORN, b""))[0]


def _watching(path: str) -> int | None:
    """A file descriptor that is readable when the file at `path` was written; None without."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "inotify_init1"):
        return None
    descriptor: int = libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
    if descriptor < 0:
        return None  # too many of them on this host: fs.inotify.max_user_instances
    if libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(descriptor)
        return None
    return descriptor
