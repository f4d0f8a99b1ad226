"""The guard: limits, keys that a store cannot hold, and how layers are stacked."""

import threading

import pytest

from kvbackends import ConfigurationError, ValueTooLarge
from kvbackends.contract import Entry, Limits, Rank, Store, paged
from kvbackends.contract.options import CoreOptions
from kvbackends.contract.paged import PagedBarrier
from kvbackends.contract.url import StoreURL
from kvbackends.layers.guard import Guard, key_mapping
from kvbackends.layers.layer import Layer, innermost
from kvbackends.layers.only_five import OnlyFive
from kvbackends.layers.retry import Retry
from kvbackends.stores.memory import MemoryStore
from tests.support.chords import offer, part, publisher, rank_of
from tests.support.dict_store import DictStore
from tests.support.layers import Counting
from tests.support.value_notifications import ValueNotifyingStore

NARROW = Limits(key_bytes=40, value_bytes=100, key_pattern=r"[!-~]+")


def narrow(name: str) -> tuple[Guard, Counting]:
    """A guard around a store that holds short printable keys and small values only."""
    memory = MemoryStore(f"narrow-{name}")
    memory.limits = NARROW
    counting = Counting(memory)
    return Guard(counting), counting


class TestKeys:
    ODD = ("with blank", "k" * 41, "ключ", "new\nline", "é" * 21)

    @pytest.mark.parametrize("key", ODD)
    def test_unsupported_keys_are_hashed(self, request: pytest.FixtureRequest, key: str):
        """A key that the store cannot hold is stored under its hash and read by its name."""
        guard, counting = narrow(request.node.name)
        guard.set(key, b"v")
        (held,) = innermost(counting).scan("")
        assert held.startswith("kvh-")
        assert guard.get(key).value == b"v"
        assert guard.compare_and_set(key, b"w", guard.get(key).version)
        guard.delete(key)
        assert guard.get(key) is None

    @pytest.mark.parametrize("key", ["short", "k" * 40, "celery-task-meta-1"])
    def test_supported_keys_are_unchanged(self, request: pytest.FixtureRequest, key: str):
        """A key that the store can hold is not changed."""
        guard, counting = narrow(request.node.name)
        guard.set(key, b"v")
        assert list(innermost(counting).scan("")) == [key]

    def test_key_length_is_counted_in_bytes(self):
        """The limit counts bytes of UTF-8, not letters."""
        store = DictStore()
        store.limits = Limits(key_bytes=40)
        guard = Guard(store)
        guard.set("é" * 20, b"v")
        guard.set("é" * 21, b"v")
        assert [key.startswith("kvh-") for key in store.rows] == [False, True]

    @pytest.mark.parametrize("longest", [36, 64, 67, 68, None])
    def test_hashed_keys_fit(self, longest: int | None):
        """A hashed key is no longer than the store's keys may be."""
        held = key_mapping(Limits(key_bytes=longest, key_pattern="[a-z0-9-]+"))
        hashed = {held(key) for key in ("With Blank", "k" * 69 + ".", "ключ")}
        assert len(hashed) == 3
        assert {len(each) for each in hashed} == {longest or 68}

    @pytest.mark.parametrize("limits", [Limits(key_bytes=35), Limits(key_pattern="[a-z]*")])
    def test_no_room_for_a_hashed_key(self, limits: Limits):
        """Limits that no hashed key could keep are refused when the store is opened."""
        store = DictStore()
        store.limits = limits
        with pytest.raises(ConfigurationError, match="no room for a hashed key"):
            Guard(store)

    def test_batches_return_the_original_keys(self):
        """`get_batch` returns the keys that the caller passed, not their hashes."""
        guard, _ = narrow("batch")
        guard.set("with blank", b"1")
        guard.set("plain", b"2")
        assert guard.get_batch(["with blank", "plain", "absent one"]) == {
            "with blank": b"1",
            "plain": b"2",
        }

    def test_subscriptions_report_the_original_keys(self):
        """A subscription reports a key as it was watched, and no longer after `unwatch`."""
        guard, _ = narrow("subscribe")
        subscription = guard.subscribe()
        subscription.watch(["with blank", "plain"])
        guard.offer(offer("with blank", Rank.SUCCEEDED), rank_of)
        assert list(subscription.wait(1)) == ["with blank"]
        subscription.unwatch(["with blank"])
        guard.offer(offer("plain", Rank.SUCCEEDED), rank_of)
        assert list(subscription.wait(1)) == ["plain"]
        threading.Timer(0.02, subscription.wake).start()
        assert not subscription.wait(1)
        subscription.close()

    def test_notified_values_have_the_original_keys(self):
        """A value in a notification is reported under the key that was watched."""
        memory = ValueNotifyingStore("narrow-values")
        memory.limits = NARROW
        guard = Guard(memory)
        subscription = guard.subscribe()
        subscription.watch(["with blank", "plain"])
        offered = offer("with blank", Rank.SUCCEEDED)
        guard.offer(offered, rank_of)
        assert subscription.wait(1) == {"with blank": offered.value}
        subscription.close()

    def test_barriers(self, monkeypatch):
        """A barrier with a long name works through its hash, and its parts name it as it is."""
        monkeypatch.setattr(paged, "PAGES", 1)  # so that the record has less than 100 bytes
        guard, _ = narrow("barrier")
        name = "long barrier " * 10
        barrier = guard.barrier(name, 60)
        barrier.open(b"")
        barrier.expect(publisher(), 1)
        assert barrier.arrive(part(0), b"v").parts == 1
        assert list(barrier.parts()) == [(0, part(0).member, b"v")]


