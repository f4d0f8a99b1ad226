"""The store: each operation of the contract in one request, or two where a race was lost."""

from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import Self

from kvbackends.contract import (
    Entry,
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
from kvbackends_mongodb.barriers import MongoDBBarrier
from kvbackends_mongodb.client import Client, Unavailable, translated, translated_each
from kvbackends_mongodb.options import MongoDBOptions, Target, target


class MongoDBStore(Store):
    """One collection for results and keys, and one for the chords that are under way."""

    options_type = MongoDBOptions
    promises = Feature.AUTOEXPIRE | Feature.DURABLE | Feature.SHARED
    # A document has at most 16 MiB (MongoDB's manual, "Limits and Thresholds"), its key included.
    limits = Limits(key_bytes=8 << 10, value_bytes=(16 << 20) - (64 << 10), ttl_step=0.002)
    transient_errors = (Unavailable,)

    def __init__(self, target: Target) -> None:
        if not target.durable:
            self.promises = self.promises & ~Feature.DURABLE
        self._runs: Recent[int] = Recent()
        self._client = PerProcess(lambda: Client.opened(target), close=Client.close)

    @classmethod
    def from_url(cls, url: StoreURL, options: MongoDBOptions) -> Self:
        """The store in the database that the URL's path names; nothing is connected."""
        return cls(target(url, options))

    # -- plain and ranked keys ----------------------------------------------------------------

    @translated
    def get(self, key: str) -> Entry | None:
        """One request.  The version is an identifier that each write makes anew."""
        return entries.get(self._client().entries, key)

    @translated
    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """One request."""
        return entries.get_batch(self._client().entries, keys)

    @translated
    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """One request."""
        entries.put(self._client().entries, key, value, ttl)

    @translated
    def delete(self, key: str) -> None:
        """One request."""
        entries.delete(self._client().entries, [key])

    @translated
    def delete_batch(self, keys: Collection[str]) -> None:
        """One request."""
        entries.delete(self._client().entries, keys)

    @translated
    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """One request."""
        if version is None:
            return entries.create(self._client().entries, key, value, ttl)
        return entries.replace(self._client().entries, key, value, version, ttl)

    @translated
    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """One request, which decides by the rank beside the value; a second one if it is refused.

        `rank_of` is asked for what `set` has stored.
        """
        return entries.offer(self._client().entries, offer, rank_of)

    @translated
    def touch(self, key: str, ttl: float | None) -> bool:
        """One request."""
        return entries.touch(self._client().entries, key, ttl)

    @translated
    def increment(self, key: str, by: int, ttl: float | None) -> int:
        """One request; above 18 digits, and over bytes that `set` has stored, some more."""
        return entries.increment(self._client().entries, key, by, ttl)

    @translated_each
    def scan(self, prefix: str) -> Iterator[str]:
        """In order, in batches; keys written meanwhile may be missing."""
        return entries.scan(self._client().entries, prefix)

    @translated_each
    def find(self, facets: Mapping[str, str]) -> Iterator[str]:
        """By the index on the facets."""
        return entries.find(self._client().entries, facets)

    @translated
    def barrier(self, name: str, ttl: float | None) -> MongoDBBarrier:
        """A part is one request while others are missing; four where it claims."""
        return MongoDBBarrier(self._client().chords, self._runs, name, ttl)

    # -- the rest -----------------------------------------------------------------------------

    @translated
    def ping(self) -> None:
        """Ask the primary for an answer."""
        self._client().ping()

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        self._client.close()
