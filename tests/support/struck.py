"""Strikes the operations of a store with a signal; a program, because a failure is a hang.

``python -m tests.support.struck URL raising|calling TIMES``: the handler raises an exception, or
calls the store.  It strikes wherever a `threading.Condition` is about to release its lock, because
an exception there leaves it locked, then at random, TIMES together.  Ends with 0 if all works
afterwards.
"""

import contextlib
import faulthandler
import itertools
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any
from uuid import uuid4

from kvbackends import StoreError, open_store
from kvbackends.contract import SIZE_PLACE, Offer, Outcome, Part, Rank, Store

SUCCESS = b"%d" % Rank.SUCCEEDED
PATIENCE = 30
"""Seconds for all operations, on a busy machine."""
FEW = 4
"""Conditions struck in one operation."""


class Struck(Exception):
    """Raised by the handler: like a soft time limit, an `Exception`."""


def rank_of(value: bytes) -> Rank:
    return Rank(int(value[:1]))


def operate(store: Store) -> None:
    """Use all kinds of operations."""
    key, result, chord = uuid4().hex, uuid4().hex, uuid4().hex
    store.set(key, b"1", 60.0)
    entry = store.get(key)
    assert entry is not None
    assert store.compare_and_set(key, b"2", entry.version, 60.0)
    assert store.get_batch([key]) == {key: b"2"}
    store.delete(key)
    store.offer(Offer(result, b"%d" % Rank.UNREADY, Rank.UNREADY, 60.0), rank_of)
    assert store.offer(Offer(result, SUCCESS, Rank.SUCCEEDED, 60.0), rank_of)
    barrier, last = store.barrier(chord, 60.0), Part(0, "task", uuid4().hex)
    barrier.open(b"payload")
    barrier.expect(Part(SIZE_PLACE, "size", uuid4().hex), 1)
    success = Offer(uuid4().hex, SUCCESS, Rank.SUCCEEDED, 60.0)
    assert barrier.finish(last, success, rank_of).outcome is Outcome.CLAIMED
    assert [value for _, _, value in barrier.parts()] == [SUCCESS]
    barrier.close(last, success, rank_of)


class Striker:
    """Handles SIGALRM once after `arm`."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act
        self.armed = False
        self.number = 0
        signal.signal(signal.SIGALRM, self._strike)

    def _strike(self, *_: object) -> None:
        if self.armed:
            self.armed = False
            self.number += 1
            self.act()

    @contextlib.contextmanager
    def at_condition(self, number: int) -> Any:
        """Strike before the `number`-th condition inside releases its lock."""
        passing = itertools.count(1)

        def trace(frame: FrameType, event: str, _: object) -> None:
            if frame.f_code is threading.Condition.__exit__.__code__ and next(passing) == number:
                signal.raise_signal(signal.SIGALRM)

        sys.settrace(trace)
        try:
            yield
        finally:
            sys.settrace(None)

    @contextlib.contextmanager
    def within(self, seconds: float) -> Any:
        """Strike at some moment of the `seconds` to come."""
        signal.setitimer(signal.ITIMER_REAL, random.random() * seconds + 1e-6)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def raising(_: Store) -> None:
    raise Struck


def calling(store: Store) -> None:
    with contextlib.suppress(StoreError):  # refused with a reason
        operate(store)


def in_threads(work: Callable[[], object]) -> None:
    """Work in several threads at once."""
    threads = [threading.Thread(target=work) for _ in range(FEW)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main(url: str, name: str, times: int) -> None:
    """Strike, and check that everything works, also in other threads."""
    store = open_store(url, {})
    striker = Striker(lambda: globals()[name](store))
    operate(store)
    begun = time.monotonic()
    operate(store)
    took = time.monotonic() - begun
    caught = 0
    places = [striker.at_condition(1 + n // 2) for n in range(2 * FEW)]
    at_random = (striker.within(took) for _ in iter(lambda: striker.number < times, False))
    for n, place in enumerate(itertools.chain(places, at_random)):
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        striker.armed = True
        try:
            with place:
                if n % 2 == 0 and n < 2 * FEW:
                    store.close()  # the next operation connects
                operate(store)
        except Struck:
            caught += 1
        striker.armed = False
        in_threads(lambda: store.get("absent"))
    in_threads(lambda: operate(store))
    operate(store)
    store.close()
    print(f"{striker.number} strikes, {caught} reached the caller")
    # Python itself drops an exception that is raised in a finaliser.
    assert name == "calling" or caught >= striker.number - 1 - times // 100, "some were swallowed"


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
