"""Notifications for waiters, by LISTEN and NOTIFY.

A process listens to the buckets of its keys, and holds a shared advisory lock for each: writers
see by it that somebody listens (`kvbackends_postgresql.statements`).  The lock ends with the
session, so nothing is left of a process that dies.
"""

import time
from collections.abc import Collection, Iterable

from psycopg import Error

from kvbackends.contract import Doorbell, Polling
from kvbackends_postgresql.errors import Unavailable, lost
from kvbackends_postgresql.link import Link
from kvbackends_postgresql.names import Names, bucket, channel

FIRST, LONGEST = 0.005, 0.5
"""Seconds after which a waiter behind a pooler reads again: at first, and in the end."""
INTERVAL = 15.0
"""Seconds of silence after which the server is asked whether it is there."""
SPARE = 8
"""Buckets that are kept although no key needs them any more, which saves round trips."""


class Listening:
    """A subscription on a connection of its own."""

    def __init__(self, link: Link, names: Names, patience: float) -> None:
        self._link = link
        self._names = names
        self._patience = patience
        self._bell = Doorbell()
        self._keys: dict[str, str] = {}
        """The watched keys by their digests."""
        self._buckets: set[int] = set()
        self._woken = False
        self._heard = time.monotonic()
        self._asked: float | None = None

    def watch(self, keys: Collection[str]) -> None:
        """Watch these keys, too.  A request if their buckets are new."""
        new = {self._names.digest(key.encode()): key for key in keys}
        self._settle()
        missing = {bucket(digest) for digest in new} - self._buckets
        if missing:
            self._link.run(f"{_each('LISTEN', missing)} {self._locks('pg_advisory_lock', missing)}")
            self._buckets |= missing
        self._keys |= new

    def unwatch(self, keys: Collection[str]) -> None:
        """Forget these keys.  A request where many buckets are not needed any more."""
        for key in keys:
            self._keys.pop(self._names.digest(key.encode()), None)
        spare = self._buckets - {bucket(digest) for digest in self._keys}
        if len(spare) > SPARE:
            self._settle()
            self._buckets -= spare
            self._link.run(f"{_each('UNLISTEN', spare)} {self._locks('pg_advisory_unlock', spare)}")

    def wait(self, timeout: float) -> Collection[str]:
        """The watched keys that changed since the last call."""
        until = time.monotonic() + timeout
        while True:
            changed = self._notified()
            left = until - time.monotonic()
            if self._was_woken():
                return ()
            if changed or left <= 0:
                return changed
            if self._link in self._bell.wait(min(left, self._stay_alive()), self._link):
                self._read()

    def wake(self) -> None:
        """End the current or next `wait`, from any thread."""
        self._woken = True
        self._bell.ring()

    def close(self) -> None:
        """Close the connection."""
        self._link.close()
        self._bell.close()

    def _was_woken(self) -> bool:
        woken, self._woken = self._woken, False
        return woken

    def _notified(self) -> list[str]:
        changed = {}
        while (notification := self._link.pq.notifies()) is not None:
            key = self._keys.get(notification.extra.decode(errors="replace"))
            if key is not None:
                changed[key] = True
        return list(changed)

    def _read(self) -> None:
        """Take what has arrived, the answer to our question included."""
        connection = self._link.pq
        try:
            connection.consume_input()
            while self._asked is not None and not connection.is_busy():
                if connection.get_result() is None:
                    self._asked = None
        except Error as error:
            raise lost(error) from error
        self._heard = time.monotonic()

    def _settle(self) -> None:
        """Wait for the outstanding answer, because a connection answers one question at a time."""
        if self._asked is not None:
            self._link.drain()
            self._asked = None

    def _stay_alive(self) -> float:
        """Ask a silent server whether it is there; the seconds until the next call is due."""
        now = time.monotonic()
        if self._asked is not None:
            if now - self._asked > self._patience:
                raise Unavailable("PostgreSQL does not answer on the connection that listens")
            return self._asked + self._patience - now + 0.01
        if now - self._heard < INTERVAL:
            return self._heard + INTERVAL - now + 0.01
        try:
            self._link.pq.send_query(b"SELECT 1")
            self._link.pq.flush()
        except Error as error:
            raise lost(error) from error
        self._asked = now
        return self._patience

    def _locks(self, function: str, buckets: Iterable[int]) -> str:
        calls = (f"{function}_shared({self._names.lock_class}, {each})" for each in sorted(buckets))
        return f"SELECT {', '.join(calls)}"


class Rereading(Polling):
    """The subscription behind a pooler, where no session stays: all keys are read again.

    Sooner than the caller asks for, because it takes this store for one that notifies.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pause = FIRST

    def watch(self, keys: Collection[str]) -> None:
        """Begin with short pauses again."""
        self._pause = FIRST

    def wait(self, timeout: float) -> Collection[str] | None:
        """Return None ("any key may have changed") after a pause, () when woken."""
        pause, self._pause = self._pause, min(self._pause * 1.5, LONGEST)
        return super().wait(min(timeout, pause))


def _each(word: str, buckets: Iterable[int]) -> str:
    return " ".join(f"{word} {channel(each)};" for each in sorted(buckets))
