"""Stores results in this process's memory, for tests: ``memory://`` or ``memory://name``."""

import heapq
import itertools
import threading
import time
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

from kvbackends.contract.plugin import Adapter, hookimpl
from kvbackends.contract.process import PerProcess
from kvbackends.contract.records import Entry, Offer, RankOf
from kvbackends.contract.store import Store
from kvbackends.contract.url import StoreURL
from kvbackends.contract.waking import Doorbell

NEVER = float("inf")


class _Row(NamedTuple):
    value: bytes
    version: int
    expires: float
    """In seconds on the monotonic clock, which is never set back."""


class _Space:
    """The data of all stores of one name."""

    def __init__(self) -> None:
        self.lock = PerProcess(threading.RLock, per_hub=False)
        """A lock of each process: a forked child must not wait for a thread of its parent."""
        self.rows: dict[str, _Row] = {}
        self.expiries: list[tuple[float, str]] = []
        self.versions = itertools.count(1)
        self.listeners: frozenset[MemorySubscription] = frozenset()

    def forget_replaced(self) -> None:
        """Rebuild the heap of expiries without those of replaced and deleted rows."""
        self.expiries = [(row.expires, key) for key, row in self.rows.items()]
        heapq.heapify(self.expiries)


class MemorySubscription:
    """Collects the watched keys among the offered ones."""

    def __init__(self, space: _Space) -> None:
        self._space = space
        self._bell = Doorbell()
        self._watched: set[str] = set()
        self._changed: set[str] = set()
        with space.lock():
            space.listeners |= {self}

    def tell(self, key: str) -> None:
        """Report an offered key; the caller holds the space's lock."""
        if key in self._watched:
            self._changed.add(key)
            self._bell.ring()

    def watch(self, keys: Collection[str]) -> None:
        """Report later offers of these keys, too."""
        with self._space.lock():
            self._watched.update(keys)

    def unwatch(self, keys: Collection[str]) -> None:
        """Stop reporting these keys."""
        with self._space.lock():
            self._watched.difference_update(keys)

    def wait(self, timeout: float) -> Collection[str] | None:
        """Return the watched keys that were offered since the last call."""
        self._bell.wait(timeout)
        with self._space.lock():
            changed, self._changed = self._changed, set()
        return changed

    def wake(self) -> None:
        """End the current or next `wait`; callable from any thread."""
        self._bell.ring()

    def close(self) -> None:
        """Unsubscribe, and close the doorbell."""
        with self._space.lock():
            self._space.listeners -= {self}
        self._bell.close()


_spaces: dict[str, _Space] = {}
_spaces_lock = PerProcess(threading.RLock, per_hub=False)


class MemoryStore(Store):
    """A dictionary.  Stores with the same name in one process are one store."""

    def __init__(self, name: str = "") -> None:
        with _spaces_lock():
            self._space = _spaces.setdefault(name, _Space())

    @classmethod
    def from_url(cls, url: StoreURL, options: Any) -> Self:
        """Return the store whose name is the URL's host and path."""
        return cls("/".join([*map(str, url.hosts), url.path]))

    def get(self, key: str) -> Entry | None:
        """Cost: one look-up."""
        row = self._row(key)
        return None if row is None else Entry(row.value, row.version)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store, and remove a few expired keys."""
        with self._space.lock():
            self._put(key, value, ttl)

    def delete(self, key: str) -> None:
        """Remove the key if it exists."""
        with self._space.lock():
            self._space.rows.pop(key, None)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Compare and store under the lock."""
        with self._space.lock():
            row = self._row(key)
            if (row and row.version) != version:
                return False
            self._put(key, value, ttl)
            return True

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Read without the lock: each row is immutable."""
        rows = ((key, self._row(key)) for key in keys)
        return {key: row.value for key, row in rows if row is not None}

    def delete_batch(self, keys: Collection[str]) -> None:
        """Remove under the lock."""
        with self._space.lock():
            for key in keys:
                self._space.rows.pop(key, None)

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """Compare, store and notify under the lock."""
        space = self._space
        with space.lock():
            row = self._row(offer.key)
            if row and row.value != offer.value and not rank_of(row.value).yields_to(offer.rank):
                return False
            self._put(offer.key, offer.value, offer.ttl)
            for listener in space.listeners:
                listener.tell(offer.key)
            return True

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        """Add under the lock."""
        with self._space.lock():
            row = self._row(key)
            total = int(row.value if row else b"0") + by
            self._put(key, b"%d" % total, ttl)
            return total

    def scan(self, prefix: str) -> Iterator[str]:
        """Yield the keys that exist when the iteration starts."""
        for key in list(self._space.rows):
            if key.startswith(prefix) and self._row(key) is not None:
                yield key

    def lifetimes(self, keys: Collection[str]) -> Mapping[str, float | None]:
        """Read without the lock: each row is immutable."""
        now, rows = time.monotonic(), ((key, self._row(key)) for key in keys)
        return {
            key: None if row.expires == NEVER else row.expires - now for key, row in rows if row
        }

    def sweep(self, limit: int = 1000) -> int:
        """Remove at most `limit` expired keys, in order of expiry."""
        with self._space.lock():
            return self._sweep(limit)

    def subscribe(self) -> MemorySubscription:
        """Return a subscription to the offers of all stores of this name."""
        return MemorySubscription(self._space)

    def _row(self, key: str) -> _Row | None:
        row = self._space.rows.get(key)
        return row if row is not None and row.expires > time.monotonic() else None

    def _put(self, key: str, value: bytes, ttl: float | None) -> None:
        space = self._space
        expires = NEVER if ttl is None else time.monotonic() + ttl
        space.rows[key] = _Row(value, next(space.versions), expires)
        if ttl is not None:
            heapq.heappush(space.expiries, (expires, key))
            self._sweep(2)
            if len(space.expiries) > 2 * len(space.rows) + 64:
                space.forget_replaced()

    def _sweep(self, limit: int) -> int:
        space, now, removed = self._space, time.monotonic(), 0
        while removed < limit and space.expiries and space.expiries[0][0] <= now:
            expires, key = heapq.heappop(space.expiries)
            row = space.rows.get(key)
            if row is not None and row.expires == expires:
                del space.rows[key]
                removed += 1
        return removed


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    """Return the memory adapter."""
    yield Adapter(
        schemes=("memory",),
        store=MemoryStore,
        summary="this process's memory, for tests",
        example="memory://",
    )
