"""What writers clear away beside their own work, a bounded step at a time.

A cursor goes round the tables: each step looks at the next rows only, so it costs the same however
long the file is.  Nothing depends on it: an expired row is absent from every read anyway.
"""

import time

from kvbackends.stores.sqlite.pool import Connection

ROWS = 256
"""Rows of each table that a step looks at: four for each write transaction."""

PARTS = 128
"""Parts that a step deletes from a run that is over."""

_ENTRIES = "SELECT rowid, expires FROM entry WHERE rowid > ? ORDER BY rowid LIMIT ?"
_BARRIERS = "SELECT rowid, expires FROM barrier WHERE rowid > ? ORDER BY rowid LIMIT ?"
_SOME_PARTS = "DELETE FROM part WHERE rowid IN (SELECT rowid FROM part WHERE run = ? LIMIT ?)"
_LAST_OF_RUN = (
    "DELETE FROM slot WHERE run = ?",
    "DELETE FROM about WHERE run = ?",
    "DELETE FROM trash WHERE run = ?",
)
_SWEEP = "DELETE FROM entry WHERE rowid IN (SELECT rowid FROM entry WHERE expires <= ? LIMIT ?)"
_EXPIRED_BARRIERS = "SELECT rowid FROM barrier WHERE expires <= ? LIMIT ?"


class Housekeeper:
    """Where this process's cursors stand."""

    def __init__(self) -> None:
        self._entry = self._barrier = 0

    def step(self, connection: Connection) -> int:
        """One step of each chore, in a transaction; how many expired keys were removed."""
        removed = self._entries(connection) + self._barriers(connection)
        empty_trash(connection)
        return removed

    def _entries(self, connection: Connection) -> int:
        rows = connection.execute(_ENTRIES, (self._entry, ROWS)).fetchall()
        self._entry = rows[-1][0] if len(rows) == ROWS else 0
        now = time.time()
        expired = [row[:1] for row in rows if row[1] <= now]
        connection.executemany("DELETE FROM entry WHERE rowid = ?", expired)
        return len(expired)

    def _barriers(self, connection: Connection) -> int:
        rows = connection.execute(_BARRIERS, (self._barrier, ROWS)).fetchall()
        self._barrier = rows[-1][0] if len(rows) == ROWS else 0
        now = time.time()
        expired = [row[:1] for row in rows if row[1] <= now]
        for (rowid,) in expired:
            throw_away(connection, rowid)
        return len(expired)


def throw_away(connection: Connection, rowid: int) -> None:
    """Remove a barrier; its parts become trash."""
    connection.execute(
        "INSERT OR IGNORE INTO trash SELECT run FROM barrier WHERE rowid = ?", (rowid,)
    )
    connection.execute("DELETE FROM barrier WHERE rowid = ?", (rowid,))


def empty_trash(connection: Connection) -> bool:
    """Delete some parts of one run that is over; False if there is nothing left to do."""
    row = connection.execute("SELECT run FROM trash LIMIT 1").fetchone()
    if row is None:
        return False
    deleted = connection.execute(_SOME_PARTS, (*row, PARTS)).rowcount
    if deleted < PARTS:
        for statement in _LAST_OF_RUN:
            connection.execute(statement, row)
    return True


def sweep_entries(connection: Connection, limit: int) -> int:
    """Remove at most `limit` expired entries; how many were removed."""
    return connection.execute(_SWEEP, (time.time(), limit)).rowcount


def sweep_barriers(connection: Connection, limit: int) -> int:
    """Remove at most `limit` expired barriers; how many were removed."""
    rows = connection.execute(_EXPIRED_BARRIERS, (time.time(), limit)).fetchall()
    for (rowid,) in rows:
        throw_away(connection, rowid)
    return len(rows)
