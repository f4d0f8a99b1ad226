"""Several subscriptions and many notifications."""

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial

import pytest

from kvbackends import StoreUnavailable
from kvbackends.contract import Barrier, Feature, Rank, Store, Subscription
from kvbackends.testing.check import Area, requires
from kvbackends.testing.check import rule as by_rule
from kvbackends.testing.forks import child
from kvbackends.testing.overlapped import side_by_side
from kvbackends.testing.tools import (
    SOON,
    TTL,
    Opener,
    arrive,
    begin,
    hinted,
    hints,
    latency,
    offer,
    part,
    rank_of,
    together,
    told,
    value_at,
)

FAST = 0.002
"""Seconds: a store whose calls take longer gets fewer offers."""


class Subscriptions(Area):
    """No notification is lost, however many there are."""

    area = "subscriptions"
    rule = "waiting"

    def two_watch_one_key(self, store: Store, subscription: Subscription, key: str) -> None:
        """Both subscriptions to a key are told, and one still is when the other unwatches it."""
        with _subscribed(store) as second:
            for each in (subscription, second):
                each.watch([key])
            store.offer(offer(key, Rank.UNREADY), rank_of)
            assert [hinted(each, key) for each in (subscription, second)] == [True, True]
            second.unwatch([key])
            store.offer(offer(key, Rank.SUCCEEDED), rank_of)
            assert hinted(subscription, key)

    def wake_takes_no_change(self, store: Store, subscription: Subscription, key: str) -> None:
        """A `wake` between an offer and the wait does not hide the offer."""
        subscription.watch([key])
        store.offer(offer(key, Rank.SUCCEEDED), rank_of)
        subscription.wake()
        assert hinted(subscription, key)

    @by_rule("ping-and-close")
    def store_is_closed(self, opener: Opener, other: Store, key: str) -> None:
        """When its store was closed a subscription is still told, or fails: it is never silent."""
        store = opener()
        subscription = store.subscribe()
        try:
            subscription.watch([key])
            store.close()
            other.offer(offer(key, Rank.SUCCEEDED), rank_of)
            with suppress(StoreUnavailable, *store.transient_errors):
                assert hinted(subscription, key)
        finally:
            subscription.close()

    def the_empty_key(self, store: Store, subscription: Subscription) -> None:
        """The empty key is watched like any other."""
        store.delete("")
        subscription.watch([""])
        store.offer(offer("", Rank.SUCCEEDED, ttl=TTL), rank_of)
        assert hinted(subscription, "")
        store.delete("")

    def several_threads(self, store: Store, key: str) -> None:
        """A subscription is used by one thread after another, and closed by yet another."""
        with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
            subscription = one.submit(store.subscribe).result()
            for n, (waits, offers) in enumerate([(one, two), (two, one), (one, two)]):
                each = offer(f"{key}-{n}", Rank.SUCCEEDED)
                waits.submit(subscription.watch, [each.key]).result()
                offers.submit(store.offer, each, rank_of).result()
                assert waits.submit(hinted, subscription, each.key).result()
                offers.submit(subscription.unwatch, [each.key]).result()
            two.submit(subscription.close).result()

    @requires(Feature.SHARED)
    def another_process(self, store: Store, subscription: Subscription, key: str) -> None:
        """An offer by another process ends a wait."""
        subscription.watch([key])
        pid = child(lambda: store.offer(offer(key, Rank.SUCCEEDED), rank_of))
        try:
            assert hinted(subscription, key)
        finally:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    @requires(Feature.PUSH)
    def many_other_offers(self, store: Store, subscription: Subscription, key: str) -> None:
        """Offers to 2,000 other keys push no notification out; on a slow store to 200."""
        first, last = f"{key}-first", f"{key}-last"
        subscription.watch([first, last])
        store.offer(offer(first, Rank.SUCCEEDED), rank_of)
        count = 2_000 if latency(store) < FAST else 200
        offers = [offer(f"{key}-{n}", Rank.SUCCEEDED, ttl=TTL) for n in range(count)]
        side_by_side(lambda each: store.offer(each, rank_of), offers)
        store.offer(offer(last, Rank.SUCCEEDED), rank_of)
        assert _all_hinted(subscription, {first, last})

    @requires(Feature.PUSH)
    def many_watched(self, store: Store, subscription: Subscription, key: str) -> None:
        """Of 2,000 keys that are watched at once each is told of."""
        keys = [f"{key}-{n}" for n in range(2_000)]
        subscription.watch(keys)
        offered = {keys[0], keys[1_111], keys[-1]}
        for each in offered:
            store.offer(offer(each, Rank.SUCCEEDED), rank_of)
        assert _all_hinted(subscription, offered)
        subscription.unwatch(keys)

    @requires(Feature.PUSH)
    def back_and_forth(self, store: Store, other: Store, key: str) -> None:
        """Two waiters wake each other again and again; no notification is lost in between."""
        rounds = 100 if latency(store) < FAST else 20
        together(
            [
                partial(_play, store, [f"{key}-a-{n}" for n in range(rounds)], f"{key}-b", True),
                partial(_play, other, [f"{key}-b-{n}" for n in range(rounds)], f"{key}-a", False),
            ]
        )

    @requires(Feature.PUSH)
    def refused_value(self, store: Store, subscription: Subscription, key: str) -> None:
        """After a success was refused, a value that comes with a notification is the stored one."""
        subscription.watch([key])
        assert store.offer(offer(key, Rank.SUCCEEDED, "stored"), rank_of)
        assert not store.offer(offer(key, Rank.SUCCEEDED, "refused"), rank_of)
        stored = value_at(store, key)
        for text in ("refused again", "and again"):
            for value in _told(subscription, key):
                assert value in {None, stored}
            subscription.watch([key])
            assert not store.offer(offer(key, Rank.SUCCEEDED, text), rank_of)

    @requires(Feature.PUSH)
    @pytest.mark.parametrize("by", ["offer", "finish", "close"])
    def readable_when_told(
        self, store: Store, subscription: Subscription, barrier: Barrier, key: str, by: str
    ) -> None:
        """A result can be read before its waiters are woken, whatever stores it."""
        for n in range(3):
            run, result = (
                store.barrier(f"{barrier.name}-{n}", TTL),
                offer(f"{key}-{n}", Rank.FAILED),
            )
            begin(run, 2 if by == "finish" else 1)
            last = part(0)
            works: dict[str, Callable[[], object]] = {
                "offer": partial(store.offer, result, rank_of),
                "finish": partial(run.finish, last, result, rank_of),
                "close": partial(run.close, last, result, rank_of),
            }
            if by == "close":
                arrive(run, last)
            subscription.watch([result.key])
            thread = threading.Thread(target=works[by])
            thread.start()
            try:
                if hints(subscription, result.key) is None:
                    thread.join()  # it cannot tell, and may answer so before the write
                assert value_at(store, result.key) == result.value
            finally:
                thread.join()


