"""Connections that break before, after and instead of an effect."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from typing import NamedTuple

import pytest

from kvbackends.contract import Rank, Store
from kvbackends.contract.options import CoreOptions
from kvbackends.layers.retry import Retry
from kvbackends.testing.check import Area
from kvbackends.testing.layers import Broken, Faults
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

QUICK = CoreOptions(retry_first_ms=1, retry_longest_ms=2)


def _nothing(_store: Store, _key: str) -> None:
    """Needs no preparation."""


def _value(store: Store, key: str) -> object:
    entry = store.get(key)
    return entry and entry.value


MOST = 60
"""Store calls that no operation of a small barrier takes."""
WORDS = ("before", "after", "instead")
THREADS = 8
"""Cases that are tried at once."""


class Scenario(NamedTuple):
    """An operation, what it needs, and what shows its effect; nothing shown has the key in it."""

    act: Callable[[Store, str], object]
    prepare: Callable[[Store, str], object] = _nothing
    shows: Callable[[Store, str], object] = _value


def _barrier(store: Store, key: str) -> object:
    """What is recorded, and what a look finds."""
    found = store.arrive(part(key, 0, "task-0", "look"), None, TTL)
    return found.outcome, found.holder, gathered(store, key), _value(store, f"{key}-result")


def _claimed(store: Store, key: str) -> None:
    begin(store, key, 1)
    arrive(store, part(key, 0, run="holder"))


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
    "sweep": Scenario(lambda s, _: s.sweep() >= 0, lambda s, k: s.set(k, b"live")),
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
    "open_barrier": Scenario(lambda s, k: s.open_barrier(k, b"about", TTL), complete, _barrier),
    "expect": Scenario(
        lambda s, k: s.expect(publisher(k, "size"), 2, TTL),
        lambda s, k: arrive(s, part(k, 0)),
        _barrier,
    ),
    "expect, claiming": Scenario(
        lambda s, k: s.expect(publisher(k, "size"), 1, TTL),
        lambda s, k: arrive(s, part(k, 0)),
        _barrier,
    ),
    "expect_more": Scenario(
        lambda s, k: s.expect_more(part(k, 0), 0, "more", TTL),
        lambda s, k: begin(s, k, 1),
        lambda s, k: (arrive(s, part(k, 0, run="d")), arrive(s, part(k, 0, "more", "e"))),
    ),
    "arrive": Scenario(
        lambda s, k: arrive(s, part(k, 0, run="d")), lambda s, k: begin(s, k, 2), _barrier
    ),
    "arrive, claiming": Scenario(
        lambda s, k: arrive(s, part(k, 0, run="d")), lambda s, k: begin(s, k, 1), _barrier
    ),
    "arrive, evicting": Scenario(
        lambda s, k: s.arrive(publisher(k, "evictor"), None, TTL, "holder"), _claimed, _barrier
    ),
    "finish": Scenario(
        lambda s, k: s.finish(
            offer(f"{k}-result", Rank.SUCCEEDED), part(k, 0, run="d"), rank_of, TTL
        ),
        lambda s, k: begin(s, k, 2),
        _barrier,
    ),
    "finish, claiming": Scenario(
        lambda s, k: s.finish(offer(f"{k}-result", Rank.FAILED), part(k, 0, run="d"), rank_of, TTL),
        lambda s, k: begin(s, k, 1),
        _barrier,
    ),
    "parts": Scenario(gathered, _claimed, _barrier),
    "renew": Scenario(lambda s, k: s.renew(part(k, 0, run="holder")), _claimed, _barrier),
    "close_barrier": Scenario(
        lambda s, k: s.close_barrier(
            part(k, 0, run="holder"), TTL, offer(f"{k}-result", Rank.SUCCEEDED), rank_of
        ),
        _claimed,
        _barrier,
    ),
}


class FaultTolerance(Area):
    """Transient errors are retried where that is safe, and change nothing."""

    area = "faults"
    rule = "unknown-outcomes"

    @pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
    def retried(self, store: Store, second: Store, key: str, scenario: Scenario) -> None:
        """Whichever call breaks, before, after or instead of its effect: the end is the same."""
        whole = Faults(store)
        expected = _outcome(scenario, whole, store, second, f"{key}-whole")
        assert len(whole.seen) < MOST, whole.seen

        def broken(place: int, word: str) -> None:
            faults = Faults(store, [*["ok"] * place, word])
            found = _outcome(scenario, Retry(faults, QUICK), store, second, f"{key}-{place}-{word}")
            assert found == expected, f"call {place + 1} of {faults.seen} broke {word} its effect"

        cases = product(range(len(whole.seen)), WORDS)
        with ThreadPoolExecutor(THREADS) as pool:  # for stores a network away
            list(pool.map(broken, *zip(*cases, strict=True)))

    def increment_is_not_repeated(self, store: Store, key: str) -> None:
        """Nobody knows whether a lost addition happened: the error reaches the caller."""
        for word, most in (("before", 0), ("after", 1)):
            faults = Faults(store, ["ok"] * (store.native.isdisjoint({"increment"})) + [word])
            with pytest.raises(Broken):
                Retry(faults, QUICK).increment(f"{key}-{word}", 1, None)
            assert store.increment(f"{key}-{word}", 0, None) == most

    def other_errors_are_not(self, store: Store, key: str) -> None:
        """An error that is not the driver's transient one is raised at once."""
        faults = Faults(store, ["before"])
        faults.transient_errors = store.transient_errors
        with pytest.raises(Broken):
            Retry(faults, QUICK).set(key, b"v")
        assert faults.seen == ["set"]
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


def _replace(store: Store, key: str) -> None:
    """What somebody else does, who has read what was there."""
    assert _value(store, key) == b"new"
    assert store.compare_and_set(key, b"somebody else's", version_at(store, key))


def _outcome(
    scenario: Scenario, acting: Store, store: Store, second: Store, key: str
) -> tuple[object, object]:
    scenario.prepare(store, key)
    return scenario.act(acting, key), scenario.shows(second, key)