class TestValues:
    TOO_LARGE = b"3" + b"x" * 100

    def test_too_large_values_are_refused_before_any_call(self):
        """A value above the limit is refused before the store is called."""
        guard, counting = narrow("large")
        large = offer("k", Rank.SUCCEEDED)._replace(value=self.TOO_LARGE)
        writes = [
            lambda: guard.set("k", self.TOO_LARGE),
            lambda: guard.compare_and_set("k", self.TOO_LARGE, None),
            lambda: guard.offer(large, rank_of),
        ]
        for write in writes:
            with pytest.raises(ValueTooLarge, match="101 bytes is above the store's limit of 100"):
                write()
        assert counting.calls.total() == 0

    def test_refused_by_a_native_barrier(self):
        """So it is in every operation of a barrier that carries a value."""

        class Own(DictStore):
            def barrier(self, name, ttl=None):
                return PagedBarrier(self, name, ttl)

        store = Own()
        store.limits = NARROW
        counting = Counting(store)
        barrier = Guard(counting).barrier("b", 60)
        large = offer("k", Rank.SUCCEEDED)._replace(value=self.TOO_LARGE)
        writes = [
            lambda: barrier.open(self.TOO_LARGE),
            lambda: barrier.arrive(part(0), self.TOO_LARGE),
            lambda: barrier.finish(part(0), large, rank_of),
            lambda: barrier.close(part(0), large, rank_of),
        ]
        for write in writes:
            with pytest.raises(ValueTooLarge):
                write()
        assert counting.calls.total() == 0

    def test_not_retried(self):
        """It is not transient: the outermost layer raises it at once."""
        guard, counting = narrow("large-retry")
        store = Retry(guard, CoreOptions())
        with pytest.raises(ValueTooLarge):
            store.offer(offer("k", Rank.SUCCEEDED)._replace(value=self.TOO_LARGE), rank_of)
        assert counting.calls.total() == 0

    def test_the_largest_value_is_stored(self):
        """A value of exactly the limit is stored."""
        guard, _ = narrow("largest")
        guard.set("k", b"x" * 100)
        assert len(guard.get("k").value) == 100


class Shouting(Layer):
    """Changes each value, which shows the layers that a call passes."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        super().set(key, value.upper(), ttl)

    def get(self, key: str) -> Entry | None:
        entry = super().get(key)
        return entry and entry._replace(value=entry.value.lower())

    def around_get_batch(self, operation, keys):
        return {key: value.lower() for key, value in operation(keys).items()}


class TestLayers:
    def test_native_operations_pass_around(self):
        """Native operations are wrapped by the layer's `around`; others are called directly."""
        layer = Shouting(MemoryStore("shouting"))
        layer.set("k", b"loud")
        assert layer.inner.get("k").value == b"LOUD"
        assert layer.get_batch(["k"]) == {"k": b"loud"}
        assert layer.sweep == layer.inner.sweep

    def test_derived_operations_pass_every_layer(self):
        """The outermost layer derives the operations, so each primitive passes all layers."""
        layer = Guard(Shouting(DictStore()))
        layer.set("k", b"loud")
        assert layer.get_batch(["k"]) == {"k": b"loud"}

    def test_a_mask_derives_all_operations(self):
        """With `OnlyFive` no native operation is called."""
        counting = Counting(MemoryStore("mask"))
        OnlyFive(counting).offer(offer("k", Rank.FAILED), rank_of)
        assert counting.calls == {"compare_and_set": 1}

    def test_innermost_returns_the_adapters_store(self):
        """`innermost` finds the adapter's store behind any number of layers."""
        store: Store = DictStore()
        assert innermost(Retry(Guard(store), CoreOptions())) is store
        assert innermost(store) is store

    def test_a_layer_cannot_be_opened_by_a_url(self):
        """`Layer.from_url` raises."""
        with pytest.raises(TypeError, match="Guard wraps a store"):
            Guard.from_url(StoreURL("x"), None)

    def test_close_and_ping_reach_the_store(self):
        """Closing and pinging pass all layers."""
        seen: list[str] = []

        class Seen(DictStore):
            def close(self) -> None:
                seen.append("close")

            def ping(self) -> None:
                seen.append("ping")

        store = OnlyFive(Retry(Guard(Seen()), CoreOptions()))
        store.ping()
        store.close()
        assert seen == ["ping", "close"]

    def test_few_frames_on_the_hot_path(self):
        """At most three frames lie between a caller and a native operation."""
        depths: list[int] = []

        class Deep(MemoryStore):
            def offer(self, offer, rank_of):
                import inspect

                depths.append(len(inspect.stack(0)))
                return True

        store = Retry(Guard(Deep("deep")), CoreOptions())
        import inspect

        here = len(inspect.stack(0))
        store.offer(offer("k", Rank.FAILED), rank_of)
        assert depths[0] - here - 1 <= 3
