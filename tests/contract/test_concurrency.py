"""Threads, forks and processes."""

import os
import random
import threading
from collections.abc import Callable

import pytest

from kvbackends import Arrival, Feature, Outcome, Rank, Store, open_store
from tests.contract.conftest import Opener
from tests.support.chords import offer, part, publisher, rank_of
from tests.support.processes import fork, in_child
from tests.support.threads import together

THREADS = 8


class TestThreads:
    def test_one_creates(self, store: Store, key: str):
        """Of eight who create a key at once exactly one succeeds."""
        for i in range(10):
            each = f"{key}-{i}"
            won = together(
                lambda n=n, each=each: store.compare_and_set(each, b"%d" % n, None)
                for n in range(THREADS)
            )
            assert won.count(True) == 1
            assert store.get(each).value == b"%d" % won.index(True)

    def test_no_update_is_lost(self, store: Store, key: str):
        """Eight threads that add by compare_and_set lose nothing."""
        store.set(key, b"0")

        def add() -> None:
            for _ in range(15):
                while True:
                    value, version = store.get(key)
                    if store.compare_and_set(key, b"%d" % (int(value) + 1), version):
                        break

        together([add] * THREADS)
        assert store.get(key).value == b"%d" % (15 * THREADS)

    def test_no_increment_is_lost(self, store: Store, key: str):
        """Eight threads that count lose nothing, and no two get the same number."""
        sums = together([lambda: [store.increment(key, 1, None) for _ in range(15)]] * THREADS)
        assert sorted(n for each in sums for n in each) == list(range(1, 15 * THREADS + 1))

    def test_best_rank_wins(self, store: Store, key: str):
        """Whatever the order of eight writers, the success stays."""
        ranks = [Rank.SUCCEEDED, Rank.FAILED, *[Rank.UNREADY] * (THREADS - 2)]
        for i in range(30):
            each = f"{key}-{i}"
            random.Random(i).shuffle(ranks)
            stored = together(
                lambda n=n, rank=rank, each=each: store.offer(offer(each, rank, str(n)), rank_of)
                for n, rank in enumerate(ranks)
            )
            winner = ranks.index(Rank.SUCCEEDED)
            assert stored[winner]
            assert store.get(each).value == b"3%d" % winner

    def test_first_success_stays(self, store: Store, key: str):
        """Of eight successes the first that was stored stays."""
        for i in range(10):
            each = f"{key}-{i}"
            stored = together(
                lambda n=n, each=each: store.offer(offer(each, Rank.SUCCEEDED, str(n)), rank_of)
                for n in range(THREADS)
            )
            assert stored.count(True) == 1
            assert store.get(each).value == b"3%d" % stored.index(True)

    def test_one_claims(self, store: Store, barrier: str):
        """Eight threads bring forty parts: exactly one delivery claims, and it sees all values."""
        store.open_barrier(barrier, b"", 60)
        store.expect(publisher(barrier), 40, 60)
        arrivals = together(
            lambda n=n: _bring(store, barrier, range(n, 40, THREADS)) for n in range(THREADS)
        )
        outcomes = [each.outcome for many in arrivals for each in many]
        assert outcomes.count(Outcome.CLAIMED) == 1
        assert Outcome.CLOSED not in outcomes
        assert len(list(store.parts(barrier))) == 40

    def test_the_size_races_too(self, store: Store, barrier: str):
        """The size and the last parts at once: exactly one claims, whoever it is."""
        for i in range(10):
            each = f"{barrier}-{i}"
            store.open_barrier(each, b"", 60)
            works: list[Callable[[], Arrival]] = [
                lambda n=n, each=each: store.arrive(part(each, n), b"v", 60) for n in range(3)
            ]
            works.append(lambda each=each: store.expect(publisher(each), 3, 60))
            outcomes = [answer.outcome for answer in together(works)]
            assert outcomes.count(Outcome.CLAIMED) == 1

    def test_one_evicts(self, store: Store, barrier: str):
        """Of eight who give up on the same holder exactly one takes its place."""
        store.open_barrier(barrier, b"", 60)
        store.expect(publisher(barrier), THREADS + 1, 60)
        _bring(store, barrier, range(THREADS))
        holder = part(barrier, THREADS)
        assert store.arrive(holder, b"v", 60).outcome is Outcome.CLAIMED
        answers = together(
            lambda n=n: store.arrive(part(barrier, n), None, 60, holder.delivery)
            for n in range(THREADS)
        )
        assert [each.outcome for each in answers].count(Outcome.CLAIMED) == 1
        assert {each.outcome for each in answers} == {Outcome.CLAIMED, Outcome.HELD}

    def test_members_are_not_lost(self, store: Store, key: str):
        """Eight who add to one set at once lose nothing."""
        together(lambda n=n: store.add_member(key, str(n), 60) for n in range(THREADS))
        assert store.add_member(key, "0", 60) == {str(n) for n in range(THREADS)}


