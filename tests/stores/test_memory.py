"""The memory store: names, processes, expiry and subscriptions."""

import gc
import time
import weakref

from kvbackends import open_store
from kvbackends.contract import Feature, Rank
from kvbackends.layers.layer import innermost
from kvbackends.stores.memory import MemoryStore
from kvbackends.testing.forks import in_child
from tests.support.chords import offer, rank_of


def test_stores_of_one_name_share_their_keys():
    """A store of another name has other keys."""
    one, same, other = (open_store(f"memory://{name}") for name in ("one", "one", "other"))
    one.set("k", b"v")
    assert same.get("k").value == b"v"
    assert other.get("k") is None


def test_a_forked_child_has_a_copy():
    """The store is neither SHARED nor DURABLE: a parent does not see its child's writes."""
    store = open_store("memory://fork")
    assert not store.features & (Feature.SHARED | Feature.DURABLE)
    store.set("k", b"parent")

    def work() -> None:
        assert store.get("k").value == b"parent"
        store.set("k", b"child")

    assert in_child(work) == 0
    assert store.get("k").value == b"parent"


def test_expired_rows_are_removed_without_sweep():
    """Neither rows nor their expiries accumulate when `sweep` is never called."""
    store = MemoryStore("expiring")
    for i in range(2000):
        store.set(f"k{i}", b"v", 0.001)
        store.set("same", b"v", 60)
    time.sleep(0.01)
    for _ in range(2000):
        store.set("same", b"v", 60)
    assert len(store._space.rows) < 100
    assert len(store._space.expiries) < 500


def test_expiry_ignores_the_hosts_clock(monkeypatch):
    """Expiry is measured on the monotonic clock."""
    store = MemoryStore("clock")
    store.set("k", b"v", 60)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86400)
    assert store.get("k").value == b"v"


def test_a_closed_subscription_is_not_kept():
    """A closed subscription gets no notification and is garbage-collected."""
    store = innermost(open_store("memory://subscriptions"))
    watching = store.subscribe()
    watching.watch(["k"])
    gone = weakref.ref(watching)
    watching.close()
    store.offer(offer("k", Rank.SUCCEEDED), rank_of)
    del watching
    gc.collect()
    assert gone() is None
