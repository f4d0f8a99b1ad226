"""Processes that are killed at each step of a chord."""

import os
import signal
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from kvbackends.contract import Barrier, Feature, Rank, Store
from kvbackends.testing.check import Area, requires, thorough
from kvbackends.testing.forks import child
from kvbackends.testing.layers import Counting, Wrapped
from kvbackends.testing.tools import (
    CLAIMED,
    CLOSED,
    TTL,
    WAITING,
    arrive,
    begin,
    gathered,
    offer,
    part,
    rank_of,
    value_at,
    value_of,
)

T = TypeVar("T")


class Deadly(Wrapped):
    """Kills the process before the call with this number, counted from 0."""

    def __init__(self, inner: Store, number: int) -> None:
        self._left = number
        super().__init__(inner)

    def call(self, name: str, operation: Callable[[], T], key: str = "") -> T:
        """Make the call, or kill the process."""
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1
        return operation()


class Kills(Area):
    """Confirmed steps survive the death of their process; another process repeats the others."""

    area = "kills"
    rule = "claims"
    alone = True

    @requires(Feature.SHARED)
    @thorough
    def at_each_step(self, store: Store, second: Store, barrier: Barrier) -> None:
        """Whichever call of a chord a process dies before, another process finishes the chord.

        Like a broker it knows which steps were confirmed, and repeats the others.
        """
        counting = Counting(store)
        _chord(counting, f"{barrier.name}-whole", 0, lambda: None)
        for number in range(counting.calls.total() + 1):
            name = f"{barrier.name}-{number}"
            confirmed = _killed(Deadly(store, number), name)
            _chord(second, name, confirmed, lambda: None)
            _ended(second, name)


def _killed(deadly: Store, name: str) -> int:
    """The number of steps that were confirmed to a process before it died."""
    read, write = os.pipe()
    pid = child(partial(_chord, deadly, name, 0, lambda: os.write(write, b".")))
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        confirmed = len(pipe.read())
    os.waitpid(pid, 0)
    return confirmed


def _chord(store: Store, name: str, skipped: int, confirm: Callable[[], object]) -> None:
    """Run the steps of a chord from the first one that was not confirmed."""
    steps: list[Callable[[Store, str], None]] = [_begin, _first, _last]
    for step in steps[skipped:]:
        step(store, name)
        confirm()


def _begin(store: Store, name: str) -> None:
    begin(store.barrier(name, TTL), 2)


def _first(store: Store, name: str) -> None:
    each = part(0)
    result = offer(f"{name}-0", Rank.SUCCEEDED)
    result = result._replace(value=value_of(each))
    outcome = store.barrier(name, TTL).finish(each, result, lambda _: Rank.UNREADY).outcome
    assert outcome is WAITING, outcome


def _last(store: Store, name: str) -> None:
    """Bring the last part, and dispatch unless the barrier is closed."""
    last, result = part(1), offer(f"{name}-1", Rank.SUCCEEDED)
    barrier = store.barrier(name, TTL)
    answer = arrive(barrier, last)
    if answer.outcome is CLOSED:
        store.offer(result, rank_of)
        return
    assert answer.outcome is CLAIMED, answer
    assert answer.parts == 2
    expected = {(p.place, p.member): value_of(p) for p in (part(0), last)}
    assert gathered(barrier) == expected
    store.set(f"{name}-dispatched", b"yes", TTL)
    assert barrier.renew(last)
    barrier.close(last, result, rank_of)


def _ended(store: Store, name: str) -> None:
    assert value_at(store, f"{name}-dispatched") == b"yes"
    assert value_at(store, f"{name}-0") == value_of(part(0))
    assert value_at(store, f"{name}-1") == offer("", Rank.SUCCEEDED).value
    barrier = store.barrier(name, TTL)
    assert arrive(barrier, part(0)).outcome is CLOSED
    assert gathered(barrier) == {}
