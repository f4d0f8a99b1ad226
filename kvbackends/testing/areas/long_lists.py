"""Long listings, and sweeping beside writers."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kvbackends.contract import Barrier, Feature, Rank, Store
from kvbackends.contract.derived import delete_many
from kvbackends.layers.layer import innermost
from kvbackends.testing.areas.expiring import WRITES
from kvbackends.testing.check import Area, last, requires, thorough
from kvbackends.testing.delayed import Waits
from kvbackends.testing.overlapped import side_by_side
from kvbackends.testing.tools import (
    CLAIMED,
    SHORT,
    TTL,
    arrive,
    begin,
    complete,
    gathered,
    latency,
    offer,
    outlive,
    part,
    publisher,
    rank_of,
    within,
)

MANY, SOME, FEW, WINDOW = 1_100, 300, 120, 10_001
FAST = 0.001
"""Seconds: a store whose calls take longer lists fewer keys in a quick run."""
REWRITTEN = 60
"""Expired keys that are written again while they are swept, in each round."""
ROUNDS = 3


class LongListings(Area):
    """Listings are complete."""

    area = "listings"
    rule = "listing"

    @requires(Feature.LISTING)
    def above_a_page(self, store: Store, key: str) -> None:
        """`scan` yields 1,100 keys, each once; on a slow store 120."""
        keys = _written(store, key)
        assert sorted(store.scan(key)) == sorted(keys)
        assert set(keys) <= set(store.scan(""))
        side_by_side(store.delete, keys)

    @requires(Feature.LISTING)
    @thorough
    def above_a_window(self, store: Store, key: str) -> None:
        """`scan` yields 10,001 keys: some servers end a search at 10,000."""
        if latency(store) > FAST:
            pytest.skip("so many keys are written to stores without a network")
        keys = _written(store, key, WINDOW)
        assert sorted(store.scan(key)) == sorted(keys)
        delete_many(store, keys)

    @requires(Feature.LISTING)
    def while_keys_are_deleted(self, store: Store, key: str) -> None:
        """Keys that are deleted during a listing make it pass over none that stay."""
        keys = _written(store, key, SOME)
        listed, stay = set(), set(keys[::2])
        # Without the retry layer, which reads all keys before it yields the first one.
        for each in innermost(store).scan(key):
            listed.add(each)
            if each not in stay:
                store.delete(each)
        assert stay <= listed
        side_by_side(store.delete, keys)

    @requires(Feature.LISTING)
    def while_keys_are_rewritten(self, store: Store, key: str) -> None:
        """Keys that are written again during a listing are yielded once, like the others."""
        keys = _written(store, key, SOME)
        found = []
        for each in itertools.islice(innermost(store).scan(key), 10 * SOME):
            if each in keys:  # a layer may have keys of its own
                found.append(each)
                store.set(each, b"again", TTL)
        assert sorted(found) == sorted(keys)
        side_by_side(store.delete, keys)

    @requires(Feature.LISTING)
    def of_another_connection(self, store: Store, other: Store, key: str) -> None:
        """`scan` yields what another connection has written, and what it has not is not there."""
        store.set(f"{key}-a", b"v")
        store.offer(offer(f"{key}-b", Rank.FAILED), rank_of)
        assert sorted(other.scan(key)) == [f"{key}-a", f"{key}-b"]
        assert list(other.scan(f"{key}-c")) == []
        store.delete(f"{key}-a")
        assert list(other.scan(key)) == [f"{key}-b"]

    @requires(Feature.FACETS)
    def facets_of_what_is_stored(self, store: Store, key: str, barrier: Barrier) -> Waits:
        """`find` goes by the record that is stored: not by one before, refused or expired."""

        def facets(state: str) -> dict[str, str]:
            return {"worker": key, "state": state}

        first = {**facets("a"), "task": key}
        store.offer(offer(key, Rank.UNREADY)._replace(facets=first), rank_of)
        store.offer(offer(key, Rank.SUCCEEDED)._replace(facets=facets("b")), rank_of)
        store.offer(offer(key, Rank.FAILED)._replace(facets=facets("c")), rank_of)
        begin(barrier, 2)
        finished = offer(f"{key}-finished", Rank.FAILED)._replace(facets=facets("d"))
        barrier.finish(part(0), finished, rank_of)
        closed = store.barrier(f"{barrier.name}-closed", TTL)
        completing = offer(f"{key}-closed", Rank.FAILED)._replace(facets=facets("f"))
        closed.close(complete(closed, 1), completing, rank_of)
        gone = offer(f"{key}-gone", Rank.FAILED, ttl=SHORT)._replace(facets=facets("e"))
        store.offer(gone, rank_of)
        yield SHORT
        found = {state: list(store.find(facets(state)) or ()) for state in "abcdef"}
        stored = {"b": [key], "d": [finished.key], "f": [completing.key]}
        assert found == {state: stored.get(state, []) for state in "abcdef"}
        assert list(store.find({"task": key}) or ()) == [], "a facet that was replaced by none"
        store.delete(key)
        assert list(store.find(facets("b")) or ()) == []


class Sweeps(Area):
    """Sweeping removes nothing that lives."""

    area = "sweeps"
    rule = "sweeping"
    alone = True

    @last
    def beside_writers(self, store: Store, second: Store, key: str) -> None:
        """What was expired and is written again while it is swept stays."""
        if "sweep" not in store.native:
            pytest.skip("the store does not sweep")
        for turn in range(ROUNDS):
            names = itertools.islice(itertools.cycle(set(WRITES) - {"finish", "close"}), REWRITTEN)
            keys = {f"{key}-{turn}-{n}": WRITES[name] for n, name in enumerate(names)}
            side_by_side(lambda each: keys[each](store, each, SHORT), keys)  # noqa: B023
            outlive(store)
            stop = threading.Event()
            with ThreadPoolExecutor(2) as pool:
                sweeping = [pool.submit(_sweep, each, stop) for each in (store, second)]
                side_by_side(lambda each: keys[each](store, each, TTL), keys)  # noqa: B023
                stop.set()
            for each in sweeping:
                each.result()
            assert set(store.get_batch(list(keys))) == keys.keys()

    @last
    def barriers_stay(self, store: Store, barrier: Barrier) -> None:
        """A barrier whose life a part has extended is not swept by the ttl that it began with."""

        def prolong(ttl: float) -> None:
            first = store.barrier(barrier.name, ttl)
            first.open(b"payload")
            first.expect(publisher(), 3)
            arrive(barrier, part(0))

        _, ttl = within(store, prolong)
        arrive(barrier, part(1))
        if "sweep" in store.native:
            outlive(store, ttl)
            store.sweep(100_000)
        answer = arrive(barrier, part(2))
        assert (answer.outcome, answer.parts, answer.payload) == (CLAIMED, 3, b"payload")
        assert len(gathered(barrier)) == 3


def _written(store: Store, key: str, many: int = MANY) -> list[str]:
    count = many if latency(store) < FAST else FEW
    keys = [f"{key}-{n}" for n in range(count)]
    side_by_side(lambda each: store.set(each, b"v", TTL), keys)
    return keys


def _sweep(store: Store, stop: threading.Event) -> None:
    while not stop.is_set():
        store.sweep(20)
