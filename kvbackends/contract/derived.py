"""Loops and batches over a store's methods, for the derived operations and the layers."""

import concurrent.futures
import contextvars
import itertools
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from kvbackends.contract.line import Line
from kvbackends.contract.signals import uninterrupted
from kvbackends.errors import StoreError

if TYPE_CHECKING:
    from kvbackends.contract.store import Store

T = TypeVar("T")

THREADS = 8
"""Most requests at a time to a store without batches."""
UNCHANGED = 100
"""Lost races in a row with the same version read before each: that does not happen by chance."""
MOST = 10_000
"""Lost races of one operation.  Each was another writer's success: after so many it gives up."""


class LostRaces:
    """Ends a loop over `compare_and_set` that makes no progress.

    It would not end where a store's `get` and `compare_and_set` disagree, for instance about
    whether a key has expired.
    """

    def __init__(self) -> None:
        self._lost = self._unchanged = 0
        self._version: Any = self  # equals no version

    def count(self, version: Hashable | None) -> None:
        """Count a lost race; `version` was read before it.  Raises `StoreError` after too many."""
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
    store: "Store",
    key: str,
    change: Callable[[bytes | None], bytes | None],
    ttl: float | None,
) -> bytes | None:
    """Replace the value at `key` by what `change` returns for it, atomically.

    `change` gets the stored bytes (None: absent) and may be called several times; where it returns
    None nothing is written.  Returns the bytes that are stored in the end.
    """
    races = LostRaces()
    with Line(key) as line:
        while True:
            entry = store.get(key)
            old, version = (None, None) if entry is None else entry
            new = change(old)
            if new is None:
                return old
            if store.compare_and_set(key, new, version, ttl):
                return new
            races.count(version)
            line.wait()


def get_many(store: "Store", keys: Collection[str]) -> Iterable[tuple[str, bytes]]:
    """The keys that exist, with their values, read in batches of at most ``limits.batch_keys``."""
    if len(keys) == 1:  # `get` is the cheapest read of every store
        (key,) = keys
        entry = store.get(key)
        return () if entry is None else ((key, entry.value),)
    found = (store.get_batch(batch).items() for batch in batches(store, keys))
    return itertools.chain.from_iterable(found)


def delete_many(store: "Store", keys: Collection[str]) -> None:
    """Remove the keys, in batches of at most ``limits.batch_keys``."""
    for batch in batches(store, keys):
        store.delete_batch(batch)


def batches(store: "Store", keys: Collection[str]) -> Iterator[list[str]]:
    """The keys, each once, in lists of at most ``limits.batch_keys``."""
    unique = list(dict.fromkeys(keys))
    size = store.limits.batch_keys
    for start in range(0, len(unique), size):
        yield unique[start : start + size]


def concurrently(call: Callable[[str], T], keys: Collection[str]) -> Iterable[T]:
    """``map(call, keys)`` with several calls at a time, for stores a network away."""
    return [call(key) for key in keys] if len(keys) <= 1 else _in_threads(call, keys)


@uninterrupted  # a handler that begins threads itself would wait for a lock of the interrupted pool
def _in_threads(call: Callable[[str], T], keys: Collection[str]) -> list[T]:
    pool = concurrent.futures.ThreadPoolExecutor(min(THREADS, len(keys)))
    try:
        # Each call in a copy of this context, which has the deadline.
        calls = [pool.submit(contextvars.copy_context().run, call, key) for key in keys]
        return [each.result() for each in calls]
    finally:  # after a failure, only the calls under way: each may last until the deadline
        pool.shutdown(cancel_futures=True)