@contextmanager
def _subscribed(store: Store) -> Iterator[Subscription]:
    subscription = store.subscribe()
    try:
        yield subscription
    finally:
        subscription.close()


def _all_hinted(subscription: Subscription, keys: Collection[str]) -> bool:
    missing, until = set(keys), time.monotonic() + SOON
    while missing and time.monotonic() < until:
        hints = subscription.wait(0.1)
        missing = set() if hints is None else missing - set(hints)
    return not missing


def _told(subscription: Subscription, key: str) -> Iterator[bytes | None]:
    """The values that come with notifications of the key until none has come for a while."""
    while hints := subscription.wait(0.05):
        yield told(hints, key)


def _play(store: Store, own: list[str], others: str, begins: bool) -> None:
    """Offer one's own keys one by one, each after the other player's."""
    with _subscribed(store) as subscription:
        for n, each in enumerate(own):
            if begins:
                store.offer(offer(each, Rank.SUCCEEDED), rank_of)
            _await(store, subscription, f"{others}-{n}")
            if not begins:
                store.offer(offer(each, Rank.SUCCEEDED), rank_of)


def _await(store: Store, subscription: Subscription, key: str) -> None:
    """As a waiter does: watch, read, and read again after each notification."""
    subscription.watch([key])
    until = time.monotonic() + SOON
    while store.get(key) is None:
        hints: Collection[str] | None = ()
        while hints is not None and key not in hints:
            assert time.monotonic() < until, "no notification of the offer came"
            hints = subscription.wait(SOON)
    subscription.unwatch([key])
