"""The parts of a chord as they are read from their list, a page at a time."""

import pytest
from kvbackends_redis.operations.barriers import PAGE, keys_of

COUNT = PAGE // 2 + 5
"""More parts than a page has."""


@pytest.mark.parametrize("member", ["id", "a:b", "", "line\nbreak", "ü:1"])
def test_parts_come_back_as_they_were_recorded_and_once(store, member):
    """A part that was recorded twice, on its page or on another, keeps its first value."""
    barrier = store.barrier(f"parts-{member!r}", 60)
    barrier.open(b"payload")
    recorded = {(place, f"{member}{place % 3 or ':'}"): b"%d" % place for place in range(COUNT)}
    pairs = [(f"{place}:{name}".encode(), value) for (place, name), value in recorded.items()]
    for again in ((), pairs[:1], pairs[-1:]):
        store.client.delete(keys_of(barrier.name)[1])
        flat = [each for pair in pairs for each in pair]
        store.client.rpush(
            keys_of(barrier.name)[1], *flat, *(x for part, _ in again for x in (part, b""))
        )
        found = list(barrier.parts())
        assert len(found) == COUNT
        assert {(place, name): value for place, name, value in found} == recorded
