"""Stores that leak resources, notify late, or read stale values."""

import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from kvbackends.contract import Entry, StoreURL, Subscription
from kvbackends.stores.memory import MemorySubscription
from tests.broken_stores.reference import FileStore, ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import World


@caught_by("lasting.close_frees")
class ClosedLeavesAFile(ReferenceStore):
    """Closing drops the pool and leaks the connection that is in use."""

    lent: int | None = None

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.lent = self.lent or os.open(os.devnull, os.O_RDONLY)
        super().set(key, value, ttl)

    def close(self) -> None:
        self.lent = None


@caught_by("lasting.waits_leave_nothing")
class SubscriptionsStay(ReferenceStore):
    """Each subscription has a connection of its own, which closing it does not close."""

    def subscribe(self) -> Subscription:
        os.open(os.devnull, os.O_RDONLY)
        return super().subscribe()


@caught_by("lasting.waits_leave_nothing")
class ListenersStay(ReferenceStore):
    """A subscription that was closed stays on the list of those that are told."""

    class subscription_type(MemorySubscription):  # noqa: N801 - the name that the store asks for
        def close(self) -> None:
            space = self._space
            super().close()
            space.listeners |= {self}


@caught_by("lasting.calls_leave_nothing", slow=True)
class BatchesStay(ReferenceStore):
    """Each batch is read through a file of its own, which nobody closes."""

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        os.open(os.devnull, os.O_RDONLY)
        return super().get_batch(keys)


@caught_by("lasting.wakes_soon")
class TellsLate(ReferenceStore):
    """Notifications come from a thread that reads every two seconds."""

    def tell(self, key: str) -> None:
        threading.Timer(2, partial(super().tell, key)).start()


@caught_by("processes.fork_while_others_write")
class LockOverFork(ReferenceStore):
    """A lock that another thread held when the process was forked is held for ever in the child."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        lock = threading.RLock()
        self.space.lock = lambda: lock  # type: ignore[assignment]

    @contextmanager
    def world(self) -> Iterator[World]:
        with super().world() as world:
            yield world
            time.sleep(0.001)


@caught_by("histories.compare_and_set")
class ReadsAReplica(FileStore):
    """Reads are answered by a replica that lags behind what was confirmed."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.seen: dict[str, tuple[float, Entry | None]] = {}

    def get(self, key: str) -> Entry | None:
        read, entry = self.seen.get(key, (0.0, None))
        if time.monotonic() - read > 0.05:
            read, entry = self.seen[key] = time.monotonic(), super().get(key)
        return entry
