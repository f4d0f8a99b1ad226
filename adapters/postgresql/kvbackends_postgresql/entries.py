"""The operations on plain and ranked keys."""

import struct
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from kvbackends.contract import Entry, Offer, RankOf
from kvbackends_postgresql.connections import Connections
from kvbackends_postgresql.link import Statement, Value
from kvbackends_postgresql.names import Names, bucket, channel
from kvbackends_postgresql.sweeping import Sweeper

FACETS = ("state", "task", "worker", "done")
LONGEST = 3e9
"""Seconds; a longer time to live is for ever.  The server's times end in the year 294276."""
LARGEST_PAGE = 16_000
"""Most keys that `find` reads at a time."""
_BYTEA = 17
_HEADER = struct.Struct(">iiIii")
_FLOAT = struct.Struct(">d")


class Entries:
    """The table of plain and ranked keys."""

    def __init__(self, connections: Connections, names: Names) -> None:
        self.connections = connections
        self.ask = connections.ask
        self.names = names
        self.statements = connections.statements
        self.sweeper = Sweeper(connections)

    def get(self, key: str) -> Entry | None:
        """The value and its version, a UUID that each write makes."""
        rows = self.ask(self.statements.get, key.encode())
        return Entry(*rows[0]) if rows else None

    def get_batch(self, keys: Collection[str]) -> dict[str, bytes]:
        """The values of those keys that exist."""
        rows = self.ask(self.statements.get_batch, _array(keys))
        return {key.decode(): value for key, value in rows}

    def put(self, key: str, value: bytes, ttl: float | None) -> None:
        """Store unconditionally."""
        self.ask(self.statements.put, key.encode(), value, seconds(ttl))

    def swap(self, key: str, value: bytes, version: object, ttl: float | None) -> bool:
        """Store if the version is the stored one, or None and the key absent; true if stored."""
        if version is None:
            return bool(self.ask(self.statements.create, key.encode(), value, seconds(ttl)))
        expected: Any = version
        return bool(self.ask(self.statements.replace, key.encode(), value, seconds(ttl), expected))

    def delete(self, keys: Collection[str]) -> None:
        """Remove the keys; absent ones are fine."""
        if len(keys) == 1:
            self.ask(self.statements.delete, *(key.encode() for key in keys))
        else:
            self.ask(self.statements.delete_batch, _array(keys))

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """The ranked write; true if stored."""
        key = offer.key.encode()
        values = (key, offer.value, *self.offered(offer))
        while True:
            if rows := self.ask(self.statements.offer, *values):
                self.notify(key, rows[0][0])
                return True
            rows = self.ask(self.statements.ranked, key)
            if not rows:
                continue  # it has expired, or was deleted, since the attempt
            rank, value, version = rows[0]
            if rank is not None:
                return False
            if not rank_of(value).yields_to(offer.rank):
                return bool(value == offer.value)
            if rows := self.ask(self.statements.offer_over_plain, *values, version):
                self.notify(key, rows[0][0])
                return True

    def offered(self, offer: Offer) -> tuple[Value, ...]:
        """The arguments of a ranked write behind its key and its value."""
        return (
            seconds(offer.ttl),
            int(offer.rank),
            *(self._facet(offer.facets.get(name)) for name in FACETS),
            bucket(self.names.digest(offer.key.encode())),
        )

    def notify(self, key: bytes, somebody_listens: bytes | None) -> None:
        """Notify waiters of a key, if there are any.

        A transaction of its own: while one that notifies commits, no other one that does can, and
        the value's waits for the disk.
        """
        if somebody_listens == b"\1":
            digest = self.names.digest(key)
            self.ask(self.statements.notify, channel(bucket(digest)).encode(), digest.encode())

    def touch(self, key: str, ttl: float | None) -> bool:
        """Set a new time to live; false if the key is absent."""
        return bool(self.ask(self.statements.touch, key.encode(), seconds(ttl)))

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        """Add to the number; returns the sum."""
        rows = self.ask(self.statements.increment, key.encode(), int(by), seconds(ttl))
        return int(rows[0][0])

    def scan(self, prefix: str) -> Iterator[str]:
        """The keys with this prefix, in order, read in pages."""
        return self._listed(self.statements.scan, prefix)

    def lifetimes(self, keys: Collection[str]) -> dict[str, float | None]:
        """The seconds that those keys that exist have left; None: for ever."""
        rows = self.ask(self.statements.lifetimes, _array(keys))
        return {key.decode(): left and number(left) for key, left in rows}

    def barriers(self, prefix: str) -> Iterator[str]:
        """The names of open barriers with this prefix, in order, read in pages."""
        return self._listed(self.statements.barriers, prefix)

    def find(self, facets: Mapping[str, str]) -> Iterator[str]:
        """The keys with these facets, in order, read in pages.

        The server may look at all that is left for each page, so the pages grow.
        """
        statement = self.statements.find(tuple(sorted(facets)))
        wanted = [self._facet(facets[name]) for name in sorted(facets)]
        start, page = b"", 1000
        while rows := self.ask(statement, start, *wanted, page):
            yield from (key.decode() for (key,) in rows)
            start, page = rows[-1][0] + b"\0", min(page * 4, LARGEST_PAGE)

    def _listed(self, statement: Statement, prefix: str) -> Iterator[str]:
        start = wanted = prefix.encode()
        while rows := self.ask(statement, start):
            for (key,) in rows:
                if not key.startswith(wanted):
                    return
                yield key.decode()
            start = rows[-1][0] + b"\0"

    def _facet(self, text: str | None) -> bytes | None:
        """A facet as text that the database can store."""
        if text is None or text.isascii() or self.connections.known().utf8:
            return None if text is None else text.replace("\0", "\\0").encode()
        return text.replace("\0", "\\0").encode("ascii", "backslashreplace")


def seconds(ttl: float | None) -> float | None:
    """The time to live for a statement."""
    return None if ttl is None or ttl > LONGEST else ttl


def number(value: bytes) -> float:
    """A `float8` of the binary format."""
    return float(_FLOAT.unpack(value)[0])


def _array(keys: Collection[str]) -> bytes:
    """The keys as an array in the binary format (PostgreSQL's `array_recv`)."""
    pieces = [_HEADER.pack(1, 0, _BYTEA, len(keys), 1)]
    for key in keys:
        each = key.encode()
        pieces += (len(each).to_bytes(4, "big"), each)
    return b"".join(pieces)
