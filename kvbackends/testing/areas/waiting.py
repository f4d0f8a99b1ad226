"""Notifications to waiters."""

import threading
import time
from collections.abc import Collection

from kvbackends.contract import Barrier, Feature, Outcome, Rank, Store, Subscription
from kvbackends.testing.check import Area, requires
from kvbackends.testing.tools import SOON, hinted, offer, part, publisher, rank_of, told, value_at

SPINNING = 50
"""A wait of 0.2 seconds that ends early as often as this keeps its caller busy."""


class Waiting(Area):
    """No change is missed."""

    area = "waiting"
    rule = "waiting"

    def an_offer_ends_a_wait(self, store: Store, subscription: Subscription, key: str) -> None:
        """After `watch` has returned, a later offer ends a wait, an advisory one, too."""
        subscription.watch([key])
        store.offer(offer(key, Rank.UNREADY)._replace(advisory=True), rank_of)
        assert hinted(subscription, key)
        store.offer(offer(key, Rank.SUCCEEDED), rank_of)
        subscription.watch([f"{key}-another"])
        assert hinted(subscription, key)

    def finish_ends_a_wait(self, subscription: Subscription, key: str, barrier: Barrier) -> None:
        """A result that is stored together with its part sends a notification too."""
        barrier.open(b"")
        barrier.expect(publisher(), 2)
        subscription.watch([key])
        answer = barrier.finish(part(0), offer(key, Rank.SUCCEEDED), rank_of)
        assert answer.outcome is Outcome.WAITING
        assert hinted(subscription, key)

    def closing_tells_of_the_result(
        self, subscription: Subscription, key: str, barrier: Barrier
    ) -> None:
        """Closing a barrier sends a notification of the result that it stores."""
        barrier.open(b"")
        last = part(0)
        barrier.arrive(last, b"v")
        subscription.watch([key])
        barrier.close(last, offer(key, Rank.SUCCEEDED), rank_of)
        assert hinted(subscription, key)

    def several_keys_by_turns(self, store: Store, subscription: Subscription, key: str) -> None:
        """Keys may be watched one after the other; notifications of earlier keys still come."""
        for i in range(5):
            subscription.watch([f"{key}-{i}"])
            for each in (f"{key}-{i}", f"{key}-0"):
                store.offer(offer(each, Rank.UNREADY), rank_of)
                assert hinted(subscription, each)

    def another_connection_is_heard(
        self, other: Store, subscription: Subscription, key: str
    ) -> None:
        """An offer through another connection of the same store sends a notification."""
        subscription.watch([key])
        other.offer(offer(key, Rank.SUCCEEDED), rank_of)
        assert hinted(subscription, key)

    def odd_keys(self, store: Store, subscription: Subscription, key: str) -> None:
        """A notification names the key as it was watched, however the store encodes it."""
        odd = f"{key} ключ\n{'long' * 500}"
        subscription.watch([odd])
        store.offer(offer(odd, Rank.SUCCEEDED), rank_of)
        assert hinted(subscription, odd)

    def wake(self, subscription: Subscription) -> None:
        """`wake` ends a wait at once, from any thread; the wait reports no change."""
        began = time.monotonic()
        threading.Timer(0.05, subscription.wake).start()
        while (keys := subscription.wait(2 * SOON)) is None:
            pass
        assert not keys
        assert time.monotonic() - began < SOON

    def wake_before_waiting(self, subscription: Subscription) -> None:
        """A wake that comes before the wait is not lost."""
        subscription.wake()
        began = time.monotonic()
        subscription.wait(2 * SOON)
        assert time.monotonic() - began < SOON

    def times_out(self, subscription: Subscription, key: str) -> None:
        """A wait ends after its time: some may end early, but a caller that waits does not spin."""
        subscription.watch([key])
        waits, until = 0, time.monotonic() + 0.2
        while (left := until - time.monotonic()) > 0:
            named = subscription.wait(left)
            assert set(named or ()) <= {key}, "a key was named that nobody watches"
            waits += 1
        assert left > -SOON, "a wait did not end when its time was over"
        assert waits < SPINNING, f"a wait of 0.2 seconds ended early {waits} times"

    def zero_looks_once(self, subscription: Subscription) -> None:
        """A wait with a timeout of 0 returns at once."""
        took = []
        for _ in range(3):  # the quickest counts: the machine may stall
            began = time.monotonic()
            subscription.wait(0)
            took.append(time.monotonic() - began)
        assert min(took) < 1

    @requires(Feature.PUSH)
    def other_keys_are_not_told(self, store: Store, subscription: Subscription, key: str) -> None:
        """A store that pushes names only keys that were watched and offered."""
        subscription.watch([key])
        store.offer(offer(f"{key}-other", Rank.SUCCEEDED), rank_of)
        store.set(f"{key}-plain", b"v")
        store.offer(offer(key, Rank.SUCCEEDED), rank_of)
        told: list[str] = []
        while key not in told and (keys := subscription.wait(SOON)) is not None:
            told += keys
        assert set(told) <= {key}

    def unwatched(self, store: Store, subscription: Subscription, key: str) -> None:
        """No notification names an unwatched key; unwatching it again does nothing."""
        subscription.watch([key, f"{key}-2"])
        subscription.unwatch([key])
        subscription.unwatch([key])
        store.offer(offer(key, Rank.SUCCEEDED), rank_of)
        store.offer(offer(f"{key}-2", Rank.SUCCEEDED), rank_of)
        seen: set[str] = set()
        while f"{key}-2" not in seen:
            keys = subscription.wait(0.1)
            seen.update({f"{key}-2"} if keys is None else keys)
        assert key not in seen

    def watched_again(self, store: Store, subscription: Subscription, key: str) -> None:
        """A key that was unwatched can be watched again."""
        for rank in (Rank.UNREADY, Rank.SUCCEEDED):
            subscription.watch([key])
            store.offer(offer(key, rank), rank_of)
            assert hinted(subscription, key)
            subscription.unwatch([key])

    def no_lost_wake_up(self, store: Store, subscription: Subscription, key: str) -> None:
        """With watch, read, wait in this order, an offer at any moment is read or notified."""
        keys = [f"{key}-{i}" for i in range(40)]
        writer = threading.Thread(
            target=lambda: [store.offer(offer(k, Rank.SUCCEEDED), rank_of) for k in keys]
        )
        subscription.watch(keys)
        writer.start()
        pending = set(keys)
        until = time.monotonic() + 2 * SOON
        while pending and time.monotonic() < until:
            told = subscription.wait(0.2)
            pending -= store.get_batch(pending if told is None else pending & set(told)).keys()
        writer.join()
        assert not pending, f"{len(pending)} of {len(keys)} offers were neither read nor notified"

    @requires(Feature.PUSH)
    def told_values_are_stored(self, store: Store, subscription: Subscription, key: str) -> None:
        """A value that comes with a notification equals the stored value."""
        subscription.watch([key])
        store.offer(offer(key, Rank.SUCCEEDED, "all of it"), rank_of)
        hints: Collection[str] | None = ()
        while hints is not None and key not in hints:
            hints = subscription.wait(SOON)
        assert told(hints, key) in {None, value_at(store, key)}

    @requires(Feature.PUSH)
    def nothing_old_is_told(self, store: Store, subscription: Subscription, key: str) -> None:
        """A notification brings no value from before the latest `watch` of its key."""
        subscription.watch([key])
        store.offer(offer(key, Rank.SUCCEEDED), rank_of)
        store.delete(key)
        subscription.watch([key])
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            assert told(subscription.wait(0.05), key) is None

    def two_subscriptions(self, store: Store, subscription: Subscription, key: str) -> None:
        """Closing one subscription leaves the other."""
        other = store.subscribe()
        other.watch([key])
        subscription.watch([key])
        other.close()
        store.offer(offer(key, Rank.SUCCEEDED), rank_of)
        assert hinted(subscription, key)
