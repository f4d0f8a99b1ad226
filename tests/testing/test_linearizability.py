"""The checker of histories, on histories whose verdict is known."""

import random

import pytest

from kvbackends.testing.linearizability import (
    UNKNOWN,
    Operation,
    barrier,
    counter,
    explains,
    ranked,
    register,
)


def op(name, argument, answer, began, ended, after=-1):
    return Operation(name, argument, answer, began, ended, after)


def cas(expected, new, answer, began, ended):
    return op("compare_and_set", (expected, new), answer, began, ended)


def get(answer, began, ended):
    return op("get", None, answer, began, ended)


GOOD = {
    "nothing": (register, None, []),
    "one after the other": (register, None, [cas(None, 1, True, 0, 1), get(1, 2, 3)]),
    "a read beside a write sees either": (
        register, None, [cas(None, 1, True, 0, 10), get(None, 1, 2), get(1, 3, 4)],
    ),
    "one of two creates": (
        register, None, [cas(None, 1, True, 0, 5), cas(None, 2, False, 1, 4), get(1, 6, 7)],
    ),
    "a lost answer may have been": (
        register, None, [cas(None, 1, UNKNOWN, 0, 1), get(None, 2, 3), get(1, 4, 5)],
    ),
    "a lost answer may never have been": (
        register, None, [cas(None, 1, UNKNOWN, 0, 1), get(None, 9, 10)],
    ),
    "counts in another order than they began": (
        counter, 0, [op("inc", 1, 2, 0, 9), op("inc", 1, 1, 1, 8), op("inc", 1, 3, 10, 11)],
    ),
    "a success stays": (
        ranked, None,
        [op("offer", (3, b"s"), True, 0, 5), op("offer", (1, b"u"), False, 1, 6),
         get((3, b"s"), 7, 8)],
    ),
    "an offer again": (
        ranked, None, [op("offer", (3, b"s"), True, 0, 1), op("offer", (3, b"s"), True, 2, 3)],
    ),
}  # fmt: skip

BAD = {
    "a lost update": (
        register, None,
        [cas(None, 1, True, 0, 1), cas(1, 2, True, 2, 5), cas(1, 3, True, 3, 6), get(3, 7, 8)],
    ),
    "a stale read": (register, None, [cas(None, 1, True, 0, 1), get(None, 2, 3)]),
    "there and gone again": (
        register, None, [cas(None, 1, True, 0, 10), get(1, 1, 2), get(None, 3, 4)],
    ),
    "refused without a reason": (register, None, [cas(None, 1, False, 0, 1)]),
    "two create": (register, None, [cas(None, 1, True, 0, 5), cas(None, 2, True, 0, 5)]),
    "the same number twice": (counter, 0, [op("inc", 1, 1, 0, 5), op("inc", 1, 1, 0, 5)]),
    "a number left out": (counter, 0, [op("inc", 1, 1, 0, 5), op("inc", 1, 3, 0, 5)]),
    "a success is replaced": (
        ranked, None,
        [op("offer", (3, b"s"), True, 0, 1), op("offer", (1, b"u"), True, 2, 3)],
    ),
    "the first of two successes goes": (
        ranked, None,
        [op("offer", (3, b"a"), True, 0, 1), op("offer", (3, b"b"), False, 0, 2),
         get((3, b"b"), 3, 4)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_good(case):
    assert explains(*case)


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_bad(case):
    assert not explains(*case)


def arrivals(*each):
    """Arrivals of (part, delivery, outcome, holder, began, ended), as two operations each."""
    history = []
    for part, delivery, outcome, holder, began, ended in each:
        history.append(op("record", (part, delivery), UNKNOWN, began, ended))
        answer = (outcome, holder)
        history.append(op("look", (part, delivery), answer, began, ended, len(history) - 1))
    return history


EMPTY = (frozenset(), None)


def test_barrier():
    """Exactly one arrival claims, once all parts are in; HELD names the holder."""
    one = ("a", "d1", "WAITING", "", 0, 1)
    assert explains(barrier(2), EMPTY, arrivals(one, ("b", "d2", "CLAIMED", "", 2, 3)))
    held = ("a", "d1", "HELD", "d2", 0, 5)
    assert explains(barrier(2), EMPTY, arrivals(held, ("b", "d2", "CLAIMED", "", 0, 5)))
    assert not explains(barrier(2), EMPTY, arrivals(held, ("b", "d2", "WAITING", "", 0, 5)))
    assert not explains(barrier(2), EMPTY, arrivals(("a", "d1", "CLAIMED", "", 0, 1)))
    both = [("a", "d1", "CLAIMED", "", 0, 5), ("b", "d2", "CLAIMED", "", 0, 5)]
    assert not explains(barrier(2), EMPTY, arrivals(*both))
    unclaimed = [("a", "d1", "WAITING", "", 0, 1), ("b", "d2", "WAITING", "", 2, 3)]
    assert not explains(barrier(2), EMPTY, arrivals(*unclaimed))
    again = ("a", "d3", "CLAIMED", "", 4, 5)
    first = ("a", "d1", "CLAIMED", "", 2, 3)
    assert explains(barrier(1), EMPTY, arrivals(first, again))


@pytest.mark.parametrize("seed", range(20))
def test_random_histories(seed):
    """The answers of a correct counter are always explained; one wrong answer never is."""
    rng = random.Random(seed)
    moments = sorted(rng.random() for _ in range(30))
    history = [
        op("inc", 1, total, moment - rng.random() / 8, moment + rng.random() / 8)
        for total, moment in enumerate(moments, 1)
    ]
    rng.shuffle(history)
    assert explains(counter, 0, history)
    wrong = history[7]._replace(answer=history[7].answer + 1)
    assert not explains(counter, 0, [*history[:7], wrong, *history[8:]])
