"""The ranked write."""

import time
from collections.abc import Callable
from itertools import product

import pytest

from kvbackends import Rank, Store
from tests.contract.test_five_methods import SHORT, brief, outlive
from tests.support.chords import offer, rank_of

RANKS = list(Rank)


class TestOffer:
    @pytest.mark.parametrize(("old", "new"), list(product(RANKS, RANKS)), ids=str)
    def test_matrix(self, store: Store, key: str, old: Rank, new: Rank):
        """A record yields to one of at least its rank, and a success to nothing."""
        stored = old <= new and old is not Rank.SUCCEEDED
        assert store.offer(offer(key, old, "old"), rank_of)
        assert store.offer(offer(key, new, "new"), rank_of) is stored
        expected = offer(key, new, "new") if stored else offer(key, old, "old")
        assert store.get(key).value == expected.value

    @pytest.mark.parametrize("rank", RANKS, ids=str)
    def test_equal_bytes(self, store: Store, key: str, rank: Rank):
        """An offer that equals what is stored is stored: it may be its own earlier attempt."""
        same = offer(key, rank, "same")
        assert store.offer(same, rank_of)
        assert store.offer(same, rank_of)

    @pytest.mark.parametrize("rank", RANKS, ids=str)
    def test_any_rank_after_delete(self, store: Store, key: str, rank: Rank):
        """After `delete` has returned an offer of any rank is stored, also a second time."""
        for turn in range(2):
            assert store.offer(offer(key, Rank.SUCCEEDED, f"first {turn}"), rank_of)
            store.delete(key)
            assert store.offer(offer(key, rank, f"again {turn}"), rank_of)
            assert store.get(key).value == offer(key, rank, f"again {turn}").value
            store.delete(key)

    @pytest.mark.parametrize("rank", RANKS, ids=str)
    def test_any_rank_after_expiry(self, store: Store, key: str, rank: Rank):
        """After the ttl has passed an offer of any rank is stored."""
        assert store.offer(offer(key, Rank.SUCCEEDED, ttl=SHORT), rank_of)
        outlive(store)
        assert store.offer(offer(key, rank, "again"), rank_of)
        assert store.get(key).value == offer(key, rank, "again").value

    def test_unready_after_delete_is_the_old_version_gone(
        self, opener: Callable[[], Store], key: str
    ):
        """Deleting through one connection forgets the rank for another."""
        first, second = opener(), opener()
        assert first.offer(offer(key, Rank.SUCCEEDED), rank_of)
        second.delete(key)
        assert first.offer(offer(key, Rank.UNREADY), rank_of)
        first.close()
        second.close()

    def test_ttl_of_the_last_stored(self, store: Store, key: str):
        """A stored offer brings its ttl; one that does not yield leaves what is there."""
        store.offer(offer(key, Rank.UNREADY, ttl=60), rank_of)
        ttl = brief(store)
        store.offer(offer(key, Rank.SUCCEEDED, ttl=ttl), rank_of)
        assert not store.offer(offer(key, Rank.UNREADY, ttl=60), rank_of)
        time.sleep(ttl / 2)
        assert store.get(key) is not None
        outlive(store, ttl / 2)
        assert store.get(key) is None

    def test_any_rank_of(self, store: Store, key: str):
        """A record that another program wrote is ranked by its bytes."""
        store.set(key, b"3 written by an older worker")
        assert not store.offer(offer(key, Rank.FAILED), rank_of)
        store.set(key, b"1 written by an older worker")
        assert store.offer(offer(key, Rank.UNREADY), rank_of)

    def test_all_bytes(self, store: Store, key: str):
        """Ranked values are bytes like any other."""
        value = b"3" + bytes(range(256))
        assert store.offer(offer(key, Rank.SUCCEEDED)._replace(value=value), rank_of)
        assert store.get(key).value == value
        assert store.get_batch([key]) == {key: value}
