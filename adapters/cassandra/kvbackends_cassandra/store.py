"""The store: every write of a key is one lightweight transaction.

Cassandra orders plain writes by the writer's clock and transactions by their ballots.  A plain
write could lose against an older transaction, so no row is written both ways.  An unconditional
write is a transaction whose condition always holds: "the version is not this new one".
"""

import hashlib
from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import Any, Self

from kvbackends.contract import (
    Barrier,
    Entry,
    Fact,
    Feature,
    FreshBarrier,
    Limits,
    Offer,
    PerProcess,
    Rank,
    RankOf,
    Store,
    StoreURL,
)
from kvbackends_cassandra import options as settings
from kvbackends_cassandra import versions
from kvbackends_cassandra.barriers import CassandraBarrier, Memory
from kvbackends_cassandra.client import Client, Connecting
from kvbackends_cassandra.cluster import Plan, check_arguments, server
from kvbackends_cassandra.errors import CassandraUnavailable
from kvbackends_cassandra.options import CassandraOptions
from kvbackends_cassandra.schema import Tables
from kvbackends_cassandra.times import seconds

_READ = "SELECT value, version FROM {entries} WHERE key = ?"
_READ_MANY = "SELECT key, value FROM {entries} WHERE key IN ?"
_WRITE = "UPDATE {entries} USING TTL ? SET value = ?, version = ?, rank = ? WHERE key = ? "
_SET = _WRITE + "IF version != ?"
_SWAP = _WRITE + "IF version = ?"
_OFFER = _WRITE + "IF version != ? AND rank != ? AND rank != ? AND rank != ?"
_DELETE = "DELETE FROM {entries} WHERE key = ? IF EXISTS"
_SCAN = "SELECT key FROM {entries}"
_LEFT = "SELECT key, TTL(value), version FROM {entries} WHERE key IN ?"
_ABOUT = "SELECT release_version, cluster_name FROM system.local"
_BARRIERS = "SELECT DISTINCT barrier, version FROM {barriers}"

PLAIN = 0
"""The `rank` column of a value that `set` has stored; only `rank_of` knows its rank."""
FIRST, TOGETHER = 20, 50
"""Most keys in a batch's first ``IN``, and in each later one; the later ones are sent together."""
ANSWER_BYTES = 1 << 20
"""The size that the answer to a later ``IN`` should have."""
LISTED = 5000
"""Keys in a page of `scan`."""


