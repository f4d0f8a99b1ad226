"""Parts that arrive after the claim, and the lifetime of the control record."""

import time
from uuid import uuid4

from kvbackends_elasticsearch.barriers import ElasticsearchBarrier

from kvbackends.contract import SIZE_PLACE, Outcome
from kvbackends.testing.tools import part


def test_a_stray_between_snapshot_and_list(open_one, store, index_url, monkeypatch):
    """A redelivered adder adds a part, which arrives after the claim and before the list."""
    barrier, read = uuid4().hex, ElasticsearchBarrier.snapshot
    store.barrier(barrier, 60).open(b"")
    store.barrier(barrier, 60).expect(part(SIZE_PLACE, "size"), 1)
    assert store.barrier(barrier, 60).arrive(part(0), b"value").outcome is Outcome.CLAIMED

    def with_a_late_part(self):
        monkeypatch.undo()
        seen = read(self)
        store.barrier(barrier, 60).expect_more(part(0), 0, "late")
        assert store.barrier(barrier, 60).arrive(part(0, "late"), b"late").outcome is Outcome.HELD
        return seen

    other = open_one(index_url)  # a process that remembers no list
    monkeypatch.setattr(ElasticsearchBarrier, "snapshot", with_a_late_part)
    assert [value for _, _, value in other.barrier(barrier).parts()] == [b"value"]


def test_the_record_outlives_each_part(store):
    """A part that arrives later than the record was written counts for its whole ttl."""
    barrier, ttl = uuid4().hex, 4.0
    store.barrier(barrier, ttl).open(b"")
    store.barrier(barrier, ttl).expect(part(SIZE_PLACE, "size"), 2)
    time.sleep(ttl * 0.2)
    arrived = time.monotonic()
    assert store.barrier(barrier, ttl).arrive(part(0), b"first").outcome is Outcome.WAITING
    time.sleep(max(0, ttl * 0.9 - (time.monotonic() - arrived)))
    last = store.barrier(barrier, ttl).arrive(part(1), b"second")
    assert time.monotonic() - arrived > ttl or last.outcome is Outcome.CLAIMED
