"""Connections to one file, for the threads of one process."""

import sqlite3
import threading
import time
import weakref
from collections import deque
from typing import NamedTuple

from kvbackends.stores.sqlite.errors import translated

IDLE = 16
"""Most connections that are kept open while nobody uses them."""

LOG_BYTES = 16 << 20
"""What a large value leaves of the write-ahead log, at most, once it is copied into the file."""

DRAIN = 2.0
"""Seconds that a fork waits for operations under way; each takes milliseconds."""


class Settings(NamedTuple):
    """What each connection is opened with."""

    synchronous: str
    busy_timeout: float
    wal_autocheckpoint: int


class Connection(sqlite3.Connection):
    """A connection that remembers which keys its transaction offers."""

    offered: list[str]


class Pool:
    """Hands out connections, the one used last first.

    SQLite keeps the locks of a file in a table of the process (its page "How To Corrupt An SQLite
    Database File", section 2.6): with a connection open across a fork, the child believes to hold
    locks that it lacks, and the parent, closing what it takes for the last connection, deletes the
    log that the child writes to.  So none is open during a fork: `drain` before, `refill` after.
    """

    def __init__(self, path: str, settings: Settings) -> None:
        self._path = path
        self._settings = settings
        self._idle: deque[Connection] = deque()
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._opening = threading.Lock()
        self._closing = False

    def take(self) -> Connection:
        """A connection that nobody else uses until `give` or `drop`."""
        try:
            return self._idle.pop()
        except IndexError:
            with self._opening:
                return self._connect()

    def give(self, connection: Connection) -> None:
        """Back for others to use."""
        if self._closing or len(self._idle) >= IDLE:
            self.drop(connection)
        else:
            self._idle.append(connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection; what it has not committed is rolled back."""
        connection.close()
        self._open.discard(connection)

    def close(self) -> None:
        """Close all, waiting for those in use."""
        self.drain()
        self._opening.release()

    def __del__(self) -> None:
        self._close_idle()

    def drain(self) -> None:
        """Close all, waiting for those in use, and let none be opened until `refill`."""
        self._opening.acquire()
        self._closing = True
        deadline = time.monotonic() + DRAIN
        while True:
            self._close_idle()
            if not self._open or time.monotonic() > deadline:
                return
            time.sleep(0.0005)

    def refill(self) -> None:
        """Connections may be opened again."""
        self._closing = False
        self._opening.release()

    def _close_idle(self) -> None:
        while self._idle:
            self.drop(self._idle.pop())

    def _connect(self) -> Connection:
        settings = self._settings
        connection: Connection | None = None
        try:
            connection = sqlite3.connect(
                self._path,
                timeout=settings.busy_timeout,
                isolation_level=None,
                check_same_thread=False,
                factory=Connection,
            )
            self._open.add(connection)
            connection.offered = []
            connection.execute(f"PRAGMA synchronous = {settings.synchronous}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {settings.wal_autocheckpoint}")
            connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        except sqlite3.Error as error:
            known = translated(error, self._path)
            if connection is not None:
                self.drop(connection)
            raise known from error
        return connection
