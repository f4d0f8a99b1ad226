"""SQLite: waiters in other processes are woken immediately, and use no CPU while they wait."""

import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kvbackends.contract import Part, Rank
from kvbackends.stores.sqlite import SQLiteStore, subscription
from kvbackends.stores.sqlite.lockfile import CAPACITY
from tests.servers.process import eventually
from tests.stores.conftest import Opener, begin, ended, open_files
from tests.support.chords import offer, part, publisher, rank_of
from tests.support.stalls import TRIES


@pytest.fixture(params=["inotify", "polling"])
def subscribe(
    request: pytest.FixtureRequest, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], subscription.FileSubscription]:
    if request.param == "polling":
        monkeypatch.setattr(subscription, "_inotify_on", lambda _: None)
    return store.subscribe


def give(store: SQLiteStore, key: str) -> None:
    store.offer(offer(key, Rank.SUCCEEDED), rank_of)


def test_a_value_is_readable_when_the_waiter_wakes(subscribe, store: SQLiteStore):
    """Each of 100 results of another process wakes the waiter, which then reads it."""
    watching = subscribe()
    keys = [f"k{i}" for i in range(100)]

    def work() -> None:
        for key in keys:
            time.sleep(0.002)
            give(store, key)

    watching.watch(keys)
    child, missing = begin(work), set(keys)
    while missing:
        woken = watching.wait(5)
        if woken is None:  # notifications were missed, so any key may have changed
            woken = [key for key in missing if store.get(key)]
        else:
            assert woken, missing
        assert all(store.get(key) for key in woken)
        missing -= set(woken)
    assert ended(child) == 0
    watching.close()


def test_waiters_wake_quickly(store: SQLiteStore):
    """The median is far below a millisecond; the bound is generous for busy machines."""
    watching = store.subscribe()

    def median(turn: int) -> float:
        taken = []
        for i in range(30):
            key = f"{turn}-{i}"
            watching.watch([key])
            thread = threading.Timer(
                0.005, lambda k=key: (give(store, k), taken.append(time.time()))
            )
            thread.start()
            assert watching.wait(5) == {key}
            woken = time.time()
            thread.join()
            taken[-1] = woken - taken[-1]
        return statistics.median(taken)

    assert any(median(turn) < 0.005 for turn in range(TRIES))
    watching.close()


@pytest.mark.parametrize("way", ["offer", "finish", "close"])
def test_every_way_of_storing_wakes(subscribe, store: SQLiteStore, way: str):
    """A result wakes whichever operation stores it; a part alone wakes nobody."""
    watching = subscribe()
    watching.watch(["k"])
    barrier = store.barrier("b", 60)
    barrier.open(b"")
    barrier.expect(publisher(), 2)
    result, each = offer("k", Rank.SUCCEEDED), part(0)
    if way == "offer":
        store.offer(result, rank_of)
    elif way == "finish":
        barrier.finish(each, result, rank_of)
    else:
        barrier.arrive(part(1), b"v")
        barrier.finish(each, result, rank_of)
        assert not watching.wait(0.02)
        barrier.close(each, result, rank_of)
    assert watching.wait(5) == {"k"}
    watching.close()


def test_missed_notifications_are_reported(subscribe, store: SQLiteStore):
    """If notifications may have been missed, `wait` returns None: any key may have changed."""
    watching = subscribe()
    watching.watch(["first"])
    give(store, "first")
    for i in range(CAPACITY):
        give(store, f"k{i}")
    assert watching.wait(1) is None
    assert not watching.wait(0.01)
    watching.close()


def test_a_damaged_lock_file_is_repaired(subscribe, store: SQLiteStore, path: Path):
    """The damage is reported once, and the next result wakes again."""
    watching = subscribe()
    watching.watch(["k"])
    Path(f"{path}-lock").write_bytes(os.urandom(100))
    assert watching.wait(1) is None
    assert watching.wait(0.02) == ()
    give(store, "k")
    assert watching.wait(1) is None
    give(store, "k")
    assert watching.wait(1) == {"k"}
    watching.close()


def test_keys_of_one_checksum_are_reported_together(store: SQLiteStore):
    """They can still be unwatched one by one."""
    one, other = "plumless", "buckeroo"  # the same CRC-32
    watching = store.subscribe()
    watching.watch([one, other])
    give(store, one)
    assert watching.wait(1) == {one, other}
    watching.unwatch([other])
    give(store, other)
    assert watching.wait(1) == {one}
    watching.unwatch([one])
    give(store, one)
    assert not watching.wait(0.02)
    watching.close()


def test_results_of_other_keys_cost_little_cpu(store: SQLiteStore):
    """A waiter uses less than a third of a core while two processes store without pause."""
    watching = store.subscribe()
    watching.watch(["never"])
    stop = time.monotonic() + 1

    def flood() -> None:
        i = 0
        while time.monotonic() < stop:
            give(store, f"{os.getpid()}-{(i := i + 1)}")

    children = [begin(flood) for _ in range(2)]
    cpu, began = time.process_time(), time.monotonic()
    while time.monotonic() < stop:
        watching.wait(0.2)
    share = (time.process_time() - cpu) / (time.monotonic() - began)
    assert [ended(child) for child in children] == [0, 0]
    assert share < 0.33
    watching.close()


def test_an_idle_waiter_uses_no_cpu(subscribe):
    """A waiter whose keys are not offered sleeps."""
    watching = subscribe()
    watching.watch(["never"])
    cpu = time.process_time()
    assert not watching.wait(1)
    assert time.process_time() - cpu < 0.05
    watching.close()


def test_wake_ends_the_current_and_the_next_wait(subscribe):
    """`wake` works from another thread, and before the wait starts."""
    watching = subscribe()
    began = time.monotonic()
    threading.Timer(0.05, watching.wake).start()
    assert watching.wait(5) == ()
    watching.wake()
    assert watching.wait(5) == ()
    assert time.monotonic() - began < 4
    assert not watching.wait(0.01)
    watching.close()


def test_subscriptions_leave_no_file_and_no_key(store: SQLiteStore):
    """They do not after 200 closed subscriptions and 10,000 unwatched keys."""
    store.ping()
    before = open_files()
    for _ in range(200):
        store.subscribe().close()
    watching = store.subscribe()
    keys = [f"k{i}" for i in range(10_000)]
    watching.watch(keys)
    watching.unwatch(keys)
    assert watching._keys == {}
    watching.close()
    assert open_files() == before


def test_forked_children_have_their_own_subscriptions(open_sqlite: Opener):
    """The parent and each child is woken by its own subscription."""
    store = open_sqlite()
    watching = store.subscribe()
    watching.watch(["k"])
    ready = [f"ready-{number}" for number in range(3)]

    def work(number: int) -> None:
        mine = store.subscribe()
        mine.watch(["k"])
        give(store, ready[number])
        assert mine.wait(20) == {"k"}
        mine.close()

    children = [begin(lambda n=number: work(n)) for number in range(3)]
    assert eventually(lambda: len(store.get_batch(ready)) == 3, 20)
    give(store, "k")
    assert [ended(child) for child in children] == [0] * 3
    assert watching.wait(5) == {"k"}
    watching.close()


def test_a_part_wakes_no_waiter(store: SQLiteStore):
    """A part has no key, so its arrival sends no notification."""
    watching = store.subscribe()
    watching.watch(["b", "t"])
    barrier = store.barrier("b", 60)
    barrier.open(b"")
    barrier.arrive(Part(0, "t", "d"), b"v")
    assert not watching.wait(0.02)
    watching.close()
