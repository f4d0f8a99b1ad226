"""Chords of many sizes, and what a part costs."""

import random

import pytest

from kvbackends.contract import Rank, Store
from kvbackends.testing.check import Area, thorough
from kvbackends.testing.layers import Counting
from kvbackends.testing.tools import (
    CLAIMED,
    CLOSED,
    TTL,
    WAITING,
    arrive,
    begin,
    gathered,
    latency,
    offer,
    part,
    rank_of,
    value_of,
)

PART = 6
"""Store calls of a part and its result, at most, with the five methods only."""
FAST = 0.001
"""Seconds: a call to a store that ten thousand parts are tried on takes no longer."""


class Sizes(Area):
    """A chord of any size is whole, and each part costs the same."""

    area = "sizes"
    rule = "sizes"

    @pytest.mark.parametrize("size", [1, 2, 30])
    def whole(self, store: Store, other: Store, barrier: str, size: int) -> None:
        """Every part is handed over, once, with its value; nothing is left afterwards."""
        _whole(store, other, barrier, size)

    @thorough
    def hundreds(self, store: Store, other: Store, barrier: str) -> None:
        """Three hundred parts are whole on any store."""
        _whole(store, other, barrier, 300)

    def above_a_page(self, store: Store, other: Store, barrier: str, embedded: bool) -> None:
        """More parts than many a store answers at once."""
        _skip_slow(store, embedded)
        _whole(store, other, barrier, 1_001)

    @thorough
    def many(self, store: Store, other: Store, barrier: str, embedded: bool) -> None:
        """Ten thousand parts."""
        _skip_slow(store, embedded)
        _whole(store, other, barrier, 10_000)

    def cost_is_flat(self, store: Store, barrier: str, key: str) -> None:
        """The calls that a part takes do not grow with the parts that came before it."""
        counting = Counting(store)
        begin(counting, barrier, 100)
        costs = []
        for place in range(50):
            each, result = part(barrier, place), offer(f"{key}-{place}", Rank.SUCCEEDED)
            costs.append(counting.calls.total())
            counting.finish(result, each, rank_of, TTL)
            costs[-1] = counting.calls.total() - costs[-1]
        assert max(costs) <= PART, f"a part and its result took {max(costs)} calls"
        assert costs[-1] <= costs[1], f"from {costs[1]} calls to {costs[-1]}"


def _skip_slow(store: Store, embedded: bool) -> None:
    if not embedded or latency(store) > FAST:
        pytest.skip("for stores without a network")


def _whole(store: Store, other: Store, barrier: str, size: int) -> None:
    begin(store, barrier, size)
    places = list(range(size))
    random.Random(size).shuffle(places)
    for place in places[:-1]:
        assert arrive(store, part(barrier, place)).outcome is WAITING
    last = part(barrier, places[-1])
    answer = arrive(store, last)
    assert (answer.outcome, answer.parts) == (CLAIMED, size)
    expected = [part(barrier, place) for place in places]
    assert gathered(other, barrier) == {(p.place, p.member): value_of(p) for p in expected}
    store.close_barrier(last, TTL, None, rank_of)
    assert gathered(other, barrier) == {}
    assert arrive(other, part(barrier, 0)).outcome is CLOSED
