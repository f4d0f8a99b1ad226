"""Forks and processes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from kvbackends.contract import Barrier, Feature, Outcome, Rank, Store
from kvbackends.testing.check import Area, requires
from kvbackends.testing.forks import child, ended, fork_in_c, in_child
from kvbackends.testing.tools import (
    TTL,
    Opener,
    offer,
    part,
    publisher,
    rank_of,
    value_at,
    version_at,
)

THREADS, CHILDREN, ADDED, ASKED = 2, 6, 10, 40


class Processes(Area):
    """A client made before a fork is never used after it."""

    area = "processes"
    rule = "processes"
    alone = True

    def fork_after_use(self, store: Store, key: str) -> None:
        """A store that was used before a fork works in the child, and afterwards in the parent."""
        store.set(key, b"parent")
        assert in_child(lambda: _works(store, f"{key}-child")) == 0
        _works(store, f"{key}-parent")
        assert value_at(store, key) == b"parent"

    def fork_in_c(self, store: Store, key: str) -> None:
        """After a fork by a library in C, too, parent and child use connections of their own.

        No hook of Python's tells of it; the process id does.
        """
        store.set(key, b"parent")
        pid = child(partial(_keeps_asking, store, f"{key}-child"), fork=fork_in_c)
        try:
            _keeps_asking(store, f"{key}-parent")
        finally:
            status = ended(pid)
        assert status == 0
        assert value_at(store, key) == b"parent"

    def fork_while_others_write(self, store: Store, key: str) -> None:
        """A fork in the middle of another thread's call leaves no lock behind in the child."""
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                store.set(f"{key}-busy", b"v", TTL)
                store.offer(offer(f"{key}-ranked", Rank.UNREADY), rank_of)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(8):
                assert in_child(lambda: _works(store, f"{key}-child")) == 0
        finally:
            stop.set()
            writer.join()

    @requires(Feature.SHARED)
    def fork_in_mid_call(self, store: Store, key: str) -> None:
        """A child that is forked in the middle of threads' calls disturbs none of them.

        The sum has every number that parent and children added.
        """
        stop = threading.Event()
        with ThreadPoolExecutor(THREADS) as pool:
            adding = [pool.submit(_add_until, store, key, stop) for _ in range(THREADS)]
            try:
                children = [child(partial(_add, store, key)) for _ in range(CHILDREN)]
                statuses = [ended(pid) for pid in children]
            finally:
                stop.set()
        assert statuses == [0] * CHILDREN
        added = sum(each.result() for each in adding) + CHILDREN * ADDED
        assert store.increment(key, 0, None) == added

    def fork_of_a_fork(self, store: Store, key: str) -> None:
        """A child's child has a store of its own too."""
        store.ping()
        assert in_child(lambda: _grandchild_works(store, key)) == 0

    def child_closes(self, store: Store, opener: Opener, key: str) -> None:
        """A child that closes its store, used or not, disturbs neither its parent nor a thread."""
        mine, stop = opener(), threading.Event()
        mine.set(key, b"parent")

        def write() -> None:
            while not stop.is_set():
                mine.set(f"{key}-busy", b"v", TTL)

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            try:
                for work in (mine.close, lambda: _uses_and_closes(mine, f"{key}-child")):
                    assert in_child(work) == 0
                    assert value_at(mine, key) == b"parent"
            finally:
                stop.set()
            writing.result()
        _works(mine, f"{key}-after")

    @requires(Feature.SHARED)
    def processes_share(self, store: Store, other: Store, key: str, barrier: Barrier) -> None:
        """The parent reads what its children wrote, and exactly one child claims."""
        barrier.open(b"")
        barrier.expect(publisher(), 40)
        claims = f"{key}-claims"
        children = [child(partial(_bring, store, key, claims, barrier.name, n)) for n in range(4)]
        assert [ended(pid) for pid in children] == [0] * 4
        assert other.increment(claims, 0, None) == 1
        assert other.increment(key, 0, None) == 40
        assert len(list(other.barrier(barrier.name, TTL).parts())) == 40


def _keeps_asking(store: Store, key: str) -> None:
    _works(store, key)
    for n in range(ASKED):
        value = f"{key} {n}".encode()
        store.set(key, value)
        assert value_at(store, key) == value


def _add_until(store: Store, key: str, stop: threading.Event) -> int:
    added = 0
    while not stop.is_set():
        store.increment(key, 1, None)
        added += 1
    return added


def _add(store: Store, key: str) -> None:
    for _ in range(ADDED):
        store.increment(key, 1, None)


def _bring(store: Store, key: str, claims: str, name: str, n: int) -> None:
    barrier = store.barrier(name, TTL)
    for place in range(n, 40, 4):
        store.increment(key, 1, None)
        answer = barrier.arrive(part(place), b"v")
        store.increment(claims, int(answer.outcome is Outcome.CLAIMED), None)


def _uses_and_closes(store: Store, key: str) -> None:
    _works(store, key)
    store.close()
    store.close()


def _works(store: Store, key: str) -> None:
    store.set(key, b"v")
    assert value_at(store, key) == b"v"
    assert store.compare_and_set(key, b"w", version_at(store, key))
    assert store.offer(offer(f"{key}-ranked", Rank.SUCCEEDED), rank_of)
    subscription = store.subscribe()
    subscription.wake()
    subscription.wait(1)
    subscription.close()


def _grandchild_works(store: Store, key: str) -> None:
    assert in_child(lambda: _works(store, key)) == 0
