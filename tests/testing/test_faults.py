"""The scenarios and scripts of the area `faults`."""

import pytest

from kvbackends.contract import Barrier
from kvbackends.contract.store import ACCELERABLE
from kvbackends.layers.retry import NOT_RETRIED
from kvbackends.testing.areas.faults import SCENARIOS
from kvbackends.testing.layers import Broken, Faults
from tests.support.dict_store import DictStore

PRIMITIVES = {"set", "delete", "create", "update"}


def test_every_operation_is_tried():
    """Each operation that a store may override breaks in some scenario, or is never repeated."""
    tried = {name.partition(",")[0].partition(" ")[0] for name in SCENARIOS}
    barriers = Barrier.__abstractmethods__
    apart = {"barrier", "sweep"}  # `sweep` breaks in a check of its own, which runs last
    assert tried - PRIMITIVES - barriers == set(ACCELERABLE) - NOT_RETRIED - apart
    assert tried >= barriers
    assert tried >= PRIMITIVES


@pytest.mark.parametrize(
    ("word", "stored"), [("before", False), ("instead", False), ("after", True)]
)
def test_words(word, stored):
    """Before and instead of the effect nothing is stored, after it all is."""
    inner = DictStore()
    asked = []
    inner.ping = lambda: asked.append("ping")
    faults = Faults(inner, [word])
    with pytest.raises(Broken):
        faults.set("k", b"v")
    assert (inner.get("k") is not None) is (word == "after")
    assert asked == ["ping"] * (word == "instead")
    faults.set("k", b"v")


def test_callable_is_a_concurrent_client():
    """A callable comes after the effect, and before the error."""
    inner = DictStore()
    faults = Faults(inner, [lambda: inner.set("k", inner.get("k").value + b", and more")])
    with pytest.raises(Broken):
        faults.set("k", b"v")
    assert inner.get("k").value == b"v, and more"
