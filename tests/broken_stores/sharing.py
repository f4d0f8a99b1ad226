"""Connections and threads of one process that disturb each other."""

import threading
import time
from collections.abc import Hashable

from kvbackends.contract import Arrival, Entry, Offer, Part, RankOf, StoreURL
from tests.broken_stores.reference import ReferenceBarrier, ReferenceStore
from tests.broken_stores.registry import caught_by


class _LocksItself(ReferenceStore):
    """Each connection has a lock of its own."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.own = threading.RLock()


@caught_by("connections.two_race")
class SwapsUnderItsOwnLock(_LocksItself):
    """Two connections of one process compare, and then both set: the lock is one connection's."""

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        with self.own:
            entry = self.get(key)
            if (entry and entry.version) != version:
                return False
            time.sleep(0.002)
            self.set(key, value, ttl)
            return True


@caught_by("connections.two_race")
class RanksUnderItsOwnLock(_LocksItself):
    """The rank is read and the record written under a lock that is one connection's."""

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        with self.own:
            entry = self.get(offer.key)
            old = entry and entry.value
            if old not in {None, offer.value} and not rank_of(old or b"").yields_to(offer.rank):
                return False
            time.sleep(0.002)
            self.set(offer.key, offer.value, offer.ttl)
            self.tell(offer.key)
            return True


@caught_by("connections.two_race")
class CountsUnderItsOwnLock(_LocksItself):
    """A number is read and written under a lock that is one connection's."""

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        with self.own:
            entry = self.get(key)
            time.sleep(0.002)
            total = int(entry.value if entry else b"0") + by
            self.set(key, b"%d" % total, ttl)
            return total


@caught_by("connections.two_race")
class ArrivesUnderItsOwnLock(_LocksItself):
    """Two connections that both find the barrier complete both claim it."""

    class barrier_type(ReferenceBarrier):  # noqa: N801 - the name that the store asks for
        store: "_LocksItself"

        def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
            with self.store.own, self.store.world() as world:
                state = world.barrier(self.name)
                was_claimed = state is not None and state.holder is not None
            super().arrive(part, value, evict)
            time.sleep(0.005)
            with self.store.own, self.store.world() as world:
                state = world.barrier(self.name)
                if state is not None and not was_claimed:
                    state.holder = None
                return super().arrive(part, value, evict)


@caught_by("connections.own_answers")
class AnswersAreMixed(ReferenceStore):
    """Threads share a cursor: one may fetch what another has asked for."""

    fetched: Entry | None = None

    def get(self, key: str) -> Entry | None:
        self.fetched = super().get(key)
        time.sleep(0.0005)
        return self.fetched


@caught_by("connections.close_while_used")
class ClosingFailsOthers(ReferenceStore):
    """A call in another thread fails when the connection is closed under it."""

    closings = 0

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        before = self.closings
        time.sleep(0.001)
        if self.closings != before:
            raise RuntimeError("the connection is closed")
        super().set(key, value, ttl)

    def close(self) -> None:
        self.closings += 1
        super().close()
