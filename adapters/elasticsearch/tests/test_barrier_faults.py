"""What arrives while the values of a claimed barrier are read, and how long its record lives."""

import time
from uuid import uuid4

from kvbackends_elasticsearch.barriers import ElasticsearchBarrier

from kvbackends.contract import SIZE_PLACE, Outcome, Part


def part(barrier, place, member=None):
    return Part(barrier, place, member or f"task-{place}", uuid4().hex)


def test_a_stray_between_look_and_list(open_one, store, index_url, monkeypatch):
    """A second run of an adder adds a part and it arrives, after the claim and before the list."""
    barrier, read = uuid4().hex, ElasticsearchBarrier.look
    store.open_barrier(barrier, b"", 60)
    store.expect(part(barrier, SIZE_PLACE, "size"), 1, 60)
    assert store.arrive(part(barrier, 0), b"value", 60).outcome is Outcome.CLAIMED

    def then_a_stray(self):
        monkeypatch.undo()
        seen = read(self)
        store.expect_more(part(barrier, 0), 0, "late", 60)
        assert store.arrive(part(barrier, 0, "late"), b"late", 60).outcome is Outcome.HELD
        return seen

    breaker = open_one(index_url)  # which knows no list of its own
    monkeypatch.setattr(ElasticsearchBarrier, "look", then_a_stray)
    assert [value for _, _, value in breaker.parts(barrier)] == [b"value"]


def test_the_record_outlives_each_part(store):
    """A part that arrives when the record is older counts until its own ttl has passed."""
    barrier, ttl = uuid4().hex, 4.0
    store.open_barrier(barrier, b"", ttl)
    store.expect(part(barrier, SIZE_PLACE, "size"), 2, ttl)
    time.sleep(ttl * 0.2)
    arrived = time.monotonic()
    assert store.arrive(part(barrier, 0), b"first", ttl).outcome is Outcome.WAITING
    time.sleep(max(0, ttl * 0.9 - (time.monotonic() - arrived)))
    last = store.arrive(part(barrier, 1), b"second", ttl)
    assert time.monotonic() - arrived > ttl or last.outcome is Outcome.CLAIMED
