"""The features that follow from a store's class."""

import pytest

from kvbackends.contract import Barrier, Feature
from kvbackends.contract.paged import PagedBarrier
from kvbackends.layers.guard import Guard
from kvbackends.stores.memory import MemoryStore
from tests.support.dict_store import DictStore


def test_five_methods_have_no_features():
    """A store with the five methods only is native in nothing."""
    assert DictStore().native == frozenset()
    assert DictStore().features is Feature.NONE


def test_layers_change_nothing():
    """A layer advertises what it wraps."""
    memory = MemoryStore("advertised")
    assert Guard(memory).features == memory.features
    assert Guard(memory).native == memory.native


def test_guard_refuses_before_the_store_is_asked():
    """A ttl that is none never reaches an adapter."""
    inner = DictStore()
    with pytest.raises(ValueError, match="time to live"):
        Guard(inner).set("k", b"v", -1)
    assert inner.rows == {}


def test_a_barrier_of_its_own_is_native():
    """A class that overrides `barrier` shows NATIVE_CHORD, and nothing else."""

    class Own(DictStore):
        def barrier(self, name: str, ttl: float | None = None) -> Barrier:
            return PagedBarrier(self, name, ttl)

    assert Own().features is Feature.NATIVE_CHORD
    assert Own().native == Guard(Own()).native == {"barrier"}


def test_add_member_stands_alone():
    """One page may be accelerated without the barrier."""
    page = type("Page", (DictStore,), {"add_member": lambda *_: frozenset()})
    assert page().native == {"add_member"}