class CassandraStore(Store):
    """A store in two tables of a keyspace."""

    options_type = CassandraOptions
    promises = Feature.AUTOEXPIRE | Feature.DURABLE | Feature.SHARED
    transient_errors = (CassandraUnavailable,)

    def __init__(self, plan: Plan, entry_ttl: float | None, value_bytes: int) -> None:
        self.limits = Limits(
            key_bytes=65_000,  # CQL takes 65,535
            value_bytes=value_bytes,
            batch_keys=1000,
            key_pattern="(?s).+",  # CQL refuses an empty key
            ttl_step=2.0,  # see `times.seconds`
        )
        self._entry_ttl = entry_ttl
        self._memory = Memory()
        connecting = Connecting(plan)
        self._client: PerProcess[Client] = PerProcess(
            connecting, close=Client.close, abandon=Client.abandon
        )
        connecting.forget = self._client.close

    @classmethod
    def from_url(cls, url: StoreURL, options: CassandraOptions) -> Self:
        """The store in the keyspace that the URL's path names."""
        settings.check(options)
        check_arguments(options.driver or {})
        tables = Tables(
            settings.keyspace(url, options),
            settings.table(options),
            options.create,
            options.replication,
        )
        arguments: dict[str, Any] = {
            "auth_provider": settings.credentials(url, options),
            "connect_timeout": options.connect_timeout,
            **settings.contact(url, options),
            **(options.driver or {}),
        }
        plan = Plan(
            arguments,
            tables,
            settings.level(options.read_consistency),
            settings.level(options.write_consistency),
            settings.serial(options),
            options.timeout,
            options.local_dc,
        )
        store = cls(plan, options.entry_ttl, options.value_bytes)
        store.server = server(arguments)
        return store

    # -- plain and ranked keys ----------------------------------------------------------------

    def get(self, key: str) -> Entry | None:
        """Cost: one request."""
        rows = self._client().rows(_READ, (key,))
        return Entry(*rows[0]) if rows and rows[0][0] is not None else None

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Cost: one request for the first 20 keys, then one for every 50, sent together.

        A server builds its answer in memory, so larger values are requested in smaller groups; the
        first request shows how large they are.
        """
        listed = list(keys)
        found = self._values([listed[:FIRST]])
        if len(listed) > FIRST:
            largest = max(map(len, found.values()), default=0)
            size = max(1, min(TOGETHER, ANSWER_BYTES // (largest + 100)))
            starts = range(FIRST, len(listed), size)
            found |= self._values([listed[start : start + size] for start in starts])
        return found

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Cost: one request."""
        mine = versions.first()
        values = (seconds(ttl), value, mine, PLAIN, key, mine)
        self._client().decide(_SET, values, mine)

    def delete(self, key: str) -> None:
        """Cost: one request."""
        self._client().decide(_DELETE, (key,), b"")

    def delete_batch(self, keys: Collection[str]) -> None:
        """Cost: one request for each key, sent together."""
        for _ in self._client().all_rows(_DELETE, [(key,) for key in keys]):
            pass

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Cost: one request."""
        return self._swap(key, value, PLAIN, version, ttl)

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """Cost: one request; three if the stored value was written by `set`.

        The version is a digest of the value, so a repeated offer recognises itself.
        """
        mine = hashlib.blake2b(offer.value, digest_size=versions.OWN_BYTES).digest()
        above = Rank.FAILED if offer.rank is Rank.UNREADY else Rank.SUCCEEDED
        ttl = seconds(self._entry_ttl or offer.ttl)
        values = (ttl, offer.value, mine, int(offer.rank), offer.key)
        condition = (mine, PLAIN, int(above), int(Rank.SUCCEEDED))
        decision = self._client().decide(_OFFER, values + condition, mine)
        if decision.applied:
            return True
        return decision.found["rank"] == PLAIN and self._offer_over_plain(offer, rank_of)

    def scan(self, prefix: str) -> Iterator[str]:
        """Read all keys of the table, in pages: Cassandra does not order its keys by name."""
        for page in self._client().stream(_SCAN, (), LISTED, lambda _: LISTED):
            yield from (key for (key,) in page if key.startswith(prefix))

    def lifetimes(self, keys: Collection[str]) -> Mapping[str, float | None]:
        """Cost: one request for every 50 keys, sent together."""
        listed = list(keys)
        batches = [(listed[at : at + TOGETHER],) for at in range(0, len(listed), TOGETHER)]
        rows = (row for answer in self._client().all_rows(_LEFT, batches) for row in answer)
        return {key: left for key, left, version in rows if version is not None}

    def barriers(self, prefix: str) -> Iterator[str]:
        """Read the names of all chords, in pages: Cassandra does not order them."""
        for page in self._client().stream(_BARRIERS, (), LISTED, lambda _: LISTED):
            yield from (name for name, run in page if run is not None and name.startswith(prefix))

    def barrier(self, name: str, ttl: float | None = None) -> Barrier:
        """A part is two requests, the first one of a process three."""
        return FreshBarrier(self._one_barrier, name, ttl)

    def _one_barrier(self, name: str, ttl: float | None) -> CassandraBarrier:
        return CassandraBarrier(self, self._client(), self._memory, name, ttl)

    def about(self) -> Iterator[Fact]:
        """The server's version.  Cost: one request."""
        ((version, name),) = self._client().rows(_ABOUT)
        yield Fact("server", f"Cassandra {version}, cluster {name!r}")

    # -- connections --------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        self._client.close()

    def _values(self, batches: list[list[str]]) -> dict[str, bytes]:
        answers = self._client().all_rows(_READ_MANY, [(keys,) for keys in batches])
        return {key: value for rows in answers for key, value in rows if value is not None}

    def _swap(
        self, key: str, value: bytes, rank: int, version: Hashable | None, ttl: float | None
    ) -> bool:
        before: Any = version
        mine = versions.after(before)
        values = (seconds(ttl), value, mine, rank, key, before)
        return self._client().decide(_SWAP, values, mine).applied

    def _offer_over_plain(self, offer: Offer, rank_of: RankOf) -> bool:
        entry = self.get(offer.key)
        if entry is None:
            return self.offer(offer, rank_of)
        if entry.value == offer.value:
            return True
        if not rank_of(entry.value).yields_to(offer.rank):
            return False
        ttl = self._entry_ttl or offer.ttl
        stored = self._swap(offer.key, offer.value, int(offer.rank), entry.version, ttl)
        return stored or self.offer(offer, rank_of)
