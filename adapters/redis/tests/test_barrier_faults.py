"""Times to live of a barrier, and its values while they are read."""

import uuid

import pytest
from celery import states
from kvbackends_redis.errors import Unavailable
from kvbackends_redis.operations.barriers import keys_of

from kvbackends.contract import SIZE_PLACE, Offer, Outcome, Rank
from kvbackends.testing.tools import part

TTL = 60


@pytest.fixture
def barrier() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def lives(store, barrier):
    """Milliseconds that control, parts and extra have left."""
    return lambda: [store.client.pttl(key) for key in keys_of(barrier)]


def test_parts_never_outlive_what_counts_them(store, barrier, lives):
    """A part that comes when the others are some seconds old prolongs all of them."""
    store.barrier(barrier, TTL).open(b"")
    store.barrier(barrier, TTL).expect_more(part(0), 0, "more")
    for key in keys_of(barrier):
        store.client.pexpire(key, TTL * 1000 + 500)  # as if 7 seconds had passed
    store.barrier(barrier, TTL).arrive(part(0), b"value")
    control, parts, extra = lives()
    assert control >= parts - 5 >= TTL * 1000 - 1000
    assert extra >= parts - 5


def test_what_is_added_expires_too(store, barrier, lives):
    """Also where the other keys need no new time to live."""
    store.barrier(barrier, TTL).open(b"")
    store.barrier(barrier, TTL).arrive(part(0), b"value")
    store.barrier(barrier, TTL).expect_more(part(1), 0, "more")
    assert min(lives()) >= TTL * 1000 - 5


def test_what_comes_while_the_values_are_read_is_not_among_them(store, barrier):
    """A second run of an adder adds a part and it arrives, between two pages of the values."""
    size = 3000
    store.barrier(barrier, TTL).open(b"")
    store.barrier(barrier, TTL).expect(part(SIZE_PLACE, "size"), size)
    for place in range(size):
        arrival = store.barrier(barrier, TTL).arrive(part(place), b"value")
    assert arrival.outcome is Outcome.CLAIMED
    values = store.barrier(barrier).parts()
    found = [next(values)]
    for number in range(100):
        store.barrier(barrier, TTL).expect_more(part(0), number, f"late-{number}")
        late = store.barrier(barrier, TTL).arrive(part(0, f"late-{number}"), b"late")
        assert late.outcome is Outcome.HELD
    found += values
    assert len(found) == size
    assert all(value == b"value" for _, _, value in found)


def test_a_part_that_comes_again_is_recorded_if_its_value_was_lost(store, barrier):
    """The server has evicted the values, and not what counts them."""
    store.barrier(barrier, TTL).open(b"")
    store.barrier(barrier, TTL).expect(part(SIZE_PLACE, "size"), 2)
    first, second = part(0), part(1)
    store.barrier(barrier, TTL).arrive(first, b"value")
    store.client.delete(keys_of(barrier)[1])
    assert store.barrier(barrier, TTL).arrive(second, b"value").outcome is Outcome.WAITING
    store.client.delete(keys_of(barrier)[1])
    assert store.barrier(barrier, TTL).arrive(first, b"value").outcome is Outcome.WAITING
    assert len(list(store.barrier(barrier).parts())) == 1


def test_what_counts_may_be_lost_and_no_part_is_there_twice(store, barrier):
    """Then the barrier is as if it had never been opened: the chord fails."""
    store.barrier(barrier, TTL).open(b"")
    first = part(0)
    store.barrier(barrier, TTL).arrive(first, b"value")
    store.client.delete(keys_of(barrier)[0])
    store.barrier(barrier, TTL).arrive(first, b"value")
    arrival = store.barrier(barrier, TTL).expect(part(SIZE_PLACE, "size"), 2)
    assert [member for _, member, _ in store.barrier(barrier).parts()] == ["task-0"]
    assert arrival.outcome is Outcome.UNKNOWN


def test_reading_values_that_are_removed_meanwhile_is_retried(store, barrier):
    """Another delivery has closed the barrier, or another server has it now."""
    store.barrier(barrier, TTL).open(b"")
    for place in range(1500):
        store.barrier(barrier, TTL).arrive(part(place), b"value")
    values = store.barrier(barrier).parts()
    next(values)
    store.client.delete(keys_of(barrier)[1])
    with pytest.raises(Unavailable):
        list(values)


@pytest.mark.parametrize("already", [None, states.STARTED, states.FAILURE, states.SUCCESS])
@pytest.mark.parametrize("size", [10, 100_000])
def test_a_part_and_its_result_end_alike_on_the_short_way_and_the_long_one(
    store, barrier, already, size
):
    """The short one is for parts whose result is the first record of its key."""
    store.barrier(barrier, TTL).open(b"")
    store.barrier(barrier, TTL).expect(part(SIZE_PLACE, "size"), 5)
    for place in range(3):  # the first has to set times to live; the last comes again
        key = f"{barrier}-{place}"
        if already:
            old = f'{{"status": "{already}", "old": 1}}'.encode()
            store.set(key, old, TTL)
        value = b'{"status": "SUCCESS", "result": "%b"}' % (b"x" * size)
        offer = Offer(key, value, Rank.SUCCEEDED, TTL)
        one = part(place)
        for _ in range(2):
            arrival = store.barrier(barrier, TTL).finish(one, offer, lambda _: Rank.UNREADY)
            assert arrival.outcome is Outcome.WAITING
        assert store.get(key).value == (old if already == states.SUCCESS else value)
        assert TTL - 5 < store.client.ttl(key) <= TTL
    assert sorted(place for place, _, _ in store.barrier(barrier).parts()) == [0, 1, 2]
    assert store.client.llen(keys_of(barrier)[1]) == 6
