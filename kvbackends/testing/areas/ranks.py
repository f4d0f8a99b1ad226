"""The ranked write."""

import time
from itertools import product

import pytest

from kvbackends.contract import Rank, Store
from kvbackends.testing.check import Area
from kvbackends.testing.delayed import Waits
from kvbackends.testing.tools import SHORT, TTL, Opener, offer, rank_of, value_at, within

RANKS = list(Rank)


class Ranks(Area):
    """The record with the higher rank stays."""

    area = "ranks"
    rule = "ranks"

    @pytest.mark.parametrize(("old", "new"), list(product(RANKS, RANKS)), ids=str)
    def matrix(self, store: Store, key: str, old: Rank, new: Rank) -> None:
        """A record is replaced by one of at least its rank; a success is never replaced."""
        stored = old <= new and old is not Rank.SUCCEEDED
        assert store.offer(offer(key, old, "old"), rank_of)
        assert store.offer(offer(key, new, "new"), rank_of) is stored
        expected = offer(key, new, "new") if stored else offer(key, old, "old")
        assert value_at(store, key) == expected.value

    @pytest.mark.parametrize("rank", RANKS, ids=str)
    def equal_bytes(self, store: Store, key: str, rank: Rank) -> None:
        """An offer that equals what is stored is stored: it may be its own earlier attempt."""
        same = offer(key, rank, "same")
        assert store.offer(same, rank_of)
        assert store.offer(same, rank_of)

    @pytest.mark.parametrize("rank", RANKS, ids=str)
    def any_rank_after_delete(self, store: Store, key: str, rank: Rank) -> None:
        """After `delete` has returned an offer of any rank is stored, also a second time."""
        for turn in range(2):
            assert store.offer(offer(key, Rank.SUCCEEDED, f"first {turn}"), rank_of)
            store.delete(key)
            assert store.offer(offer(key, rank, f"again {turn}"), rank_of)
            assert value_at(store, key) == offer(key, rank, f"again {turn}").value
            store.delete(key)

    def any_rank_after_expiry(self, store: Store, key: str) -> Waits:
        """After the ttl has passed an offer of any rank is stored."""
        again = [offer(f"{key}-{rank}", rank, "again") for rank in RANKS]
        for each in again:
            assert store.offer(offer(each.key, Rank.SUCCEEDED, ttl=SHORT), rank_of)
        yield SHORT
        for each in again:
            assert store.offer(each, rank_of)
            assert value_at(store, each.key) == each.value

    def advisory(self, opener: Opener, key: str) -> None:
        """An advisory offer is stored by the time `close` returns, as any other of its rank is."""
        store, other = opener(), opener()
        advised = offer(key, Rank.UNREADY, "advised")._replace(advisory=True)
        again = offer(key, Rank.UNREADY, "advised again")._replace(advisory=True)
        for each in (advised, again):
            assert store.offer(each, rank_of)
            store.close()
            assert value_at(other, key) == each.value
        done = offer(key, Rank.SUCCEEDED, "done")
        assert store.offer(done, rank_of)
        store.offer(advised, rank_of)  # the answer need not be known yet
        assert store.get(f"{key}-absent") is None
        store.close()
        assert value_at(other, key) == done.value
        other.close()

    def unready_after_delete_is_the_old_version_gone(self, opener: Opener, key: str) -> None:
        """Deleting through one connection forgets the record and its rank for another."""
        first, second = opener(), opener()
        assert first.offer(offer(key, Rank.SUCCEEDED), rank_of)
        second.delete(key)
        assert first.get(key) is None
        assert first.offer(offer(key, Rank.UNREADY), rank_of)
        first.close()
        second.close()

    def ttl_of_the_last_stored(self, store: Store, key: str) -> Waits:
        """A stored offer sets its ttl; a refused offer leaves the ttl unchanged."""

        def refused(ttl: float) -> tuple[bool, bool]:
            store.delete(key)
            store.offer(offer(key, Rank.UNREADY, ttl=TTL), rank_of)
            store.offer(offer(key, Rank.SUCCEEDED, ttl=ttl), rank_of)
            stored = store.offer(offer(key, Rank.UNREADY, ttl=TTL), rank_of)
            time.sleep(ttl * 0.3)
            return stored, store.get(key) is None

        (stored, gone), ttl = within(store, refused, calls=9)
        assert not stored
        assert not gone, "it was gone before its time"
        yield ttl
        assert store.get(key) is None

    def any_rank_of(self, store: Store, key: str) -> None:
        """A record that `set` wrote, as an older worker does, is ranked by its bytes."""
        store.set(key, b"3 written by an older worker")
        assert not store.offer(offer(key, Rank.FAILED), rank_of)
        store.set(key, b"1 written by an older worker")
        assert store.offer(offer(key, Rank.UNREADY), rank_of)

    def set_over_an_offer(self, store: Store, key: str) -> None:
        """A record that an older worker wrote over an offered one has the rank of its bytes."""
        assert store.offer(offer(key, Rank.FAILED), rank_of)
        store.set(key, b"3 written by an older worker")
        assert not store.offer(offer(key, Rank.FAILED), rank_of)
        store.set(key, b"1 written by an older worker")
        assert store.offer(offer(key, Rank.UNREADY), rank_of)

    def all_bytes(self, store: Store, key: str) -> None:
        """Ranked values are bytes like any other."""
        value = b"3" + bytes(range(256))
        assert store.offer(offer(key, Rank.SUCCEEDED)._replace(value=value), rank_of)
        assert value_at(store, key) == value
        assert store.get_batch([key]) == {key: value}
