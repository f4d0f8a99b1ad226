"""Counters, listing, sweeping, and what a store advertises."""

from collections.abc import Callable

import pytest

from kvbackends import Feature, NotSupported, Rank, Store
from kvbackends.layers.guard import Guard
from kvbackends.layers.only_five import OnlyFive
from kvbackends.store import ACCELERABLE, BARRIER
from kvbackends.stores.memory import MemoryStore
from tests.contract.test_five_methods import SHORT, outlive
from tests.support.chords import offer, rank_of
from tests.support.dict_store import DictStore


class TestIncrement:
    def test_counts_from_nothing(self, store: Store, key: str):
        """An absent number is 0, and the sum comes back."""
        assert [store.increment(key, by, None) for by in (1, 41, -2)] == [1, 42, 40]

    def test_is_a_decimal(self, store: Store, key: str):
        """The number is stored in decimal, so that other programs read and write it."""
        store.set(key, b"7")
        assert store.increment(key, 3, None) == 10
        assert store.get(key).value == b"10"

    def test_large(self, store: Store, key: str):
        """Numbers of 60 bits are numbers."""
        assert store.increment(key, 2**60, None) == 2**60
        assert store.increment(key, 1, None) == 2**60 + 1

    def test_ttl(self, store: Store, key: str):
        """A counter expires like any key, and then counts from nothing."""
        store.increment(key, 5, SHORT)
        outlive(store)
        assert store.increment(key, 1, None) == 1


class TestScan:
    def test_lists_a_prefix(self, store: Store, key: str):
        """A store that lists yields the live keys of a prefix, letter by letter."""
        if not store.features & Feature.LISTING:
            pytest.skip("this store does not claim LISTING")
        wanted = {f"{key}-a%", f"{key}-a_", f"{key}-a*", f"{key}-a"}
        for each in (*wanted, f"{key}-b", f"{key}-A"):
            store.set(each, b"v")
        store.set(f"{key}-a-expired", b"v", SHORT)
        store.set(f"{key}-a-deleted", b"v")
        store.delete(f"{key}-a-deleted")
        outlive(store)
        assert sorted(store.scan(f"{key}-a")) == sorted(wanted)

    def test_wildcards_are_letters(self, store: Store, key: str):
        """A prefix is text: what other languages take for a pattern stands for itself."""
        if not store.features & Feature.LISTING:
            pytest.skip("this store does not claim LISTING")
        store.set(f"{key}%x", b"v")
        store.set(f"{key}yx", b"v")
        assert list(store.scan(f"{key}%")) == [f"{key}%x"]

    def test_offered_keys_are_listed(self, store: Store, key: str):
        """Ranked keys are listed under their names."""
        if not store.features & Feature.LISTING:
            pytest.skip("this store does not claim LISTING")
        store.offer(offer(key, Rank.FAILED), rank_of)
        assert list(store.scan(key)) == [key]

    def test_refused_where_it_is_lacking(self, store: Store, key: str):
        """A store that does not list says so, and never yields a part of its keys."""
        if store.features & Feature.LISTING:
            pytest.skip("this store claims LISTING")
        with pytest.raises(NotSupported, match="cannot list"):
            list(store.scan(key))


class TestSweep:
    def test_bounded(self, store: Store, key: str):
        """Sweeping removes at most so many expired keys at a time, and leaves live ones."""
        store.set(f"{key}-live", b"v", 60)
        for i in range(8):
            store.set(f"{key}-{i}", b"v", SHORT)
        outlive(store)
        swept = store.sweep(3)
        assert 0 <= swept <= 3
        while store.sweep(3):
            pass
        assert store.get(f"{key}-live").value == b"v"

    def test_nothing_to_sweep(self, store: Store, key: str):
        """Live keys are never swept, whatever was written over or deleted."""
        store.set(key, b"v", SHORT)
        store.set(key, b"v", 60)
        store.set(f"{key}-2", b"v", SHORT)
        store.delete(f"{key}-2")
        store.set(f"{key}-2", b"v")
        outlive(store)
        store.sweep()
        assert set(store.get_batch([key, f"{key}-2"])) == {key, f"{key}-2"}


def test_memory_does_not_grow():
    """Writers remove what has expired: a store that nobody sweeps stays small."""
    memory = MemoryStore("does-not-grow")
    for i in range(3_000):
        memory.set(f"k{i}", b"v", 1e-6)
    assert len(memory._space.rows) < 100
    for _ in range(3_000):
        memory.set("same", b"v", 60)
    assert len(memory._space.expiries) < 200


class TestFeatures:
    def test_follow_from_overrides(self, store: Store):
        """Each derived flag is advertised exactly where the operation is native."""
        shown = {
            "get_batch": Feature.NATIVE_JOIN,
            "offer": Feature.NATIVE_RANK,
            "arrive": Feature.NATIVE_CHORD,
            "subscribe": Feature.PUSH,
            "increment": Feature.INCREMENT,
            "scan": Feature.LISTING,
            "find": Feature.FACETS,
        }
        for name, flag in shown.items():
            assert bool(store.features & flag) is (name in store.native)
        assert store.native <= set(ACCELERABLE)

    def test_five_methods_have_none(self):
        """A store with the five methods only is native in nothing."""
        assert DictStore().native == frozenset()
        assert DictStore().features is Feature.NONE

    def test_masked(self, opener: Callable[[], Store]):
        """Masking takes away what is native and keeps what is promised."""
        store = opener()
        masked = OnlyFive(store)
        assert masked.native == frozenset()
        assert masked.features == masked.promises == store.promises
        store.close()

    def test_layers_change_nothing(self):
        """A layer advertises what it wraps."""
        memory = MemoryStore("advertised")
        assert Guard(memory).features == memory.features
        assert Guard(memory).native == memory.native


class TestHalfABarrier:
    @pytest.mark.parametrize("missing", BARRIER)
    def test_refused(self, missing: str):
        """A class that overrides a part of the barrier is refused, and told what is missing."""
        own = {name: lambda _: None for name in BARRIER if name != missing}
        with pytest.raises(TypeError, match=f"Half overrides a part .* missing: {missing}"):
            type("Half", (DictStore,), own)

    def test_finish_needs_the_barrier(self):
        """`finish` alone is refused: it would record parts where the derived barrier is not."""
        with pytest.raises(TypeError, match="missing: arrive, close_barrier"):
            type("Fused", (DictStore,), {"finish": lambda *_: None})

    def test_whole(self):
        """A class that overrides all of it is NATIVE_CHORD."""
        own = {name: lambda _: None for name in BARRIER}
        assert type("Whole", (DictStore,), own)().features == Feature.NATIVE_CHORD

    def test_add_member_stands_alone(self):
        """One page may be accelerated without the barrier."""
        page = type("Page", (DictStore,), {"add_member": lambda *_: frozenset()})
        assert page().native == {"add_member"}
