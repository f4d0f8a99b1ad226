"""What a barrier must not lose, or keep: its times to live, and its values while they are read."""

import uuid

import pytest
from kvbackends_redis.barriers import keys_of

from kvbackends import SIZE_PLACE, Outcome, Part

TTL = 60


@pytest.fixture
def barrier() -> str:
    return uuid.uuid4().hex


def part(barrier, place, member=None):
    return Part(barrier, place, member or f"task-{place}", uuid.uuid4().hex)


@pytest.fixture
def lives(store, barrier):
    """Milliseconds that control, parts and extra have left."""
    return lambda: [store.client.pttl(key) for key in keys_of(barrier)]


def test_parts_never_outlive_what_counts_them(store, barrier, lives):
    """A part that comes when the others are some seconds old prolongs all of them."""
    store.open_barrier(barrier, b"", TTL)
    store.expect_more(part(barrier, 0), 0, "more", TTL)
    for key in keys_of(barrier):
        store.client.pexpire(key, TTL * 1000 + 500)  # as if 7 seconds had passed
    store.arrive(part(barrier, 0), b"value", TTL)
    control, parts, extra = lives()
    assert control >= parts - 5 >= TTL * 1000 - 5
    assert extra >= parts - 5


def test_what_is_added_expires_too(store, barrier, lives):
    """Also where the other keys need no new time to live."""
    store.open_barrier(barrier, b"", TTL)
    store.arrive(part(barrier, 0), b"value", TTL)
    store.expect_more(part(barrier, 1), 0, "more", TTL)
    assert min(lives()) >= TTL * 1000 - 5


def test_what_comes_while_the_values_are_read_is_not_among_them(store, barrier):
    """A second run of an adder adds a part and it arrives, between two pages of the values."""
    size = 3000
    store.open_barrier(barrier, b"", TTL)
    store.expect(part(barrier, SIZE_PLACE, "size"), size, TTL)
    for place in range(size):
        arrival = store.arrive(part(barrier, place), b"value", TTL)
    assert arrival.outcome is Outcome.CLAIMED
    values = store.parts(barrier)
    found = [next(values)]
    for number in range(100):
        store.expect_more(part(barrier, 0), number, f"late-{number}", TTL)
        late = store.arrive(part(barrier, 0, f"late-{number}"), b"late", TTL)
        assert late.outcome is Outcome.HELD
    found += values
    assert len(found) == size
    assert all(value == b"value" for _, value in found)
