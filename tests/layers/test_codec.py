"""Layers that change bytes; `test_contract` runs the contract's checks on them."""

import pytest

from kvbackends import StoreError, ValueTooLarge, open_store
from kvbackends.contract import Feature, Outcome, Rank, Store
from kvbackends.layers.guard import Guard
from tests.layers.stores import LIMIT, LimitedDict, LimitedMemory, Scrambled
from tests.support.chords import offer, part, publisher, rank_of
from tests.support.dict_store import DictStore
from tests.support.value_notifications import ValueNotifyingStore

PLAIN = b"readable"


def sqlite(tmp_path) -> Store:
    return open_store(f"sqlite:///{tmp_path}/results.db")


class TestWhatIsStored:
    def test_every_value_is_encoded(self, tmp_path):
        """Plain, ranked and chord values reach a native store's files encoded only."""
        store = Scrambled(sqlite(tmp_path))
        store.set("plain", PLAIN)
        store.compare_and_set("compared", PLAIN, None)
        store.offer(offer("offered", Rank.FAILED, "readable"), rank_of)
        barrier = store.barrier("b", 60)
        barrier.open(PLAIN)
        barrier.arrive(part(0), PLAIN)
        barrier.finish(part(1), offer("done", Rank.SUCCEEDED, "readable"), rank_of)
        files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"compared" in files
        assert PLAIN not in files

    def test_with_five_methods_too(self):
        """The derived barrier's own records are encoded like everything else."""
        inner = DictStore()
        store = Scrambled(inner)
        barrier = store.barrier("b", 60)
        barrier.open(PLAIN)
        barrier.expect(publisher(), 2)
        barrier.finish(part(0), offer("k", Rank.SUCCEEDED), rank_of)
        store.increment("n", 41, None)
        assert inner.rows
        assert all(row.value.startswith(b"~") for row in inner.rows.values())

    def test_notifications_have_no_values(self):
        """A notified value would be encoded, so the waiter reads the key instead."""
        store = Scrambled(ValueNotifyingStore("codec-values"))
        subscription = store.subscribe()
        subscription.watch(["k"])
        store.offer(offer("k", Rank.SUCCEEDED), rank_of)
        assert subscription.wait(1) == ["k"]
        assert not subscription.wait(0)
        subscription.close()

    def test_a_value_that_was_never_encoded_is_an_error(self):
        """The exception of `decode` is raised by `get`, `get_batch` and `offer`."""
        inner = LimitedMemory("codec-plain")
        inner.set("k", PLAIN)
        store = Scrambled(inner)
        for read in (
            lambda: store.get("k"),
            lambda: store.get_batch(["k"]),
            lambda: store.offer(offer("k", Rank.FAILED), rank_of),
        ):
            with pytest.raises(StoreError, match="never scrambled"):
                read()


class TestOperations:
    def test_a_repeated_offer_is_idempotent(self):
        """The encoded bytes differ each time, and the second offer still returns True."""
        store = Scrambled(LimitedMemory("codec-repeated"))
        assert store.offer(offer("k", Rank.SUCCEEDED, "same"), rank_of)
        assert store.offer(offer("k", Rank.SUCCEEDED, "same"), rank_of)
        assert not store.offer(offer("k", Rank.SUCCEEDED, "other"), rank_of)

    def test_increment_is_derived(self):
        """The store cannot read an encoded number, so its own `increment` is not used."""
        store = Scrambled(LimitedMemory("codec-count"))
        assert [store.increment("n", 20, None) for _ in range(3)] == [20, 40, 60]
        assert store.get("n").value == b"60"
        assert Feature.INCREMENT not in store.features
        assert Feature.INCREMENT in store.inner.features

    def test_the_claim_has_the_decoded_payload(self, tmp_path):
        """It does whether the size or a part completes the barrier."""
        store = Scrambled(sqlite(tmp_path))
        barrier = store.barrier("by-size", 60)
        barrier.open(b"payload")
        barrier.arrive(part(0), b"v")
        assert barrier.expect(publisher(), 1).payload == b"payload"
        opened = store.barrier("by-part", 60)
        opened.open(b"payload")
        opened.expect(publisher(), 1)
        arrival = opened.finish(part(0), offer("k", Rank.SUCCEEDED), rank_of)
        assert (arrival.outcome, arrival.payload) == (Outcome.CLAIMED, b"payload")

    def test_finish_ranks_and_stores_decoded_values(self, tmp_path):
        """A failure does not replace a success, and the part and the result read as they were."""
        store = Scrambled(sqlite(tmp_path))
        success = offer("k", Rank.SUCCEEDED, "first")
        store.offer(success, rank_of)
        barrier = store.barrier("b", 60)
        barrier.open(b"payload")
        failure = offer("k", Rank.FAILED, "late")
        assert barrier.finish(part(0), failure, rank_of).outcome is Outcome.WAITING
        assert store.get("k").value == success.value
        assert [value for _, _, value in barrier.parts()] == [failure.value]

    def test_an_expired_payload_is_empty(self, tmp_path):
        """A barrier that nobody opened tells nothing, and nothing is decoded."""
        store = Scrambled(sqlite(tmp_path))
        barrier = store.barrier("b", 60)
        barrier.arrive(part(0), b"v")
        assert barrier.expect(publisher(), 1).payload == b""


class TestLimits:
    def test_the_overhead_is_subtracted_from_the_limit(self):
        """A value of the layer's limit fits after encoding, and no larger one."""
        store = Scrambled(Guard(LimitedDict()))
        largest = store.limits.value_bytes
        assert largest == LIMIT - Scrambled.overhead
        store.set("k", b"x" * largest)
        with pytest.raises(ValueTooLarge):
            store.set("k", b"x" * (largest + 1))

    def test_without_a_limit_the_layer_has_none(self):
        """A store without a limit has none behind the layer."""
        assert Scrambled(DictStore()).limits.value_bytes is None
