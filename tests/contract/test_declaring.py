"""What a class of stores says of itself, and what is refused when it is made."""

import pytest

from kvbackends.contract import Feature
from kvbackends.contract.store import BARRIER
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
