"""Concurrent threads."""

import random
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from kvbackends.contract import Arrival, Barrier, Offer, Outcome, Rank, Store
from kvbackends.contract.derived import update
from kvbackends.testing.check import Area
from kvbackends.testing.tools import (
    TTL,
    Opener,
    offer,
    part,
    publisher,
    race,
    rank_of,
    together,
    value_at,
)

THREADS = 8
ROUNDS = 10
RANK_ROUNDS = 30
"""Many, because a store that gives up after one lost insert fails in one race of ten only."""


class Threads(Area):
    """Every method is safe from any thread."""

    area = "threads"
    rule = "threads"

    def one_creates(self, store: Store, key: str) -> None:
        """Of eight threads that create a key at once exactly one succeeds."""
        for i in range(ROUNDS):
            won = race(THREADS, partial(_create, store, f"{key}-{i}"))
            assert won.count(True) == 1
            assert value_at(store, f"{key}-{i}") == b"%d" % won.index(True)

    def no_update_is_lost(self, store: Store, key: str) -> None:
        """Eight threads that add by compare_and_set lose nothing."""
        store.set(key, b"0")
        for _ in range(5):  # on a busy machine a thread may end before the next one runs
            together([partial(_add, store, key, 3)] * THREADS)
        assert _number(value_at(store, key)) == 15 * THREADS

    def no_increment_is_lost(self, store: Store, key: str) -> None:
        """Eight threads that count lose nothing, and no two get the same number."""
        sums = together([lambda: [store.increment(key, 1, None) for _ in range(15)]] * THREADS)
        assert sorted(n for each in sums for n in each) == list(range(1, 15 * THREADS + 1))

    def best_rank_wins(self, store: Store, key: str) -> None:
        """Whatever the order of eight writers, the success stays."""
        ranks = [Rank.SUCCEEDED, Rank.FAILED, *[Rank.UNREADY] * (THREADS - 2)]
        for i in range(RANK_ROUNDS):
            random.Random(i).shuffle(ranks)
            offers = [offer(f"{key}-{i}", rank, str(n)) for n, rank in enumerate(ranks)]
            stored = together(partial(store.offer, each, rank_of) for each in offers)
            winner = ranks.index(Rank.SUCCEEDED)
            assert stored[winner]
            assert value_at(store, f"{key}-{i}") == b"3%d" % winner

    def first_success_stays(self, store: Store, key: str) -> None:
        """Of eight successes the first that was stored stays."""
        for i in range(ROUNDS):
            offers = [offer(f"{key}-{i}", Rank.SUCCEEDED, str(n)) for n in range(THREADS)]
            stored = together(partial(store.offer, each, rank_of) for each in offers)
            assert stored.count(True) == 1
            assert value_at(store, f"{key}-{i}") == b"3%d" % stored.index(True)

    def success_is_never_seen_to_go(self, store: Store, other: Store, key: str) -> None:
        """A confirmed success can be read while other threads offer lower ranks."""
        worse = [offer(key, Rank.UNREADY, str(n)) for n in range(THREADS)]
        best = offer(key, Rank.SUCCEEDED)
        done = threading.Event()

        def confirm_and_read() -> list[bytes]:
            try:
                assert store.offer(best, rank_of)
                return [value_at(other, key) for _ in range(10)]
            finally:
                done.set()

        def annoy(each: Offer) -> list[bytes]:
            while not done.wait(0.001):
                store.offer(each, rank_of)
            return []

        works: list[Callable[[], list[bytes]]] = [partial(annoy, each) for each in worse]
        seen = together([confirm_and_read, *works])
        assert set(seen[0]) == {best.value}

    def one_claims(self, store: Store, barrier: Barrier) -> None:
        """Eight threads bring forty parts: exactly one delivery claims, and it sees all values."""
        barrier.open(b"")
        barrier.expect(publisher(), 40)
        arrivals = race(THREADS, lambda n: _bring(barrier, range(n, 40, THREADS)))
        outcomes = [each.outcome for many in arrivals for each in many]
        assert outcomes.count(Outcome.CLAIMED) == 1
        assert Outcome.CLOSED not in outcomes
        assert len(list(barrier.parts())) == 40

    def claimer_sees_all(self, store: Store, barrier: Barrier) -> None:
        """The delivery that claims reads every value, also of parts that arrive meanwhile."""

        def bring(run: Barrier, n: int) -> int | None:
            answer = run.arrive(part(n), b"v")
            claimed = answer.outcome is Outcome.CLAIMED
            return len(list(run.parts())) if claimed else None

        for i in range(ROUNDS):
            run = store.barrier(f"{barrier.name}-{i}", TTL)
            run.open(b"")
            run.expect(publisher(), THREADS)
            seen = race(THREADS, partial(bring, run))
            assert [each for each in seen if each is not None] == [THREADS]

    def the_size_races_too(self, store: Store, barrier: Barrier) -> None:
        """Of the size and the last parts, arriving at once, exactly one claims."""
        for i in range(ROUNDS):
            run = store.barrier(f"{barrier.name}-{i}", TTL)
            run.open(b"")
            outcomes = [each.outcome for each in race(4, partial(_any_of, run))]
            assert outcomes.count(Outcome.CLAIMED) == 1

    def one_evicts(self, store: Store, barrier: Barrier) -> None:
        """Of eight deliveries that evict the same holder exactly one gets the claim."""
        barrier.open(b"")
        barrier.expect(publisher(), THREADS + 1)
        _bring(barrier, range(THREADS))
        holder = part(THREADS)
        assert barrier.arrive(holder, b"v").outcome is Outcome.CLAIMED
        answers = race(THREADS, lambda n: barrier.arrive(part(n), None, holder.delivery))
        assert [each.outcome for each in answers].count(Outcome.CLAIMED) == 1
        assert {each.outcome for each in answers} == {Outcome.CLAIMED, Outcome.HELD}

    def closing_disturbs_nobody(self, opener: Opener, key: str) -> None:
        """Closing one connection repeatedly does not disturb another one that is in use."""
        first, second = opener(), opener()
        stop = threading.Event()

        def use() -> None:
            while not stop.is_set():
                second.set(key, b"v")

        with ThreadPoolExecutor(1) as pool:
            user = pool.submit(use)
            try:
                for _ in range(5):
                    first.set(f"{key}-first", b"w")
                    first.close()
            finally:
                stop.set()
            user.result()
        second.set(key, b"last")
        assert value_at(first, key) == b"last"

    def members_are_not_lost(self, store: Store, key: str) -> None:
        """Eight threads that add to one set at once lose no member."""
        race(THREADS, lambda n: store.add_member(key, str(n), TTL))
        assert store.add_member(key, "0", TTL) == {str(n) for n in range(THREADS)}


def _create(store: Store, key: str, n: int) -> bool:
    return store.compare_and_set(key, b"%d" % n, None)


def _add(store: Store, key: str, times: int) -> None:
    for _ in range(times):
        update(store, key, _one_more, None)


def _one_more(old: bytes | None) -> bytes:
    # With a token: after an unknown outcome equal bytes are taken for a thread's own.
    return b"%d %s" % (_number(old or b"0") + 1, uuid.uuid4().bytes)


def _number(value: bytes) -> int:
    return int(value.partition(b" ")[0])


def _bring(barrier: Barrier, places: range) -> list[Arrival]:
    return [barrier.arrive(part(place), b"v") for place in places]


def _any_of(barrier: Barrier, n: int) -> Arrival:
    """A part, or the size."""
    if n == 3:
        return barrier.expect(publisher(), 3)
    return barrier.arrive(part(n), b"v")
