"""One process's way to one file: reads from any thread, writes one after the other."""

import fcntl
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, TypeVarTuple

from kvbackends.stores.sqlite import schema
from kvbackends.stores.sqlite.errors import Busy, translated
from kvbackends.stores.sqlite.housekeeping import Housekeeper
from kvbackends.stores.sqlite.lockfile import LockFile
from kvbackends.stores.sqlite.pool import Connection, Pool, Settings

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

CHORES_EVERY = 64
"""Write transactions between two steps of housekeeping."""


class Database:
    """The file at `path`, with its tables made.  Errors of `sqlite3` come out translated."""

    def __init__(self, path: str, settings: Settings) -> None:
        schema.check_library()
        self._path = path
        self._busy_timeout = settings.busy_timeout
        self._mutex = threading.Lock()
        self._lock = LockFile(path)
        self._pool = Pool(path, settings)
        self._housekeeper = Housekeeper()
        self._until_chores = random.randrange(CHORES_EVERY)
        try:
            if not self.read(schema.is_current, path):
                self._transact(schema.prepare, path)
        except BaseException:
            self.close()
            raise

    def rows(self, sql: str, parameters: Sequence[object]) -> list[Any]:
        """All rows of a query."""
        connection = self._pool.take()
        try:
            rows = connection.execute(sql, parameters).fetchall()
        except BaseException as error:
            self._failed(connection, error)
            raise
        self._pool.give(connection)
        return rows

    def read(self, work: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        """What `work` reads, all from one moment."""
        connection = self._pool.take()
        try:
            connection.execute("BEGIN")
            result = work(connection, *args)
            connection.execute("COMMIT")
        except BaseException as error:
            self._failed(connection, error)
            raise
        self._pool.give(connection)
        return result

    def write(self, work: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        """Run `work` as one transaction, alone among all processes; then tell what it offered."""
        return self._transact(_in_transaction, work, args)

    def write_one(self, work: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        """`write` for work that is one statement, which is a transaction by itself."""
        return self._transact(work, *args)

    def close(self) -> None:
        """Close the files; a write under way in another thread is waited for."""
        with self._mutex:
            self._pool.close()
            self._lock.close()

    # -- forks --------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """No connection is open across a fork; see `Pool`."""
        self._pool.drain()

    def after_fork(self) -> None:
        """In the parent: as before."""
        self._pool.refill()

    def abandon(self) -> None:
        """In the child: close the copy of the lock's file, which would keep the lock held."""
        self._lock.close()

    # -- inside -------------------------------------------------------------------------------

    def _transact(self, work: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        deadline = time.monotonic() + self._busy_timeout
        with self._mutex:
            if self._lock.fd < 0:
                raise Busy(f"the SQLite file {self._path!r} was just closed by another thread")
            # A signal's exception (a task's soft time limit) may come after any call into C and at
            # the begin of any function in Python: so the lock is taken inside `try`, and given
            # back by a call into C, not by a method or a context manager of ours.
            try:
                self._lock.acquire(deadline)
                result = self._connected(work, *args)
                self._until_chores -= 1
                if self._until_chores < 0:
                    self._until_chores = CHORES_EVERY
                    self._connected(_in_transaction, self._housekeeper.step, ())
                return result
            finally:
                fcntl.flock(self._lock.fd, fcntl.LOCK_UN)

    def _connected(self, work: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        connection = self._pool.take()
        try:
            result = work(connection, *args)
            if connection.offered:
                self._lock.tell(connection.offered)
                connection.offered.clear()
        except BaseException as error:
            self._failed(connection, error)
            raise
        self._pool.give(connection)
        return result

    def _failed(self, connection: Connection, error: BaseException) -> None:
        # Translated first: too many open files show while these are open.
        known = isinstance(error, sqlite3.Error) and translated(error, self._path)
        self._pool.drop(connection)
        if known:
            raise known from error


def _in_transaction(
    connection: Connection, work: Callable[[Connection, *Ts], T], args: tuple[*Ts]
) -> T:
    connection.execute("BEGIN IMMEDIATE")
    result = work(connection, *args)
    connection.execute("COMMIT")
    return result
