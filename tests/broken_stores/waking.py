"""Notifications that are lost, early or wrong."""

import itertools
import time
from collections.abc import Collection
from typing import Any

from kvbackends.contract import Arrival, Offer, Part, RankOf
from kvbackends.stores.memory import MemorySubscription
from tests.broken_stores.reference import ReferenceBarrier, ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import World


@caught_by("waiting.no_lost_wake_up")
class ToldTooEarly(ReferenceStore):
    """The notification leaves before the value is visible: a waiter that reads finds nothing."""

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        self.tell(offer.key)
        time.sleep(0.002)
        return super().offer(offer, rank_of)

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        listeners, self.space.listeners = self.space.listeners, frozenset()
        try:
            return super().ranked(world, offer, rank_of)
        finally:
            self.space.listeners = listeners


@caught_by("waiting.no_lost_wake_up")
class WatchesTheFirst(ReferenceStore):
    """Of the keys that are to be watched together the subscription misses the second."""

    class subscription_type(MemorySubscription):  # noqa: N801 - the name that the store asks for
        def watch(self, keys: Collection[str]) -> None:
            super().watch(list(itertools.islice(keys, 1)))


@caught_by("waiting.several_keys_by_turns")
class WatchReplaces(ReferenceStore):
    """Watching a second key forgets the first."""

    class subscription_type(MemorySubscription):  # noqa: N801
        def watch(self, keys: Collection[str]) -> None:
            self.unwatch(list(self._watched))
            super().watch(keys)


@caught_by("waiting.no_lost_wake_up")
class TellsTheLast(ReferenceStore):
    """Of the keys that changed between two waits only the last one is notified."""

    class subscription_type(MemorySubscription):  # noqa: N801
        def tell(self, key: str) -> None:
            if key in self._watched:
                self._changed.clear()
            super().tell(key)


@caught_by("waiting.unwatched")
class UnwatchForgotten(ReferenceStore):
    """A key that is no longer watched is notified for ever."""

    class subscription_type(MemorySubscription):  # noqa: N801
        def unwatch(self, keys: Collection[str]) -> None:
            pass


@caught_by("waiting.wake_before_waiting")
class WakeIsLost(ReferenceStore):
    """A wake that comes before the wait is lost: the event is cleared where the wait begins."""

    class subscription_type(MemorySubscription):  # noqa: N801
        def wait(self, timeout: float) -> Collection[str] | None:
            self._bell.wait(0)
            return super().wait(timeout)


@caught_by("waiting.two_subscriptions")
class OneClosesAll(ReferenceStore):
    """All subscriptions share a connection, and closing one closes it for the others."""

    class subscription_type(MemorySubscription):  # noqa: N801
        def close(self) -> None:
            super().close()
            self._space.listeners = frozenset()


@caught_by("waiting.closing_tells_of_the_result")
class ClosingTellsNothing(ReferenceStore):
    """Closing a barrier stores its result and sends no notification."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
            space = self.store.space
            listeners, space.listeners = space.listeners, frozenset()
            try:
                super().close(part, offer, rank_of)
            finally:
                space.listeners = listeners


@caught_by("waiting.finish_ends_a_wait")
class FinishTellsNothing(ReferenceStore):
    """`finish` stores its result and sends no notification."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def finish(
            self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
        ) -> Arrival:
            space = self.store.space
            listeners, space.listeners = space.listeners, frozenset()
            try:
                return super().finish(part, offer, rank_of, evict)
            finally:
                space.listeners = listeners


@caught_by("waiting.times_out")
class WaitsInMilliseconds(ReferenceStore):
    """The timeout is handed to a driver that takes milliseconds: the leader spins."""

    class subscription_type(MemorySubscription):  # noqa: N801
        def wait(self, timeout: float) -> Collection[str] | None:
            return super().wait(timeout / 1000)


class Telling(MemorySubscription):
    """Notifications bring values, however old these are."""

    longest: int | None = None

    def __init__(self, space: Any) -> None:
        super().__init__(space)
        self._world = space.world
        self._values: dict[str, bytes] = {}

    def tell(self, key: str) -> None:
        self._values[key] = self._world.row(key).value[: self.longest]
        super().tell(key)

    def wait(self, timeout: float) -> Collection[str] | None:
        return {key: self._values[key] for key in super().wait(timeout) or ()}


@caught_by("waiting.nothing_old_is_told")
class TellsWhatIsGone(ReferenceStore):
    """A notification brings a value that was deleted before its key was watched."""

    subscription_type = Telling


@caught_by("waiting.told_values_are_stored")
class TellsTheBeginning(ReferenceStore):
    """Notifications are short: they bring the beginning of a value."""

    class subscription_type(Telling):  # noqa: N801
        longest = 1

        def watch(self, keys: Collection[str]) -> None:
            with self._space.lock():
                self._changed.difference_update(keys)
            super().watch(keys)