def _bring(store: Store, barrier: str, places: range) -> list[Arrival]:
    return [store.arrive(part(barrier, place), b"v", 60) for place in places]


class TestProcesses:
    def test_fork_after_use(self, store: Store, key: str):
        """A store that was used before a fork works in the child, and afterwards in the parent."""
        store.set(key, b"parent")
        assert in_child(lambda: _works(store, f"{key}-child")) == 0
        _works(store, f"{key}-parent")
        assert store.get(key).value == b"parent"

    def test_fork_while_others_write(self, store: Store, key: str):
        """A fork in the middle of another thread's call leaves no lock behind in the child."""
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                store.set(f"{key}-busy", b"v", 60)
                store.offer(offer(f"{key}-ranked", Rank.UNREADY), rank_of)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert [in_child(lambda: _works(store, f"{key}-child"), 5) for _ in range(8)] == [0] * 8
        finally:
            stop.set()
            writer.join()

    def test_fork_of_a_fork(self, store: Store, key: str):
        """A child's child has a store of its own too."""
        store.ping()
        assert in_child(lambda: _check(in_child(lambda: _works(store, key)) == 0)) == 0

    def test_processes_share(self, store: Store, key: str, barrier: str):
        """Where SHARED is promised: what children wrote is there, and one of them claims."""
        if not store.features & Feature.SHARED:
            pytest.skip("this store does not promise SHARED")
        store.open_barrier(barrier, b"", 60)
        store.expect(publisher(barrier), 40, 60)
        children = [_begin(lambda n=n: _child(store, key, barrier, n)) for n in range(4)]
        statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert sorted(statuses) == [0, 0, 0, 7]
        assert store.increment(key, 0, None) == 40
        assert len(list(store.parts(barrier))) == 40


def _works(store: Store, key: str) -> None:
    store.set(key, b"v")
    _check(store.get(key).value == b"v")
    _check(store.compare_and_set(key, b"w", store.get(key).version))
    _check(store.offer(offer(f"{key}-ranked", Rank.SUCCEEDED), rank_of))
    subscription = store.subscribe()
    subscription.wake()
    subscription.wait(1)
    subscription.close()


def _check(held: bool) -> None:
    if not held:
        raise AssertionError


def _begin(work: Callable[[], int]) -> int:
    child = fork()
    if child == 0:
        try:
            os._exit(work())
        except BaseException:
            os._exit(1)
    return child


def _child(store: Store, key: str, barrier: str, n: int) -> int:
    outcomes = set()
    for place in range(n, 40, 4):
        store.increment(key, 1, None)
        outcomes.add(store.arrive(part(barrier, place, run=f"{n}-{place}"), b"v", 60).outcome)
    return 7 if Outcome.CLAIMED in outcomes else 0


def test_memory_of_a_fork_is_its_own(key: str):
    """Memory is not SHARED: what a child writes stays in the child."""
    memory = open_store("memory://forked")
    assert not memory.features & Feature.SHARED
    assert in_child(lambda: memory.set(key, b"v")) == 0
    assert memory.get(key) is None


def test_openers_are_independent(opener: Opener, key: str):
    """Closing one connection while another is in use disturbs nobody."""
    first, second = opener(), opener()
    stop = threading.Event()

    def use() -> None:
        while not stop.is_set():
            second.set(key, b"v")

    user = threading.Thread(target=use)
    user.start()
    for _ in range(5):
        first.set(key, b"w")
        first.close()
    stop.set()
    user.join()
    second.set(key, b"last")
    assert first.get(key).value == b"last"
    first.close()
    second.close()
