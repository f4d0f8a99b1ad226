"""The layers take arguments by keyword where the contract names them."""

import pytest

from kvbackends import open_store
from kvbackends.contract import Barrier, FreshBarrier, Outcome, Part, Store
from kvbackends.contract.paged import PagedBarrier


@pytest.fixture
def store() -> Store:
    return open_store("memory://keywords")


def test_a_store_behind_its_layers(store):
    store.set(key="k", value=b"v", ttl=60)
    assert store.get(key="k").value == b"v"
    assert store.compare_and_set(key="k2", value=b"v", version=None, ttl=60)
    assert store.touch(key="k", ttl=30)
    store.delete(key="k")


@pytest.mark.parametrize("kind", ["retried", "fresh"])
def test_a_barrier(store, kind, tmp_path):
    def fresh(name: str, ttl: float) -> Barrier:
        return FreshBarrier(lambda *args: PagedBarrier(store, *args), name, ttl)

    retried = open_store(f"sqlite:///{tmp_path}/results.db").barrier
    barrier = {"retried": retried, "fresh": fresh}[kind](name="keywords", ttl=60)
    barrier.open(payload=b"")
    part = Part(0, "m", "d")
    assert barrier.arrive(part, value=b"v", evict="other").outcome is Outcome.WAITING
    assert barrier.expect(part._replace(place=-1), size=1).outcome is Outcome.CLAIMED
