"""Deletes expired rows in steps, each bounded in rows and in bytes.

Writers carry out a step after every few transactions: a cursor goes round each table and reads the
next rows only.  This only frees space: expired rows are absent from every read anyway.
"""

import time
from collections.abc import Iterable

from kvbackends.stores.sqlite.pool import Connection

TABLES = ("entry", "barrier")
"""The tables whose rows expire."""

ROWS = 256
"""Rows of each table that a step reads: four for each write transaction."""

PAGES = 512
"""Approximate number of pages of the file that a step may free."""

PAGE_BYTES = 4096

# SQLite knows length() of a blob from the head of the row, without reading its overflow pages.
NEXT_ROWS = {
    "entry": """SELECT rowid, expires, length(value) FROM entry
                WHERE rowid > ? ORDER BY rowid LIMIT ?""",
    "barrier": "SELECT rowid, expires, 0 FROM barrier WHERE rowid > ? ORDER BY rowid LIMIT ?",
}
_REMOVE = {
    "entry": ("DELETE FROM entry WHERE rowid = ? AND expires <= ?",),
    "barrier": (
        "INSERT OR IGNORE INTO trash SELECT run FROM barrier WHERE rowid = ? AND expires <= ?",
        "DELETE FROM barrier WHERE rowid = ? AND expires <= ?",
    ),
}
_PARTS = "SELECT part.rowid, length(value) FROM trash JOIN part USING (run) LIMIT ?"
_EMPTY_RUNS = """
SELECT run FROM trash WHERE NOT EXISTS (SELECT 1 FROM part WHERE part.run = trash.run) LIMIT ?
"""
_LAST_OF_RUN = (
    "DELETE FROM slot WHERE run = ?",
    "DELETE FROM about WHERE run = ?",
    "DELETE FROM trash WHERE run = ?",
)


class Housekeeper:
    """The cursors of this process."""

    def __init__(self) -> None:
        self._last = dict.fromkeys(TABLES, 0)

    def step(self, connection: Connection) -> None:
        """Delete some expired rows of each table and some trash; called inside a transaction."""
        for table, last in self._last.items():
            rows = connection.execute(NEXT_ROWS[table], (last, ROWS)).fetchall()
            now = time.time()
            remove(connection, table, affordable((row[0], row[2]) for row in rows if row[1] <= now))
            self._last[table] = rows[-1][0] if len(rows) == ROWS else 0
        empty_trash(connection)


def affordable(rows: Iterable[tuple[int, int]]) -> list[int]:
    """Return the first rowids of these (rowid, bytes), as many as one step may delete."""
    chosen: list[int] = []
    pages = 0
    for rowid, size in rows:
        pages += 1 + size // PAGE_BYTES
        if chosen and pages > PAGES:
            break
        chosen.append(rowid)
    return chosen


def remove(connection: Connection, table: str, rowids: Iterable[int]) -> int:
    """Delete the expired ones of these rows, and return their number.

    The parts of a deleted barrier become trash.
    """
    arguments = [(rowid, time.time()) for rowid in rowids]
    deleted = 0
    for statement in _REMOVE[table]:
        deleted = connection.executemany(statement, arguments).rowcount
    return max(deleted, 0)


def empty_trash(connection: Connection) -> bool:
    """Delete some parts of closed and expired runs; return False if there were none."""
    parts = affordable(connection.execute(_PARTS, (ROWS,)).fetchall())
    connection.executemany("DELETE FROM part WHERE rowid = ?", [(rowid,) for rowid in parts])
    empty = connection.execute(_EMPTY_RUNS, (ROWS,)).fetchall()
    for statement in _LAST_OF_RUN:
        connection.executemany(statement, empty)
    return bool(parts or empty)
