"""Forks and processes."""

import os
import threading
from functools import partial

from kvbackends import Feature, Outcome, Rank, Store
from kvbackends.testing.registry import Area, requires
from kvbackends.testing.tools import (
    child,
    in_child,
    offer,
    part,
    publisher,
    rank_of,
    value_at,
    version_at,
)


class Processes(Area):
    """A client made before a fork is never used after it."""

    area = "processes"
    rule = "processes"

    def fork_after_use(self, store: Store, key: str) -> None:
        """A store that was used before a fork works in the child, and afterwards in the parent."""
        store.set(key, b"parent")
        assert in_child(lambda: _works(store, f"{key}-child")) == 0
        _works(store, f"{key}-parent")
        assert value_at(store, key) == b"parent"

    def fork_while_others_write(self, store: Store, key: str) -> None:
        """A fork in the middle of another thread's call leaves no lock behind in the child."""
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                store.set(f"{key}-busy", b"v", 60)
                store.offer(offer(f"{key}-ranked", Rank.UNREADY), rank_of)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            statuses = [in_child(lambda: _works(store, f"{key}-child")) for _ in range(8)]
        finally:
            stop.set()
            writer.join()
        assert statuses == [0] * 8

    def fork_of_a_fork(self, store: Store, key: str) -> None:
        """A child's child has a store of its own too."""
        store.ping()
        assert in_child(lambda: _grandchild_works(store, key)) == 0

    @requires(Feature.SHARED)
    def processes_share(self, store: Store, other: Store, key: str, barrier: str) -> None:
        """What children wrote is there, and exactly one of them claims."""
        store.open_barrier(barrier, b"", 60)
        store.expect(publisher(barrier), 40, 60)
        claims = f"{key}-claims"
        children = [child(partial(_bring, store, key, claims, barrier, n)) for n in range(4)]
        assert [os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) for each in children] == [0] * 4
        assert other.increment(claims, 0, None) == 1
        assert other.increment(key, 0, None) == 40
        assert len(list(other.parts(barrier))) == 40


def _bring(store: Store, key: str, claims: str, barrier: str, n: int) -> None:
    for place in range(n, 40, 4):
        store.increment(key, 1, None)
        answer = store.arrive(part(barrier, place), b"v", 60)
        store.increment(claims, answer.outcome is Outcome.CLAIMED, None)


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
