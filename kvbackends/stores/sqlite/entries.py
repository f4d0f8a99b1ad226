"""The statements for plain and ranked keys."""

import time
from collections.abc import Collection, Iterator
from typing import Any

from kvbackends.contract.records import Offer, Rank, RankOf
from kvbackends.stores.sqlite.database import Database
from kvbackends.stores.sqlite.pool import Connection

NEVER = float("inf")
PAGE = 1000
"""Number of keys in one read.  A long read would prevent that the write-ahead log is reused."""

_PUT = """
INSERT INTO entry (key, rank, expires, value) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE
SET rank = excluded.rank, expires = excluded.expires, value = excluded.value
"""
_CREATE = f"{_PUT} WHERE entry.expires <= ?"
_REPLACE = """
UPDATE entry SET rank = NULL, expires = ?, value = ? WHERE key = ? AND expires > ? AND value = ?
"""
# A row without a rank makes the comparison NULL and is not replaced; see `offer_over_plain`.
_OFFER = f"""{_PUT} WHERE entry.expires <= ?
    OR entry.rank <= excluded.rank AND entry.rank <> {Rank.SUCCEEDED.value}
    OR entry.value = excluded.value
"""
# Bytes whatever type another program has stored: its text may be a result, its number is none.
_GET = "SELECT CAST(value AS BLOB) FROM entry WHERE key = ? AND expires > ?"
_GET_BATCH = "SELECT key, CAST(value AS BLOB) FROM entry WHERE expires > ? AND key IN "
_EXPIRIES = "SELECT key, expires FROM entry WHERE expires > ? AND key IN "
_RANK = "SELECT rank, CAST(value AS BLOB) FROM entry WHERE key = ? AND expires > ?"
_TOUCH = "UPDATE entry SET expires = ? WHERE key = ? AND expires > ?"
_DELETE = "DELETE FROM entry WHERE key = ?"
_LIST = "SELECT key, expires FROM entry WHERE key > ? ORDER BY key LIMIT ?"
_LIST_FIRST = _LIST.replace(">", ">=")


def expiry(ttl: float | None, now: float) -> float:
    """Return the time of expiry, in seconds since the epoch."""
    return NEVER if ttl is None else now + ttl


def get(database: Database, key: str) -> bytes | None:
    """Return the value, or None if the key is absent."""
    rows = database.rows(_GET, (key, time.time()))
    return rows[0][0] if rows else None


def get_batch(database: Database, keys: Collection[str]) -> dict[str, bytes]:
    """Return the values of those keys that exist.

    The number of parameters is padded to a power of two, so that SQLite compiles few statements.
    """
    return dict(_rows_of(database, _GET_BATCH, keys, time.time()))


def lifetimes(database: Database, keys: Collection[str]) -> dict[str, float | None]:
    """Return the seconds that those keys that exist have left; None: for ever."""
    now = time.time()
    rows = _rows_of(database, _EXPIRIES, keys, now)
    return {key: None if expires == NEVER else expires - now for key, expires in rows}


def _rows_of(database: Database, sql: str, keys: Collection[str], now: float) -> list[Any]:
    if not keys:
        return []
    size = 1 << (len(keys) - 1).bit_length()
    listed = list(keys)
    padded = [now, *listed, *listed[-1:] * (size - len(listed))]
    return database.rows(sql + f"({','.join('?' * size)})", padded)


def put(connection: Connection, key: str, value: bytes, ttl: float | None) -> None:
    """Store, whatever is there."""
    connection.execute(_PUT, (key, None, expiry(ttl, time.time()), value))


def create(connection: Connection, key: str, value: bytes, ttl: float | None) -> bool:
    """Store if the key is absent; return whether it stored."""
    now = time.time()
    done = connection.execute(_CREATE, (key, None, expiry(ttl, now), value, now))
    return done.rowcount > 0


def replace(connection: Connection, key: str, value: bytes, old: object, ttl: float | None) -> bool:
    """Store if the value is `old`; return whether it stored."""
    now = time.time()
    done = connection.execute(_REPLACE, (expiry(ttl, now), value, key, now, old))
    return done.rowcount > 0


def offer(connection: Connection, offer: Offer) -> bool:
    """Store unless the stored rank is better; return whether it stored."""
    now = time.time()
    done = connection.execute(
        _OFFER, (offer.key, offer.rank.value, expiry(offer.ttl, now), offer.value, now)
    )
    if done.rowcount <= 0:
        return False
    connection.offered.append(offer.key)
    return True


def offer_over_plain(connection: Connection, offer: Offer, rank_of: RankOf) -> bool:
    """Store over a record without a rank, which `offer` refuses: `set` wrote it, `rank_of` decides.

    Returns whether it stored.
    """
    now = time.time()
    row = connection.execute(_RANK, (offer.key, now)).fetchone()
    if row is not None and (row[0] is not None or not rank_of(row[1]).yields_to(offer.rank)):
        return False
    connection.execute(_PUT, (offer.key, offer.rank.value, expiry(offer.ttl, now), offer.value))
    connection.offered.append(offer.key)
    return True


def ranked(connection: Connection, one: Offer, rank_of: RankOf) -> bool:
    """Store unless a better record is stored, inside a transaction; return whether it stored."""
    return offer(connection, one) or offer_over_plain(connection, one, rank_of)


def delete(connection: Connection, key: str) -> None:
    """Delete the key if it exists."""
    connection.execute(_DELETE, (key,))


def touch(connection: Connection, key: str, ttl: float | None) -> bool:
    """Set a new time to live; return False if the key is absent."""
    now = time.time()
    return connection.execute(_TOUCH, (expiry(ttl, now), key, now)).rowcount > 0


def increment(connection: Connection, key: str, by: int, ttl: float | None) -> int:
    """Add to a decimal number of any length, and return the sum."""
    row = connection.execute(_GET, (key, time.time())).fetchone()
    total = int(row[0] if row else b"0") + by
    put(connection, key, b"%d" % total, ttl)
    return total


def scan(database: Database, prefix: str) -> Iterator[str]:
    """Yield the keys that begin with `prefix`, in order; read in pages."""
    sql, last = _LIST_FIRST, prefix
    while rows := database.rows(sql, (last, PAGE)):
        now = time.time()
        for key, expires in rows:
            if not key.startswith(prefix):
                return
            if expires > now:
                yield key
        sql, last = _LIST, rows[-1][0]
