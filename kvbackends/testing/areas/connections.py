"""Several connections of one process, and threads that share one."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from kvbackends.contract import Outcome, Rank, Store
from kvbackends.contract.derived import update
from kvbackends.testing.check import Area
from kvbackends.testing.tools import (
    TTL,
    Opener,
    delivery,
    offer,
    part,
    publisher,
    race,
    rank_of,
    value_at,
)

THREADS = 8
ROUNDS = 5
CLOSINGS = 3

Stores = tuple[Store, Store]


def _create(stores: Stores, key: str) -> None:
    for i in range(ROUNDS):
        each = f"{key}-{i}"
        won = race(THREADS, lambda n: stores[n % 2].compare_and_set(each, b"%d" % n, None))  # noqa: B023
        assert won.count(True) == 1
        assert value_at(stores[0], each) == b"%d" % won.index(True)


def _update(stores: Stores, key: str) -> None:
    def add(n: int) -> None:
        for turn in range(ROUNDS):
            token = b" %d.%d" % (n, turn)
            update(stores[n % 2], key, lambda old: (old or b"") + token, None)  # noqa: B023

    race(THREADS, add)
    assert len(value_at(stores[0], key).split()) == ROUNDS * THREADS


def _increment(stores: Stores, key: str) -> None:
    def count(n: int) -> list[int]:
        return [stores[n % 2].increment(key, 1, None) for _ in range(ROUNDS)]

    sums = sorted(total for each in race(THREADS, count) for total in each)
    assert sums == list(range(1, THREADS * ROUNDS + 1))


def _offer(stores: Stores, key: str) -> None:
    for i in range(ROUNDS):
        offers = [offer(f"{key}-{i}", Rank.SUCCEEDED, str(n)) for n in range(THREADS)]
        stored = race(THREADS, lambda n: stores[n % 2].offer(offers[n], rank_of))  # noqa: B023
        assert stored.count(True) == 1
        assert value_at(stores[0], f"{key}-{i}") == offers[stored.index(True)].value


def _arrive(stores: Stores, key: str) -> None:
    for i in range(ROUNDS):
        barriers = [store.barrier(f"{key}-{i}", TTL) for store in stores]
        barriers[0].open(b"")
        barriers[1].expect(publisher(), THREADS)
        answers = race(THREADS, lambda n: barriers[n % 2].arrive(part(n), b"v"))  # noqa: B023
        assert [each.outcome for each in answers].count(Outcome.CLAIMED) == 1
        assert len(list(barriers[1].parts())) == THREADS


def _add_member(stores: Stores, key: str) -> None:
    race(THREADS, lambda n: stores[n % 2].add_member(key, str(n), TTL))
    assert stores[0].add_member(key, "0", TTL) == {str(n) for n in range(THREADS)}


RACES: dict[str, Callable[[Stores, str], None]] = {
    "create": _create,
    "update": _update,
    "increment": _increment,
    "offer": _offer,
    "arrive": _arrive,
    "add_member": _add_member,
}


class ManyConnections(Area):
    """Threads and connections of one process do not disturb each other."""

    area = "connections"
    rule = "threads"

    @pytest.mark.parametrize("name", RACES)
    def two_race(self, store: Store, second: Store, key: str, name: str) -> None:
        """Threads that race through two connections of one process lose nothing."""
        RACES[name]((store, second), key)

    def own_answers(self, store: Store, key: str) -> None:
        """Threads that share a connection each get the answers to their own calls."""
        race(THREADS, lambda n: _asks(store, f"{key}-{n}"))

    def close_while_used(self, opener: Opener, key: str) -> None:
        """`close` by one of ten threads makes no call of the others fail."""
        store, stop = opener(), threading.Event()

        def use(n: int) -> None:
            turn = 0
            while not stop.is_set():
                store.set(f"{key}-{n}", b"%d" % turn)
                assert value_at(store, f"{key}-{n}") == b"%d" % turn
                turn += 1

        with ThreadPoolExecutor(9) as pool:
            using = [pool.submit(use, n) for n in range(9)]
            try:
                for _ in range(CLOSINGS):
                    time.sleep(0.02)
                    store.close()
            finally:
                stop.set()
        for each in using:
            each.result()


def _asks(store: Store, key: str) -> None:
    for turn in range(ROUNDS):
        mine = f"{key}-{turn} {delivery()}".encode()
        new, old = f"{key}-{turn}", f"{key}-set"
        assert store.get(new) is None
        assert store.compare_and_set(new, mine, None)
        assert not store.compare_and_set(new, b"lost", None)
        store.set(old, mine)
        assert value_at(store, new) == mine
        assert store.get_batch([new, old]) == {new: mine, old: mine}
        assert store.increment(f"{key}-number", 1, TTL) == turn + 1
        assert store.add_member(f"{key}-members", "a", TTL) == {"a"}
        ranked = partial(store.offer, offer(f"{key}-{turn}-r", Rank.SUCCEEDED, key), rank_of)
        assert ranked()
        store.delete(old)
        assert store.get(old) is None
