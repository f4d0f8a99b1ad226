"""A part's arrival and its result in one call."""

import pytest

from kvbackends.contract import Barrier, Rank, Store
from kvbackends.testing.check import Area
from kvbackends.testing.tools import (
    CLAIMED,
    CLOSED,
    HELD,
    UNKNOWN,
    WAITING,
    arrive,
    begin,
    close,
    complete,
    gathered,
    offer,
    part,
    rank_of,
    value_at,
)


class Finishing(Area):
    """`Barrier.finish` stores a result together with its part."""

    area = "finishing"
    rule = "finishing"

    def waiting(self, store: Store, barrier: Barrier, key: str) -> None:
        """A success is stored when its part does not complete the barrier."""
        begin(barrier, 2)
        result = offer(key, Rank.SUCCEEDED, "result")
        assert barrier.finish(part(0), result, rank_of).outcome is WAITING
        assert value_at(store, key) == result.value

    def completing(self, store: Store, barrier: Barrier, key: str) -> None:
        """The success that completes the barrier is recorded as a part, not yet as a result."""
        begin(barrier, 1)
        result = offer(key, Rank.SUCCEEDED, "result")
        answer = barrier.finish(part(0), result, rank_of)
        assert (answer.outcome, answer.parts, answer.payload) == (CLAIMED, 1, b"payload")
        assert store.get(key) is None
        assert gathered(barrier) == {(0, "task-0"): result.value}

    def held(self, store: Store, barrier: Barrier, key: str) -> None:
        """A success that finds the claim held is not stored: it is stored after the dispatch."""
        holder = complete(barrier)
        result = offer(key, Rank.SUCCEEDED)
        answer = barrier.finish(part(0), result, rank_of)
        assert (answer.outcome, answer.holder) == (HELD, holder.delivery)
        assert store.get(key) is None
        answer = barrier.finish(part(0), result, rank_of, holder.delivery)
        assert answer.outcome is CLAIMED

    def closed(self, store: Store, barrier: Barrier, key: str) -> None:
        """After the tombstone the caller offers its result itself."""
        close(barrier, complete(barrier))
        result = offer(key, Rank.SUCCEEDED)
        assert barrier.finish(part(0), result, rank_of).outcome is CLOSED
        assert store.get(key) is None

    def never_opened(self, store: Store, barrier: Barrier, key: str) -> None:
        """Where nothing was opened, the caller offers its success itself; a failure is stored."""
        success, failure = offer(key, Rank.SUCCEEDED), offer(f"{key} failed", Rank.FAILED)
        assert barrier.finish(part(0), success, rank_of).outcome is UNKNOWN
        assert store.get(key) is None
        assert barrier.finish(part(1), failure, rank_of).outcome is UNKNOWN
        assert value_at(store, failure.key) == failure.value
        assert gathered(barrier) == {}

    @pytest.mark.parametrize("size", [1, 2])
    def failure_is_stored_first(self, store: Store, barrier: Barrier, key: str, size: int) -> None:
        """A failure is stored whether it completes the barrier or not."""
        begin(barrier, size)
        result = offer(key, Rank.FAILED, "error")
        answer = barrier.finish(part(0), result, rank_of)
        assert answer.outcome is (CLAIMED if size == 1 else WAITING)
        assert value_at(store, key) == result.value
        assert gathered(barrier) == {(0, "task-0"): result.value}

    def rank_holds(self, store: Store, barrier: Barrier, key: str) -> None:
        """The result is ranked like any offer: a stored success stays, and the part arrives."""
        begin(barrier, 2)
        success = offer(key, Rank.SUCCEEDED)
        store.offer(success, rank_of)
        answer = barrier.finish(part(0), offer(key, Rank.FAILED), rank_of)
        assert answer.outcome is WAITING
        assert value_at(store, key) == success.value
        assert arrive(barrier, part(1)).outcome is CLAIMED

    def first_part_stays(self, barrier: Barrier, key: str) -> None:
        """A failure after a success of the same part leaves the part's value."""
        begin(barrier, 2)
        success = offer(key, Rank.SUCCEEDED)
        barrier.finish(part(0), success, rank_of)
        barrier.finish(part(0), offer(key, Rank.FAILED), rank_of)
        arrive(barrier, part(1))
        assert gathered(barrier)[0, "task-0"] == success.value
