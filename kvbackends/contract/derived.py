"""The operations that every store gets from its five methods, and what they share."""

import concurrent.futures
import itertools
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from kvbackends.contract.records import Entry, Limits, Offer, RankOf
from kvbackends.errors import StoreError

T = TypeVar("T")


class Primitives(Protocol):
    """What an adapter writes; `kvbackends.contract.store.Store` describes each."""

    def get(self, key: str) -> Entry | None:
        """The value at `key`, or None."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store unconditionally."""

    def delete(self, key: str) -> None:
        """Remove; absent is fine."""

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Store only if the stored version is `version` (None: only if absent)."""


class Operations(Primitives, Protocol):
    """The five methods, and derived ones that other derived ones stand on."""

    limits: Limits

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """The values of the keys that exist."""

    def delete_batch(self, keys: Collection[str]) -> None:
        """Remove the keys; absent is fine."""

    def add_member(self, key: str, member: str, ttl: float | None) -> frozenset[str]:
        """Put `member` into the set at `key`; all its members."""

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """The ranked write."""


UNCHANGED = 100
"""Lost races in a row, with the same version read before each: nobody loses like that by chance."""
MOST = 10_000
"""Lost races of one operation.  Each was somebody else's success, so there is no end to wait for
where so many have passed."""


class LostRaces:
    """Ends a loop over `compare_and_set` that gets nowhere.

    Where a store's `get` and `compare_and_set` disagree, about what has expired for instance, the
    loop would run for ever.
    """

    def __init__(self) -> None:
        self._lost = self._unchanged = 0
        self._version: Any = self  # equals no version

    def count(self, version: Hashable | None) -> None:
        """One more round was for nothing.  `StoreError` when there is no hope."""
        self._lost += 1
        self._unchanged = self._unchanged + 1 if version == self._version else 1
        self._version = version
        if self._unchanged >= UNCHANGED:
            raise StoreError(
                "the store contradicts itself: get answers a version that compare_and_set does not "
                f"take, {UNCHANGED} times in a row"
            )
        if self._lost >= MOST:
            raise StoreError(f"a write lost {MOST:,} races for its key, and gives up")


def update(
    store: Primitives,
    key: str,
    change: Callable[[bytes | None], bytes | None],
    ttl: float | None,
) -> bytes | None:
    """Replace the value at `key` by what `change` makes of it, atomically.

    `change` gets the stored bytes (None: absent) and may run several times; where it returns None
    nothing is written.  Returns what is stored in the end.
    """
    races = LostRaces()
    while True:
        entry = store.get(key)
        old, version = (None, None) if entry is None else entry
        new = change(old)
        if new is None:
            return old
        if store.compare_and_set(key, new, version, ttl):
            return new
        races.count(version)


def get_many(store: Operations, keys: Collection[str]) -> Iterable[tuple[str, bytes]]:
    """The keys that exist, with their values, read in batches of at most ``limits.batch_keys``.

    One key is read as one: on every store that is the cheapest way.
    """
    if len(keys) == 1:
        (key,) = keys
        entry = store.get(key)
        return () if entry is None else ((key, entry.value),)
    batches = (store.get_batch(batch).items() for batch in _batches(store, keys))
    return itertools.chain.from_iterable(batches)


def delete_many(store: Operations, keys: Collection[str]) -> None:
    """Remove the keys, in batches of at most ``limits.batch_keys``."""
    for batch in _batches(store, keys):
        store.delete_batch(batch)


def _batches(store: Operations, keys: Collection[str]) -> Iterator[list[str]]:
    unique = list(dict.fromkeys(keys))
    size = store.limits.batch_keys
    for start in range(0, len(unique), size):
        yield unique[start : start + size]


def offer(store: Primitives, offer: Offer, rank_of: RankOf) -> bool:
    """Store the offer unless a record is there that does not yield.

    The first step assumes that nothing is there: one call for most results.  A record that equals
    the offer is the offer, stored by an earlier attempt.
    """
    if store.compare_and_set(offer.key, offer.value, None, offer.ttl):
        return True
    races = LostRaces()
    while True:
        entry = store.get(offer.key)
        old, version = (None, None) if entry is None else entry
        if old == offer.value:
            return True
        if old is not None and not rank_of(old).yields_to(offer.rank):
            return False
        if store.compare_and_set(offer.key, offer.value, version, offer.ttl):
            return True
        races.count(version)


THREADS = 8
"""Most requests that a store without batches is sent at once."""


def get_batch(store: Primitives, keys: Collection[str]) -> Mapping[str, bytes]:
    """The values of the keys that exist, read concurrently."""
    entries = zip(keys, concurrently(store.get, keys), strict=True)
    return {key: entry.value for key, entry in entries if entry is not None}


def delete_batch(store: Primitives, keys: Collection[str]) -> None:
    """Remove the keys concurrently."""
    concurrently(store.delete, keys)


def concurrently(call: Callable[[str], T], keys: Collection[str]) -> Iterable[T]:
    """``map(call, keys)`` with several calls under way, for stores a network away."""
    if len(keys) <= 1:
        return [call(key) for key in keys]
    with concurrent.futures.ThreadPoolExecutor(min(THREADS, len(keys))) as pool:
        return list(pool.map(call, keys))


def increment(store: Primitives, key: str, by: int, ttl: float | None) -> int:
    """Add `by` to the decimal number at `key` (absent: 0); returns the sum."""
    total = update(store, key, lambda old: b"%d" % (int(old or b"0") + by), ttl)
    return int(total or b"0")


def touch(store: Primitives, key: str, ttl: float | None) -> bool:
    """Give `key` a new time to live; False if it does not exist."""
    return update(store, key, lambda old: old, ttl) is not None
