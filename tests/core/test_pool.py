"""The pool of connections: with more threads than connections, first come, first served."""

import threading
import time
from types import SimpleNamespace

import pytest

from kvbackends.contract import Pool
from tests.support.handlers import bears_a_handler


class Busy(Exception):
    """No connection came in time."""


class Connection:
    """Any object that can be referred to weakly."""


class Connections(Pool[Connection]):
    """Takes and gives back as the adapters do."""

    def __init__(self, most, patience=10.0):
        super().__init__(Connection, most, patience, Busy)

    def take(self):
        """A connection for the caller alone."""
        try:
            return self._free.pop()
        except IndexError:
            return self._another()

    def give_back(self, connection):
        """Let others take it."""
        self._free.append(connection)
        if self._waiting:
            self._notify()


def waiting(pool, count):
    """Return when `count` threads wait."""
    until = time.monotonic() + 10
    while len(pool._waiting) != count:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_call_that_asks_again_stands_behind_those_that_wait():
    """Otherwise the thread that runs takes its connection again and again, for seconds."""
    pool, served, threads = Connections(1), [], []

    def call(name):
        connection = pool.take()
        served.append(name)
        pool.give_back(connection)

    connection = pool.take()
    for name in range(3):
        threads.append(threading.Thread(target=call, args=(name,)))
        threads[-1].start()
        waiting(pool, name + 1)
    pool.give_back(connection)
    call("again")
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2, "again"]


def test_a_wait_ends():
    """After the given time; the connection goes to the next call then."""
    pool = Connections(1, patience=0.01)
    connection = pool.take()
    with pytest.raises(Busy, match=r"all 1 connections stayed in use for 0\.01 s"):
        pool.take()
    pool.give_back(connection)
    assert pool.take() is connection


def test_a_connection_handed_over_in_the_last_moment_is_not_lost(monkeypatch):
    """It goes to the next call."""
    pool = Connections(1)
    taken = [pool.take()]

    def now():
        """The time ends as the connection comes."""
        if not pool._waiting:
            return 0.0
        pool.give_back(taken.pop())
        return 100.0

    monkeypatch.setattr("kvbackends.contract.pool.time", SimpleNamespace(monotonic=now))
    with pytest.raises(Busy):
        pool.take()
    assert len(pool._free) == 1


def test_a_lost_connection_is_replaced():
    """One that an exception took with it; a call that waits makes another one."""
    pool = Connections(1)
    lost = pool.take()
    thread = threading.Thread(target=pool.take)
    thread.start()
    waiting(pool, 1)
    del lost
    thread.join(10)
    assert not thread.is_alive()


def test_a_handler_may_take_a_connection():
    """A signal's, in the middle of taking one or of giving it back."""
    pool = Connections(2, patience=0.05)

    def take():
        pool.give_back(pool.take())

    assert bears_a_handler(take, Connections.take, Connections.give_back, Pool._new, Pool._notify)
    first, second = pool.take(), pool.take()
    assert first is not second
