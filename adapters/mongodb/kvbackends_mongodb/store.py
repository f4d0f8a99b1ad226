"""The store: each operation of the contract is one request, or two if a race was lost."""

from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import Self

from kvbackends.contract import (
    Entry,
    Fact,
    Feature,
    Limits,
    Offer,
    PerProcess,
    RankOf,
    Recent,
    Store,
    StoreURL,
)
from kvbackends_mongodb import entries
from kvbackends_mongodb.about import about
from kvbackends_mongodb.barriers import MongoDBBarrier, names
from kvbackends_mongodb.client import Client, Unavailable, translated, translated_each
from kvbackends_mongodb.options import MongoDBOptions, Target, target


class MongoDBStore(Store):
    """A store in two collections: one for results and other keys, one for unfinished chords."""

    options_type = MongoDBOptions
    promises = Feature.AUTOEXPIRE | Feature.DURABLE | Feature.SHARED
    # MongoDB's limit for a document, its key included, is 16 MiB ("Limits and Thresholds").
    limits = Limits(key_bytes=8 << 10, value_bytes=(16 << 20) - (64 << 10), ttl_step=0.002)
    transient_errors = (Unavailable,)

    def __init__(self, target: Target) -> None:
        if not target.durable:
            self.promises = self.promises & ~Feature.DURABLE
        self.patience = target.patience
        self._runs: Recent[int] = Recent()
        self._client = PerProcess(lambda: Client.opened(target), close=Client.close)

    @classmethod
    def from_url(cls, url: StoreURL, options: MongoDBOptions) -> Self:
        """The store in the database that the URL's path names."""
        found = target(url, options)
        store = cls(found)
        store.server = found.server
        return store

    # -- plain and ranked keys ----------------------------------------------------------------

    @translated
    def get(self, key: str) -> Entry | None:
        """Cost: one request.  The version is an ObjectId that each write creates."""
        return entries.get(self._client().entries, key)

    @translated
    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Cost: one request."""
        return entries.get_batch(self._client().entries, keys)

    @translated
    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Cost: one request."""
        entries.put(self._client().entries, key, value, ttl)

    @translated
    def delete(self, key: str) -> None:
        """Cost: one request."""
        entries.delete(self._client().entries, [key])

    @translated
    def delete_batch(self, keys: Collection[str]) -> None:
        """Cost: one request."""
        entries.delete(self._client().entries, keys)

    @translated
    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Cost: one request."""
        if version is None:
            return entries.create(self._client().entries, key, value, ttl)
        return entries.replace(self._client().entries, key, value, version, ttl)

    @translated
    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """Cost: one request if it is stored, two if it is refused.

        The stored rank decides; `rank_of` is called only for a value that `set` has stored.
        """
        return entries.offer(self._client().entries, offer, rank_of)

    @translated
    def touch(self, key: str, ttl: float | None) -> bool:
        """Cost: one request."""
        return entries.touch(self._client().entries, key, ttl)

    @translated
    def increment(self, key: str, by: int, ttl: float | None) -> int:
        """Cost: one request; more above 18 digits, or over a number that `set` has stored."""
        return entries.increment(self._client().entries, key, by, ttl)

    @translated_each
    def scan(self, prefix: str) -> Iterator[str]:
        """The keys in order, read in batches; keys written meanwhile may be missing."""
        return entries.scan(self._client().entries, prefix)

    @translated_each
    def find(self, facets: Mapping[str, str]) -> Iterator[str]:
        """The keys with these facets, from the index on them."""
        return entries.find(self._client().entries, facets)

    @translated
    def lifetimes(self, keys: Collection[str]) -> Mapping[str, float | None]:
        """Cost: one request.  The server's clock decides."""
        return entries.lifetimes(self._client().entries, keys)

    @translated_each
    def barriers(self, prefix: str) -> Iterator[str]:
        """The names in order, read in batches."""
        return names(self._client().chords, prefix)

    def barrier(self, name: str, ttl: float | None = None) -> MongoDBBarrier:
        """A part is one request while others are missing; four where it claims."""
        return MongoDBBarrier(self, lambda: self._client().chords, self._runs, name, ttl)

    # -- connections --------------------------------------------------------------------------

    @translated
    def about(self) -> list[Fact]:
        """Version, topology and clock."""
        return list(about(self._client().entries))

    @translated
    def ping(self) -> None:
        """Raise if the primary does not answer."""
        self._client().ping()

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        self._client.close()
