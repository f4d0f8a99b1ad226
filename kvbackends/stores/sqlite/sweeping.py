"""Implements `Store.sweep`: finds expired rows without the lock, deletes them in short steps."""

import time
from collections.abc import Iterator

from kvbackends.stores.sqlite import housekeeping
from kvbackends.stores.sqlite.database import Database

PAGE = 2000
"""Rows in one read."""

_END = float("inf")


class Sweeper:
    """Continues where the last call ended, so that consecutive calls read each row once."""

    def __init__(self) -> None:
        self._last = dict.fromkeys(housekeeping.TABLES, 0)

    def sweep(self, database: Database, limit: int) -> int:
        """Go round each table once, or until `limit` rows are deleted; return their number."""
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
        """Yield the (rowid, bytes) of the expired rows after `begin`, page by page."""
        last: float = begin
        while last < stop:
            self._last[table] = int(last)
            rows = database.rows(housekeeping.NEXT_ROWS[table], (last, PAGE))
            now = time.time()
            yield [(rowid, size) for rowid, expires, size in rows if expires <= now]
            last = rows[-1][0] if len(rows) == PAGE else _END
        self._last[table] = 0 if last == _END else int(last)


def empty_trash(database: Database) -> None:
    """Delete the parts of all closed and expired runs."""
    while database.write(housekeeping.empty_trash):
        pass


def _remove(database: Database, table: str, expired: list[tuple[int, int]]) -> int:
    removed = 0
    while expired:
        some = housekeeping.affordable(expired)
        removed += database.write(housekeeping.remove, table, some)
        expired = expired[len(some) :]
    return removed
