"""One process's access to one file: concurrent reads, and one write at a time."""

import fcntl
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, TypeVarTuple

from kvbackends.errors import StoreError
from kvbackends.stores.sqlite import schema
from kvbackends.stores.sqlite.errors import Busy, translated
from kvbackends.stores.sqlite.housekeeping import Housekeeper
from kvbackends.stores.sqlite.location import located
from kvbackends.stores.sqlite.lockfile import LockFile
from kvbackends.stores.sqlite.pool import Connection, Pool, Settings

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

HOUSEKEEPING_EVERY = 64
"""Number of write transactions between two steps of housekeeping."""


class Database:
    """The file at `path`, created if needed.  Errors of `sqlite3` are translated (`errors.py`)."""

    def __init__(self, path: str, settings: Settings) -> None:
        schema.check_library()
        self.path = path = located(path)
        self._busy_timeout = settings.busy_timeout
        self._mutex = threading.RLock()
        self._writing = False
        self._lock = LockFile(path)
        self._pool = Pool(path, settings)
        self._housekeeper = Housekeeper()
        self._until_housekeeping = random.randrange(HOUSEKEEPING_EVERY)
        try:
            if not self.read(schema.is_current, path):
                self._transact(schema.prepare, path)
        except BaseException:
            self.close()
            raise

    def rows(self, sql: str, parameters: Sequence[object]) -> list[Any]:
        """Return all rows of a query."""
        # `get` takes this path; with `_connected` it took a tenth longer (7.4 µs instead of 6.7).
        connection = self._pool.take()
        try:
            rows = connection.execute(sql, parameters).fetchall()
        except BaseException as error:
            self._failed(connection, error)
            raise
        self._pool.give(connection)
        return rows

    def read(self, work: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        """Return the result of `work`, whose queries all see the same state of the file."""
        return self._connected(_in_transaction, "BEGIN", work, args)

    def write(self, work: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        """Run `work` in one transaction, then notify subscribers of the keys that it offered.

        Raises `Busy` if other processes write for longer than `busy_timeout`.
        """
        return self._transact(_in_transaction, "BEGIN IMMEDIATE", work, args)

    def write_one(self, work: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        """Like `write`, for work that is a single statement and so its own transaction."""
        return self._transact(work, *args)

    def close(self) -> None:
        """Wait for the current write of another thread, and close the files."""
        with self._mutex:
            self._refuse_inside_a_write()
            self._pool.close()
            self._lock.close()

    # -- forks --------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Close all connections; see `Pool`."""
        self._pool.drain()

    def after_fork(self) -> None:
        """Allow connections again, in the parent."""
        self._pool.refill()

    def abandon(self) -> None:
        """Close the child's copy of the lock file, which would keep the parent's lock held."""
        self._lock.close()
        self._pool.abandon()

    # -- inside -------------------------------------------------------------------------------

    def _transact(self, work: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        deadline = time.monotonic() + self._busy_timeout
        with self._mutex:
            self._refuse_inside_a_write()
            if self._lock.fd < 0:
                raise Busy(f"the SQLite file {self.path!r} was just closed by another thread")
            # A signal handler's exception (a task's soft time limit) may be raised after any call
            # into C and at the start of any Python function.  So the lock is acquired inside `try`
            # and released by a call into C, not by a method or a context manager.
            try:
                self._writing = True
                self._lock.acquire(deadline)
                result = self._connected(work, *args)
                self._until_housekeeping -= 1
                if self._until_housekeeping < 0:
                    self._until_housekeeping = HOUSEKEEPING_EVERY
                    step = self._housekeeper.step
                    self._connected(_in_transaction, "BEGIN IMMEDIATE", step, ())
                return result
            finally:
                self._writing = False
                fcntl.flock(self._lock.fd, fcntl.LOCK_UN)

    def _refuse_inside_a_write(self) -> None:
        if self._writing:
            raise StoreError(
                f"the handler of a signal has interrupted a write to the SQLite file {self.path!r}"
                " and wants to write, too, which would wait for ever: let the handler make a note, "
                "and write when it has returned"
            )

    def _connected(self, work: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        connection = self._pool.take()
        try:
            result = work(connection, *args)
            if connection.offered:
                self._lock.notify(connection.offered)
                connection.offered.clear()
        except BaseException as error:
            self._failed(connection, error)
            raise
        self._pool.give(connection)
        return result

    def _failed(self, connection: Connection, error: BaseException) -> None:
        # Translated before the connection is closed: that may free the file descriptors whose
        # lack is the cause.
        known = isinstance(error, sqlite3.Error) and translated(error, self.path)
        self._pool.drop(connection)
        if known:
            raise known from error


def _in_transaction(
    connection: Connection, begin: str, work: Callable[[Connection, *Ts], T], args: tuple[*Ts]
) -> T:
    connection.execute(begin)
    result = work(connection, *args)
    connection.execute("COMMIT")
    return result
