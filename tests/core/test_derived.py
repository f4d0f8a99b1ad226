"""Batches and writes of stores that have none of their own."""

import os
import threading
import time

import pytest

from kvbackends.contract import line
from kvbackends.contract.derived import concurrently
from kvbackends.testing.forks import fork_in_c
from tests.support.dict_store import DictStore
from tests.support.threads import together


def test_a_batch_ends_with_its_first_failure():
    """Not after each of its calls has waited for a server that is away."""
    calls = []

    def call(key: str) -> None:
        calls.append(key)
        time.sleep(0.01)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        concurrently(call, [str(number) for number in range(2000)])
    assert len(calls) < 1000


class FarStore(DictStore):
    """Its answers take a millisecond; it counts lost races."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0

    def get(self, key):
        found = super().get(key)
        time.sleep(0.001)
        return found

    def compare_and_set(self, key, value, version, ttl=None):
        won = super().compare_and_set(key, value, version, ttl)
        self.lost += not won
        return won


def test_threads_that_write_one_key_take_turns():
    """A write loses one race or none; if all tried all the time each would lose one per thread."""
    store, threads, writes = FarStore(), 12, 6

    def work():
        for _ in range(writes):
            store.increment("key", 1, None)

    together([work] * threads)
    assert store.increment("key", 0, None) == threads * writes
    assert store.lost < 3 * threads * writes
    assert line._lines == {}


def test_a_handler_of_a_signal_does_not_wait_for_the_write_that_it_interrupts():
    """It runs in the same thread, which could not go on before the handler returns."""
    store = DictStore()
    with line.Line("key") as held:
        held.wait()
        began = time.monotonic()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(line, "LONGEST", 60.0)
            assert store.increment("key", 5, None) == 5
        assert time.monotonic() - began < 30
    assert line._lines == {}


@pytest.mark.parametrize("fork", [os.fork, fork_in_c])
def test_a_forked_child_does_not_wait_for_threads_of_its_parent(fork, monkeypatch):
    """They do not exist in it, and would never leave the line."""
    monkeypatch.setattr(line, "LONGEST", 60.0)
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with line.Line("key") as held:
            held.wait()
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(60)
    began = time.monotonic()
    if (pid := fork()) == 0:
        with line.Line("key") as own:
            own.wait()
        os._exit(line._lines != {})
    status = os.waitpid(pid, 0)[1]
    leave.set()
    thread.join()
    assert status == 0
    assert time.monotonic() - began < 30
