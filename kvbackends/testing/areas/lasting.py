"""Resources that are released, and writes that last."""

import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kvbackends.contract import Feature, Offer, Rank, Store
from kvbackends.layers.layer import innermost
from kvbackends.testing.calls import CALLS
from kvbackends.testing.check import Area, lacking, requires, thorough
from kvbackends.testing.forks import in_child
from kvbackends.testing.tools import (
    SOON,
    TTL,
    Opener,
    hinted,
    latency,
    listed,
    offer,
    rank_of,
    value_at,
)

DESCRIPTORS = Path("/proc/self/fd")
ROUNDS = 5
"""Calls of each operation. Two more files are tolerated, so one that stays at each call is seen."""
SUBSCRIPTIONS = 60
LONG = 10.0
"""Seconds after which the longest loop ends early."""


class Lasting(Area):
    """No threads and files are leaked, and no confirmed write is lost."""

    area = "lasting"
    rule = "ping-and-close"
    alone = True

    def close_frees(self, opener: Opener, key: str) -> None:
        """Stores that were opened, used and closed leak neither threads nor files."""
        opened = [opener() for _ in range(12)]
        for each in opened[:2]:
            _use(each, key)
            each.close()
        before = _held()
        for each in opened[2:]:
            _use(each, key)
            each.close()
        assert _settles(before), f"from {before} to {_held()} threads and files"

    def waits_leave_nothing(self, store: Store, key: str) -> None:
        """Many waits, each with a subscription, leak neither threads, files nor subscriptions."""
        subscription = innermost(store).subscribe()
        kind = type(subscription)
        subscription.close()
        _subscribe(store, key)
        before, kept = _held(), _alive(kind)
        for _ in range(SUBSCRIPTIONS):
            _subscribe(store, key)
        assert _settles(before), f"from {before} to {_held()} threads and files"
        most = kept + SUBSCRIPTIONS // 2
        assert _eventually(lambda: _alive(kind) <= most), f"of {kind.__name__} {_alive(kind)} stay"

    @thorough
    def calls_leave_nothing(self, store: Store, key: str) -> None:
        """Neither reads and writes nor listing and sweeping leak threads or files."""
        _call_all(store, f"{key}-first")
        before = _held()
        for turn in range(ROUNDS):
            _call_all(store, f"{key}-{turn}")
        assert _settles(before), f"from {before} to {_held()} threads and files"

    @thorough
    def ten_thousand_waits(self, store: Store, key: str) -> None:
        """Ten thousand keys, watched and unwatched one after the other, leak nothing.

        On a slow store fewer keys are tried, at least a thousand.
        """
        store.get(key)
        subscription = store.subscribe()
        subscription.watch([key])
        subscription.wait(0)
        before = _held()
        until = time.monotonic() + LONG
        for i in range(10_000):
            subscription.watch([f"{key}-{i}"])
            subscription.unwatch([f"{key}-{i}"])
            if i >= 1_000 and time.monotonic() > until:
                break
        store.offer(offer(key, Rank.SUCCEEDED), rank_of)
        assert hinted(subscription, key)
        assert _settles(before), f"from {before} to {_held()} threads and files"
        subscription.close()

    def confirmed_is_there(self, store: Store, opener: Opener, key: str) -> None:
        """Confirmed writes can be read after the store was closed and opened again."""
        keeper = opener()
        keeper.ping()
        record = offer(f"{key}-r", Rank.SUCCEEDED)._replace(facets={"worker": key})
        store.set(key, b"v", TTL)
        store.offer(record, rank_of)
        store.close()
        again = opener()
        assert value_at(again, key) == b"v"
        assert value_at(again, record.key) == record.value
        _is_found(again, record)

    @requires(Feature.DURABLE | Feature.SHARED)
    def killed_writer(self, store: Store, other: Store, key: str) -> None:
        """A confirmed write survives the death of its process right after the confirmation."""
        record = offer(f"{key}-r", Rank.SUCCEEDED)._replace(facets={"worker": key})

        def write_and_die() -> None:
            store.set(key, b"v")
            store.offer(record, rank_of)
            os.kill(os.getpid(), 9)

        assert in_child(write_and_die) == -9
        assert value_at(other, key) == b"v"
        assert value_at(other, record.key) == record.value
        _is_found(other, record)
        store.set(key, b"w")
        assert value_at(other, key) == b"w"

    @requires(Feature.DURABLE)
    @lacking(Feature.SHARED)
    def killed_process(self, store: Store, second: Store, key: str) -> None:
        """What a process has confirmed can be read by the next one, though the first was killed.

        The store is for one process at a time: this one has closed it meanwhile.
        """
        store.set(f"{key}-before", b"v")
        for each in (store, second):
            each.close()

        record = offer(f"{key}-r", Rank.SUCCEEDED)._replace(facets={"worker": key})

        def write_and_die() -> None:
            store.set(key, b"v")
            store.offer(record, rank_of)
            os.kill(os.getpid(), 9)

        assert in_child(write_and_die) == -9
        assert value_at(store, f"{key}-before") == b"v"
        assert value_at(store, key) == b"v"
        assert value_at(store, record.key) == record.value
        _is_found(store, record)

    @requires(Feature.PUSH)
    def wakes_soon(self, store: Store, other: Store, key: str) -> None:
        """An offer wakes a waiter within a second, and the waiter can read the value."""
        subscription, late = store.subscribe(), 0
        for i in range(5):
            each = offer(f"{key}-{i}", Rank.SUCCEEDED)
            subscription.watch([each.key])
            began = time.monotonic()
            writer = threading.Timer(0.02, other.offer, [each, rank_of])
            writer.start()
            while store.get(each.key) is None:
                assert time.monotonic() - began < SOON, "no notification of the offer came"
                subscription.wait(SOON)
            late += time.monotonic() - began >= 1 + 20 * latency(store)
            writer.join()
            assert late < 2, "notifications came too late"  # one may: the machine may stall
        subscription.close()


def _is_found(store: Store, record: Offer) -> None:
    """The record is listed, and found by its facets, where the store can."""
    if store.features & Feature.LISTING:
        assert list(store.scan(record.key)) == listed(store, [record.key], record.key)
    if store.features & Feature.FACETS:
        found = list(store.find(record.facets) or ())
        assert found == listed(store, [record.key]), "the record's facets are lost"


def _use(store: Store, key: str) -> None:
    store.set(key, b"v")
    _subscribe(store, key)


def _call_all(store: Store, key: str) -> None:
    for name, call in CALLS.items():
        call(store, f"{key}-{name}")
    if store.features & Feature.LISTING:
        list(store.scan(key))
    store.sweep(1)


def _subscribe(store: Store, key: str) -> None:
    subscription = store.subscribe()
    subscription.watch([key])
    subscription.wait(0)
    subscription.close()


def _alive(kind: type) -> int:
    """The number of objects of this type that something still refers to."""
    gc.collect()
    return sum(type(each) is kind for each in gc.get_objects())


def _held() -> tuple[int, int]:
    if not DESCRIPTORS.exists():
        pytest.skip("this system does not show which files are open")
    return threading.active_count(), len(list(DESCRIPTORS.iterdir()))


def _settles(before: tuple[int, int]) -> bool:
    """True once no more threads and files are open than `before`: threads take time to end."""
    return _eventually(
        lambda: all(now <= then + 2 for now, then in zip(_held(), before, strict=True))
    )


def _eventually(condition: Callable[[], bool]) -> bool:
    """True as soon as the condition is met; False if it is not soon."""
    until = time.monotonic() + SOON
    while not (met := condition()) and time.monotonic() < until:
        time.sleep(0.05)
    return met
