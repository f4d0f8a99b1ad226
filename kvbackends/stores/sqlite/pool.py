"""The connections of one process to one file."""

import sqlite3
import threading
import time
import weakref
from collections import deque
from typing import NamedTuple

from kvbackends.stores.sqlite.errors import translated

IDLE = 16
"""Maximum number of unused connections that are kept open."""

LOG_BYTES = 16 << 20
"""Size to which the write-ahead log is truncated after a checkpoint."""

DRAIN = 2.0
"""Seconds for which a fork waits for running operations; each takes milliseconds."""


class Settings(NamedTuple):
    """The settings of each connection."""

    synchronous: str
    busy_timeout: float
    wal_autocheckpoint: int


class Connection(sqlite3.Connection):
    """A connection that records the keys of its transaction for which subscribers are notified."""

    offered: list[str]


class Pool:
    """Lends connections to threads, the most recently used first.

    No connection may be open during a fork (`drain` before, `refill` after).  SQLite keeps the
    locks of a file in a table of the process (SQLite's page "How To Corrupt An SQLite Database
    File", section 2.6).  The child would inherit entries for locks that it does not hold; the
    parent would close a connection that it takes for the last one, and delete the log to which the
    child writes.
    """

    def __init__(self, path: str, settings: Settings) -> None:
        self._path = path
        self._settings = settings
        self._idle: deque[Connection] = deque()
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._opening = threading.RLock()  # a signal's handler may read, too
        self._closing = False

    def take(self) -> Connection:
        """Return a connection for the caller's exclusive use until `give` or `drop`."""
        try:
            return self._idle.pop()
        except IndexError:
            with self._opening:
                return self._connect()

    def give(self, connection: Connection) -> None:
        """Take a connection back."""
        if self._closing or len(self._idle) >= IDLE:
            self.drop(connection)
        else:
            self._idle.append(connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection, which rolls back an open transaction."""
        connection.close()
        self._open.discard(connection)

    def close(self) -> None:
        """Close all connections; wait at most `DRAIN` seconds for those in use."""
        self.drain()
        self._opening.release()

    def __del__(self) -> None:
        self._close_idle()

    def drain(self) -> None:
        """Like `close`, and open no connection until `refill`."""
        self._opening.acquire()
        self._closing = True
        deadline = time.monotonic() + DRAIN
        while True:
            self._close_idle()
            if not self._open or time.monotonic() > deadline:
                return
            time.sleep(0.0005)

    def refill(self) -> None:
        """Allow connections to be opened again."""
        self._closing = False
        self._opening.release()

    def abandon(self) -> None:
        """Close what a child of a fork in C has inherited, where no `drain` came before.

        The parent's connections and locks stay: this process has none of its locks.
        """
        self._close_idle()

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
