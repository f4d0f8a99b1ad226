"""Batch reads, counters and times to live over five methods."""

import concurrent.futures
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

from kvbackends.derived.primitives import Primitives, update

T = TypeVar("T")
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
