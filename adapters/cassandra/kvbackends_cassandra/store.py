"""The store: every write of a key is a lightweight transaction, in one request.

Plain writes carry the writer's clock, transactions carry ballots, and Cassandra keeps what has the
greater of both: so on one row there is one kind.  An unconditional write has a condition that
always holds, "the version is not this fresh one".
"""

import hashlib
import math
import time
from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import Any, Self

from kvbackends import Entry, Feature, Limits, Offer, PerProcess, Rank, RankOf, Store, StoreURL
from kvbackends_cassandra import options as settings
from kvbackends_cassandra import versions
from kvbackends_cassandra.client import Client, Connecting, Plan
from kvbackends_cassandra.errors import CassandraUnavailable
from kvbackends_cassandra.options import CassandraOptions
from kvbackends_cassandra.schema import Tables

_READ = "SELECT value, version FROM {entries} WHERE key = ?"
_READ_MANY = "SELECT key, value FROM {entries} WHERE key IN ?"
_WRITE = "UPDATE {entries} USING TTL ? SET value = ?, version = ?, rank = ? WHERE key = ? "
_SET = _WRITE + "IF version != ?"
_SWAP = _WRITE + "IF version = ?"
_OFFER = _WRITE + "IF version != ? AND rank != ? AND rank != ? AND rank != ?"
_DELETE = "DELETE FROM {entries} WHERE key = ? IF EXISTS"
_SCAN = "SELECT key FROM {entries}"

PLAIN = 0
"""Stands for the rank of what was not offered: its bytes tell."""
TOGETHER = 50
"""Keys of one ``IN``."""
LONGEST_TTL = 630_720_000
"""Seconds: Cassandra's limit, 20 years."""
LAST_EXPIRY = 2**31 - 86_400
"""Seconds since 1970: servers refuse what expires after January 2038, unless told otherwise."""


class CassandraStore(Store):
    """Two tables in a keyspace."""

    options_type = CassandraOptions
    promises = Feature.AUTOEXPIRE | Feature.DURABLE | Feature.SHARED
    transient_errors = (CassandraUnavailable,)

    def __init__(self, plan: Plan, entry_ttl: float | None, value_bytes: int) -> None:
        self.limits = Limits(
            key_bytes=65_000,  # CQL: 65,535 bytes
            value_bytes=value_bytes,
            batch_keys=1000,
            key_pattern="(?s).+",  # CQL: "Key may not be empty"
            ttl_step=2.0,  # see `seconds`
        )
        self._entry_ttl = entry_ttl
        self._client: PerProcess[Client] = PerProcess(
            Connecting(plan), close=Client.close, abandon=Client.abandon
        )

    @classmethod
    def from_url(cls, url: StoreURL, options: CassandraOptions) -> Self:
        """The store in the keyspace that the URL's path names."""
        settings.check(options)
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
        return cls(plan, options.entry_ttl, options.value_bytes)

    # -- plain and ranked keys ----------------------------------------------------------------

    def get(self, key: str) -> Entry | None:
        """One request."""
        rows = self._client().rows(_READ, (key,))
        return Entry(*rows[0]) if rows and rows[0][0] is not None else None

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """A request for every fifty keys, all at the same time."""
        listed = list(keys)
        batches = [(listed[start : start + TOGETHER],) for start in range(0, len(listed), TOGETHER)]
        answers = self._client().all_rows(_READ_MANY, batches)
        return {key: value for rows in answers for key, value in rows if value is not None}

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """One request."""
        mine = versions.first()
        values = (seconds(ttl), value, mine, PLAIN, key, mine)
        self._client().decide(_SET, values, mine)

    def delete(self, key: str) -> None:
        """One request."""
        self._client().decide(_DELETE, (key,), b"")

    def delete_batch(self, keys: Collection[str]) -> None:
        """One request a key, several at a time."""
        for _ in self._client().all_rows(_DELETE, [(key,) for key in keys]):
            pass

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """One request."""
        return self._swap(key, value, PLAIN, version, ttl)

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """One request; three where `set` has written what is there.

        The version is the value's digest: an offer that equals what is stored finds itself.
        """
        mine = hashlib.blake2b(offer.value, digest_size=versions.OWN).digest()
        above = Rank.FAILED if offer.rank is Rank.UNREADY else Rank.SUCCEEDED
        ttl = seconds(self._entry_ttl or offer.ttl)
        values = (ttl, offer.value, mine, int(offer.rank), offer.key)
        condition = (mine, PLAIN, int(above), int(Rank.SUCCEEDED))
        decision = self._client().decide(_OFFER, values + condition, mine)
        if decision.applied:
            return True
        return decision.found["rank"] == PLAIN and self._offer_over_plain(offer, rank_of)

    def scan(self, prefix: str) -> Iterator[str]:
        """Reads every key of the table, in pages: Cassandra has no order of keys to search in."""
        for page in self._client().stream(_SCAN, ()):
            yield from (key for (key,) in page if key.startswith(prefix))

    # -- the rest -----------------------------------------------------------------------------

    def ping(self) -> None:
        """Connects if need be, and reads."""
        self.get("kvbackends-ping")

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        self._client.close()

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


def seconds(ttl: float | None) -> int:
    """The ttl as Cassandra counts it; 0 is for ever.

    It counts from the beginning of the present second, so one second more: nothing dies early, and
    nothing lives two seconds longer.  What would live longer than servers can count is kept.
    """
    if ttl is None:
        return 0
    whole = math.ceil(ttl) + 1
    return 0 if whole > min(LONGEST_TTL, LAST_EXPIRY - time.time()) else whole
