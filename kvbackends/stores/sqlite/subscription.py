"""Wakes waiters when the lock file is written, which happens after each commit with an offer.

On Linux a subscriber sleeps in inotify(7) until then; elsewhere it reads the file every few
milliseconds, which takes a microsecond.
"""

import ctypes
import os
import time
from collections.abc import Collection

from kvbackends.contract.waking import Doorbell
from kvbackends.stores.sqlite.lockfile import CAPACITY, LockFile, checksum, checksums

MIN_INTERVAL = 0.001
"""Least seconds between two reads of the file, however many notifications arrive."""

FIRST_PAUSE, LONGEST_PAUSE = 0.002, 0.05
"""Seconds between two reads where there is no inotify."""

MAX_INTERVAL = 0.25
"""Most seconds between two reads with inotify: some file systems report local writes only."""

_DAMAGED = -1
"""The count of a file whose count cannot be read."""

_IN_MODIFY = 0x2  # linux/inotify.h
_IN_NONBLOCK, _IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC


class FileSubscription:
    """A subscriber to the notifications in the lock file of the database at `path`."""

    def __init__(self, path: str) -> None:
        self._bell = Doorbell()
        try:
            self._file = LockFile(path)
        except BaseException:  # no file descriptor left
            self._bell.close()
            raise
        self._inotify = _inotify_on(f"{path}-lock")
        self._keys: dict[int, set[str]] = {}
        self._seen, _ = self._file.notifications() or (_DAMAGED, b"")
        self._last_read = 0.0
        self._woken = False

    def watch(self, keys: Collection[str]) -> None:
        """Report later offers of these keys, too."""
        for key in keys:
            self._keys.setdefault(checksum(key), set()).add(key)

    def unwatch(self, keys: Collection[str]) -> None:
        """Stop reporting these keys."""
        for key in keys:
            code = checksum(key)
            named = self._keys.get(code, set())
            named.discard(key)
            if not named:
                self._keys.pop(code, None)

    def wait(self, timeout: float) -> Collection[str] | None:
        """Return the watched keys that were offered since the last call, () after `wake`.

        None means that any key may have changed: notifications were missed.
        """
        deadline = time.monotonic() + timeout
        pause = FIRST_PAUSE
        self._bell.wait(min(timeout, self._last_read + MIN_INTERVAL - time.monotonic()))
        while not self._was_woken():
            changed = self._changes()
            left = deadline - time.monotonic()
            if changed is None or changed or left <= 0:
                return changed
            if self._inotify is None:
                self._sleep(min(left, pause))
                pause = min(pause * 1.5, LONGEST_PAUSE)
            else:
                self._sleep(min(left, MAX_INTERVAL))
        return ()

    def wake(self) -> None:
        """End the current or next `wait`; callable from any thread."""
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
        """Sleep until a notification or `wake`, and after a notification until `MIN_INTERVAL`."""
        if self._inotify is None:
            self._bell.wait(seconds)
            return
        ready = self._bell.wait(seconds, self._inotify)
        if ready and not self._woken:
            self._bell.wait(self._last_read + MIN_INTERVAL - time.monotonic())
        if self._inotify in ready:  # with eventlet a read of nothing would block
            os.read(self._inotify, 4096)  # the kernel merges equal events

    def _changes(self) -> Collection[str] | None:
        self._last_read = time.monotonic()
        count, latest = self._file.notifications() or (_DAMAGED, b"")
        seen, self._seen = self._seen, count
        if count == seen:
            return ()
        if _DAMAGED in {count, seen} or not 0 < count - seen <= CAPACITY:
            return None
        new, keys = checksums(latest)[: count - seen], self._keys
        return {key for code in new if code in keys for key in keys[code]}


def _inotify_on(path: str) -> int | None:
    """Return a file descriptor that is readable after `path` was written; None if unavailable."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "inotify_init1"):
        return None
    descriptor: int = libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
    if descriptor < 0:
        return None  # the host's limit, fs.inotify.max_user_instances
    if libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(descriptor)
        return None
    return descriptor
