"""The part and the result in one call."""

import pytest

from kvbackends.contract import Rank, Store
from kvbackends.testing.check import Area
from kvbackends.testing.tools import (
    CLAIMED,
    CLOSED,
    HELD,
    TTL,
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
    """A result and its part."""

    area = "finishing"
    rule = "finishing"

    def waiting(self, store: Store, barrier: str, key: str) -> None:
        """A success is stored when its part does not complete the barrier."""
        begin(store, barrier, 2)
        result = offer(key, Rank.SUCCEEDED, "result")
        assert store.finish(result, part(barrier, 0), rank_of, TTL).outcome is WAITING
        assert value_at(store, key) == result.value

    def completing(self, store: Store, barrier: str, key: str) -> None:
        """The success that completes the barrier is a part and not yet a result."""
        begin(store, barrier, 1)
        result = offer(key, Rank.SUCCEEDED, "result")
        answer = store.finish(result, part(barrier, 0), rank_of, TTL)
        assert (answer.outcome, answer.parts, answer.about) == (CLAIMED, 1, b"about")
        assert store.get(key) is None
        assert gathered(store, barrier) == {(0, "task-0"): result.value}

    def held(self, store: Store, barrier: str, key: str) -> None:
        """A success that finds the claim held is not stored; who is stored last tells Celery."""
        holder = complete(store, barrier)
        result = offer(key, Rank.SUCCEEDED)
        answer = store.finish(result, part(barrier, 0), rank_of, TTL)
        assert (answer.outcome, answer.holder) == (HELD, holder.delivery)
        assert store.get(key) is None
        answer = store.finish(result, part(barrier, 0), rank_of, TTL, holder.delivery)
        assert answer.outcome is CLAIMED

    def closed(self, store: Store, barrier: str, key: str) -> None:
        """After the tombstone the caller offers its result itself."""
        close(store, complete(store, barrier))
        result = offer(key, Rank.SUCCEEDED)
        assert store.finish(result, part(barrier, 0), rank_of, TTL).outcome is CLOSED
        assert store.get(key) is None

    @pytest.mark.parametrize("size", [1, 2])
    def failure_is_stored_first(self, store: Store, barrier: str, key: str, size: int) -> None:
        """A failure is stored whether it completes the barrier or not."""
        begin(store, barrier, size)
        result = offer(key, Rank.FAILED, "error")
        answer = store.finish(result, part(barrier, 0), rank_of, TTL)
        assert answer.outcome is (CLAIMED if size == 1 else WAITING)
        assert value_at(store, key) == result.value
        assert gathered(store, barrier) == {(0, "task-0"): result.value}

    def rank_holds(self, store: Store, barrier: str, key: str) -> None:
        """The result is ranked as any offer: a stored success stays, and the part arrives."""
        begin(store, barrier, 2)
        success = offer(key, Rank.SUCCEEDED)
        store.offer(success, rank_of)
        answer = store.finish(offer(key, Rank.FAILED), part(barrier, 0), rank_of, TTL)
        assert answer.outcome is WAITING
        assert value_at(store, key) == success.value
        assert arrive(store, part(barrier, 1)).outcome is CLAIMED

    def first_part_stays(self, store: Store, barrier: str, key: str) -> None:
        """A failure after a success of the same part leaves the part's value."""
        begin(store, barrier, 2)
        success = offer(key, Rank.SUCCEEDED)
        store.finish(success, part(barrier, 0), rank_of, TTL)
        store.finish(offer(key, Rank.FAILED), part(barrier, 0), rank_of, TTL)
        arrive(store, part(barrier, 1))
        assert gathered(store, barrier)[0, "task-0"] == success.value
