"""Histories of concurrent operations, checked for linearizability."""

import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from multiprocessing import get_context
from typing import Any

from kvbackends.contract import Barrier, Feature, Part, Rank, Store
from kvbackends.testing import linearizability
from kvbackends.testing.check import Area
from kvbackends.testing.forks import race_in_children
from kvbackends.testing.linearizability import Operation
from kvbackends.testing.tools import TTL, delivery, offer, publisher, race, rank_of

WORKERS = 4
ROUNDS = 3
PATIENCE = 20.0
"""Seconds that workers wait for each other before a round."""


class Histories(Area):
    """Concurrent operations of several processes have an order that explains their answers.

    Threads are used instead of processes where the store does not promise SHARED.
    """

    area = "histories"
    rule = "linearizability"
    alone = True

    def compare_and_set(self, store: Store, key: str) -> None:
        """Reads and conditional writes of one key."""
        for history in _recorded(store, lambda i, n: _swap(store, f"{key}-{i}", n)):
            assert linearizability.explains(linearizability.register, None, history), _shown(
                history
            )

    def increment(self, store: Store, key: str) -> None:
        """Additions to one number."""
        for history in _recorded(store, lambda i, n: _count(store, f"{key}-{i}", n)):
            assert linearizability.explains(linearizability.counter, 0, history), _shown(history)

    def offer(self, store: Store, key: str) -> None:
        """Ranked writes and reads of one key."""
        for history in _recorded(store, lambda i, n: _rank(store, f"{key}-{i}", n)):
            assert linearizability.explains(linearizability.ranked, None, history), _shown(history)

    def arrive(self, store: Store, barrier: Barrier) -> None:
        """Parts of one barrier, some of them twice."""
        for i in range(ROUNDS):
            run = store.barrier(f"{barrier.name}-{i}", TTL)
            run.open(b"")
            run.expect(publisher(), 2 * WORKERS)
        model = linearizability.barrier(2 * WORKERS)
        for each in _recorded(store, lambda i, n: _bring(store, f"{barrier.name}-{i}", n)):
            history = _in_two(each)
            assert linearizability.explains(model, (frozenset(), None), history), _shown(history)


def _recorded(
    store: Store, work: Callable[[int, int], list[Operation]]
) -> Iterator[list[Operation]]:
    """The history of each round, in which all workers call `work(round, worker)` at once."""
    run = race_in_children if store.features & Feature.SHARED else race
    begins = get_context("fork").Barrier(WORKERS)

    def rounds(worker: int) -> list[list[Operation]]:
        found = []
        for i in range(ROUNDS):
            begins.wait(PATIENCE)
            found.append(work(i, worker))
        return found

    for histories in zip(*run(WORKERS, rounds), strict=True):
        yield list(chain.from_iterable(histories))


def _timed(name: str, argument: Any, call: Callable[[], Any]) -> Operation:
    began = time.monotonic()
    answer = call()
    return Operation(name, argument, answer, began, time.monotonic())


def _swap(store: Store, key: str, n: int) -> list[Operation]:
    history = []
    for turn in range(4):
        began = time.monotonic()
        entry = store.get(key)
        read = entry and entry.value
        history.append(Operation("get", None, read, began, time.monotonic()))
        new = b"%d-%d" % (n, turn)
        swap = partial(store.compare_and_set, key, new, entry and entry.version)
        history.append(_timed("compare_and_set", (read, new), swap))
    return history


def _count(store: Store, key: str, n: int) -> list[Operation]:
    add = partial(store.increment, key, n + 1, None)
    return [_timed("increment", n + 1, add) for _ in range(5)]


def _rank(store: Store, key: str, n: int) -> list[Operation]:
    ranks = [Rank.UNREADY, Rank.FAILED, Rank.UNREADY, Rank.SUCCEEDED, Rank.UNREADY]
    random.Random(n).shuffle(ranks)
    history = []
    for turn, rank in enumerate(ranks):
        each = offer(key, rank, f"{n}-{turn}")
        write = partial(store.offer, each, rank_of)
        history.append(_timed("offer", (int(rank), each.value), write))
        history.append(_timed("get", None, lambda: _ranked(store, key)))
    return history


def _ranked(store: Store, key: str) -> tuple[int, bytes] | None:
    entry = store.get(key)
    return entry and (int(rank_of(entry.value)), entry.value)


def _bring(store: Store, name: str, n: int) -> list[Operation]:
    barrier, history = store.barrier(name, TTL), []
    for place in (n, n + WORKERS, n):
        each = Part(place, f"task-{place}", delivery())
        call = partial(_arrival, barrier, each)
        history.append(_timed("arrive", (place, each.delivery), call))
    return history


def _arrival(barrier: Barrier, part: Part) -> tuple[str, str]:
    answer = barrier.arrive(part, b"v")
    return answer.outcome.name, answer.holder


def _in_two(arrivals: list[Operation]) -> list[Operation]:
    history: list[Operation] = []
    for each in arrivals:
        history.append(each._replace(name="record", answer=linearizability.UNKNOWN))
        history.append(each._replace(name="look", after=len(history) - 1))
    return history


def _shown(history: list[Operation]) -> str:
    lines = [
        f"{each.began:.6f} to {each.ended:.6f}: {each.name}({each.argument}) -> {each.answer}"
        for each in sorted(history, key=lambda each: each.began)
    ]
    return "\n".join(["no order explains these answers:", *lines])
