"""Chords of many sizes, and the cost of a part."""

import random

import pytest

from kvbackends.contract import Barrier, Rank, Store
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
"""The most store calls that a part and its result take with the five methods only."""
FAST = 0.001
"""Seconds: with slower calls a store is not tried with thousands of parts."""


class Sizes(Area):
    """A chord of any size is complete, and each part costs the same."""

    area = "sizes"
    rule = "sizes"

    @pytest.mark.parametrize("size", [1, 2, 30])
    def whole(self, store: Store, other: Store, barrier: Barrier, size: int) -> None:
        """Every part is yielded once with its value; nothing is left after closing."""
        _whole(other, barrier, size)

    @thorough
    def hundreds(self, store: Store, other: Store, barrier: Barrier) -> None:
        """Three hundred parts are complete on any store."""
        _whole(other, barrier, 300)

    def above_a_page(self, store: Store, other: Store, barrier: Barrier, large: bool) -> None:
        """A chord with more parts than a page of most stores."""
        _skip_slow(store, large)
        _whole(other, barrier, 1_001)

    @thorough
    def many(self, store: Store, other: Store, barrier: Barrier, large: bool) -> None:
        """A chord of ten thousand parts."""
        _skip_slow(store, large)
        _whole(other, barrier, 10_000)

    def cost_is_flat(self, store: Store, barrier: Barrier, key: str) -> None:
        """The calls that a part takes do not grow with the parts that came before it."""
        counting = Counting(store)
        counted = counting.barrier(barrier.name, TTL)
        begin(counted, 100)
        costs = []
        for place in range(50):
            each, result = part(place), offer(f"{key}-{place}", Rank.SUCCEEDED)
            costs.append(counting.calls.total())
            counted.finish(each, result, rank_of)
            costs[-1] = counting.calls.total() - costs[-1]
        assert max(costs) <= PART, f"a part and its result took {max(costs)} calls"
        assert costs[-1] <= costs[1], f"from {costs[1]} calls to {costs[-1]}"


def _skip_slow(store: Store, large: bool) -> None:
    if not large or latency(store) > FAST:
        pytest.skip("for stores without a network; elsewhere with --store-full on quick ones")


def _whole(other: Store, barrier: Barrier, size: int) -> None:
    begin(barrier, size)
    places = list(range(size))
    random.Random(size).shuffle(places)
    for place in places[:-1]:
        assert arrive(barrier, part(place)).outcome is WAITING
    last = part(places[-1])
    answer = arrive(barrier, last)
    assert (answer.outcome, answer.parts) == (CLAIMED, size)
    expected = [part(place) for place in places]
    same = other.barrier(barrier.name, TTL)
    assert gathered(same) == {(p.place, p.member): value_of(p) for p in expected}
    barrier.close(last, None, rank_of)
    assert gathered(same) == {}
    assert arrive(same, part(0)).outcome is CLOSED
