"""Properties of the memory store alone."""

from kvbackends import open_store
from kvbackends.contract import Feature
from kvbackends.stores.memory import MemoryStore
from kvbackends.testing.forks import in_child


def test_stores_of_other_names_are_other_stores():
    """Two names, two stores."""
    open_store("memory://one-name").set("k", b"v")
    assert open_store("memory://other-name").get("k") is None


def test_a_fork_has_its_own():
    """Memory is not SHARED: what a child writes stays in the child."""
    memory = open_store("memory://forked")
    assert not memory.features & Feature.SHARED
    assert in_child(lambda: memory.set("k", b"v")) == 0
    assert memory.get("k") is None


def test_it_does_not_grow():
    """Writes remove expired keys: a store that is never swept stays small."""
    memory = MemoryStore("does-not-grow")
    for i in range(3_000):
        memory.set(f"k{i}", b"v", 1e-6)
    assert len(memory._space.rows) < 100
    for _ in range(3_000):
        memory.set("same", b"v", 60)
    assert len(memory._space.expiries) < 200
