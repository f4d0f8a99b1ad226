"""Connections that break before, after or instead of a call's effect."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import product
from typing import NamedTuple, TypeVar

import pytest

from kvbackends.contract import Barrier, Offer, Outcome, Rank, Store
from kvbackends.contract.options import CoreOptions
from kvbackends.layers.layer import innermost
from kvbackends.layers.retry import Retry
from kvbackends.testing.check import Area, last
from kvbackends.testing.layers import Broken, Faults
from kvbackends.testing.overlapped import side_by_side
from kvbackends.testing.tools import (
    TTL,
    arrive,
    begin,
    complete,
    gathered,
    offer,
    part,
    publisher,
    rank_of,
    version_at,
)

T = TypeVar("T")

SLIPS = (TypeError, ValueError, KeyError, IndexError, AttributeError, AssertionError)
"""Errors of code, which no repetition helps."""
QUICK = CoreOptions(retry_first_ms=1, retry_longest_ms=2)


def _nothing(_store: Store, _key: str) -> None:
    """Needs no preparation."""


def _value(store: Store, key: str) -> object:
    entry = store.get(key)
    return entry and entry.value


MOST = 60
"""An operation of a small barrier makes fewer store calls than this."""
WORDS = ("before", "after", "instead")
REPETITIONS = 4
"""Attempts after a scripted error; the driver may raise errors of its own, too."""


class Scenario(NamedTuple):
    """An operation, its preparation, and a view of its effect, which must not contain the key."""

    act: Callable[[Store, str], object]
    prepare: Callable[[Store, str], object] = _nothing
    shows: Callable[[Store, str], object] = _value


def _at(work: Callable[[Barrier], object]) -> Callable[[Store, str], object]:
    """Apply `work` to the barrier that is named by the key."""
    return lambda store, key: work(store.barrier(key, TTL))


def _barrier(store: Store, key: str) -> object:
    """The recorded parts and result, and the answer to an arrival without a value."""
    barrier = store.barrier(key, TTL)
    found = barrier.arrive(part(0, "task-0", "look"), None)
    return found.outcome, found.holder, gathered(barrier), _value(store, f"{key}-result")


def _claim(barrier: Barrier) -> None:
    begin(barrier, 1)
    arrive(barrier, part(0, run="holder"))


_claimed = _at(_claim)


def _result(barrier: Barrier, rank: Rank) -> Offer:
    return offer(f"{barrier.name}-result", rank)


SCENARIOS = {
    "set": Scenario(lambda s, k: s.set(k, b"new"), lambda s, k: s.set(k, b"old")),
    "delete": Scenario(lambda s, k: s.delete(k), lambda s, k: s.set(k, b"old")),
    "create": Scenario(lambda s, k: s.compare_and_set(k, b"new", None)),
    "create over": Scenario(
        lambda s, k: s.compare_and_set(k, b"new", None), lambda s, k: s.set(k, b"old")
    ),
    "update": Scenario(
        lambda s, k: s.compare_and_set(k, b"new", version_at(s, k)),
        lambda s, k: s.set(k, b"old"),
    ),
    "get_batch": Scenario(
        lambda s, k: list(s.get_batch([k, f"{k}-absent"]).values()), lambda s, k: s.set(k, b"v")
    ),
    "delete_batch": Scenario(
        lambda s, k: s.delete_batch([k, f"{k}-absent"]), lambda s, k: s.set(k, b"old")
    ),
    "lifetimes": Scenario(
        lambda s, k: "lifetimes" in s.native and list(s.lifetimes([k, f"{k}-absent"]).values()),
        lambda s, k: s.set(k, b"kept"),
    ),
    "touch": Scenario(lambda s, k: s.touch(k, TTL), lambda s, k: s.set(k, b"old")),
    "offer": Scenario(lambda s, k: s.offer(offer(k, Rank.SUCCEEDED), rank_of)),
    "offer over": Scenario(
        lambda s, k: s.offer(offer(k, Rank.SUCCEEDED), rank_of),
        lambda s, k: s.offer(offer(k, Rank.UNREADY), rank_of),
    ),
    "offer refused": Scenario(
        lambda s, k: s.offer(offer(k, Rank.FAILED), rank_of),
        lambda s, k: s.offer(offer(k, Rank.SUCCEEDED), rank_of),
    ),
    "add_member": Scenario(
        lambda s, k: s.add_member(k, "b", TTL),
        lambda s, k: s.add_member(k, "a", TTL),
        lambda s, k: s.add_member(k, "a", TTL),
    ),
    "open": Scenario(_at(lambda b: b.open(b"payload")), _at(complete), _barrier),
    "expect": Scenario(
        _at(lambda b: b.expect(publisher("size"), 2)),
        _at(lambda b: arrive(b, part(0))),
        _barrier,
    ),
    "expect, claiming": Scenario(
        _at(lambda b: b.expect(publisher("size"), 1)),
        _at(lambda b: arrive(b, part(0))),
        _barrier,
    ),
    "expect_more": Scenario(
        _at(lambda b: b.expect_more(part(0), 0, "more")),
        _at(lambda b: begin(b, 1)),
        _at(lambda b: (arrive(b, part(0, run="d")), arrive(b, part(0, "more", "e")))),
    ),
    "arrive": Scenario(
        _at(lambda b: arrive(b, part(0, run="d"))), _at(lambda b: begin(b, 2)), _barrier
    ),
    "arrive, claiming": Scenario(
        _at(lambda b: arrive(b, part(0, run="d"))), _at(lambda b: begin(b, 1)), _barrier
    ),
    "arrive, evicting": Scenario(
        _at(lambda b: b.arrive(publisher("evictor"), None, "holder")), _claimed, _barrier
    ),
    "finish": Scenario(
        _at(lambda b: b.finish(part(0, run="d"), _result(b, Rank.SUCCEEDED), rank_of)),
        _at(lambda b: begin(b, 2)),
        _barrier,
    ),
    "finish, claiming": Scenario(
        _at(lambda b: b.finish(part(0, run="d"), _result(b, Rank.FAILED), rank_of)),
        _at(lambda b: begin(b, 1)),
        _barrier,
    ),
    "parts": Scenario(_at(gathered), _claimed, _barrier),
    "renew": Scenario(_at(lambda b: b.renew(part(0, run="holder"))), _claimed, _barrier),
    "close": Scenario(
        _at(lambda b: b.close(part(0, run="holder"), _result(b, Rank.SUCCEEDED), rank_of)),
        _claimed,
        _barrier,
    ),
}


SWEEP = Scenario(lambda s, _: s.sweep() >= 0, lambda s, k: s.set(k, b"live"))
"""Apart from the others, because it removes the expired keys that other checks wait for."""


class FaultTolerance(Area):
    """Transient errors are retried where that is safe, and change nothing."""

    area = "faults"
    rule = "unknown-outcomes"

    @pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
    def retried(self, store: Store, second: Store, key: str, scenario: Scenario) -> None:
        """Whichever call breaks, before, after or instead of its effect, the end is the same."""
        _same_with_errors(store, second, key, scenario)

    @last
    def sweep_is_retried(self, store: Store, second: Store, key: str) -> None:
        """A sweep of which any call breaks removes no live key."""
        _same_with_errors(store, second, key, SWEEP)

    def one_object_serves_on(self, store: Store, key: str) -> None:
        """A barrier object serves several operations in a row, and again after an error.

        The error comes before, after or instead of each call that an arriving part makes.
        """
        # Without the retry layer, which makes a new object for each attempt.
        bare = innermost(store) if "barrier" in store.native else store
        whole = Faults(bare)
        _arrivals(whole, f"{key}-whole")

        def broken(case: tuple[int, str]) -> None:
            place, word = case
            _arrivals(Faults(bare), f"{key}-{place}-{word}", [*["ok"] * place, word])

        side_by_side(broken, product(range(len(whole.seen)), WORDS))

    def increment_is_not_repeated(self, store: Store, key: str) -> None:
        """An addition whose answer was lost may have happened: the error reaches the caller."""
        for word, most in (("before", 0), ("after", 1)):
            faults = Faults(store, ["ok"] * ("increment" not in store.native) + [word])
            with pytest.raises(Broken):
                Retry(faults, QUICK).increment(f"{key}-{word}", 1, None)
            assert store.increment(f"{key}-{word}", 0, None) == most

    def other_errors_are_not(self, store: Store, key: str) -> None:
        """An error that is not the driver's transient one is raised at once, a slip's too."""
        for error in (Broken, *SLIPS):
            faults = Faults(store, ["before"])
            faults.transient_errors, faults.error = store.transient_errors, error
            with pytest.raises(error):
                Retry(faults, QUICK).set(key, b"v")
            assert faults.seen == ["set"], f"{error.__name__} is repeated"
            assert store.get(key) is None

    def lost_race_after_a_lost_answer(self, store: Store, key: str) -> None:
        """A compare_and_set that landed, whose answer was lost, and that was replaced, is False."""
        for suffix, old in (("absent", None), ("there", b"old")):
            each = f"{key}-{suffix}"
            if old is not None:
                store.set(each, old)
            entry = store.get(each)
            faults = Faults(store, [partial(_replace, store, each)])
            broken = Retry(faults, QUICK)
            assert not broken.compare_and_set(each, b"new", entry and entry.version)
            assert faults.seen[:2] == ["compare_and_set", "get"]
            assert _value(store, each) == b"somebody else's"

    def declares_exceptions(self, store: Store) -> None:
        """`transient_errors` are classes of exceptions, and not all of them."""
        for error in store.transient_errors:
            assert issubclass(error, BaseException)
            assert not issubclass(ValueError, error), f"{error} says that nothing is an error"


def _same_with_errors(store: Store, second: Store, key: str, scenario: Scenario) -> None:
    whole = Faults(store)
    expected = _outcome(scenario, whole, store, second, f"{key}-whole")
    assert len(whole.seen) < MOST, whole.seen

    def broken(case: tuple[int, str]) -> None:
        place, word = case
        faults = Faults(store, [*["ok"] * place, word])
        found = _outcome(scenario, Retry(faults, QUICK), store, second, f"{key}-{place}-{word}")
        assert found == expected, f"call {place + 1} of {faults.seen} broke {word} its effect"

    side_by_side(broken, product(range(len(whole.seen)), WORDS))


def _arrivals(faults: Faults, name: str, script: Iterable[str] = ()) -> None:
    """A chord of two parts on one object; its caller repeats what the script breaks."""
    barrier, first, last = faults.barrier(name, TTL), part(0), part(1)
    again = partial(_repeated, faults.transient_errors)
    again(lambda: begin(barrier, 2))
    faults.seen.clear()
    faults.script = list(script)
    assert again(lambda: arrive(barrier, first).outcome) is Outcome.WAITING
    assert again(lambda: arrive(barrier, last).outcome) is Outcome.CLAIMED
    assert again(lambda: len(gathered(barrier))) == 2
    assert again(lambda: barrier.renew(last))
    again(lambda: barrier.close(last, None, rank_of))
    assert again(lambda: arrive(barrier, last).outcome) is Outcome.CLOSED


def _repeated(errors: tuple[type[BaseException], ...], work: Callable[[], T]) -> T:
    for _ in range(REPETITIONS):
        with suppress(*errors):
            return work()
    return work()


def _replace(store: Store, key: str) -> None:
    """Replace the value as a concurrent writer would that has read it."""
    assert _value(store, key) == b"new"
    assert store.compare_and_set(key, b"somebody else's", version_at(store, key))


def _outcome(
    scenario: Scenario, acting: Store, store: Store, second: Store, key: str
) -> tuple[object, object]:
    scenario.prepare(store, key)
    return scenario.act(acting, key), scenario.shows(second, key)
