"""A store whose `get` and `compare_and_set` contradict each other ends no process's time."""

import pytest

from kvbackends import StoreError
from kvbackends.contract import Barrier, Control, Rank, Store, derived
from kvbackends.testing.tools import arrive, begin, offer, part, publisher, rank_of
from tests.support.dict_store import DictStore


def opened(store: Store) -> Barrier:
    """A barrier whose control record is there, whatever `compare_and_set` does."""
    store.set("b.c", Control(run="run").encode())
    return store.barrier("b", 60)


OPERATIONS = {
    "touch": lambda store: store.touch("k", 60),
    "increment": lambda store: store.increment("k", 1, None),
    "offer": lambda store: store.offer(offer("k", Rank.SUCCEEDED), rank_of),
    "expect": lambda store: begin(store.barrier("b", 60), 2),
    "arrive": lambda store: arrive(opened(store), part(0)),
}


class NeverFits(DictStore):
    """No version that `get` answers is one that `compare_and_set` takes."""

    def compare_and_set(self, key, value, version, ttl=None):
        return False


class SaysStored(DictStore):
    """`compare_and_set` answers True and stores nothing."""

    def compare_and_set(self, key, value, version, ttl=None):
        return True


class NeverRests(DictStore):
    """A concurrent writer is always a little faster."""

    def compare_and_set(self, key, value, version, ttl=None):
        self.set(key, b"1")
        return False


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_contradiction_ends(operation):
    """Each derived loop ends with an error that says why."""
    store = NeverFits()
    store.set("k", b"1")
    with pytest.raises(StoreError, match="contradicts itself"):
        operation(store)


def test_swallowed_write_ends():
    """A loop over a write that is confirmed but not stored ends, too."""
    with pytest.raises(StoreError, match="contradicts itself"):
        opened(SaysStored()).expect(publisher(), 0)


def test_lost_races_end(monkeypatch):
    """Races that are really lost end too, after very many."""
    monkeypatch.setattr(derived, "MOST", 500)
    store = NeverRests()
    store.set("k", b"1")
    with pytest.raises(StoreError, match="500 races"):
        store.offer(offer("k", Rank.SUCCEEDED), rank_of)
