"""The store: each operation of the contract is one statement."""

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from typing import Self

from kvbackends.contract import (
    Entry,
    Fact,
    Feature,
    Limits,
    Offer,
    PerProcess,
    RankOf,
    Store,
    StoreURL,
    Subscription,
)
from kvbackends_postgresql.about import about
from kvbackends_postgresql.barriers import PostgreSQLBarrier
from kvbackends_postgresql.connections import Connections
from kvbackends_postgresql.entries import FACETS, Entries
from kvbackends_postgresql.errors import Unavailable
from kvbackends_postgresql.listening import Listening, Rereading
from kvbackends_postgresql.options import PostgreSQLOptions, Target, target
from kvbackends_postgresql.statements import Statements


class PostgreSQLStore(Store):
    """A store in the tables of one database."""

    options_type = PostgreSQLOptions
    promises = Feature.AUTOEXPIRE | Feature.DURABLE | Feature.SHARED
    # A row of an index has at most a third of a page; a value, half of what the server may answer.
    limits = Limits(key_bytes=2000, value_bytes=512 << 20, ttl_step=0.001)
    transient_errors = (Unavailable,)

    def __init__(self, target: Target) -> None:
        if target.names.unlogged:
            self.promises = self.promises & ~Feature.DURABLE
        self._target = target
        self._statements = Statements(target.names)
        self._entries = PerProcess(
            self._opened,
            close=lambda each: each.connections.close(),
            abandon=lambda each: each.connections.abandon(),
        )

    @classmethod
    def from_url(cls, url: StoreURL, options: PostgreSQLOptions) -> Self:
        """The store in the database that the URL's path names."""
        return cls(target(url, options))

    def _opened(self) -> Entries:
        return Entries(Connections(self._target, self._statements), self._target.names)

    # -- plain and ranked keys ----------------------------------------------------------------

    def get(self, key: str) -> Entry | None:
        """Cost: one request.  The version is a UUID that each write makes."""
        return self._entries().get(key)

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Cost: one request."""
        return self._entries().get_batch(keys)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Cost: one request."""
        entries = self._entries()
        entries.put(key, value, ttl)
        entries.sweeper.wrote()

    def delete(self, key: str) -> None:
        """Cost: one request."""
        self._entries().delete([key])

    def delete_batch(self, keys: Collection[str]) -> None:
        """Cost: one request."""
        self._entries().delete(keys)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Cost: one request."""
        entries = self._entries()
        stored = entries.swap(key, value, version, ttl)
        entries.sweeper.wrote()
        return stored

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """Cost: one request if it is stored, two if it is refused or somebody waits for it.

        The stored rank decides; `rank_of` is called only for a value that `set` has stored.
        """
        entries = self._entries()
        stored = entries.offer(offer, rank_of)
        entries.sweeper.wrote()
        return stored

    def touch(self, key: str, ttl: float | None) -> bool:
        """Cost: one request."""
        return self._entries().touch(key, ttl)

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        """Cost: one request."""
        return self._entries().increment(key, by, ttl)

    def scan(self, prefix: str) -> Iterator[str]:
        """The keys in order, read in pages; keys written meanwhile may be missing."""
        return self._entries().scan(prefix)

    def lifetimes(self, keys: Collection[str]) -> Mapping[str, float | None]:
        """Cost: one request.  The server's clock decides."""
        return self._entries().lifetimes(keys)

    def barriers(self, prefix: str) -> Iterator[str]:
        """The names in order, read in pages."""
        return self._entries().barriers(prefix)

    def find(self, facets: Mapping[str, str]) -> Iterable[str] | None:
        """The keys with these facets, by indexes; None for facets that have no column."""
        return self._entries().find(facets) if facets.keys() <= set(FACETS) else None

    def sweep(self, limit: int = 1000) -> int:
        """Cost: three requests."""
        return self._entries().sweeper.sweep(limit)

    def barrier(self, name: str, ttl: float | None = None) -> PostgreSQLBarrier:
        """Each operation is one request; `close` is two."""
        return PostgreSQLBarrier(self._entries, name, ttl)

    # -- the rest -----------------------------------------------------------------------------

    def subscribe(self) -> Subscription:
        """A subscription by LISTEN; behind a pooler without the option `listen`, by reading."""
        connections = self._entries().connections
        if self._target.listening is None and connections.known().pooled:
            return Rereading()
        return Listening(connections.for_listening(), self._target.names, self._target.timeout)

    def about(self) -> list[Fact]:
        """Version, role, durability and clock.  Cost: one request."""
        return about(self._entries())

    def ping(self) -> None:
        """Raise if the server does not answer, or the tables cannot be used."""
        self._entries().get("kvbackends-ping")

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        self._entries.close()
