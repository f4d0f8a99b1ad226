"""Parts that arrive after the claim, and tombstones."""

import datetime as dt
from uuid import uuid4

import pytest
from kvbackends_mongodb.barriers import MongoDBBarrier

from kvbackends import open_store
from kvbackends.contract import SIZE_PLACE, Outcome, Rank
from kvbackends.layers.layer import innermost
from kvbackends.testing.tools import part


@pytest.fixture
def store(mongodb_url):
    opened = open_store(mongodb_url, {"result_backend_transport_options": {"retry": False}})
    yield opened
    opened.close()


def test_a_stray_between_snapshot_and_list(store, monkeypatch):
    """A redelivered adder adds a part, which arrives after the claim and before the list."""
    barrier, read = uuid4().hex, MongoDBBarrier.snapshot
    store.barrier(barrier, 60).open(b"")
    store.barrier(barrier, 60).expect(part(SIZE_PLACE, "size"), 1)
    assert store.barrier(barrier, 60).arrive(part(0), b"value").outcome is Outcome.CLAIMED

    def with_a_late_part(self):
        monkeypatch.undo()
        seen = read(self)
        store.barrier(barrier, 60).expect_more(part(0), 0, "late")
        assert store.barrier(barrier, 60).arrive(part(0, "late"), b"late").outcome is Outcome.HELD
        return seen

    monkeypatch.setattr(MongoDBBarrier, "snapshot", with_a_late_part)
    assert [value for _, _, value in store.barrier(barrier).parts()] == [b"value"]


def test_a_tombstone_outlives_late_parts(store):
    """Otherwise a later run would get the same number, and would find the late part."""
    barrier = uuid4().hex
    store.barrier(barrier, 60).open(b"")
    store.barrier(barrier, 60).expect(part(SIZE_PLACE, "size"), 1)
    last = part(0)
    assert store.barrier(barrier, 60).arrive(last, b"value").outcome is Outcome.CLAIMED
    store.barrier(barrier, 60).close(last, None, lambda _: Rank.SUCCEEDED)
    assert store.barrier(barrier, 6000).arrive(part(0), b"late").outcome is Outcome.CLOSED
    chords = innermost(store)._client().chords.collection
    expires = chords.find_one({"_id": {"b": barrier}})["expires"].replace(tzinfo=dt.UTC)
    assert expires > dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5000)
