"""The tables, their creation, and the check that a file is one of kvbackends.

`entry` has the plain and ranked keys.  A row of `barrier` has counters, so that an arrival costs
the same in a chord of any size.  The rows whose number grows with the size (`part`, `slot`) and the
bytes that may be large (`about`) are in tables of their own, found by `run`, a random number for
each run of a barrier.
"""

import sqlite3

from kvbackends.errors import ConfigurationError, StoreError

APPLICATION_ID = 0x6B767262
"""``PRAGMA application_id``, the bytes "kvrb" in the file's header."""

VERSION = 1
"""``PRAGMA user_version``.  Files of another version are refused."""

MINIMUM = (3, 24, 0)
"""The first SQLite with ``ON CONFLICT … DO UPDATE``."""

# Expiry is in seconds since the epoch, or infinity.  The value is the last column, so that reading
# the other columns does not read the overflow pages of a large value.
_TABLES = """
CREATE TABLE entry (
    key TEXT PRIMARY KEY NOT NULL,
    rank INTEGER,  -- NULL: written by `set` or `compare_and_set`
    expires REAL NOT NULL,
    value BLOB NOT NULL
);
CREATE TABLE barrier (
    name TEXT PRIMARY KEY NOT NULL,
    run INTEGER NOT NULL,
    expires REAL NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    size INTEGER,
    header INTEGER NOT NULL DEFAULT 0,  -- recorded parts that are in no slot
    slots INTEGER NOT NULL DEFAULT 0,
    unfilled INTEGER NOT NULL DEFAULT 0,  -- slots none of whose members has arrived
    place INTEGER, member TEXT, delivery TEXT  -- the claim
);
CREATE TABLE about (
    run INTEGER PRIMARY KEY,
    value BLOB NOT NULL
);
CREATE TABLE part (
    run INTEGER NOT NULL, member TEXT NOT NULL, place INTEGER NOT NULL,
    value BLOB NOT NULL,
    UNIQUE (run, member, place)
);
CREATE TABLE slot (
    run INTEGER NOT NULL, member TEXT NOT NULL, slot TEXT NOT NULL,
    arrived INTEGER NOT NULL,
    UNIQUE (run, member, slot)
);
CREATE INDEX slot_by_name ON slot (run, slot);
CREATE TABLE trash (run INTEGER PRIMARY KEY);  -- runs whose parts will be deleted
"""


def check_library() -> None:
    """Raise `ConfigurationError` if Python's SQLite is too old."""
    if sqlite3.sqlite_version_info < MINIMUM:
        raise ConfigurationError(
            f"this Python has SQLite {sqlite3.sqlite_version}; 3.24 or later is needed"
        )


def is_current(connection: sqlite3.Connection, path: str) -> bool:
    """Return True if the tables exist, False if the file is empty.

    Raises `ConfigurationError` for a file of another program or another version of kvbackends.
    """
    version = _number(connection, "user_version")
    application = _number(connection, "application_id")
    if (version, application) == (VERSION, APPLICATION_ID):
        return True
    if application == APPLICATION_ID:
        raise ConfigurationError(
            f"the SQLite file {path!r} has tables of version {version}, but this kvbackends needs "
            f"version {VERSION}: upgrade kvbackends, or name another file in the URL"
        )
    if version or application or _number(connection, "schema_version"):
        raise ConfigurationError(
            f"the SQLite file {path!r} belongs to another program: name another file in the URL"
        )
    return False


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """Create the tables if they are missing; the caller holds the lock file's lock.

    Raises `StoreError` if write-ahead logging is not available.
    """
    if is_current(connection, path):
        return
    _use_wal(connection, path)
    connection.execute("BEGIN IMMEDIATE")
    if not is_current(connection, path):
        for statement in _TABLES.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _use_wal(connection: sqlite3.Connection, path: str) -> None:
    # If write-ahead logging cannot be used, SQLite keeps the old mode and returns its name.
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(
            f"the SQLite file {path!r} cannot use write-ahead logging (it stays in mode {mode!r}):"
            " put it on a local disk, not on a network file system"
        )


def _number(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
