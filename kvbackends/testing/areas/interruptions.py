"""Handlers of signals that interrupt a call."""

import gc
import random
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import pytest

from kvbackends import StoreError
from kvbackends.contract import Rank, Store, Subscription
from kvbackends.testing.check import Area
from kvbackends.testing.tools import (
    TTL,
    arrive,
    begin,
    delivery,
    hinted,
    offer,
    part,
    race,
    rank_of,
    value_at,
)

SIGNAL = signal.SIGUSR1
STRIKES = 30
"""Interruptions of each check."""
LONG = 3.0
"""Seconds after which a check makes do with fewer."""


class Interruptions(Area):
    """A handler may interrupt any call in the main thread."""

    area = "interruptions"
    rule = "threads"
    alone = True

    def raising(self, store: Store, key: str) -> None:
        """An exception of a signal's handler reaches the caller, and later calls work as ever.

        Each answer is that of its own call, and no lock stays held.
        """
        caught = 0

        def strike() -> None:
            raise Interrupted

        with losing_sockets(), _Striking(strike) as striking:
            for name in striking.turns(lambda: _uses(store, f"{key}-first")):
                try:
                    with striking.once():
                        _uses(store, f"{key}-{name}")
                except Interrupted:
                    caught += 1
                _uses(store, f"{key}-{name}-after")
        race(4, lambda n: _uses(store, f"{key}-thread-{n}"))
        # Python itself drops an exception that is raised in a finaliser.
        assert caught >= striking.count - 1 - striking.count // 10, "some were swallowed"

    def calling(self, store: Store, subscription: Subscription, key: str) -> None:
        """A signal's handler may call the store, whose running call goes on afterwards.

        Both may notify the same waiter.
        """
        failed: list[BaseException] = []
        watched = offer(f"{key}-watched", Rank.UNREADY, ttl=TTL)
        subscription.watch([watched.key])

        def strike() -> None:
            try:
                store.offer(watched, rank_of)
                _uses_one_by_one(store, f"{key}-handler-{delivery()}")
            except StoreError:
                pass  # refused with a reason
            except BaseException as error:  # noqa: BLE001 - shown below
                failed.append(error)

        with _Striking(strike) as striking:
            for name in striking.turns(lambda: _uses(store, f"{key}-first")):
                with striking.once():
                    store.offer(watched, rank_of)
                    _uses(store, f"{key}-{name}")
        race(4, lambda n: _uses(store, f"{key}-thread-{n}"))
        assert failed == []
        assert hinted(subscription, watched.key)


class Interrupted(Exception):
    """Raised by the handler: like a soft time limit, an `Exception`."""


@contextmanager
def losing_sockets() -> Iterator[None]:
    """A socket is lost if the exception comes before it is kept.  Python closes it, and warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()  # here, and not in another test


class _Striking:
    """Calls `act` in the main thread at random moments, by a signal."""

    def __init__(self, act: Callable[[], None]) -> None:
        if threading.current_thread() is not threading.main_thread():
            pytest.skip("handlers of signals run in the main thread only")
        self.count = 0
        self._act = act
        self._armed = False
        self._took = 0.0

    def __enter__(self) -> Self:
        self._before = signal.signal(SIGNAL, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(SIGNAL, self._before)

    def turns(self, work: Callable[[], None]) -> Iterator[int]:
        """Numbers, until there were enough strikes; `work` is timed first."""
        work()  # connects
        began = time.monotonic()
        work()
        self._took = time.monotonic() - began
        until, turn = time.monotonic() + LONG, 0
        while self.count < STRIKES and time.monotonic() < until:
            turn += 1
            yield turn

    @contextmanager
    def once(self) -> Iterator[None]:
        """Strike at most once inside, at some moment."""
        self._armed = True
        main = threading.main_thread().ident
        wait = random.random() * self._took
        ended = threading.Event()

        def strike() -> None:
            if not ended.wait(wait):
                signal.pthread_kill(main, SIGNAL)  # type: ignore[arg-type]

        thread = threading.Thread(target=strike)
        thread.start()
        try:
            yield
        finally:
            self._armed = False
            ended.set()
            thread.join()

    def _handle(self, *_: Any) -> None:
        if self._armed:
            self._armed = False
            self.count += 1
            self._act()


def _uses_one_by_one(store: Store, key: str) -> None:
    """Use operations that need no threads, which would wait for the interrupted one."""
    mine = key.encode()
    assert store.get(key) is None
    store.set(key, mine, TTL)
    assert value_at(store, key) == mine
    assert not store.compare_and_set(key, b"lost", None)
    assert store.increment(f"{key}-number", 2, TTL) == 2
    each = offer(f"{key}-ranked", Rank.SUCCEEDED, key, TTL)
    assert store.offer(each, rank_of)
    assert value_at(store, each.key) == each.value


def _uses(store: Store, key: str) -> None:
    """Use all kinds of operations, and look at each answer."""
    key = f"{key}-{delivery()}"
    mine = key.encode()
    _uses_one_by_one(store, key)
    assert store.get_batch([key, f"{key}-absent"]) == {key: mine}
    barrier = store.barrier(f"{key}-barrier", TTL)
    begin(barrier, 2)
    arrive(barrier, part(0))
    store.delete(key)
    assert store.get(key) is None
