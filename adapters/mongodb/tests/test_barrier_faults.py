"""What arrives while the values of a claimed barrier are read."""

import datetime as dt
from uuid import uuid4

import pytest
from kvbackends_mongodb.barriers import MongoDBBarrier

from kvbackends import open_store
from kvbackends.contract import SIZE_PLACE, Outcome, Part, Rank
from kvbackends.layers.layer import innermost


def part(barrier, place, member=None):
    return Part(barrier, place, member or f"task-{place}", uuid4().hex)


@pytest.fixture
def store(mongodb_url):
    opened = open_store(mongodb_url, {"result_backend_transport_options": {"retry": False}})
    yield opened
    opened.close()


def test_a_stray_between_look_and_list(store, monkeypatch):
    """A second run of an adder adds a part and it arrives, after the claim and before the list."""
    barrier, look = uuid4().hex, MongoDBBarrier.look
    store.open_barrier(barrier, b"", 60)
    store.expect(part(barrier, SIZE_PLACE, "size"), 1, 60)
    assert store.arrive(part(barrier, 0), b"value", 60).outcome is Outcome.CLAIMED

    def then_a_stray(self):
        monkeypatch.undo()
        seen = look(self)
        store.expect_more(part(barrier, 0), 0, "late", 60)
        assert store.arrive(part(barrier, 0, "late"), b"late", 60).outcome is Outcome.HELD
        return seen

    monkeypatch.setattr(MongoDBBarrier, "look", then_a_stray)
    assert [value for _, _, value in store.parts(barrier)] == [b"value"]


def test_a_tombstone_outlives_late_parts(store):
    """Else a later run has its number, and finds what a late part whose process died has left."""
    barrier = uuid4().hex
    store.open_barrier(barrier, b"", 60)
    store.expect(part(barrier, SIZE_PLACE, "size"), 1, 60)
    last = part(barrier, 0)
    assert store.arrive(last, b"value", 60).outcome is Outcome.CLAIMED
    store.close_barrier(last, 60, None, lambda _: Rank.SUCCEEDED)
    assert store.arrive(part(barrier, 0), b"late", 6000).outcome is Outcome.CLOSED
    chords = innermost(store)._client().chords.collection
    expires = chords.find_one({"_id": {"b": barrier}})["expires"].replace(tzinfo=dt.UTC)
    assert expires > dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5000)
