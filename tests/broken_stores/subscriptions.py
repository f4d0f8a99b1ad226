"""Notifications that are lost among others."""

import itertools
import threading
import time
from collections import deque
from collections.abc import Collection
from typing import Any

from kvbackends.contract import Arrival, Offer, Part, RankOf, Subscription
from kvbackends.stores.memory import MemorySubscription
from tests.broken_stores.reference import FileStore, ReferenceBarrier, ReferenceStore
from tests.broken_stores.registry import caught_by


@caught_by("waiting.an_offer_ends_a_wait")
class WatchingForgets(ReferenceStore):
    """What was told before another key is watched is forgotten: the request is sent anew."""

    class subscription_type(MemorySubscription):  # noqa: N801
        def watch(self, keys: Collection[str]) -> None:
            super().watch(keys)
            self._changed.clear()


@caught_by("subscriptions.two_watch_one_key")
class TellsOneWaiter(ReferenceStore):
    """A notification is delivered to one of its subscribers (a queue with competing consumers)."""

    def tell(self, key: str) -> None:
        for listener in self.space.listeners:
            if key in listener._watched:
                listener.tell(key)
                return


@caught_by("subscriptions.two_watch_one_key")
class UnwatchesForAll(ReferenceStore):
    """Subscriptions share a channel a key, and the first that unwatches closes it for all."""

    class subscription_type(MemorySubscription):  # noqa: N801 - the name that the store asks for
        def unwatch(self, keys: Collection[str]) -> None:
            for each in self._space.listeners:
                MemorySubscription.unwatch(each, keys)


@caught_by("subscriptions.wake_takes_no_change")
class WakeHidesChanges(ReferenceStore):
    """A wait that was woken answers "nothing", and forgets what has changed."""

    class subscription_type(MemorySubscription):  # noqa: N801
        woken = False

        def wake(self) -> None:
            self.woken = True
            super().wake()

        def wait(self, timeout: float) -> Collection[str] | None:
            changed, woken = super().wait(timeout), self.woken
            self.woken = False
            return () if woken else changed


@caught_by("subscriptions.store_is_closed")
class SilentAfterClose(ReferenceStore):
    """Closing a store takes its subscriptions off the list, and their waits just end."""

    def close(self) -> None:
        self.space.listeners = frozenset()


@caught_by("subscriptions.the_empty_key")
class EmptyKeyIsNoKey(ReferenceStore):
    """The empty key is taken for none where keys are told."""

    def tell(self, key: str) -> None:
        if key:
            super().tell(key)


@caught_by("subscriptions.several_threads")
class OfItsThread(ReferenceStore):
    """A subscription works in the thread only that has made it (a connection of sqlite3)."""

    class subscription_type(MemorySubscription):  # noqa: N801
        def __init__(self, space: Any) -> None:
            super().__init__(space)
            self.thread = threading.get_ident()

        def watch(self, keys: Collection[str]) -> None:
            if threading.get_ident() != self.thread:
                raise RuntimeError("created in another thread")
            super().watch(keys)


@caught_by("subscriptions.another_process")
class HeardHereOnly(FileStore):
    """Only waiters of the same process are told."""

    def subscribe(self) -> Subscription:
        return ReferenceStore.subscribe(self)


@caught_by("subscriptions.many_other_offers")
class BufferOfAThousand(ReferenceStore):
    """A subscription keeps the latest 1,000 notifications, also of keys that it does not watch."""

    class subscription_type(MemorySubscription):  # noqa: N801
        def __init__(self, space: Any) -> None:
            super().__init__(space)
            self.latest: deque[str] = deque(maxlen=1_000)

        def tell(self, key: str) -> None:
            self.latest.append(key)
            self._bell.ring()

        def wait(self, timeout: float) -> Collection[str] | None:
            super().wait(timeout)
            told = {key for key in self.latest if key in self._watched}
            self.latest.clear()
            return told


@caught_by("subscriptions.many_watched")
class WatchesAPage(ReferenceStore):
    """Of the keys that are to be watched together the first 1,000 are."""

    class subscription_type(MemorySubscription):  # noqa: N801
        def watch(self, keys: Collection[str]) -> None:
            super().watch(list(itertools.islice(keys, 1_000)))


@caught_by("subscriptions.back_and_forth")
class WatchesLater(ReferenceStore):
    """`watch` returns before the server has confirmed the subscription."""

    class subscription_type(MemorySubscription):  # noqa: N801
        def watch(self, keys: Collection[str]) -> None:
            threading.Timer(0.003, super().watch, [set(keys)]).start()


@caught_by("subscriptions.refused_value")
class TellsTheRefused(ReferenceStore):
    """An offer is told with its value, whether it is stored or refused."""

    class subscription_type(MemorySubscription):  # noqa: N801
        def wait(self, timeout: float) -> Collection[str] | None:
            offered = vars(self._space).setdefault("offered", {})
            return {key: offered[key] for key in super().wait(timeout) or ()}

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        with self.world():
            vars(self.space).setdefault("offered", {})[offer.key] = offer.value
            self.tell(offer.key)
            return super().offer(offer, rank_of)


def _told_too_early(store: ReferenceStore, key: str) -> None:
    """Tell of the key; what is stored next is told no more, and somewhat later."""
    store.tell(key)
    time.sleep(0.1)


@caught_by("subscriptions.readable_when_told")
class OfferTellsTooEarly(ReferenceStore):
    """`offer` notifies of a result and stores it afterwards."""

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        _told_too_early(self, offer.key)
        return super().offer(offer, rank_of)


@caught_by("subscriptions.readable_when_told")
class FinishTellsTooEarly(ReferenceStore):
    """`finish` notifies of a result and stores it afterwards."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def finish(
            self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
        ) -> Arrival:
            _told_too_early(self.store, offer.key)
            return super().finish(part, offer, rank_of, evict)


@caught_by("subscriptions.readable_when_told")
class ClosingTellsTooEarly(ReferenceStore):
    """`close` notifies of the result and stores it afterwards."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
            if offer is not None:
                _told_too_early(self.store, offer.key)
            super().close(part, offer, rank_of)
