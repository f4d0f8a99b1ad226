"""`Store.sweep`: what has expired is found without the lock and removed in short transactions."""

import time
from collections.abc import Iterator

from kvbackends.stores.sqlite import housekeeping
from kvbackends.stores.sqlite.database import Database

LOOKED_AT = 2000
"""Rows that are read at once."""

_END = float("inf")


class Sweeper:
    """Goes on where the last call ended, so that many calls in a row read the file once."""

    def __init__(self) -> None:
        self._last = dict.fromkeys(housekeeping.TABLES, 0)

    def sweep(self, database: Database, limit: int) -> int:
        """Go round each table once, or until `limit` rows are removed; how many were."""
        removed = 0
        for table in housekeeping.TABLES:
            for expired in self._round(database, table):
                removed += _remove(database, table, expired[: limit - removed])
                if removed >= limit:
                    break
        empty_trash(database)
        return removed

    def _round(self, database: Database, table: str) -> Iterator[list[tuple[int, int]]]:
        begin = self._last[table]
        yield from self._pages(database, table, begin, _END)
        if begin:
            yield from self._pages(database, table, 0, begin)

    def _pages(
        self, database: Database, table: str, begin: int, stop: float
    ) -> Iterator[list[tuple[int, int]]]:
        """The (rowid, bytes) of expired rows after `last`, a page at a time."""
        last: float = begin
        while last < stop:
            self._last[table] = int(last)
            rows = database.rows(housekeeping.LOOK[table], (last, LOOKED_AT))
            now = time.time()
            yield [(rowid, size) for rowid, expires, size in rows if expires <= now]
            last = rows[-1][0] if len(rows) == LOOKED_AT else _END
        self._last[table] = 0 if last == _END else int(last)


def empty_trash(database: Database) -> None:
    """Delete the parts of all runs that are over."""
    while database.write(housekeeping.empty_trash):
        pass


def _remove(database: Database, table: str, expired: list[tuple[int, int]]) -> int:
    removed = 0
    while expired:
        some = housekeeping.affordable(expired)
        removed += database.write(housekeeping.remove, table, some)
        expired = expired[len(some) :]
    return removed
