"""Store calls per operation: counted, because a count does not depend on the machine.

The bounds are the project's table of round trips, column "five methods only" unless a test says
otherwise.
"""

import uuid

import pytest

from kvbackends import open_store
from kvbackends.contract import Outcome, Part, Rank, Store
from kvbackends.contract.derived import get_many
from kvbackends.layers.layer import innermost
from tests.support.chords import offer, part, publisher, rank_of
from tests.support.dict_store import DictStore
from tests.support.layers import Counting

TTL = 60.0


@pytest.fixture
def counting() -> Counting:
    return Counting(DictStore())


def filled(store: Store, barrier: str, size: int, arrived: int) -> None:
    opened = store.barrier(barrier, TTL)
    opened.open(b"payload")
    opened.expect(publisher(), size)
    for place in range(arrived):
        opened.arrive(part(place, str(uuid.UUID(int=place))), b"value")


class TestFiveMethods:
    def test_result(self, counting: Counting):
        """A result costs one call where nothing is stored, three where something is."""
        assert counting.spent(lambda: counting.offer(offer("k", Rank.UNREADY), rank_of)) == 1
        assert counting.spent(lambda: counting.offer(offer("k", Rank.SUCCEEDED), rank_of)) == 3

    def test_refused_result(self, counting: Counting):
        """A refused result costs an attempt and a read."""
        counting.offer(offer("k", Rank.SUCCEEDED), rank_of)
        assert counting.spent(lambda: counting.offer(offer("k", Rank.FAILED), rank_of)) == 2

    def test_start_of_a_chord(self, counting: Counting):
        """Opening a barrier and setting its size costs four calls."""
        assert counting.spent(lambda: filled(counting, "b", 10, 0)) == 4

    @pytest.mark.parametrize("size", [10, 1_000, 10_000])
    def test_part_is_flat(self, counting: Counting, size: int):
        """A part with its result costs the same in any header: offer and five, never above six."""
        filled(counting, "b", size, size - 3)
        costs = [
            counting.spent(
                lambda place=place: counting.barrier("b", TTL).finish(
                    part(place), offer(f"k{place}", Rank.SUCCEEDED), rank_of
                )
            )
            for place in (size - 3, size - 2)
        ]
        assert costs == [1 + 5, 1 + 5]

    def test_records_stay_small(self):
        """In a header of 10,000 an arriving part rewrites a few kilobytes."""
        store = DictStore()
        filled(store, "b", 10_000, 9_999)
        assert max(len(row.value) for row in store.rows.values()) < 5_000

    def test_duplicate_part(self, counting: Counting):
        """A part that comes again costs no more than the first time."""
        filled(counting, "b", 10, 5)
        again = part(0, str(uuid.UUID(int=0)))
        assert counting.spent(lambda: counting.barrier("b", TTL).arrive(again, b"value")) <= 5

    @pytest.mark.parametrize("size", [10, 1_000])
    def test_last_part(self, counting: Counting, size: int):
        """The last part reads and removes what was recorded: linear, with the pages."""
        filled(counting, "b", size, size - 1)
        last = part(size - 1)

        opened = counting.barrier("b", TTL)

        def dispatch() -> None:
            assert opened.arrive(last, b"value").outcome is Outcome.CLAIMED
            assert len(list(opened.parts())) == size
            assert opened.renew(last)
            opened.close(last, offer("k", Rank.SUCCEEDED), rank_of)

        pages = min(size, 256)
        values = 2 * size  # each is read once, and deleted once
        assert counting.spent(dispatch) <= 15 + values + 4 * pages

    def test_late_part(self, counting: Counting):
        """A part that arrives after the tombstone costs one read."""
        filled(counting, "b", 1, 1)
        barrier = counting.barrier("b", TTL)
        barrier.close(part(0), None, rank_of)
        assert counting.spent(lambda: barrier.arrive(part(0), b"v")) == 1

    def test_looking(self, counting: Counting):
        """A delivery that waits for a claimed barrier reads it with one call."""
        filled(counting, "b", 2, 2)
        look = Part(0, "somebody", "else")
        opened = counting.barrier("b", TTL)
        assert opened.arrive(look, None).outcome is Outcome.HELD
        assert counting.spent(lambda: opened.arrive(look, None)) == 1

    def test_added_part(self, counting: Counting):
        """Adding a part to a running chord costs a read and a write."""
        filled(counting, "b", 10, 0)
        assert (
            counting.spent(lambda: counting.barrier("b", TTL).expect_more(part(0), 0, "more")) == 2
        )

    def test_reading(self, counting: Counting):
        """Reading one result costs one call, and a join of N costs N."""
        for i in range(20):
            counting.set(f"k{i}", b"v")
        assert counting.spent(lambda: counting.get("k1")) == 1
        assert counting.spent(lambda: counting.get_batch([f"k{i}" for i in range(20)])) == 20

    def test_a_save_of_a_group(self, counting: Counting):
        """Saving a group costs one call, whatever its size."""
        assert counting.spent(lambda: counting.set("group", b"x" * 10_000, TTL)) == 1


class TestNative:
    """The calls to a store that overrides every operation."""

    @pytest.fixture
    def native(self, tmp_path) -> Counting:
        return Counting(innermost(open_store(f"sqlite:///{tmp_path}/results.db")))

    def test_one_call_each(self, native: Counting):
        """Result and part are one call, the start of a chord two, its end three."""
        assert native.spent(lambda: filled(native, "b", 2, 0)) == 2
        result = offer("k", Rank.SUCCEEDED)
        barrier = native.barrier("b", TTL)
        assert native.spent(lambda: barrier.finish(part(0), result, rank_of)) == 1
        last = part(1)
        assert native.spent(lambda: barrier.finish(last, result, rank_of)) == 1
        assert native.spent(lambda: list(barrier.parts())) == 1
        assert native.spent(lambda: barrier.renew(last)) == 1
        assert native.spent(lambda: barrier.close(last, result, rank_of)) == 1

    def test_results(self, native: Counting):
        """STARTED and SUCCESS are two calls, a join of a thousand is one."""
        for rank in (Rank.UNREADY, Rank.SUCCEEDED):
            assert native.spent(lambda rank=rank: native.offer(offer("k", rank), rank_of)) == 1
        keys = [f"k{i}" for i in range(native.limits.batch_keys)]
        assert native.spent(lambda: native.get_batch(keys)) == 1


def test_batches_are_bounded_and_without_repetition():
    """The core asks for each key once, at most `limits.batch_keys` at a time."""
    inner = DictStore()
    inner.limits = inner.limits._replace(batch_keys=10)
    sizes: list[int] = []
    inner.get_batch = lambda keys: sizes.append(len(keys)) or dict.fromkeys(keys, b"v")
    keys = [f"k{i}" for i in range(25)]
    assert dict(get_many(inner, keys + keys)) == dict.fromkeys(keys, b"v")
    assert sizes == [10, 10, 5]
